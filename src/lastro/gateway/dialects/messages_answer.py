"""Answers of Anthropic Messages: whole ones, and what whole and streamed ones share.

What always holds: ``Used.input`` counts everything that was read, though this dialect counts what came from the cache apart. Blocks that
the neutral words cannot say (thoughts that nobody may read, results of hosted tools, which are refused before) are passed over, and
blocks that say nothing are not numbered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from lastro.gateway.dialects.codec import MalformedError
from lastro.gateway.dialects.fields import json_object
from lastro.gateway.dialects.folded import FoldedBlock, fold
from lastro.gateway.dialects.json_splice import splice
from lastro.gateway.dialects.messages_errors import error_value, read_error_object
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Dialect,
    Ended,
    Failed,
    Happening,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)
from lastro.gateway.dialects.openai_errors import read_error_object as read_other_error
from lastro.gateway.dialects.signatures import wrap
from lastro.messages import N_

HINT: Final = N_("Ask another model, or tell its provider")


class Block(Struct):
    """A block of content, or its beginning."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"")

    @property
    def arguments(self) -> str:
        """JSON text of the call's arguments; empty where they do not stand here."""
        text = bytes(self.input)
        return "" if text in {b"{}", b"null"} else text.decode()


class Usage(Struct):
    """Tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Message(Struct):
    """An answer, or its beginning."""

    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None
    error: object = None


_MESSAGE: Final = msgspec.json.Decoder(Message)

_REASONS: Final = {
    "end_turn": StopReason.END,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "tool_use": StopReason.TOOL_USE,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "refusal": StopReason.REFUSAL,
    "pause_turn": StopReason.PAUSE,
}
_WRITTEN_REASONS: Final[Mapping[StopReason, str]] = {
    StopReason.END: "end_turn",
    StopReason.LENGTH: "max_tokens",
    StopReason.TOOL_USE: "tool_use",
    StopReason.STOP_SEQUENCE: "stop_sequence",
    StopReason.CONTENT_FILTER: "refusal",
    StopReason.REFUSAL: "refusal",
    StopReason.PAUSE: "pause_turn",
}


def malformed(detail: str) -> MalformedError:
    """The error for bytes that are no answer of this dialect."""
    return MalformedError(N_("This is no answer of Messages: {detail}"), detail=detail, hint=HINT)


def read_ended(reason: str | None, sequence: str | None) -> Ended:
    """Why an answer ended."""
    return Ended(reason=_REASONS.get(reason or "", StopReason.END), sequence=sequence or "")


def written_end(ended: Ended) -> dict[str, object]:
    """``stop_reason`` and ``stop_sequence``."""
    return {"stop_reason": _WRITTEN_REASONS[ended.reason], "stop_sequence": ended.sequence or None}


def read_failure(error: object) -> Failed:
    """What an ``error`` event, or an answer with status 200 that is an error, says."""
    failed = read_error_object(error)
    return read_other_error(error) if failed is None else failed


def merge_usage(before: Usage, usage: Usage) -> Usage:
    """What is known of the usage after more of it was said; counts are of the whole answer so far."""
    said = {name: value for name, value in msgspec.structs.asdict(usage).items() if value is not None}
    return replace(before, **said)


def read_usage(usage: Usage) -> Used | None:
    """The tokens; ``None`` where nothing is said of them."""
    fresh = usage.input_tokens
    if fresh is not None:
        fresh += (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    used = Used(
        input=fresh,
        output=usage.output_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_write=usage.cache_creation_input_tokens,
    )
    return None if used == Used() else used


def written_usage(used: Used | None) -> dict[str, object]:
    """``usage``; what is unknown is left out."""
    if used is None:
        return {}
    cached = (used.cache_read or 0) + (used.cache_write or 0)
    said = {
        "input_tokens": None if used.input is None else max(0, used.input - cached),
        "cache_creation_input_tokens": used.cache_write,
        "cache_read_input_tokens": used.cache_read,
        "output_tokens": used.output,
    }
    return {key: value for key, value in said.items() if value is not None}


def decode_answer(body: bytes) -> list[Happening]:
    """A whole answer as events; one that is an error although its status was 200 is ``Failed``."""
    message = _parse(body)
    if message.error:
        return [read_failure(message.error)]
    if message.content is None:
        raise malformed("content")
    events: list[Happening] = [Began(id=message.id or "", model=message.model or "")]
    for number, block in enumerate(_told(message.content)):
        events += [*_block_events(number, block), BlockEnded(block=number)]
    used = None if message.usage is None else read_usage(message.usage)
    if used is not None:
        events.append(used)
    return [*events, read_ended(message.stop_reason, message.stop_sequence)]


def encode_answer(happenings: Sequence[Happening], *, id: str, model: str) -> bytes:  # noqa: A002
    """A whole answer."""
    folded = fold(happenings)
    if folded.failed is not None:
        return msgspec.json.encode(error_value(folded.failed))
    content = [block for block in map(_written_block, folded.blocks.values()) if block]
    ended = {"stop_reason": None, "stop_sequence": None}
    return msgspec.json.encode(
        {
            "id": folded.id or id,
            "type": "message",
            "role": "assistant",
            "model": folded.model or model,
            "content": content,
            **(ended if folded.ended is None else written_end(folded.ended)),
            "usage": written_usage(folded.used),
        }
    )


def restore_answer(body: bytes, restored: Mapping[int, str]) -> bytes:
    """The answer with the arguments of some calls replaced."""
    changes: dict[tuple[str | int, ...], bytes] = {}
    number = -1
    for at, block in enumerate(_parse(body).content or ()):
        number += _tells(block)
        if block.type == "tool_use" and number in restored:
            changes["content", at, "input"] = restored[number].encode()
    return splice(body, changes)


def _parse(body: bytes) -> Message:
    try:
        return _MESSAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(str(error)) from error


def _tells(block: Block) -> bool:
    """Whether a block has a number: it is a call, or says something."""
    return block.type == "tool_use" or bool(
        (block.type == "text" and block.text)
        or (block.type == "thinking" and (block.thinking or block.signature))
    )


def _told(blocks: Sequence[Block]) -> list[Block]:
    return [block for block in blocks if _tells(block)]


def _block_events(number: int, block: Block) -> list[Happening]:
    if block.type == "text":
        return [TextDelta(block=number, text=block.text or "")]
    if block.type == "thinking":
        events: list[Happening] = []
        if block.thinking:
            events.append(ThinkingDelta(block=number, text=block.thinking))
        if block.signature:
            events.append(ThinkingDelta(block=number, signature=block.signature, of=Dialect.MESSAGES))
        return events
    if not block.name:
        raise malformed("name")
    return [
        ToolCallBegan(block=number, id=block.id or "", name=block.name),
        ToolCallDelta(block=number, arguments=block.arguments or "{}"),
    ]


def _written_block(block: FoldedBlock) -> dict[str, object]:
    if block.call is not None:
        arguments = json_object(block.text)
        if arguments is None:
            raise MalformedError(
                N_("The model gave the tool {name} arguments that are no JSON object"),
                name=block.call.name,
                hint=HINT,
            )
        return {"type": "tool_use", "id": block.call.id, "name": block.call.name, "input": arguments}
    if not block.text and not block.signature:
        return {}
    if block.kind == "text":
        return {"type": "text", "text": block.text}
    signature = wrap(block.signature, of=block.of, shown_in=Dialect.MESSAGES)
    return {"type": "thinking", "thinking": block.text, "signature": signature}
