"""What of an exchange is searched: the words that it added to its conversation.

Every request repeats the conversation so far; indexing all of it at each step would grow with the square of its length. What always holds:
the same bodies give the same text, and no body, however broken, makes this fail: one that no codec reads is searched as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    Happening,
    Part,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallBegan,
    ToolCallDelta,
    ToolResult,
)
from lastro.gateway.exchange import Bodies, Exchange

LIMIT: Final = 64 << 10
"""Characters of a request, and of an answer; the end of the one and the beginning of the other."""
_UNREAD_LIMIT: Final = 4 << 10
"""The same, of bodies that no codec reads."""
_READ_LIMIT: Final = 4 << 20
"""Bytes of a stream in which its words are looked for: a provider can send millions of events that say nothing."""
_SLICE: Final = 64 << 10


def search_text(exchange: Exchange, bodies: Bodies | None) -> str:
    """The new words of the request, an empty line, and those of the answer; empty where no bodies were recorded."""
    if bodies is None:
        return ""
    return f"{_asked(exchange, bodies)}\n\n{_answered(exchange, bodies)}".strip()


def _asked(exchange: Exchange, bodies: Bodies) -> str:
    began = exchange.began
    try:
        conversation, _ = codec_of(began.dialect).decode_request(
            bodies.request, model=began.asked_model, stream=began.stream
        )
        text = "\n".join(_new_words(conversation))
    except Exception:  # noqa: BLE001  recorded bytes may be anything, and must stay findable
        text = _plain(bodies.request[-_UNREAD_LIMIT:])
    return text[-LIMIT:]


def _new_words(conversation: Conversation) -> Iterable[str]:
    """What was said after the model's last answer; in the first request everything but the system prompt."""
    turns = conversation.turns
    last = max((place for place, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
    for turn in turns[last + 1 :]:
        for part in turn.parts:
            yield from _words(part)


def _words(part: Part) -> Iterable[str]:
    match part:
        case Text(text=text) | Thinking(text=text):
            yield text
        case ToolCall(name=name, arguments=arguments):
            yield f"{name} {arguments}"
        case ToolResult(content=content):
            for item in content:
                yield from _words(item)
        case _:  # a picture has no words
            return


def _answered(exchange: Exchange, bodies: Bodies) -> str:
    try:
        text = _said(_happenings(_answer_dialect(exchange), bodies))
    except Exception:  # noqa: BLE001  as above
        text = _plain(bodies.answer[:_UNREAD_LIMIT])
    return text[:LIMIT]


def _answer_dialect(exchange: Exchange) -> Dialect:
    """The dialect of the provider whose answer was recorded: that of the last attempt."""
    ended = exchange.ended
    return ended.attempts[-1].dialect if ended is not None and ended.attempts else exchange.began.dialect


def _happenings(dialect: Dialect, bodies: Bodies) -> list[Happening]:
    codec = codec_of(dialect)
    if not bodies.content_type.startswith("text/event-stream"):
        return codec.decode_answer(bodies.answer)
    decoder, happenings, words = codec.decoder(), list[Happening](), 0
    for start in range(0, min(len(bodies.answer), _READ_LIMIT), _SLICE):
        fresh = [
            one for frame in decoder.feed(bodies.answer[start : start + _SLICE]) for one in frame.happenings
        ]
        words += sum(map(_length, fresh))
        happenings += fresh
        if words > LIMIT:
            break
    return happenings


def _length(happening: Happening) -> int:
    match happening:
        case TextDelta(text=text) | ThinkingDelta(text=text):
            return len(text)
        case ToolCallDelta(arguments=arguments):
            return len(arguments)
        case _:
            return 0


def _said(happenings: Iterable[Happening]) -> str:
    """Words, thoughts and calls, each block on a line of its own."""
    blocks: dict[int, list[str]] = {}
    for happening in happenings:
        match happening:
            case TextDelta(block=block, text=text) | ThinkingDelta(block=block, text=text):
                blocks.setdefault(block, []).append(text)
            case ToolCallBegan(block=block, name=name):
                blocks.setdefault(block, []).append(f"{name} ")
            case ToolCallDelta(block=block, arguments=arguments):
                blocks.setdefault(block, []).append(arguments)
            case _:
                pass
    return "\n".join("".join(pieces) for pieces in blocks.values())


def _plain(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\x00", "\ufffd")
