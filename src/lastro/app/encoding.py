"""JSON of requests, replies and events, for every face: compact, and faithful to every byte of a path.

JSON text is Unicode, and a path is any bytes. So a string that holds bytes which were not UTF-8 (``surrogateescape``) becomes
``{"b64": "..."}``, the base64 of its bytes, and comes back as the same string; every other string is plain. ``bytes`` are base64
strings where the type says bytes. What always holds: ``decode(encode(value), type(value)) == value`` for every request and reply.
No mapping that is sent has ``b64`` as its only key.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, TypeVar

import msgspec

from lastro.domain.paths import from_bytes, to_bytes
from lastro.errors import ProtocolError
from lastro.messages import N_

T = TypeVar("T")

_KEY: Final = "b64"
_MARK: Final = b'"b64"'


def encode(value: object) -> bytes:
    """The JSON of ``value`` (a struct, or built-in values), UTF-8. Anything else in it becomes its ``str``."""
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:
        return msgspec.json.encode(_marked(to_builtins(value)))


def to_builtins(value: object) -> Any:
    """``value`` as dictionaries, lists, strings (surrogates included), numbers, booleans and ``None``."""
    return msgspec.to_builtins(value, enc_hook=str, str_keys=True)


def decode(raw: bytes, kind: type[T]) -> T:
    """The inverse of ``encode``. Unknown fields are ignored.

    Raises:
        ProtocolError: this is not JSON, or not of ``kind``.
    """
    try:
        if _MARK not in raw:
            return msgspec.json.decode(raw, type=kind)
        return msgspec.convert(_unmarked(msgspec.json.decode(raw)), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, RecursionError) as error:
        raise ProtocolError(
            N_("This is not the JSON that was expected: {reason}"), reason=str(error)
        ) from error


def _marked(value: Any) -> Any:
    if isinstance(value, str):
        return value if _is_text(value) else {_KEY: base64.b64encode(to_bytes(value)).decode("ascii")}
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(item) for item in value]
    return value


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get(_KEY), str):
            return from_bytes(base64.b64decode(value[_KEY], validate=True))
        return {key: _unmarked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
