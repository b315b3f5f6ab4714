"""An answer of Gemini, read: its stream of pieces, and the whole of it.

What always holds: neighbouring parts of one kind are one block, also over several pieces; a call is a block of its own and comes whole.
An answer has its end in a ``finishReason`` or in the reason why its prompt was blocked. A call without an id gets one made of the answer's
id and the block's number (of its name, where the answer has no id either), so the same answer is always read alike.

``finishReason``: ``STOP`` is the end (of a call, if there is one), ``MAX_TOKENS`` a length. What a model spoilt itself (a malformed or
unexpected call) is ``Failed``, since another attempt may succeed. All others are a content filter's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects.codec import Frame, TruncatedError
from lastro.gateway.dialects.gemini_errors import read_error_object
from lastro.gateway.dialects.gemini_nouns import ANSWER, NOTHING, Answer, Candidate, FunctionCall, Part, Usage
from lastro.gateway.dialects.gemini_turns import call_id
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
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
from lastro.gateway.dialects.reading import is_said, json_text, malformed, read
from lastro.gateway.dialects.sse import ServerEvent, SseSplitter
from lastro.messages import N_

_SPOILT: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    }
)


class _Error(Struct):
    error: Raw = NOTHING


_ERROR: Final = msgspec.json.Decoder(_Error)
_ANY: Final = msgspec.json.Decoder()


class GeminiDecoder:
    """Reads one streamed answer (``codec.StreamDecoder``), asked for with ``alt=sse``."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._reader = _Reader()

    def feed(self, data: bytes) -> list[Frame]:
        """As ``codec.StreamDecoder.feed``."""
        return [self._frame(event) for event in self._splitter.feed(data)]

    def finish(self) -> list[Frame]:
        """As ``codec.StreamDecoder.finish``."""
        frames = [self._frame(event) for event in self._splitter.finish()]
        if not self._reader.ended:
            raise TruncatedError(
                N_("The answer ended before its finishReason"), hint=N_("Try again, or ask another model")
            )
        return frames

    def _frame(self, event: ServerEvent) -> Frame:
        data = event.data
        if data is None:  # an error in the middle of a stream comes as bare JSON
            error = _bare_error(event.raw)
            said = self._reader.fail(error) if is_said(error) else ()
            return Frame(raw=event.raw, happenings=tuple(said))
        if data.strip() in {b"", b"[DONE]"} or (not event.complete and not _is_json(data)):
            return Frame(raw=event.raw)
        return Frame(raw=event.raw, happenings=tuple(self._reader.read(read(ANSWER, data))))


def read_answer(body: bytes) -> list[Happening]:
    """As ``Codec.decode_answer``."""
    answer = read(ANSWER, body)
    reader = _Reader()
    happenings = list(reader.read(answer))
    if not reader.ended:
        raise malformed("finishReason")
    return happenings


class _Reader:
    """What was said so far of one answer."""

    def __init__(self) -> None:
        self.ended = False
        self._began = False
        self._id = ""
        self._open = ""
        self._blocks = 0
        self._called = False
        self._used: Used | None = None

    def read(self, answer: Answer) -> Iterator[Happening]:
        """What one piece says."""
        if is_said(answer.error):
            yield from self.fail(answer.error)
            return
        if not self._began:
            self._began = True
            self._id = answer.response_id or ""
            yield Began(id=self._id, model=answer.model_version or "")
        candidate = next((one for one in answer.candidates or () if not one.index), Candidate())
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                yield from self._part(part)
        reason = candidate.finish_reason
        blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback is not None else None
        if (reason or blocked) and not self.ended:
            yield from self._close()
        if answer.usage_metadata is not None:
            yield from self._usage(answer.usage_metadata)
        if (reason or blocked) and not self.ended:
            self.ended = True
            yield self._end(reason or "SAFETY")

    def fail(self, error: Raw) -> Iterator[Happening]:
        """What an error in the middle says; nothing after the end."""
        if not self.ended:
            self.ended = True
            yield read_error_object(read(_ANY, error))

    def _part(self, part: Part) -> Iterator[Happening]:
        if part.function_call is not None:
            yield from self._call(part.function_call, part.thought_signature or "")
        elif part.thought:
            signature = part.thought_signature or ""
            if part.text or signature:
                yield from self._into("thinking")
                of = Dialect.GEMINI if signature else None
                yield ThinkingDelta(block=self._blocks, text=part.text or "", signature=signature, of=of)
        elif part.text:
            yield from self._into("text")
            yield TextDelta(block=self._blocks, text=part.text)

    def _call(self, call: FunctionCall, signature: str) -> Iterator[Happening]:
        if not call.name:
            raise malformed("functionCall.name")
        yield from self._into("call")
        block = self._blocks
        self._called = True
        yield ToolCallBegan(
            block=block,
            id=call.id or self._call_id(block, call.name),
            name=call.name,
            signature=signature,
        )
        arguments = json_text(call.args) if is_said(call.args) else "{}"
        yield ToolCallDelta(block=block, arguments=arguments)
        yield from self._close()

    def _call_id(self, block: int, name: str) -> str:
        if not self._id:
            return call_id(block, name)
        return f"call_{re.sub(r'[^A-Za-z0-9_-]', '_', self._id)[:50]}_{block}"

    def _into(self, kind: str) -> Iterator[Happening]:
        if self.ended:
            raise malformed("content after the end")
        if self._open != kind:
            yield from self._close()
            self._open = kind

    def _close(self) -> Iterator[Happening]:
        if self._open:
            self._open = ""
            yield BlockEnded(block=self._blocks)
            self._blocks += 1

    def _usage(self, usage: Usage) -> Iterator[Happening]:
        used = _used(usage)
        if used != self._used:
            self._used = used
            yield used

    def _end(self, reason: str) -> Happening:
        if reason in _SPOILT:
            return Failed(kind=ErrorKind.UPSTREAM, text=f"finishReason {reason}")
        if reason == "STOP":
            return Ended(reason=StopReason.TOOL_USE if self._called else StopReason.END)
        return Ended(reason=StopReason.LENGTH if reason == "MAX_TOKENS" else StopReason.CONTENT_FILTER)


def _used(usage: Usage) -> Used:
    return Used(
        input=_sum(usage.prompt_token_count, usage.tool_use_prompt_token_count),
        output=_sum(usage.candidates_token_count, usage.thoughts_token_count),
        cache_read=usage.cached_content_token_count,
        reasoning=usage.thoughts_token_count,
    )


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)


def _bare_error(raw: bytes) -> Raw:
    text = raw.strip().removeprefix(b"[").removesuffix(b"]")
    if not text.startswith(b"{"):
        return NOTHING
    try:
        return _ERROR.decode(text).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NOTHING


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=Raw)
    except msgspec.DecodeError:
        return False
    return True
