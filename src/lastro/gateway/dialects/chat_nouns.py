"""The nouns in which Chat Completions writes answers, whole and in chunks, and their reading.

Kinder than the paper, because servers are: whatever may be missing has a default, and what is not known here is passed over.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lastro.gateway.dialects.codec import MalformedError
from lastro.messages import N_

HINT: Final = N_("Ask another model, or tell its provider")


class Piece(Struct):
    """A part of a content that is a list."""

    type: str = "text"
    text: str | None = None
    thinking: list[Piece] | None = None


class Function(Struct):
    """Name and arguments of a call, or more of them."""

    name: str | None = None
    arguments: str | None = None


class Call(Struct):
    """A call, or more of it."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(Struct):
    """What is said: a delta, or a whole message."""

    content: str | list[Piece] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None


class Choice(Struct):
    """One alternative."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    """The stop sequence, as vLLM says it."""


class InputDetails(Struct):
    """Parts of the input."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct):
    """Parts of the output."""

    reasoning_tokens: int | None = None


class Usage(Struct):
    """Tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """As DeepSeek says it."""


class Answer(Struct):
    """A chunk, or a whole answer."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: object = None


_ANSWER: Final = msgspec.json.Decoder(Answer)


def parse(data: bytes) -> Answer:
    """One chunk, or a whole answer.

    Raises:
        MalformedError: it is neither.
    """
    try:
        answer = _ANSWER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(
            N_("This is no answer of Chat Completions: {detail}"), detail=str(error), hint=HINT
        ) from error
    if answer.choices is None and answer.usage is None and not answer.error:
        raise MalformedError(
            N_("This is no answer of Chat Completions: {detail}"), detail="choices", hint=HINT
        )
    return answer
