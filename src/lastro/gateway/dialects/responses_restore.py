"""Puts other arguments into the calls of an answer of OpenAI Responses that is passed on as it came.

What always holds: events and items that speak of no such call stay the same bytes; where arguments came in pieces, the first piece holds
all of them and the others nothing, so that no event is missing and ``sequence_number`` stays whole. A call is told three more times whole
(``.done``, ``output_item.done``, the last event), and is changed in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects.codec import Frame
from lastro.gateway.dialects.freeform import input_of
from lastro.gateway.dialects.json_splice import Path, splice
from lastro.gateway.dialects.neutral import ToolCallBegan, ToolCallDelta
from lastro.gateway.dialects.reading import is_said, read
from lastro.gateway.dialects.responses_events import CALLS, Item, read_item
from lastro.gateway.dialects.responses_items import shell_action
from lastro.gateway.dialects.responses_stream import call_blocks
from lastro.gateway.dialects.restoring import restore_happenings
from lastro.gateway.dialects.sse import read_event, with_data

_NOTHING: Final = Raw(b"null")
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Event(Struct):
    type: str = ""
    output_index: int | None = None
    item_id: str | None = None
    item: Raw = _NOTHING
    response: Raw = _NOTHING


_EVENT: Final = msgspec.json.Decoder(_Event)


def restore_answer(body: bytes, restored: Mapping[int, str]) -> bytes:
    """As ``Codec.restore_answer``."""
    return splice(body, _in_answer(Raw(body), (), restored, {}))


def restore_frames(frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
    """As ``Codec.restore_calls``."""
    restorer = _Restorer(restored)
    said = restore_happenings(frames, restored)
    return [
        msgspec.structs.replace(restorer.restore(frame), happenings=happenings)
        for frame, happenings in zip(frames, said, strict=True)
    ]


class _Restorer:
    """Which call the frames speak of, and what of it is written already."""

    def __init__(self, restored: Mapping[int, str]) -> None:
        self._restored = restored
        self._blocks: dict[object, int] = {}
        self._calls: dict[str, int] = {}
        self._written: set[int] = set()
        self._custom: set[int] = set()

    def restore(self, frame: Frame) -> Frame:
        """The frame with the new arguments."""
        data = read_event(frame.raw).data
        if data is None or data.strip() == b"[DONE]" or not self._restored:
            return frame
        event = read(_EVENT, data)
        replacements = self._replacements(frame, event)
        if not replacements:
            return frame
        changed = with_data(frame.raw, splice(data, replacements))
        return msgspec.structs.replace(frame, raw=changed)

    def _replacements(self, frame: Frame, event: _Event) -> dict[Path, bytes]:  # noqa: PLR0911  one for each event
        if event.type in _LAST:
            return _in_answer(event.response, ("response",), self._restored, self._calls)
        item = read_item(event.item) if is_said(event.item) else Item()
        self._learn(frame, event, item)
        block = self._block(event, item)
        if block is None or block not in self._restored:
            return {}
        arguments = self._restored[block]
        kind = event.type.removeprefix("response.")
        if kind.endswith(("function_call_arguments.delta", "custom_tool_call_input.delta")):
            first = block not in self._written
            self._written.add(block)
            text = (input_of(arguments) if block in self._custom else arguments) if first else ""
            return {("delta",): msgspec.json.encode(text)}
        if kind == "function_call_arguments.done":
            return {("arguments",): msgspec.json.encode(arguments)}
        if kind == "custom_tool_call_input.done":
            return {("input",): msgspec.json.encode(input_of(arguments))}
        if kind == "output_item.done" or (kind == "output_item.added" and _is_whole(item)):
            return _in_item(item, ("item",), arguments)
        return {}

    def _learn(self, frame: Frame, event: _Event, item: Item) -> None:
        for happening in frame.happenings:
            if isinstance(happening, ToolCallBegan | ToolCallDelta):
                for place in (event.output_index, event.item_id, item.id):
                    if place is not None:
                        self._blocks[place] = happening.block
                if isinstance(happening, ToolCallBegan):
                    self._calls[happening.id] = happening.block
                if item.type == "custom_tool_call":
                    self._custom.add(happening.block)

    def _block(self, event: _Event, item: Item) -> int | None:
        if item.type in CALLS and (item.call_id or item.id or "") in self._calls:
            return self._calls[item.call_id or item.id or ""]
        for place in (event.output_index, event.item_id, item.id):
            if place is not None and place in self._blocks:
                return self._blocks[place]
        return None


def _in_answer(
    answer: Raw, path: Path, restored: Mapping[int, str], calls: Mapping[str, int]
) -> dict[Path, bytes]:
    """What to change in a whole answer; ``calls`` are blocks that are known by their call's id."""
    replacements: dict[Path, bytes] = {}
    for counted, index, item in call_blocks(answer):
        block = calls.get(item.call_id or item.id or "", counted)
        if block in restored:
            replacements |= _in_item(item, (*path, "output", index), restored[block])
    return replacements


def _in_item(item: Item, path: Path, arguments: str) -> dict[Path, bytes]:
    if item.type == "custom_tool_call":
        return {(*path, "input"): msgspec.json.encode(input_of(arguments))}
    if item.type == "local_shell_call":
        return {(*path, "action"): msgspec.json.encode(shell_action(arguments))}
    return {(*path, "arguments"): msgspec.json.encode(arguments)}


def _is_whole(item: Item) -> bool:
    return bool(item.arguments or item.input or is_said(item.action))
