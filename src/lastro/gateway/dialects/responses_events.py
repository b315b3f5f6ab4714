"""The nouns of an answer of OpenAI Responses as they stand on the wire: events, items, parts, usage.

What always holds: a field that another server leaves out or writes as ``null`` is no error; items and parts of kinds that say nothing here
are read no further than their kind, so that new hosted tools disturb nobody.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects.neutral import Used
from lastro.gateway.dialects.reading import read

_NOTHING: Final = Raw(b"null")
CALLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
"""The kinds of items that are calls of the client's tools."""
_KINDS: Final = CALLS | {"message", "reasoning"}


class Part(Struct):
    """One part of a message or of a reasoning item."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class Item(Struct):
    """One item of the output."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None
    action: Raw = _NOTHING
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class _Kind(Struct):
    type: str = ""
    id: str | None = None


class _InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct):
    reasoning_tokens: int | None = None


class Usage(Struct):
    """Tokens, as OpenAI counts them: ``input_tokens`` holds what was read from the cache."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(Struct):
    reason: str | None = None


class Answer(Struct):
    """The whole answer."""

    id: str = ""
    model: str = ""
    status: str | None = None
    output: list[Raw] | None = None
    usage: Usage | None = None
    incomplete_details: _Incomplete | None = None
    error: Raw = _NOTHING


class Event(Struct):
    """One event of the stream."""

    type: str = ""
    response: Answer | None = None
    output_index: int | None = None
    item_id: str | None = None
    content_index: int = 0
    summary_index: int = 0
    delta: Raw = _NOTHING
    item: Raw = _NOTHING
    part: Raw = _NOTHING
    code: str | int | None = None
    message: str | None = None
    error: Raw = _NOTHING


EVENT: Final = msgspec.json.Decoder(Event)
ANSWER: Final = msgspec.json.Decoder(Answer)
PART: Final = msgspec.json.Decoder(Part | None)
ANY: Final = msgspec.json.Decoder()
_DELTA: Final = msgspec.json.Decoder(str | None)
_KIND: Final = msgspec.json.Decoder(_Kind | None)
_ITEM: Final = msgspec.json.Decoder(Item)


def read_item(raw: Raw) -> Item:
    """One item; of a kind that says nothing here, its kind and id alone."""
    kind = read(_KIND, raw) or _Kind()
    if kind.type in _KINDS:
        return read(_ITEM, raw)
    return Item(type=kind.type, id=kind.id)


def error_of(event: Event) -> object:
    """What an error event says. Some servers put it under ``error``, as in an answer with another status."""
    return read(ANY, event.error) or {"code": event.code, "message": event.message}


def delta_of(event: Event) -> str:
    """The piece of text in an event."""
    return read(_DELTA, event.delta) or ""


def used_of(usage: Usage) -> Used:
    """The tokens, unknown where nothing is said."""
    read_details = usage.input_tokens_details or _InputDetails()
    written = usage.output_tokens_details or _OutputDetails()
    return Used(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=read_details.cached_tokens,
        cache_write=read_details.cache_write_tokens,
        reasoning=written.reasoning_tokens,
    )
