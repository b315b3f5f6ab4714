"""What the golden files of the dialects say, in neutral words written by hand: the yardstick for every pair.

Each case is written once in each dialect (``tests/golden/dialects/CASE/DIALECT.*``). Where a dialect has no word for something, ``HEARD``
says by hand what its readers hear instead. A translation of one dialect's file must give the other's file, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Conversation,
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    Happening,
    Image,
    OutputFormat,
    StopReason,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallBegan,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    Turn,
    Used,
)

MODEL: Final = "model-1"
ANSWER_ID: Final = "answer-1"
CREATED_S: Final = 1_700_000_000

WEATHER: Final = Tool(
    name="get_weather",
    description="Tells the weather.",
    parameters='{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
)
CLOCK: Final = Tool(
    name="get_time", description="Tells the time.", parameters='{"type":"object","properties":{}}'
)


def _user(*parts) -> Turn:
    return Turn(role="user", parts=parts)


def _assistant(*parts) -> Turn:
    return Turn(role="assistant", parts=parts)


def _asked(*turns, **fields) -> Conversation:
    return Conversation(model=MODEL, turns=turns, max_tokens=1024, **fields)


_QUESTION = _user(Text(text="What is the weather in São Paulo, and what time is it?"))
_CALL = ToolCall(id="call_a", name="get_weather", arguments='{"city":"São Paulo"}')
_OTHER_CALL = ToolCall(id="call_b", name="get_time", arguments="{}")
_RESULT = ToolResult(id="call_a", content=(Text(text="23 °C, sunny"),))
_OTHER_RESULT = ToolResult(id="call_b", content=(Text(text="10:15"),))

REQUESTS: Final[Mapping[str, Conversation]] = {
    "text": _asked(_user(Text(text='Hello, "world" 😀\nNext line.')), stream=True),
    "system_prompt": _asked(_user(Text(text="Hello")), system=(Text(text="You are brief."),)),
    "turns": _asked(_user(Text(text="Hello")), _assistant(Text(text="Hi.")), _user(Text(text="And now?"))),
    "image": _asked(
        _user(
            Text(text="What is this?"),
            Image(media_type="image/png", data="iVBORw0KGgo="),
            Image(url="https://example.org/cat.jpg"),
        )
    ),
    "tools": _asked(
        _QUESTION,
        tools=(WEATHER, CLOCK),
        tool_choice=ToolChoice(mode="tool", name="get_weather"),
        stream=True,
    ),
    "any_tool": _asked(_QUESTION, tools=(WEATHER,), tool_choice=ToolChoice(mode="any")),
    "no_tool": _asked(_QUESTION, tools=(WEATHER,), tool_choice=ToolChoice(mode="none")),
    "tool_call": _asked(
        _QUESTION,
        _assistant(Text(text="Let me look."), _CALL),
        _user(_RESULT),
        tools=(WEATHER,),
        tool_choice=ToolChoice(),
    ),
    "parallel_tool_calls": _asked(
        _QUESTION,
        _assistant(_CALL, _OTHER_CALL),
        _user(_RESULT, _OTHER_RESULT, Text(text="Go on.")),
        tools=(WEATHER, CLOCK),
        stream=True,
    ),
    "temperature": _asked(_user(Text(text="Hello")), temperature=0.5),
    "top_p": _asked(_user(Text(text="Hello")), top_p=0.25),
}
"""Conversations that every dialect can say."""

UNSAID: Final[Mapping[str, tuple[Conversation, Mapping[Dialect, frozenset[str]]]]] = {
    "many_settings": (
        _asked(
            _QUESTION,
            tools=(WEATHER,),
            tool_choice=ToolChoice(),
            parallel_tool_calls=False,
            top_k=40,
            stop=("END",),
            seed=7,
            temperature=0.5,
            top_p=0.25,
        ),
        {
            Dialect.CHAT: frozenset({"top_k"}),
            Dialect.RESPONSES: frozenset({"top_k", "stop", "seed"}),
            Dialect.MESSAGES: frozenset({"seed", "top_p"}),
            Dialect.GEMINI: frozenset({"parallel_tool_calls"}),
        },
    ),
}
"""Conversations with settings that some dialects cannot say, and which those are, by hand."""

JSON_ANSWER: Final = _asked(
    _user(Text(text="Hello")),
    output_format=OutputFormat(name="answer", schema=WEATHER.parameters, strict=True),
)


def _answer(*happenings: Happening, reason: StopReason = StopReason.END, used: Used | None = None):
    end = Ended(reason=reason)
    return [Began(id=ANSWER_ID, model=MODEL), *happenings, *([used] if used is not None else []), end]


def _words(block: int, *pieces: str) -> list[Happening]:
    return [*(TextDelta(block=block, text=piece) for piece in pieces), BlockEnded(block=block)]


def _called(block: int, call: ToolCall) -> list[Happening]:
    return [
        ToolCallBegan(block=block, id=call.id, name=call.name),
        ToolCallDelta(block=block, arguments=call.arguments),
        BlockEnded(block=block),
    ]


_USED = Used(input=20, output=7)
ANSWERS: Final[Mapping[str, Sequence[Happening]]] = {
    "text": _answer(*_words(0, "Hello, ", "“wörld” 😀\n"), used=_USED),
    "tool_call": _answer(
        *_words(0, "Let me look."), *_called(1, _CALL), reason=StopReason.TOOL_USE, used=_USED
    ),
    "parallel_tool_calls": _answer(
        *_called(0, _CALL), *_called(1, _OTHER_CALL), reason=StopReason.TOOL_USE, used=_USED
    ),
    "usage": _answer(*_words(0, "Hello"), used=Used(input=20, output=7, cache_read=8)),
    **{f"stop_{reason}": _answer(*_words(0, "So"), reason=reason, used=_USED) for reason in StopReason if reason != "tool_use"},
}  # fmt: skip
"""Answers that every dialect can say, whole and as a stream; of stop reasons, each as ``HEARD_REASONS`` says."""

HEARD_REASONS: Final[Mapping[Dialect, Mapping[StopReason, StopReason]]] = {
    Dialect.CHAT: {
        StopReason.STOP_SEQUENCE: StopReason.END,
        StopReason.REFUSAL: StopReason.CONTENT_FILTER,
        StopReason.PAUSE: StopReason.END,
    },
    Dialect.RESPONSES: {
        StopReason.STOP_SEQUENCE: StopReason.END,
        StopReason.PAUSE: StopReason.LENGTH,
    },
    Dialect.MESSAGES: {
        StopReason.CONTENT_FILTER: StopReason.REFUSAL,
    },
    Dialect.GEMINI: {
        StopReason.STOP_SEQUENCE: StopReason.END,
        StopReason.REFUSAL: StopReason.CONTENT_FILTER,
        StopReason.PAUSE: StopReason.LENGTH,
    },
}

ERRORS: Final[Mapping[str, Failed]] = {
    f"error_{kind}": Failed(
        kind=kind,
        text={ErrorKind.CONTEXT: "prompt is too long: 9000 tokens > 8192 maximum"}.get(
            kind, f"It is {kind}."
        ),
        retry_after_s=30.0 if kind is ErrorKind.RATE_LIMIT else None,
    )
    for kind in ErrorKind
}
"""One of each kind."""

HEARD_KINDS: Final[Mapping[Dialect, Mapping[ErrorKind, ErrorKind]]] = {
    dialect: {ErrorKind.INTERNAL: ErrorKind.UPSTREAM} for dialect in Dialect
}
"""What failed inside another is cured by a third, so it is an upstream's fault to whoever reads it."""


OVERLAPPING: Final = (Dialect.CHAT, Dialect.RESPONSES)
"""Chat Completions says that calls are over when all are, Responses when each is: translated, they end together. Such a stream has a
file of its own."""


class Wire(Struct, frozen=True, kw_only=True):
    """What the hand-written files of ``as_providers_send`` say, each in the form in which that provider really sends it."""

    asked: Conversation
    answered: Sequence[Happening]


AS_PROVIDERS_SEND: Final = Wire(
    asked=_asked(
        _QUESTION,
        _assistant(Text(text="Let me look."), _CALL, _OTHER_CALL),
        _user(_RESULT, _OTHER_RESULT),
        system=(Text(text="You are brief."),),
        tools=(WEATHER, CLOCK),
        tool_choice=ToolChoice(),
        temperature=0.5,
        stream=True,
    ),
    answered=_answer(
        *_words(0, "Let me", " look."),
        *_called(1, _CALL),
        *_called(2, _OTHER_CALL),
        reason=StopReason.TOOL_USE,
        used=Used(input=20, output=7, cache_read=8),
    ),
)
