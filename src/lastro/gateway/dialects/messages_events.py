"""The events of a stream of Anthropic Messages, read one by one.

What always holds: an answer ends with ``message_stop``; a call that is still open then makes it no answer. Events of an unknown kind say
nothing. Tokens are counted for the whole answer so far, in each event that says them.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from lastro.gateway.dialects.messages_answer import (
    Block,
    Message,
    Usage,
    malformed,
    merge_usage,
    read_ended,
    read_failure,
    read_usage,
)
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Dialect,
    Ended,
    Happening,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)
from lastro.gateway.dialects.sse import ServerEvent


class Delta(Struct):
    """More of a block, or of the message."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Event(Struct):
    """The data of an event of any kind."""

    type: str = ""
    message: Message | None = None
    index: int = -1
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Usage | None = None
    error: object = None


EVENT: Final = msgspec.json.Decoder(Event)


class OpenBlock(Struct):
    """A block that is being said. ``number`` is -1 while it has said nothing; ``kind`` is as the dialect calls it."""

    kind: str
    number: int = -1


class StreamReader:
    """Turns events of the stream into neutral ones."""

    def __init__(self) -> None:
        self.ended = False
        self.failed = False
        self._began = False
        self._blocks = 0
        self._open: dict[int, OpenBlock] = {}
        self._usage = Usage()
        self._used: Used | None = None
        self._end = Ended(reason=StopReason.END)
        self._readers: dict[str, Callable[[Event, list[Happening]], None]] = {
            "content_block_start": self._read_block,
            "content_block_delta": self._read_delta,
            "content_block_stop": self._read_stop,
            "message_delta": self._read_end,
            "message_stop": self._finish,
        }

    def read(self, event: ServerEvent) -> list[Happening]:
        """What the next event says."""
        if event.data is None or self.ended or self.failed:
            return []
        try:
            said = EVENT.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(str(error)) from error
        kind = said.type or event.event
        if kind == "error" or (not kind and said.error):
            self.failed = True
            return [read_failure(said.error)]
        if kind == "message_start":
            return self._read_start(said)
        if not self._began:
            if kind.startswith(("content_block", "message_")):
                raise malformed(kind)
            return []
        events: list[Happening] = []
        read = self._readers.get(kind)
        if read is not None:
            read(said, events)
        return events

    def _read_start(self, said: Event) -> list[Happening]:
        if self._began:
            raise malformed("message_start")
        self._began = True
        message = said.message or Message()
        events: list[Happening] = [Began(id=message.id or "", model=message.model or "")]
        usage = message.usage
        if usage is not None and any(msgspec.structs.astuple(usage)):  # zeros: nobody has counted yet
            self._count(usage, events)
        for index, block in enumerate(message.content or ()):  # nobody does so, but it could be said
            self._read_block(Event(index=index, content_block=block), events)
        return events

    def _count(self, usage: Usage | None, events: list[Happening]) -> None:
        if usage is None:
            return
        self._usage = merge_usage(self._usage, usage)
        used = read_usage(self._usage)
        if used is not None and used != self._used:
            self._used = used
            events.append(used)

    def _read_block(self, said: Event, events: list[Happening]) -> None:
        block = said.content_block
        if block is None or said.index in self._open:
            raise malformed("content_block_start")
        self._open[said.index] = OpenBlock(kind=block.type)
        if block.type == "tool_use":
            if not block.name:
                raise malformed("name")
            number = self._number(said.index)
            events.append(ToolCallBegan(block=number, id=block.id or "", name=block.name))
        self._say(
            said.index,
            Delta(
                text=block.text,
                thinking=block.thinking,
                signature=block.signature,
                partial_json=block.arguments,
            ),
            events,
        )

    def _read_delta(self, said: Event, events: list[Happening]) -> None:
        if said.delta is None or said.index not in self._open:
            raise malformed("content_block_delta")
        self._say(said.index, said.delta, events)

    def _say(self, index: int, delta: Delta, events: list[Happening]) -> None:
        kind = self._open[index].kind
        if kind == "text" and delta.text:
            events.append(TextDelta(block=self._number(index), text=delta.text))
        elif kind == "tool_use" and delta.partial_json:
            events.append(ToolCallDelta(block=self._number(index), arguments=delta.partial_json))
        elif kind == "thinking":
            if delta.thinking:
                events.append(ThinkingDelta(block=self._number(index), text=delta.thinking))
            if delta.signature:
                number = self._number(index)
                events.append(ThinkingDelta(block=number, signature=delta.signature, of=Dialect.MESSAGES))

    def _number(self, index: int) -> int:
        block = self._open[index]
        if block.number < 0:
            block.number = self._blocks
            self._blocks += 1
        return block.number

    def _read_stop(self, said: Event, events: list[Happening]) -> None:
        if said.index not in self._open:
            raise malformed("content_block_stop")
        self._stop(said.index, events)

    def _stop(self, index: int, events: list[Happening]) -> None:
        block = self._open.pop(index)
        if block.number >= 0:
            events.append(BlockEnded(block=block.number))

    def _read_end(self, said: Event, events: list[Happening]) -> None:
        self._count(said.usage, events)
        if said.delta is not None and said.delta.stop_reason:
            self._end = read_ended(said.delta.stop_reason, said.delta.stop_sequence)

    def _finish(self, _: Event, events: list[Happening]) -> None:
        if any(block.kind == "tool_use" for block in self._open.values()):
            raise malformed("message_stop")
        for index in list(self._open):
            self._stop(index, events)
        self.ended = True
        events.append(self._end)
