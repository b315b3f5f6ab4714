"""Whole answers of OpenAI Chat Completions: read, written, and the arguments of their calls replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from lastro.gateway.dialects.chat_answer import AnswerReader
from lastro.gateway.dialects.chat_nouns import HINT, parse
from lastro.gateway.dialects.codec import MalformedError
from lastro.gateway.dialects.folded import fold
from lastro.gateway.dialects.json_splice import find, splice_text
from lastro.gateway.dialects.neutral import Happening, StopReason, ToolCallBegan, Used
from lastro.gateway.dialects.openai_errors import error_object
from lastro.messages import N_

WRITTEN_REASONS: Final[Mapping[StopReason, str]] = {
    StopReason.END: "stop",
    StopReason.LENGTH: "length",
    StopReason.TOOL_USE: "tool_calls",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.CONTENT_FILTER: "content_filter",
    StopReason.REFUSAL: "content_filter",
    StopReason.PAUSE: "stop",
}
"""``finish_reason``. The words of a refusal have been said as content before it is known to be one."""


def written_usage(used: Used) -> dict[str, object]:
    """The value of ``usage``; what is unknown is left out."""
    usage: dict[str, object] = {}
    if used.input is not None:
        usage["prompt_tokens"] = used.input
    if used.output is not None:
        usage["completion_tokens"] = used.output
    if used.input is not None and used.output is not None:
        usage["total_tokens"] = used.input + used.output
    read = {"cached_tokens": used.cache_read, "cache_write_tokens": used.cache_write}
    for name, details in (
        ("prompt_tokens_details", read),
        ("completion_tokens_details", {"reasoning_tokens": used.reasoning}),
    ):
        known = {key: value for key, value in details.items() if value is not None}
        if known:
            usage[name] = known
    return usage


def decode_answer(body: bytes) -> list[Happening]:
    """A whole answer as events; one that is an error although its status was 200 is ``Failed``."""
    reader = AnswerReader()
    events = reader.read(parse(body))
    if not reader.failed:
        events += reader.close()
    if not reader.ended and not reader.failed:
        raise MalformedError(
            N_("This is no answer of Chat Completions: {detail}"), detail="choices", hint=HINT
        )
    return events


def encode_answer(happenings: Sequence[Happening], *, id: str, model: str, created_s: int) -> bytes:  # noqa: A002
    """A whole answer."""
    folded = fold(happenings)
    if folded.failed is not None:
        return msgspec.json.encode({"error": error_object(folded.failed)})
    texts, thoughts = folded.texts("text"), folded.texts("thinking")
    message: dict[str, object] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    calls = [_call(block.call, block.text) for block in folded.blocks.values() if block.call is not None]
    if calls:
        message["tool_calls"] = calls
    reason = None if folded.ended is None else WRITTEN_REASONS[folded.ended.reason]
    answer: dict[str, object] = {
        "id": folded.id or id,
        "object": "chat.completion",
        "created": created_s,
        "model": folded.model or model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }
    if folded.used is not None:
        answer["usage"] = written_usage(folded.used)
    return msgspec.json.encode(answer)


def restore_answer(body: bytes, restored: Mapping[int, str]) -> bytes:
    """The answer with the arguments of some calls replaced."""
    reader = AnswerReader()
    reader.read(parse(body))
    changes = {
        (*path, "arguments"): restored[call.block] for path, call in reader.places if call.block in restored
    }
    return splice_text(body, {path: text for path, text in changes.items() if find(body, path) is not None})


def _call(began: ToolCallBegan, arguments: str) -> dict[str, object]:
    function = {"name": began.name, "arguments": arguments or "{}"}
    return {"id": began.id, "type": "function", "function": function}
