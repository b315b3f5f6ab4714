"""An answer of OpenAI Responses, read: its stream of events, and the whole of it.

What always holds: every block begins once, ends once, and says each word once, whether a server streams it in pieces, gives it whole with
its item, or names it only in the last event. An answer has its end in ``response.completed``, ``response.incomplete`` or an error alone.
A block is one part of a message, one call, or one reasoning item (its summaries joined by an empty line).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.codec import Frame, TruncatedError
from lastro.gateway.dialects.freeform import CLOSING, OPENING, escaped, wrapped
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
)
from lastro.gateway.dialects.openai_errors import read_error_object
from lastro.gateway.dialects.reading import is_said, malformed, read
from lastro.gateway.dialects.responses_events import (
    ANSWER,
    ANY,
    CALLS,
    EVENT,
    PART,
    Answer,
    Event,
    Item,
    Part,
    delta_of,
    error_of,
    read_item,
    used_of,
)
from lastro.gateway.dialects.responses_request import shell_arguments
from lastro.gateway.dialects.responses_tools import LOCAL_SHELL, full_name
from lastro.gateway.dialects.sse import ServerEvent, SseSplitter
from lastro.messages import N_

_UNSTREAMED: Final = 1_000_000
"""Added to the index of an item that only the last event names."""
Key = tuple[int, str, int]
"""Which item, which kind of part, which number of it."""


class ResponsesDecoder:
    """Reads one streamed answer (``codec.StreamDecoder``)."""

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
                N_("The answer ended before response.completed"), hint=N_("Try again, or ask another model")
            )
        return frames

    def _frame(self, event: ServerEvent) -> Frame:
        if event.data is None or event.data.strip() == b"[DONE]":
            return Frame(raw=event.raw)
        if not event.complete and not _is_json(event.data):
            return Frame(raw=event.raw)  # cut off inside: the end that is missing says so
        return Frame(raw=event.raw, happenings=tuple(self._reader.read_event(read(EVENT, event.data))))


def read_answer(body: bytes) -> list[Happening]:
    """As ``Codec.decode_answer``."""
    answer = read(ANSWER, body)
    if answer.status is None and answer.output is None and not is_said(answer.error):
        raise malformed("output")
    return list(_Reader().read_end(answer))


def call_blocks(answer: Raw | bytes) -> list[tuple[int, int, Item]]:
    """Block, index in the output, and item of every call in a whole answer, numbered as ``read_answer`` does."""
    reader = _Reader()
    found: list[tuple[int, int, Item]] = []
    for index, raw in enumerate(read(ANSWER, answer).output or ()):
        item = read_item(raw)
        began = [one for one in reader.read_item(index, item) if isinstance(one, ToolCallBegan)]
        found.extend((one.block, index, item) for one in began)
    return found


class _Places:
    """Which item of the output an event speaks of, also where a server says no index: then items count as they come."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._count = 0
        self._open: int | None = None

    def of(self, event: Event, kind: str, item_id: str | None) -> int:
        """The index of its item."""
        if event.output_index is not None:
            return event.output_index
        identity = event.item_id or item_id
        if identity is not None and identity in self._ids:
            return self._ids[identity]
        place = self._open
        if kind == "output_item.added" or place is None or identity is not None:
            place = self._count
            self._count += 1
        if identity is not None:
            self._ids[identity] = place
        else:
            self._open = None if kind == "output_item.done" else place
        return place


