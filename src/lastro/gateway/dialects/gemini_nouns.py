"""The nouns of Gemini as they stand on the wire, for requests and answers.

What always holds: arguments, results and schemas stay raw JSON. Google's servers take ``snake_case`` names too and their examples use them;
``camel`` rewrites those that are known before anything is read.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/caching
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

NOTHING: Final = Raw(b"null")


class Blob(Struct, rename="camel"):
    """Bytes in base64."""

    mime_type: str = ""
    data: str = ""


class FileData(Struct, rename="camel"):
    """Bytes at an address."""

    mime_type: str = ""
    file_uri: str = ""


class FunctionCall(Struct):
    """A call of a tool; older models give no id."""

    name: str = ""
    id: str | None = None
    args: Raw = NOTHING


class ResponsePart(Struct, rename="camel"):
    """What a tool answered beside its words."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(Struct):
    """What a tool answered."""

    name: str = ""
    id: str | None = None
    response: Raw = NOTHING
    parts: list[ResponsePart] | None = None


class Part(Struct, rename="camel"):
    """One part of a content; exactly one of its data fields is said."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None


class Content(Struct):
    """What one side said."""

    role: str | None = None
    parts: list[Part] | None = None


class Usage(Struct, rename="camel"):
    """Tokens. ``candidates_token_count`` holds no thoughts; ``prompt_token_count`` holds what was read from the cache."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None


class Candidate(Struct, rename="camel"):
    """One alternative answer."""

    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None


class Feedback(Struct, rename="camel"):
    """Why a prompt got no answer at all."""

    block_reason: str | None = None


class Answer(Struct, rename="camel"):
    """A whole answer, or one piece of its stream."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Usage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Raw = NOTHING


ANSWER: Final = msgspec.json.Decoder(Answer)

_SNAKE: Final = re.compile(
    rb'"(?:system_instruction|generation_config|tool_config|safety_settings|cached_content|inline_data|file_data'
    rb"|function_(?:declarations|call|response|calling_config)|google_search|mime_type|generate_content_request)"
    rb'"\s*:'
)
_FREE: Final = frozenset(
    {
        "args",
        "response",
        "parameters",
        "responseSchema",
        "responseJsonSchema",
        "parametersJsonSchema",
        "labels",
    }
)
"""Names of fields whose inside is somebody else's."""


def camel(body: bytes) -> bytes:
    """The body with Google's other spelling of its field names changed to the first; the same bytes where it is not used."""
    if _SNAKE.search(body) is None:
        return body
    try:
        return msgspec.json.encode(_renamed(msgspec.json.decode(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body  # whoever reads it says what is wrong with it


def _renamed(value: object) -> object:
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed: dict[str, object] = {}
    for name, inner in value.items():
        spelled = re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
        renamed[spelled] = inner if spelled in _FREE else _renamed(inner)
    return renamed
