"""An error on its way between two processes: code, msgid, parameters and hint, so that it is the same ``LastroError`` at the other end."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, field

from lastro.errors import LastroError, StorageFullError
from lastro.messages import N_

STATUS: Final = {
    "usage": 400,
    "config": 400,
    "protocol": 400,
    "denied": 403,
    "wrong_key": 403,
    "not_found": 404,
    "no_repository": 404,
    "waiting": 409,
    "conflict": 409,
    "limit": 413,
    "locked": 423,
    "unreachable": 503,
    "storage_full": 507,
}
"""HTTP status by error code; 500 for every other. The code in the body says more."""


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


def unexpected(error: Exception) -> LastroError:
    """What people hear of an error that is none of ours: a full disk, or a defect."""
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if full or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
        return StorageFullError(
            N_("The disk is full: {text}"),
            hint=N_("Make room on it, and do it again. What was done before stands."),
            text=str(error),
        )
    return LastroError(N_("Unexpected: {kind}: {text}"), kind=type(error).__name__, text=str(error))


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
