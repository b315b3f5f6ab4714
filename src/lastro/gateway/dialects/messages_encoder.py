"""Streams of Anthropic Messages, written.

What always holds: blocks never overlap here: what is said of a later block waits until the earlier ones have ended. How the answer ends,
with its usage, is written last of all. Tokens that nobody knows are left out, but in the first event, whose zeros clients count on.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct, field

from lastro.gateway.dialects.messages_answer import written_end, written_usage
from lastro.gateway.dialects.messages_errors import error_value
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Dialect,
    Ended,
    Failed,
    Happening,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)
from lastro.gateway.dialects.signatures import wrap
from lastro.gateway.dialects.sse import format_event


class WrittenBlock(Struct):
    """A block that is being written. ``waiting`` are its events while an earlier block is open."""

    kind: str
    waiting: list[bytes] = field(default_factory=list)
    ended: bool = False


class MessagesEncoder:
    """Writes one stream (``codec.StreamEncoder``)."""

    def __init__(self, *, id: str, model: str) -> None:  # noqa: A002
        self._id = id
        self._model = model
        self._began = False
        self._failed = False
        self._used: Used | None = None
        self._ended: Ended | None = None
        self._blocks: dict[int, WrittenBlock] = {}
        self._indexes: dict[int, int] = {}
        """In the order in which the blocks began, which is the order in which they are written."""
        self._current = 0
        """Index of the block that is being written; those before it are done."""

    def encode(self, happening: Happening) -> bytes:  # noqa: PLR0911  one case for each event
        """The bytes for one event."""
        match happening:
            case Used():
                self._used = happening
                return b""
            case Failed():
                self._failed = True
                return _event(error_value(happening))
            case Ended():
                self._ended = happening
                return self._begin()
            case Began(id=id_, model=model):
                self._id, self._model = id_ or self._id, model or self._model
                return self._begin()
            case BlockEnded(block=block):
                return self._end(block)
            case TextDelta(block=block, text=text):
                delta: dict[str, object] = {"type": "text_delta", "text": text}
                return self._say(block, {"type": "text", "text": ""}, delta) if text else b""
            case ThinkingDelta():
                return self._think(happening)
            case ToolCallBegan(block=block, id=id_, name=name):
                return self._say(block, {"type": "tool_use", "id": id_, "name": name, "input": {}})
            case ToolCallDelta(block=block, arguments=arguments):
                return self._say(block, {}, {"type": "input_json_delta", "partial_json": arguments})

    def finish(self) -> bytes:
        """How the answer ended, with its usage, and the last event."""
        if self._failed:
            return b""
        end = (
            {"stop_reason": None, "stop_sequence": None} if self._ended is None else written_end(self._ended)
        )
        delta = {"type": "message_delta", "delta": end, "usage": written_usage(self._used)}
        return self._begin() + _event(delta) + _event({"type": "message_stop"})

    def _begin(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        usage = {"input_tokens": 0, "output_tokens": 0} | written_usage(self._used)
        message: dict[str, object] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return _event({"type": "message_start", "message": message})

    def _think(self, happening: ThinkingDelta) -> bytes:
        begin: dict[str, object] = {"type": "thinking", "thinking": "", "signature": ""}
        signature = wrap(happening.signature, of=happening.of, shown_in=Dialect.MESSAGES)
        written = b""
        if happening.text:
            delta: dict[str, object] = {"type": "thinking_delta", "thinking": happening.text}
            written += self._say(happening.block, begin, delta)
        if signature:
            written += self._say(happening.block, begin, {"type": "signature_delta", "signature": signature})
        return written

    def _say(
        self, block: int, begin: Mapping[str, object], delta: Mapping[str, object] | None = None
    ) -> bytes:
        written = self._begin()
        if block not in self._blocks:
            index = self._indexes[block] = len(self._indexes)
            self._blocks[block] = WrittenBlock(kind=str(begin["type"]))
            start = {"type": "content_block_start", "index": index, "content_block": begin}
            written += self._write(block, start)
        if delta is not None:
            more = {"type": "content_block_delta", "index": self._indexes[block], "delta": delta}
            written += self._write(block, more)
        return written

    def _end(self, block: int) -> bytes:
        if block not in self._blocks:
            return b""
        written = self._write(block, {"type": "content_block_stop", "index": self._indexes[block]})
        self._blocks[block].ended = True
        order = list(self._indexes)
        while self._current < len(order) and self._blocks[order[self._current]].ended:
            self._current += 1
            if self._current < len(order):
                following = self._blocks[order[self._current]]
                written += b"".join(following.waiting)
                following.waiting.clear()
        return written

    def _write(self, block: int, value: Mapping[str, object]) -> bytes:
        event = _event(value)
        if self._indexes[block] == self._current:
            return event
        self._blocks[block].waiting.append(event)
        return b""


def _event(value: Mapping[str, object]) -> bytes:
    return format_event(msgspec.json.encode(value), str(value["type"]))
