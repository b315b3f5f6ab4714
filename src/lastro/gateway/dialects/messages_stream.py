"""Streams of Anthropic Messages, read, and the arguments of their calls replaced.

What always holds: a stream without ``message_stop`` is cut off, unless it ended with an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastro.gateway.dialects.codec import Frame, MalformedError, TruncatedError
from lastro.gateway.dialects.json_splice import splice, splice_text
from lastro.gateway.dialects.messages_answer import HINT
from lastro.gateway.dialects.messages_events import EVENT, StreamReader
from lastro.gateway.dialects.neutral import ToolCallBegan
from lastro.gateway.dialects.restoring import restore_happenings
from lastro.gateway.dialects.sse import ServerEvent, SseSplitter, read_event, with_data
from lastro.messages import N_


class MessagesDecoder:
    """Reads one stream (``codec.StreamDecoder``)."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._reader = StreamReader()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes."""
        return [
            Frame(raw=event.raw, happenings=tuple(self._reader.read(event)))
            for event in self._splitter.feed(data)
        ]

    def finish(self) -> list[Frame]:
        """What was still open."""
        frames = [self._last(event) for event in self._splitter.finish()]
        if not self._reader.ended and not self._reader.failed:
            raise TruncatedError(N_("The answer stopped before its end"), hint=HINT)
        return frames

    def _last(self, event: ServerEvent) -> Frame:
        """An event without its empty line: whole if its JSON is, or an answer that is no stream because it is an error."""
        if event.data is None and event.raw.lstrip().startswith(b"{"):
            event = ServerEvent(raw=event.raw, data=event.raw, complete=False)
        try:
            return Frame(raw=event.raw, happenings=tuple(self._reader.read(event)))
        except MalformedError as error:
            if event.complete:
                raise
            raise TruncatedError(N_("The answer stopped before its end"), hint=HINT) from error


def restore_calls(frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
    """The frames with the whole arguments of some calls in the first piece that says any, and nothing in the others.

    A call whose arguments stand in its beginning, or nowhere, gets them there.
    """
    changes = _changes(frames, restored)
    happenings = restore_happenings(frames, restored)
    return [
        Frame(raw=frame.raw if change is None else with_data(frame.raw, change), happenings=said)
        for frame, change, said in zip(frames, changes, happenings, strict=True)
    ]


def _changes(frames: Sequence[Frame], restored: Mapping[int, str]) -> list[bytes | None]:
    """The new data of each frame, ``None`` for the same."""
    changes: list[bytes | None] = [None] * len(frames)
    blocks: dict[int, int] = {}
    begun: dict[int, int] = {}
    """Block → the frame that began it, while none of its arguments were said."""
    for at, frame in enumerate(frames):
        data = read_event(frame.raw).data
        if data is None:
            continue
        event = EVENT.decode(data)
        for said in frame.happenings:
            if isinstance(said, ToolCallBegan):
                blocks[event.index] = said.block
        block = blocks.get(event.index, -1)
        if block not in restored:
            continue
        if event.content_block is not None:
            if event.content_block.arguments:
                changes[at] = splice(data, {("content_block", "input"): restored[block].encode()})
            else:
                begun[block] = at
        elif event.delta is not None and event.delta.partial_json:
            text = restored[block] if begun.pop(block, None) is not None else ""
            changes[at] = splice_text(data, {("delta", "partial_json"): text})
    for block, at in begun.items():
        data = read_event(frames[at].raw).data or b""
        changes[at] = splice(data, {("content_block", "input"): restored[block].encode()})
    return changes
