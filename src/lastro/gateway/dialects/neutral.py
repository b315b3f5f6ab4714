"""What every dialect says, in words of no dialect: the asked conversation, and the answer as a list of events.

A codec (``dialects.codec``) decodes a dialect into these and encodes them back. What always holds: nothing here is lossy by itself; what
a dialect says and these words cannot, its codec reports as a ``Loss`` (a setting) or refuses as inexpressible (content the model
would have seen). JSON that is passed through unread (schemas, arguments of tools) stays JSON text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Dialect(StrEnum):
    """How a request is written, and its answer. The values stand in configuration, records and headers."""

    CHAT = "chat"
    """OpenAI Chat Completions: ``POST /v1/chat/completions``."""
    RESPONSES = "responses"
    """OpenAI Responses: ``POST /v1/responses``."""
    MESSAGES = "messages"
    """Anthropic Messages: ``POST /v1/messages``."""
    GEMINI = "gemini"
    """Gemini: ``POST /v1beta/models/MODEL:generateContent`` and ``:streamGenerateContent?alt=sse``."""


# The conversation ---------------------------------------------------------------------------------------------------------------------


class Text(Struct, frozen=True, kw_only=True, tag="text"):
    """Words."""

    text: str


class Image(Struct, frozen=True, kw_only=True, tag="image"):
    """A picture: base64 ``data`` of ``media_type``, or ``url`` where the data is empty."""

    media_type: str = ""
    data: str = ""
    url: str = ""


class Thinking(Struct, frozen=True, kw_only=True, tag="thinking"):
    """What a model thought before it answered. ``signature`` is its provider's proof, of use only to the dialect ``of``."""

    text: str
    signature: str = ""
    of: Dialect | None = None


class ToolCall(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """The model asks for a tool. ``arguments`` is JSON text of an object. ``signature``: as in ``Thinking`` (Gemini binds it to calls)."""

    id: str
    name: str
    arguments: str
    signature: str = ""


class ToolResult(Struct, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool answered to the call ``id``. ``name`` is the tool's, empty where the dialect does not say it."""

    id: str
    name: str = ""
    content: tuple[Text | Image, ...] = ()
    failed: bool = False


Part = Text | Image | Thinking | ToolCall | ToolResult


class Turn(Struct, frozen=True, kw_only=True):
    """What one side said. ``role``: ``user`` (results of tools too) or ``assistant``."""

    role: str
    parts: tuple[Part, ...]


class Tool(Struct, frozen=True, kw_only=True):
    """A tool that the model may ask for. ``parameters`` is the JSON text of its JSON Schema.

    ``native`` is empty for an ordinary function. Otherwise its dialect has a form of its own for it (``custom``, ``local_shell``,
    ``function@NAMESPACE`` in Responses); the others offer it as the function that it is here, and its calls go back in that form.
    """

    name: str
    description: str = ""
    parameters: str = '{"type":"object","properties":{}}'
    strict: bool | None = None
    native: str = ""


class ToolChoice(Struct, frozen=True, kw_only=True):
    """``mode``: ``auto``, ``none``, ``any`` (some tool) or ``tool`` (the one called ``name``)."""

    mode: str = "auto"
    name: str = ""


class OutputFormat(Struct, frozen=True, kw_only=True):
    """The answer shall be JSON: of ``schema`` (JSON text), or any where it is empty."""

    name: str = ""
    schema: str = ""
    strict: bool | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """One request. ``None`` means that it did not say so, and the model's own default holds."""

    model: str
    system: tuple[Text, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning_effort: str = ""
    """``minimal``, ``low``, ``medium``, ``high``; empty: not said."""
    output_format: OutputFormat | None = None
    stream: bool = False


class Loss(Struct, frozen=True, kw_only=True):
    """A setting that the other dialect cannot express, and that was left out. ``what`` is its path in the request (``logit_bias``)."""

    what: str
    dialect: Dialect


# The answer ---------------------------------------------------------------------------------------------------------------------------


class StopReason(StrEnum):
    """Why an answer ended."""

    END = "end"
    LENGTH = "length"
    TOOL_USE = "tool_use"
    STOP_SEQUENCE = "stop_sequence"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"


class ErrorKind(StrEnum):
    """What went wrong, as far as a tool behaves differently for it."""

    INVALID = "invalid"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    CONTEXT = "context"
    """The conversation is longer than the model's context."""
    RATE_LIMIT = "rate_limit"
    BUDGET = "budget"
    """A budget of the gateway's own stands against the call; trying again does not help."""
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


RETRYABLE: Final = frozenset(
    {ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED, ErrorKind.TIMEOUT, ErrorKind.UPSTREAM}
)
"""The kinds after which the same call may succeed, elsewhere or later."""


class Began(Struct, frozen=True, kw_only=True, tag="began"):
    """The answer has an id and the name of the model that gives it; both may be empty."""

    id: str = ""
    model: str = ""


class TextDelta(Struct, frozen=True, kw_only=True, tag="text"):
    """More words of the block ``block``. Blocks count from 0 in the order in which they began, whatever their kind."""

    block: int
    text: str


class ThinkingDelta(Struct, frozen=True, kw_only=True, tag="thinking"):
    """More thoughts of the block ``block``, or the proof that ends them, of use only to the dialect ``of`` (``signatures``)."""

    block: int
    text: str = ""
    signature: str = ""
    of: Dialect | None = None


class ToolCallBegan(Struct, frozen=True, kw_only=True, tag="tool_call_began"):
    """The block ``block`` is a call of a tool."""

    block: int
    id: str
    name: str
    signature: str = ""


class ToolCallDelta(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """More of the JSON text of a call's arguments."""

    block: int
    arguments: str


class BlockEnded(Struct, frozen=True, kw_only=True, tag="block_ended"):
    """The block ``block`` is complete. Every block that began ends exactly once, before ``Ended``."""

    block: int


class Used(Struct, frozen=True, kw_only=True, tag="used"):
    """Tokens, as the provider counts them so far; a later one replaces an earlier one. ``None``: not said, never 0 for unknown.

    ``input`` holds everything that was read, cached or not; ``cache_read`` and ``cache_write`` are parts of it; ``reasoning`` is part of
    ``output``.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """The answer is complete. ``sequence`` is the stop sequence that was met, where known."""

    reason: StopReason
    sequence: str = ""


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The provider said that it failed, or the gateway says so in its place. ``retry_after_s``: where said."""

    kind: ErrorKind
    text: str
    retry_after_s: float | None = None


Happening = (
    Began | TextDelta | ThinkingDelta | ToolCallBegan | ToolCallDelta | BlockEnded | Used | Ended | Failed
)
"""One event of an answer. The order of a sound answer: ``Began``, blocks (they may overlap), ``Ended``; ``Used`` anywhere; nothing after
``Ended`` but ``Used``; ``Failed`` ends it instead."""
