"""Instants in addresses: what a reader typed or picked, as an ``At``. The words are those of the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from lastro.domain.reference import At, AtId, AtNow, AtTime, Reference, parse_at
from lastro.errors import UsageError
from lastro.faces.console.addresses import unescaped
from lastro.faces.console.asked import Asked
from lastro.messages import N_


def instant_of(asked: Asked, text: str) -> At | None:
    """The instant that ``text`` means in the reader's zone; ``None``: the newest recorded state.

    Raises:
        UsageError: it means none.
    """
    if not text:
        return None
    at = parse_at(text, now_ns=asked.now_ns, zone=asked.zone)
    if at is None:
        raise UsageError(
            N_("This is not a time: {text}"),
            hint=N_("Times look like 2d, 14:05, 2026-11-20T14:05Z, snap-12 or apply-7^."),
            text=text,
        )
    return None if isinstance(at, AtNow) else at


def place_asked(asked: Asked) -> tuple[str, str]:
    """The server and the absolute path that stand in the route."""
    path = unescaped(asked.parameters.get("path", ""))
    return asked.parameters.get("server", ""), "/" + path.strip("/")


def reference_of(asked: Asked, server: str, path: str, at: str) -> Reference:
    """What the three mean together.

    Raises:
        UsageError: ``at`` means no instant, or the path could be none.
    """
    if "\0" in path:
        raise UsageError(N_("This is not a reference: {text}"), text=f"{server}:{path}")
    return Reference(server=server, path=path, at=instant_of(asked, at))


def with_instant(server: str, path: str, at: str) -> str:
    """How the command line says it: ``SERVER:PATH@AT``."""
    return f"{server}:{path}@{at}" if at else f"{server}:{path}"


def words_of(at: At | None) -> str:
    """An instant as the command line reads it; empty for the newest recorded state."""
    match at:
        case AtId(kind, number, before):
            return f"{kind}-{number}{'^' if before else ''}"
        case AtTime(time_ns):
            seconds, parts = divmod(time_ns, 1_000_000_000)
            return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{parts:09}Z"
        case _:
            return ""
