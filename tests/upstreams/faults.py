"""What can go wrong with a provider, as a script says it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """``at`` counts events of a stream, or bytes of a body; beyond its end it is taken modulo."""

    CUT_BEFORE_HEADERS = "cut_before_headers"
    CUT_AFTER_HEADERS = "cut_after_headers"
    CUT_AT_EVENT = "cut_at_event"
    CUT_AT_BYTE = "cut_at_byte"
    END_AT_EVENT = "end_at_event"
    """The stream ends properly, but too early."""
    STALL_FIRST = "stall_first"
    STALL_AT_EVENT = "stall_at_event"
    STATUS = "status"
    """``status``, with ``retry_after_s``, in the dialect's own error form, or with ``body``."""
    MALFORMED = "malformed"
    """One event is no JSON."""
    ERROR_IN_STREAM = "error_in_stream"
    ERROR_BODY = "error_body"
    """Status 200, and an error in the body."""
    WRONG_TYPE = "wrong_type"
    """The right answer under ``text/plain``."""
    WEB_PAGE = "web_page"
    """Status 200, and a page of a portal."""
    DRIP = "drip"
    """A few bytes at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault in one answer."""

    kind: FaultKind
    at: int = 0
    status: int = 500
    retry_after_s: float | None = None
    body: bytes = b""
