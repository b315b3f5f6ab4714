"""What goes wrong, on either side of the link, and how it is told (``docs/protocol.md``, Errors and close codes).

``ProtocolError`` and ``LimitError`` out of ``receive`` are always the *peer's* fault and end the session with a close code.
``LocalProtocolError`` is our own: a driver called a session in an order that the protocol does not allow. A command that simply
failed is an ``error`` reply, which leaves the session as it is.
"""

from __future__ import annotations

from typing import Final

from lastro.errors import (
    ConflictError,
    DamagedError,
    DeniedError,
    LastroError,
    LimitError,
    NotFoundError,
    ProtocolError,
    StorageFullError,
    UnreachableError,
    UsageError,
)
from lastro.messages import N_
from lastro.protocol.messages import ErrorReply

CLOSE_DONE: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_PROTOCOL: Final = 4400
CLOSE_VERSION: Final = 4406
CLOSE_LIMIT: Final = 4413


class LocalProtocolError(ProtocolError):
    """Our own driver used a session wrongly. A bug, never the peer's fault."""

    code = "protocol_local"


class VersionError(ProtocolError):
    """The peer speaks no version of the protocol that this one speaks."""

    code = "protocol_version"


class UnsupportedError(LastroError):
    """This node does not do what was asked. An ``error`` reply, never a breach."""

    code = "unsupported"


class BusyError(LastroError):
    """Too much at once; later it will work. An ``error`` reply, never a breach."""

    code = "busy"
    retryable = True


def close_code(error: LastroError) -> int:
    """The WebSocket close code for an error out of a session: 4406 version, 4413 limit, 4400 any other breach, 1001 for our own."""
    if isinstance(error, VersionError):
        return CLOSE_VERSION
    if isinstance(error, LimitError):
        return CLOSE_LIMIT
    if isinstance(error, ProtocolError) and not isinstance(error, LocalProtocolError):
        return CLOSE_PROTOCOL
    return CLOSE_GOING_AWAY


def error_reply(command: str, error: LastroError, *, detail: str = "") -> ErrorReply:
    """The wire form of an error: its code, its untranslated sentence and hint, cut to what a message may hold."""
    return ErrorReply(
        id=command,
        code="bad_request" if type(error) is ProtocolError else error.code,
        message=_sendable(str(error)),
        hint=_sendable(error.hint_text),
        retryable=error.retryable,
        detail=_sendable(detail)[:64],
    )


_KINDS: Final[dict[str, type[LastroError]]] = {
    kind.code: kind
    for kind in (
        NotFoundError,
        UsageError,
        DeniedError,
        DamagedError,
        ConflictError,
        StorageFullError,
        UnreachableError,
    )
}
_OTHERS: Final[dict[str, type[LastroError]]] = {
    "busy": UnreachableError,
    "unreadable": NotFoundError,
    "vanished": NotFoundError,
}


def error_from_reply(reply: ErrorReply) -> LastroError:
    """An ``error`` reply as an error to raise: of the kind its code names, else ``LastroError``. Its text is the node's and untrusted."""
    kind = _KINDS.get(reply.code) or _OTHERS.get(reply.code) or LastroError
    return kind(
        N_("The node answered {code}: {message}"),
        hint=N_("The node's hint: {node_hint}") if reply.hint else "",
        code=reply.code,
        message=reply.message,
        node_hint=reply.hint,
        detail=reply.detail,
    )


def _sendable(text: str) -> str:
    """Text that fits a message and is valid UTF-8, whatever name of a file stands in it."""
    return text[:1024].encode("utf-8", "backslashreplace").decode("utf-8")
