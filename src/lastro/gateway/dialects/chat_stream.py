"""Streams of OpenAI Chat Completions, read and written, and the arguments of their calls replaced.

What always holds: an answer ends when its choices have said why they finish, or at ``[DONE]``; a stream that stops before both is cut
off, and so is one whose ``[DONE]`` comes in the middle of a call. The usage comes in a chunk of its own after the end, as it does there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lastro.gateway.dialects.chat_answer import AnswerReader, OpenCall
from lastro.gateway.dialects.chat_nouns import HINT, parse
from lastro.gateway.dialects.chat_whole import WRITTEN_REASONS, written_usage
from lastro.gateway.dialects.codec import Frame, MalformedError, TruncatedError
from lastro.gateway.dialects.json_splice import Path, find, splice
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Ended,
    Failed,
    Happening,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)
from lastro.gateway.dialects.openai_errors import error_object
from lastro.gateway.dialects.restoring import restore_happenings
from lastro.gateway.dialects.sse import ServerEvent, SseSplitter, format_event, read_event, with_data
from lastro.messages import N_

_DONE = b"[DONE]"


class ChatDecoder:
    """Reads one stream (``codec.StreamDecoder``)."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._reader = AnswerReader()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes."""
        return [
            Frame(raw=event.raw, happenings=tuple(self._read(event.data)))
            for event in self._splitter.feed(data)
        ]

    def finish(self) -> list[Frame]:
        """What was still open."""
        frames = [self._last(event) for event in self._splitter.finish()]
        if not self._reader.ended and not self._reader.failed:
            raise TruncatedError(N_("The answer stopped before its end"), hint=HINT)
        return frames

    def _read(self, data: bytes | None) -> list[Happening]:
        if data is None or not data.strip():
            return []
        return self._reader.close() if data.strip() == _DONE else self._reader.read(parse(data))

    def _last(self, event: ServerEvent) -> Frame:
        """An event without its empty line: whole if its JSON is, or an answer that is no stream because it is an error."""
        data = event.data
        if data is None and event.raw.lstrip().startswith(b"{"):
            data = event.raw
        try:
            return Frame(raw=event.raw, happenings=tuple(self._read(data)))
        except MalformedError as error:
            if event.complete:
                raise
            if self._reader.ended or self._reader.failed:
                return Frame(raw=event.raw)
            raise TruncatedError(N_("The answer stopped before its end"), hint=HINT) from error


class ChatEncoder:
    """Writes one stream (``codec.StreamEncoder``)."""

    def __init__(self, *, id: str, model: str, created_s: int, usage_asked: bool) -> None:  # noqa: A002
        self._head: dict[str, object] = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": model,
        }
        self._usage_asked = usage_asked
        self._began = False
        self._failed = False
        self._used: Used | None = None
        self._indexes: dict[int, int] = {}
        self._silent: set[int] = set()
        """Calls that have said no arguments yet."""

    def encode(self, happening: Happening) -> bytes:
        """The bytes for one event."""
        match happening:
            case Used():
                self._used = happening
                return b""
            case Failed():
                self._failed = True
                return format_event(msgspec.json.encode({"error": error_object(happening)}))
            case Began(id=id_, model=model):
                self._head["id"] = id_ or self._head["id"]
                self._head["model"] = model or self._head["model"]
                return self._begin()
            case _:
                return self._begin() + self._say(happening)

    def finish(self) -> bytes:
        """The usage, if it was asked for and is known, and the end."""
        if self._failed:
            return b""
        usage = b""
        if self._usage_asked and self._used is not None:
            usage = self._chunk(choices=[], usage=written_usage(self._used))
        return usage + format_event(_DONE)

    def _say(self, happening: Happening) -> bytes:  # noqa: PLR0911  one case for each event
        match happening:
            case TextDelta(text=text):
                return self._delta({"content": text}) if text else b""
            case ThinkingDelta(text=text):
                return self._delta({"reasoning_content": text}) if text else b""
            case ToolCallBegan(block=block, id=id_, name=name):
                self._indexes[block] = len(self._indexes)
                self._silent.add(block)
                return self._call(block, arguments="", id=id_, name=name)
            case ToolCallDelta(block=block, arguments=arguments):
                self._silent.discard(block)
                return self._call(block, arguments=arguments)
            case BlockEnded(block=block) if block in self._silent:
                return self._call(block, arguments="{}")
            case Ended(reason=reason):
                return self._delta({}, finish_reason=WRITTEN_REASONS[reason])
            case _:
                return b""

    def _begin(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        return self._delta({"role": "assistant", "content": ""})

    def _call(self, block: int, *, arguments: str, id: str = "", name: str = "") -> bytes:  # noqa: A002
        entry: dict[str, object] = {"index": self._indexes[block]}
        function: dict[str, object] = {"arguments": arguments}
        if name:
            entry |= {"id": id, "type": "function"}
            function = {"name": name} | function
        return self._delta({"tool_calls": [entry | {"function": function}]})

    def _delta(self, delta: Mapping[str, object], finish_reason: str | None = None) -> bytes:
        return self._chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish_reason}])

    def _chunk(self, **rest: object) -> bytes:
        return format_event(msgspec.json.encode(self._head | rest))


def restore_calls(frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
    """The frames with the whole arguments of some calls in the first piece that says any, and nothing in the others."""
    reader = AnswerReader()
    datas = [read_event(frame.raw).data or b"" for frame in frames]
    places = [_places(reader, data) for data in datas]
    blocks = [said.block for frame in frames for said in frame.happenings if isinstance(said, ToolCallBegan)]
    waiting = {number: restored[block] for number, block in enumerate(blocks) if block in restored}
    changes: list[dict[Path, bytes]] = [{} for _ in frames]
    for number, text in waiting.items():
        spoken = [
            (at, path) for at, here in enumerate(places) for path, call in here if call.number == number
        ]
        said = [(at, path) for at, path in spoken if find(datas[at], (*path, "arguments")) is not None]
        for position, (at, path) in enumerate(said):
            changes[at][*path, "arguments"] = msgspec.json.encode("" if position else text)
        if not said:
            at, path = spoken[0]
            name = next(call.name for found, call in places[at] if found == path)
            changes[at][path] = msgspec.json.encode({"name": name, "arguments": text})
    happenings = restore_happenings(frames, restored)
    return [
        Frame(raw=with_data(frame.raw, splice(data, change)) if change else frame.raw, happenings=said)
        for frame, data, change, said in zip(frames, datas, changes, happenings, strict=True)
    ]


def _places(reader: AnswerReader, data: bytes) -> list[tuple[Path, OpenCall]]:
    if data.strip() in {b"", _DONE}:
        return []
    reader.read(parse(data))
    return reader.places
