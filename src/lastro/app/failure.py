"""An error on its way between two processes: code, msgid, parameters and hint, so that it is the same ``LastroError`` at the other end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from lastro.errors import LastroError


class Failure(Struct, frozen=True, kw_only=True):
    """An error as it travels. ``message`` and ``hint`` are English msgids that ``parameters`` fills."""

    code: str
    message: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""
    retryable: bool = False


def failure_of(error: LastroError) -> Failure:
    """``error`` ready to travel. Parameters that JSON does not know become their ``str``."""
    return Failure(
        code=error.code,
        message=error.msgid,
        parameters={name: _plain(value) for name, value in error.parameters.items()},
        hint=error.hint,
        retryable=error.retryable,
    )


def error_of(failure: Failure) -> LastroError:
    """The error that ``failure`` was. An unknown code, of a newer version, becomes a plain ``LastroError``."""
    kind = next((kind for kind in _kinds(LastroError) if kind.code == failure.code), LastroError)
    return kind(
        failure.message,
        hint=failure.hint,
        **{name: value for name, value in failure.parameters.items() if name != "hint"},
    )


def _kinds(kind: type[LastroError]) -> Iterator[type[LastroError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
