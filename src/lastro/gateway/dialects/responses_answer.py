"""An answer of OpenAI Responses, written: the stream in the order that Codex needs, and the whole answer that its last event holds.

What always holds: ``sequence_number`` counts every event from 0; an item is added before anything is said of it, and done after; the last
event is ``response.completed``, ``response.incomplete`` or ``response.failed``, and repeats the whole output. Ids are made of the answer's
id and the item's index, so nothing here is random.

Reasons without a word of their own: a met stop sequence is a completed answer; a pause is an incomplete one (``max_output_tokens``);
a refusal is completed and holds a ``refusal`` part. Usage is said only where input and output are both known, since clients (Codex) read
both as numbers.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lastro.gateway.dialects.freeform import input_of
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Conversation,
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    Happening,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)
from lastro.gateway.dialects.openai_errors import error_object, retry_after
from lastro.gateway.dialects.responses_items import call_item
from lastro.gateway.dialects.responses_tools import CUSTOM, FUNCTION, LOCAL_SHELL, Form, form_of
from lastro.gateway.dialects.signatures import wrap
from lastro.gateway.dialects.sse import format_event

_INCOMPLETE: Final = {
    StopReason.LENGTH: "max_output_tokens",
    StopReason.PAUSE: "max_output_tokens",
    StopReason.CONTENT_FILTER: "content_filter",
}
_PREFIXES: Final = {FUNCTION: "fc", CUSTOM: "ctc", LOCAL_SHELL: "lsh"}


class _Block(Struct):
    """One block, and the item that it is in the output."""

    index: int
    kind: str
    item_id: str
    pieces: list[str] = []
    signature: str = ""
    call_id: str = ""
    form: Form = Form(name="")

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ResponsesEncoder:
    """Writes one streamed answer (``codec.StreamEncoder``)."""

    def __init__(self, *, id: str, model: str, created_s: int, request: Conversation | None = None) -> None:  # noqa: A002
        self._id = id
        self._model = model
        self._created_s = created_s
        self._tools = request.tools if request is not None else ()
        self._sequence = 0
        self._began = False
        self._closed = False
        self._output: dict[int, dict[str, object]] = {}
        self._blocks: dict[int, _Block] = {}
        self._count = 0
        self._used = Used()
        self._ended: Ended | None = None
        self.answer: dict[str, object] = {}
        """The whole answer, once ``finish`` was called or it failed."""

    def encode(self, happening: Happening) -> bytes:  # noqa: C901, PLR0911  one case for each event
        """As ``codec.StreamEncoder.encode``."""
        if self._closed:
            return b""
        match happening:
            case Began():
                self._id = happening.id or self._id
                self._model = happening.model or self._model
                return self._begin()
            case TextDelta():
                return self._begin() + self._text(happening)
            case ThinkingDelta():
                return self._begin() + self._thinking(happening)
            case ToolCallBegan():
                return self._begin() + self._call(happening)
            case ToolCallDelta():
                return self._arguments(happening)
            case BlockEnded():
                return self._end(happening.block)
            case Used():
                self._used = happening
                return b""
            case Ended():
                self._ended = happening
                return b""
            case Failed():
                return self._begin() + self._fail(happening)

    def finish(self) -> bytes:
        """As ``codec.StreamEncoder.finish``: the last event, which usage had to be waited for."""
        if self._closed or self._ended is None:
            return b""
        written = b"".join(self._end(block) for block in list(self._blocks))
        reason = self._ended.reason
        if reason is StopReason.REFUSAL:
            written += self._refusal()
        incomplete = _INCOMPLETE.get(reason)
        status = "completed" if incomplete is None else "incomplete"
        self._closed = True
        self.answer = self._answer(status, incomplete=incomplete)
        return written + self._event(f"response.{status}", response=self.answer)

    def _begin(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        response = self._answer("in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _text(self, happening: TextDelta) -> bytes:
        block = self._blocks.get(happening.block)
        written = b""
        if block is None:
            block = self._add(happening.block, "message", "msg")
            item = self._item(block, "in_progress", [])
            written = self._event("response.output_item.added", output_index=block.index, item=item)
            written += self._of(block, "response.content_part.added", content_index=0, part=_text_part(""))
        if not happening.text:
            return written
        block.pieces.append(happening.text)
        return written + self._of(
            block, "response.output_text.delta", content_index=0, delta=happening.text, logprobs=[]
        )

    def _thinking(self, happening: ThinkingDelta) -> bytes:
        block = self._blocks.get(happening.block)
        written = b""
        if block is None:
            block = self._add(happening.block, "reasoning", "rs")
            item = {"id": block.item_id, "type": "reasoning", "summary": []}
            written = self._event("response.output_item.added", output_index=block.index, item=item)
        block.signature += wrap(happening.signature, of=happening.of, shown_in=Dialect.RESPONSES)
        if not happening.text:
            return written
        if not block.pieces:
            part = {"type": "summary_text", "text": ""}
            written += self._of(block, "response.reasoning_summary_part.added", summary_index=0, part=part)
        block.pieces.append(happening.text)
        return written + self._of(
            block, "response.reasoning_summary_text.delta", summary_index=0, delta=happening.text
        )

    def _call(self, happening: ToolCallBegan) -> bytes:
        form = form_of(happening.name, self._tools)
        block = self._add(happening.block, form.kind, _PREFIXES[form.kind])
        block.call_id = happening.id
        block.form = form
        if form.kind == LOCAL_SHELL:
            return b""  # its action cannot come in pieces
        return self._event(
            "response.output_item.added", output_index=block.index, item=self._call_item(block, "in_progress")
        )

    def _arguments(self, happening: ToolCallDelta) -> bytes:
        block = self._blocks[happening.block]
        block.pieces.append(happening.arguments)
        if block.kind != FUNCTION or not happening.arguments:
            return b""
        return self._of(block, "response.function_call_arguments.delta", delta=happening.arguments)

    def _end(self, number: int) -> bytes:
        block = self._blocks.pop(number, None)
        if block is None:
            return b""
        match block.kind:
            case "message":
                written, item = self._end_text(block)
            case "reasoning":
                written, item = self._end_thinking(block)
            case _:
                written, item = self._end_call(block)
        self._output[block.index] = item
        return written + self._event("response.output_item.done", output_index=block.index, item=item)

    def _end_text(self, block: _Block) -> tuple[bytes, dict[str, object]]:
        part = _text_part(block.text)
        written = self._of(block, "response.output_text.done", content_index=0, text=block.text, logprobs=[])
        written += self._of(block, "response.content_part.done", content_index=0, part=part)
        return written, self._item(block, "completed", [part])

    def _end_thinking(self, block: _Block) -> tuple[bytes, dict[str, object]]:
        item: dict[str, object] = {"id": block.item_id, "type": "reasoning", "summary": []}
        written = b""
        if block.pieces:
            part = {"type": "summary_text", "text": block.text}
            written = self._of(
                block, "response.reasoning_summary_text.done", summary_index=0, text=block.text
            )
            written += self._of(block, "response.reasoning_summary_part.done", summary_index=0, part=part)
            item["summary"] = [part]
        if block.signature:
            item["encrypted_content"] = block.signature
        return written, item

    def _end_call(self, block: _Block) -> tuple[bytes, dict[str, object]]:
        item = self._call_item(block, "completed")
        if block.kind == FUNCTION:
            written = b""
            if not block.text:
                written = self._of(block, "response.function_call_arguments.delta", delta="{}")
            return (
                written
                + self._of(block, "response.function_call_arguments.done", arguments=item["arguments"]),
                item,
            )
        if block.kind == CUSTOM:
            text = input_of(block.text)
            written = self._of(block, "response.custom_tool_call_input.delta", delta=text)
            return written + self._of(block, "response.custom_tool_call_input.done", input=text), item
        added = self._event("response.output_item.added", output_index=block.index, item=item)
        return added, item

    def _refusal(self) -> bytes:
        block = self._add(-1, "message", "msg")
        del self._blocks[-1]
        item = self._item(block, "completed", [{"type": "refusal", "refusal": ""}])
        self._output[block.index] = item
        added = self._item(block, "in_progress", [])
        return self._event("response.output_item.added", output_index=block.index, item=added) + self._event(
            "response.output_item.done", output_index=block.index, item=item
        )

    def _fail(self, failed: Failed) -> bytes:
        self._closed = True
        self.answer = self._answer("failed", error=_error(failed))
        return self._event("response.failed", response=self.answer)

    def _add(self, number: int, kind: str, prefix: str) -> _Block:
        index = self._count
        self._count += 1
        block = _Block(index=index, kind=kind, item_id=f"{prefix}_{self._id.removeprefix('resp_')}_{index}")
        self._blocks[number] = block
        return block

    def _item(self, block: _Block, status: str, content: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": block.item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _call_item(self, block: _Block, status: str) -> dict[str, object]:
        item = {"id": block.item_id} | call_item(block.form, call_id=block.call_id, arguments=block.text)
        if status == "in_progress":
            item |= {"input": ""} if block.kind == CUSTOM else {"arguments": ""}
        return item | {"status": status}

    def _of(self, block: _Block, kind: str, **fields: object) -> bytes:
        return self._event(kind, item_id=block.item_id, output_index=block.index, **fields)

    def _event(self, kind: str, **fields: object) -> bytes:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return format_event(msgspec.json.encode(event), kind)

    def _answer(
        self, status: str, *, incomplete: str | None = None, error: dict[str, object] | None = None
    ) -> dict[str, object]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "error": error,
            "incomplete_details": None if incomplete is None else {"reason": incomplete},
            "instructions": None,
            "metadata": {},
            "model": self._model,
            "output": [self._output[index] for index in sorted(self._output)],
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": _usage(self._used),
        }


def _text_part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _error(failed: Failed) -> dict[str, object]:
    """Codex reads the time to wait out of a rate limit's words; without a code it would not say why."""
    text = failed.text
    seconds = failed.retry_after_s
    if failed.kind is ErrorKind.RATE_LIMIT and seconds is not None and retry_after({}, text) is None:
        text = f"{text} Please try again in {seconds:g}s.".lstrip()
    return {"code": error_object(failed)["code"] or "invalid_prompt", "message": text}


def _usage(used: Used) -> dict[str, object] | None:
    if used.input is None or used.output is None:
        return None
    usage: dict[str, object] = {"input_tokens": used.input}
    details = {"cached_tokens": used.cache_read, "cache_write_tokens": used.cache_write}
    said = {name: value for name, value in details.items() if value is not None}
    if said:
        usage["input_tokens_details"] = {"cached_tokens": 0} | said
    usage["output_tokens"] = used.output
    if used.reasoning is not None:
        usage["output_tokens_details"] = {"reasoning_tokens": used.reasoning}
    usage["total_tokens"] = used.input + used.output
    return usage
