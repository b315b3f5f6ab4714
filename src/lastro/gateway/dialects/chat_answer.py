"""Answers of OpenAI Chat Completions, as every server that imitates it writes them: streamed pieces and whole answers read alike.

What always holds: the blocks of an answer are numbered in the order in which they begin, by one reader for both forms, so that a call
found while reading is found again when its arguments are replaced. Kinder than the paper, because servers are: a call may have no index,
the same index as the one before it, its whole arguments in one piece, or no id (one is then made of the answer's id); thoughts come as
``reasoning_content``, ``reasoning`` or pieces of content.

Of several alternatives (``n``) all are read, each with blocks of its own; the answer ends when all that began have ended.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct, field

from lastro.gateway.dialects.chat_nouns import (
    HINT,
    Answer,
    Call,
    Choice,
    Function,
    InputDetails,
    Message,
    OutputDetails,
    Usage,
)
from lastro.gateway.dialects.codec import MalformedError
from lastro.gateway.dialects.json_splice import Path
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
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
from lastro.gateway.dialects.openai_errors import read_error_object
from lastro.messages import N_

_REASONS: Final = {
    "stop": StopReason.END,
    "length": StopReason.LENGTH,
    "model_length": StopReason.LENGTH,
    "tool_calls": StopReason.TOOL_USE,
    "function_call": StopReason.TOOL_USE,
    "content_filter": StopReason.CONTENT_FILTER,
}
_FAILURES: Final = {"error": ErrorKind.UPSTREAM, "insufficient_system_resource": ErrorKind.OVERLOADED}


class OpenCall(Struct):
    """A call that is being said."""

    number: int
    """Among the calls that began; -1 while its name is not known."""
    block: int = -1
    id: str = ""
    name: str = ""
    held: str = ""
    """Arguments that came before the name."""


class Alternative(Struct):
    """How far one choice is."""

    text: int | None = None
    thinking: int | None = None
    calls: list[OpenCall] = field(default_factory=list)
    by_index: dict[int, OpenCall] = field(default_factory=dict)
    refused: bool = False
    finished: bool = False


class AnswerReader:
    """Turns chunks (or one whole answer) into events."""

    def __init__(self) -> None:
        self.began = False
        self.ended = False
        self.failed = False
        self.places: list[tuple[Path, OpenCall]] = []
        """Where the chunk that was read last says something of a call: the path of its function."""
        self._id = ""
        self._blocks = 0
        self._calls = 0
        self._alternatives: dict[int, Alternative] = {}
        self._any_finished = False
        self._used: Used | None = None
        self._failure: Failed | None = None
        self._end = Ended(reason=StopReason.END)

    def read(self, answer: Answer) -> list[Happening]:
        """The events of the next chunk."""
        self.places = []
        if self.failed:
            return []
        if answer.error:
            self.failed = True
            return [read_error_object(answer.error)]
        events: list[Happening] = []
        if not self.began and (answer.choices or answer.usage):
            self.began = True
            self._id = answer.id or ""
            events.append(Began(id=self._id, model=answer.model or ""))
        for position, choice in enumerate(answer.choices or ()):
            self._read_choice(choice, position, events)
        used = None if answer.usage is None else _used(answer.usage)
        if used is not None and used != self._used:
            self._used = used
            events.append(used)
        if (
            self._any_finished
            and not self.ended
            and all(alternative.finished for alternative in self._alternatives.values())
        ):
            self.ended = True
            events.append(self._failure or self._end)
            self.failed = self._failure is not None
        return events

    def close(self) -> list[Happening]:
        """The stream said ``[DONE]``: what was left open ends, unless it is plainly cut off."""
        events: list[Happening] = []
        if self.ended or self.failed or not self._alternatives:
            return events
        unfinished = [a for a in self._alternatives.values() if not a.finished]
        if any(call.name for a in unfinished for call in a.calls):
            return events
        for alternative in unfinished:
            self._end_blocks(alternative, events)
        self.ended = True
        return [*events, self._end]

    def _read_choice(self, choice: Choice, position: int, events: list[Happening]) -> None:
        alternative = self._alternatives.get(choice.index)
        if alternative is None:
            alternative = self._alternatives[choice.index] = Alternative()
        said, key = (choice.message, "message") if choice.delta is None else (choice.delta, "delta")
        if said is not None:
            before = len(events)
            self._read_message(said, alternative, ("choices", position, key), events)
            if alternative.finished and len(events) > before:
                raise MalformedError(N_("The answer goes on after its end"), hint=HINT)
        if not choice.finish_reason or alternative.finished:
            return
        if choice.finish_reason in _FAILURES:
            kind = _FAILURES[choice.finish_reason]
            self._failure = Failed(kind=kind, text=choice.finish_reason)
        alternative.finished = self._any_finished = True
        self._end_blocks(alternative, events)
        if choice.index == 0 or len(self._alternatives) == 1:
            self._end = _ended(choice, alternative)

    def _read_message(
        self, said: Message, alternative: Alternative, path: Path, events: list[Happening]
    ) -> None:
        thought = said.reasoning_content or said.reasoning
        if thought:
            self._think(thought, alternative, events)
        if isinstance(said.content, str):
            self._say(said.content, alternative, events)
        for piece in said.content if isinstance(said.content, list) else ():
            for inner in piece.thinking or ():
                self._think(inner.text or "", alternative, events)
            self._say(piece.text or "", alternative, events)
        if said.refusal:
            alternative.refused = True
            self._say(said.refusal, alternative, events)
        for position, entry in enumerate(said.tool_calls or ()):
            function = entry.function or Function()
            call = self._find(entry, alternative)
            self.places.append(((*path, "tool_calls", position, "function"), call))
            self._call(call, function, alternative, events)
        if said.function_call is not None:
            call = self._find(Call(index=-1), alternative)
            self.places.append(((*path, "function_call"), call))
            self._call(call, said.function_call, alternative, events)

    def _next_block(self) -> int:
        self._blocks += 1
        return self._blocks - 1

    def _say(self, text: str, alternative: Alternative, events: list[Happening]) -> None:
        if not text:
            return
        if alternative.text is None:
            self._end_words(alternative, events)
            alternative.text = self._next_block()
        events.append(TextDelta(block=alternative.text, text=text))

    def _think(self, text: str, alternative: Alternative, events: list[Happening]) -> None:
        if not text:
            return
        if alternative.thinking is None:
            self._end_words(alternative, events)
            alternative.thinking = self._next_block()
        events.append(ThinkingDelta(block=alternative.thinking, text=text))

    def _find(self, entry: Call, alternative: Alternative) -> OpenCall:
        """The call that an entry goes on with, or a new one."""
        last = alternative.calls[-1] if alternative.calls else None
        known = last if entry.index is None else alternative.by_index.get(entry.index)
        name = entry.function.name if entry.function is not None else None
        if known is not None and not (entry.id and known.id and name and entry.id != known.id):
            known.id = known.id or entry.id or ""
            return known
        call = OpenCall(number=-1, id=entry.id or "")
        alternative.calls.append(call)
        if entry.index is not None:
            alternative.by_index[entry.index] = call
        return call

    def _call(
        self, call: OpenCall, function: Function, alternative: Alternative, events: list[Happening]
    ) -> None:
        arguments = function.arguments or ""
        if call.number < 0:
            call.held += arguments
            if not function.name:
                return
            self._end_words(alternative, events)
            call.name, call.number, call.block = function.name, self._calls, self._next_block()
            self._calls += 1
            call.id = call.id or _made_id(self._id, call.block)
            events.append(ToolCallBegan(block=call.block, id=call.id, name=call.name))
            arguments, call.held = call.held, ""
        if arguments:
            events.append(ToolCallDelta(block=call.block, arguments=arguments))

    def _end_words(self, alternative: Alternative, events: list[Happening]) -> None:
        words = (alternative.thinking, alternative.text)
        events.extend(BlockEnded(block=block) for block in words if block is not None)
        alternative.thinking = alternative.text = None

    def _end_blocks(self, alternative: Alternative, events: list[Happening]) -> None:
        self._end_words(alternative, events)
        for call in alternative.calls:
            if call.number < 0:
                raise MalformedError(N_("A call of a tool has no name"), hint=HINT)
            events.append(BlockEnded(block=call.block))


def _made_id(answer: str, block: int) -> str:
    """An id for a call that has none: the same whenever the same answer is read, and its own in every answer."""
    return "call_" + re.sub(r"[^A-Za-z0-9_-]", "", f"{answer}_{block}")[-48:]


def _ended(choice: Choice, alternative: Alternative) -> Ended:
    reason = _REASONS.get(choice.finish_reason or "", StopReason.END)
    if reason is StopReason.END and alternative.calls:
        return Ended(reason=StopReason.TOOL_USE)
    if reason is StopReason.END and alternative.refused:
        return Ended(reason=StopReason.REFUSAL)
    if reason is StopReason.END and isinstance(choice.stop_reason, str) and choice.stop_reason:
        return Ended(reason=StopReason.STOP_SEQUENCE, sequence=choice.stop_reason)
    return Ended(reason=reason)


def _used(usage: Usage) -> Used:
    read = usage.prompt_tokens_details or InputDetails()
    written = usage.completion_tokens_details or OutputDetails()
    cached = usage.prompt_cache_hit_tokens if read.cached_tokens is None else read.cached_tokens
    return Used(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        cache_read=cached,
        cache_write=read.cache_write_tokens,
        reasoning=written.reasoning_tokens,
    )