class _Reader:
    """What was said so far of one answer."""

    def __init__(self) -> None:
        self.ended = False
        self._began = False
        self._places = _Places()
        self._blocks: dict[Key, int] = {}
        self._open: dict[Key, str] = {}
        self._said: set[Key] = set()
        self._calls: set[str] = set()
        self._refused = False

    def read_event(self, event: Event) -> Iterator[Happening]:
        """What one event of the stream says."""
        if self.ended:
            return
        match event.type:
            case "error":
                yield self._fail(error_of(event))
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled":
                answer = event.response or Answer()
                if answer.status is None:
                    answer.status = event.type.removeprefix("response.")
                yield from self.read_end(answer)
            case "response.created" | "response.in_progress" | "response.queued":
                yield from self._begin(event.response or Answer())
            case _:
                yield from self._read_content(event)

    def read_end(self, answer: Answer) -> Iterator[Happening]:
        """What the last event or the whole answer says, without what was said before."""
        yield from self._begin(answer)
        if answer.status in {"failed", "cancelled"} or (answer.status is None and is_said(answer.error)):
            yield self._fail(read(ANY, answer.error) or {"message": f"status {answer.status}"})
            return
        streamed = bool(self._blocks)
        for index, raw in enumerate(answer.output or ()):
            item = read_item(raw)
            if not streamed:
                yield from self.read_item(index, item)
            elif item.type in CALLS and (item.call_id or item.id or "") not in self._calls:
                yield from self.read_item(_UNSTREAMED + index, item)
        for key in list(self._open):
            yield from self._end(key)
        if answer.usage is not None:
            yield used_of(answer.usage)
        self.ended = True
        yield Ended(reason=self._reason(answer))

    def read_item(self, place: int, item: Item) -> Iterator[Happening]:
        """What is not yet said of a complete item, and the end of its blocks."""
        if item.type == "message":
            for index, part in enumerate(item.content or ()):
                yield from self._whole_text((place, "text", index), part)
        elif item.type == "reasoning":
            yield from self._whole_reasoning(place, item)
        elif item.type in CALLS:
            yield from self._whole_call(place, item)

    def _read_content(self, event: Event) -> Iterator[Happening]:
        kind = event.type.removeprefix("response.")
        match kind:
            case "output_item.added":
                item = read_item(event.item)
                place = self._places.of(event, kind, item.id)
                if item.type in {"function_call", "custom_tool_call"}:
                    yield from self._begin_call(place, item)
            case "output_item.done":
                item = read_item(event.item)
                yield from self.read_item(self._places.of(event, kind, item.id), item)
            case "output_text.delta" | "refusal.delta":
                self._refused |= kind == "refusal.delta"
                yield from self._text((self._place(event), "text", event.content_index), delta_of(event))
            case "content_part.done":
                part = read(PART, event.part) or Part()
                if part.type in {"output_text", "refusal"}:
                    yield from self._whole_text((self._place(event), "text", event.content_index), part)
            case "reasoning_summary_text.delta" | "reasoning_text.delta":
                number = event.summary_index if "summary" in kind else event.content_index
                yield from self._thought(self._place(event), number, delta_of(event))
            case "function_call_arguments.delta" | "custom_tool_call_input.delta":
                yield from self._arguments(self._place(event), delta_of(event))
            case _:
                pass  # the rest repeats what deltas said, or tells of tools that the provider runs itself

    def _place(self, event: Event) -> int:
        return self._places.of(event, "", None)

    def _begin(self, answer: Answer) -> Iterator[Happening]:
        if not self._began:
            self._began = True
            yield Began(id=answer.id, model=answer.model)

    def _block(self, key: Key, kind: str = "") -> int:
        if key not in self._blocks:
            self._blocks[key] = len(self._blocks)
            self._open[key] = kind
        return self._blocks[key]

    def _end(self, key: Key) -> Iterator[Happening]:
        if key in self._open:
            if self._open.pop(key) == "custom_tool_call" and key in self._said:
                yield ToolCallDelta(block=self._blocks[key], arguments=CLOSING)
            yield BlockEnded(block=self._blocks[key])

    def _text(self, key: Key, text: str) -> Iterator[Happening]:
        if text and (key in self._open or key not in self._blocks):
            yield from self._begin(Answer())
            self._said.add(key)
            yield TextDelta(block=self._block(key), text=text)

    def _whole_text(self, key: Key, part: Part) -> Iterator[Happening]:
        self._refused |= part.type == "refusal"
        if key not in self._said:
            yield from self._text(key, part.text or part.refusal or "")
        yield from self._end(key)

    def _thought(self, place: int, number: int, text: str) -> Iterator[Happening]:
        key = (place, "reasoning", 0)
        if not text or (key in self._blocks and key not in self._open):
            return
        yield from self._begin(Answer())
        part = (place, "reasoning part", number)
        if key in self._said and part not in self._said:
            text = "\n\n" + text
        self._said |= {key, part}
        yield ThinkingDelta(block=self._block(key), text=text)

    def _whole_reasoning(self, place: int, item: Item) -> Iterator[Happening]:
        key = (place, "reasoning", 0)
        if key not in self._said:
            for number, part in enumerate(item.summary or item.content or ()):
                yield from self._thought(place, number, part.text or "")
        if item.encrypted_content and (key in self._open or key not in self._blocks):
            yield from self._begin(Answer())
            proof = item.encrypted_content
            yield ThinkingDelta(block=self._block(key), signature=proof, of=Dialect.RESPONSES)
        yield from self._end(key)

    def _begin_call(self, place: int, item: Item) -> Iterator[Happening]:
        key = (place, "call", 0)
        if key in self._blocks:
            return
        name = LOCAL_SHELL if item.type == "local_shell_call" else item.name
        if not name:
            raise malformed(f"{item.type}.name")
        yield from self._begin(Answer())
        identity = item.call_id or item.id or ""
        self._calls.add(identity)
        block = self._block(key, item.type)
        yield ToolCallBegan(block=block, id=identity, name=full_name(name, item.namespace))

    def _arguments(self, place: int, text: str) -> Iterator[Happening]:
        key = (place, "call", 0)
        if key not in self._blocks:
            raise malformed("arguments before their call")
        if not text or key not in self._open:
            return
        if self._open[key] == "custom_tool_call":
            text = (OPENING if key not in self._said else "") + escaped(text)
        self._said.add(key)
        yield ToolCallDelta(block=self._blocks[key], arguments=text)

    def _whole_call(self, place: int, item: Item) -> Iterator[Happening]:
        yield from self._begin_call(place, item)
        key = (place, "call", 0)
        if key not in self._said and key in self._open:
            arguments = item.arguments or "{}"
            if item.type == "custom_tool_call":
                arguments = wrapped(item.input or "")
            elif item.type == "local_shell_call":
                arguments = shell_arguments(item.action)
            yield ToolCallDelta(block=self._blocks[key], arguments=arguments)
        yield from self._end(key)

    def _fail(self, error: object) -> Failed:
        self.ended = True
        failed = read_error_object(error)
        if isinstance(error, dict) and error.get("code") == "invalid_prompt":
            return Failed(kind=ErrorKind.INVALID, text=failed.text)
        return failed

    def _reason(self, answer: Answer) -> StopReason:
        if answer.status == "incomplete":
            reason = answer.incomplete_details.reason if answer.incomplete_details is not None else None
            return StopReason.CONTENT_FILTER if reason == "content_filter" else StopReason.LENGTH
        if self._refused:
            return StopReason.REFUSAL
        return StopReason.TOOL_USE if self._calls else StopReason.END


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=Raw)
    except msgspec.DecodeError:
        return False
    return True
