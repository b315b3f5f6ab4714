"""Carries the proof of a thought through a client of another dialect, and knows it again when it comes back.

What always holds: a proof reaches only a provider of the dialect it is of. To a client of that dialect it is shown as it is; to another's
it is wrapped, since such clients give back whatever they were given, unread. One whose dialect is not known is not shown at all.
"""

from __future__ import annotations

from lastro.gateway.dialects.neutral import Dialect

_MARK = "lastro:"


def wrap(signature: str, *, of: Dialect | None, shown_in: Dialect) -> str:
    """The signature as a client of the dialect ``shown_in`` gets it; empty where it gets none."""
    if of is None or not signature:
        return ""
    return signature if of is shown_in else f"{_MARK}{of.value}:{signature}"


def unwrap(signature: str, *, shown_in: Dialect) -> tuple[str, Dialect | None]:
    """The signature that a client of the dialect ``shown_in`` gave back, and the dialect that it is of."""
    if not signature:
        return "", None
    name, colon, inner = signature.removeprefix(_MARK).partition(":")
    if signature.startswith(_MARK) and colon and name in set(Dialect):
        return inner, Dialect(name)
    return signature, shown_in
