"""How codecs read JSON into types of their own, and find the fields that those types do not know.

What always holds: nothing but ``MalformedError`` leaves ``read``, whatever the bytes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.codec import MalformedError
from lastro.messages import N_

_Value = TypeVar("_Value")


def read(decoder: msgspec.json.Decoder[_Value], data: bytes | Raw) -> _Value:
    """What ``data`` says, in the decoder's type.

    Raises:
        MalformedError: it is no JSON, or of another type; the text says which and where.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(str(error)) from error


def malformed(detail: str) -> MalformedError:
    """The error for bytes that are not of their dialect; ``detail`` says what and where."""
    return MalformedError(
        N_("This is not of the dialect that it claims to be: {detail}"),
        detail=detail,
        hint=N_("Check what was sent, and send it again"),
    )


def json_text(value: Raw) -> str:
    """The JSON text of a value without white space between its parts; numbers and strings stay as they are written."""
    return msgspec.json.format(bytes(value), indent=-1).decode()


def is_said(value: Raw) -> bool:
    """Whether a field was given a value: JSON's ``null`` says nothing."""
    return bytes(value) != b"null"


def unknown_fields(fields: Mapping[str, Raw], understood: frozenset[str]) -> list[str]:
    """The fields that say something and are not among those understood, in their order."""
    return [name for name, value in fields.items() if name not in understood and is_said(value)]
