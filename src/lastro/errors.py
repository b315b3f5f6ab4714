"""One error tree for the whole product.

    LastroError                     1
    ├── UsageError                  2    what was asked cannot be understood
    │   └── ConfigError             2    a configuration file says something impossible
    ├── NotFoundError               1    no such server, path, snapshot, apply
    ├── PartialError                3    done, except for what is listed
    ├── WaitingError                4    a human has to approve first
    ├── DeniedError                 5    not allowed, or rejected
    ├── DamagedError                6    stored bytes are not the bytes that were written
    ├── ConflictError               7    something else changed it meanwhile
    ├── NoRepositoryError          10
    ├── LockedError                11    another process owns it
    ├── WrongKeyError              12
    ├── FormatError                 1    written by a version that this one does not understand
    ├── StorageFullError            1    retryable
    ├── ProtocolError               1    the peer broke the protocol
    │   └── LimitError              1    the peer (or a file) is larger than a published limit
    └── UnreachableError           75    retryable

An error carries an English msgid with named parameters (``lastro.messages.N_`` marks it for translation), and a hint that says what to
do next. Nothing below the faces translates or prints; faces map ``code`` to exit codes and HTTP status once. Exit codes are API
(``docs/reference/exit-codes.md``).
"""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from lastro.messages import fill


class LastroError(Exception):
    """Something failed. ``msgid`` and ``hint`` are English templates for ``str.format``; ``parameters`` fills both."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, msgid: str, /, *, hint: str = "", **parameters: object) -> None:
        super().__init__(msgid)
        self.msgid = msgid
        self.hint = hint
        self.parameters: dict[str, object] = parameters

    @override
    def __str__(self) -> str:
        """The untranslated sentence, for logs and tests. Never raises."""
        return fill(self.msgid, self.parameters)

    @property
    def hint_text(self) -> str:
        """The untranslated hint."""
        return fill(self.hint, self.parameters)

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """Worker processes send errors home by pickle."""
        return (_rebuild, (type(self), self.msgid, self.hint, self.parameters))


def _rebuild(kind: type[LastroError], msgid: str, hint: str, parameters: dict[str, object]) -> LastroError:
    return kind(msgid, hint=hint, **parameters)


class UsageError(LastroError):
    """What was asked cannot be understood."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A configuration file says something impossible."""

    code = "config"


class NotFoundError(LastroError):
    """There is no such server, path, snapshot or apply."""

    code = "not_found"


class PartialError(LastroError):
    """It was done, except for what is listed."""

    code = "partial"
    exit_code = 3


class WaitingError(LastroError):
    """A human has to approve first."""

    code = "waiting"
    exit_code = 4


class DeniedError(LastroError):
    """Not allowed, or rejected by a human."""

    code = "denied"
    exit_code = 5


class DamagedError(LastroError):
    """Stored bytes are not the bytes that were written. Never retried, never hidden."""

    code = "damaged"
    exit_code = 6


class ConflictError(LastroError):
    """Something else changed it meanwhile; nothing was overwritten."""

    code = "conflict"
    exit_code = 7


class NoRepositoryError(LastroError):
    """There is no repository at this place."""

    code = "no_repository"
    exit_code = 10


class LockedError(LastroError):
    """Another process owns it."""

    code = "locked"
    exit_code = 11


class WrongKeyError(LastroError):
    """The key does not open this repository."""

    code = "wrong_key"
    exit_code = 12


class FormatError(LastroError):
    """Written by a version of Lastro that this one does not understand."""

    code = "format"


class StorageFullError(LastroError):
    """The disk of the repository is (nearly) full. What was acknowledged is safe."""

    code = "storage_full"
    retryable = True


class ProtocolError(LastroError):
    """The peer broke the protocol."""

    code = "protocol"


class LimitError(ProtocolError):
    """The peer, or a file, is larger than a published limit."""

    code = "limit"


class UnreachableError(LastroError):
    """The server does not answer; trying again later may work."""

    code = "unreachable"
    exit_code = 75
    retryable = True
