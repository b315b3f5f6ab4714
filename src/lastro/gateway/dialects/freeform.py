"""How a tool's free text travels where arguments must be a JSON object, and the other way round: as ``{"input": TEXT}``.

Codex offers ``apply_patch`` as a tool that takes plain text. Other dialects know functions alone, whose arguments are an object; a model
may also write arguments that are no JSON at all, and a dialect that holds arguments as JSON must still carry them. What always holds:
``input_of(wrapped(text)) == text``, and ``object_text`` is JSON of an object whatever it is given.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

PARAMETERS: Final = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
"""The JSON Schema of a tool that takes free text."""
OPENING: Final = '{"input":"'
"""What stands before the escaped text."""
CLOSING: Final = '"}'
"""What stands after it."""


class _Input(Struct):
    input: str


_INPUT: Final = msgspec.json.Decoder(_Input)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


def wrapped(text: str) -> str:
    """The JSON text of the object that carries ``text``."""
    return OPENING + escaped(text) + CLOSING


def escaped(text: str) -> str:
    """A piece of text as it stands between the quotes of a JSON string; pieces may be joined."""
    return msgspec.json.encode(text).decode()[1:-1]


def input_of(arguments: str) -> str:
    """The text that ``arguments`` carries; ``arguments`` itself where it carries none."""
    try:
        return _INPUT.decode(arguments).input
    except msgspec.DecodeError:
        return arguments


def object_text(arguments: str) -> str:
    """``arguments`` as they are if they are a JSON object, ``{}`` if empty, wrapped otherwise."""
    if not arguments.strip():
        return "{}"
    try:
        _OBJECT.decode(arguments)
    except msgspec.DecodeError:
        return wrapped(arguments)
    return arguments
