"""What one exchange was: who asked, who answered, in how many attempts, for how many tokens, at what cost. Pure nouns.

What always holds: unknown is ``None``, never 0. Times are nanoseconds (instants since 1970, UTC; spans monotonic); money is in millionths
of a US dollar (``MICRO``), as an integer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from lastro.gateway.dialects.neutral import Dialect, Used

MICRO: Final = 1_000_000
"""Millionths in a dollar."""


class AttemptOutcome(StrEnum):
    """How one call to a provider went."""

    ANSWERED = "answered"
    CONNECT = "connect"
    """No connection, or it failed before a status came."""
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    FIRST_BYTE = "first_byte_timeout"
    BETWEEN_BYTES = "between_bytes_timeout"
    TOTAL = "total_timeout"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    IN_STREAM = "in_stream_error"
    REJECTED = "rejected"
    """The provider refused the request itself (a 4xx that is not 429): another would too, so it is passed on."""
    CONTEXT = "context"
    """The conversation is too long for this model; a larger one may answer."""
    UNEXPRESSED = "inexpressible"
    """This provider's dialect has no words for a part of the request; it was not called."""
    ABANDONED = "abandoned"
    """The client went away."""


class Visible(StrEnum):
    """What the client had seen of an attempt when it ended."""

    NOTHING = "nothing"
    TEXT = "text"
    ALL = "all"


class Attempt(Struct, frozen=True, kw_only=True):
    """One call to a provider."""

    provider: str
    model: str
    dialect: Dialect
    outcome: AttemptOutcome
    status: int = 0
    """HTTP status; 0 if none came."""
    visible: Visible = Visible.NOTHING
    started_ns: int = 0
    """After the exchange began."""
    first_byte_ns: int | None = None
    duration_ns: int = 0
    used: Used | None = None
    cost: int | None = None
    """Millionths of a dollar; ``None`` is unknown."""
    detail: str = ""
    """English, of the provider or of the connection; never a key, at most 500 characters."""


class ExchangeOutcome(StrEnum):
    """How an exchange ended for the client."""

    ANSWERED = "answered"
    FAILED = "failed"
    """An error in the dialect's own form; nothing of an answer was seen."""
    BROKEN = "broken"
    """It ended with an error after visible text."""
    ABANDONED = "abandoned"
    REFUSED = "refused"
    """The gateway itself said no: budget, key, redaction."""
    INTERRUPTED = "interrupted"
    """The gateway was killed meanwhile; what was reserved counts as spent."""


class ExchangeBegan(Struct, frozen=True, kw_only=True):
    """What is known before the first attempt; recorded then, so that a crash forgets nothing."""

    id: str
    """``x-`` and 26 characters that sort by time (a ULID)."""
    time_ns: int
    dialect: Dialect
    asked_model: str
    stream: bool
    route: str
    kind: str
    key: str
    """Id of the gateway key; empty for nobody's."""
    key_name: str = ""
    role: str = ""
    run: str = ""
    step: int = 0
    reserved_cost: int | None = None
    reserved_tokens: int = 0
    request_bytes: int = 0
    redacted: int = 0
    """How many secrets were replaced."""


class ExchangeEnded(Struct, frozen=True, kw_only=True):
    """How it went."""

    id: str
    outcome: ExchangeOutcome
    duration_ns: int
    attempts: tuple[Attempt, ...] = ()
    provider: str = ""
    model: str = ""
    degraded: bool = False
    used: Used = Used()
    used_estimated: bool = False
    """The provider did not say how many tokens; they were estimated from the text."""
    cost: int | None = None
    """Of all attempts together; ``None`` is unknown."""
    losses: tuple[str, ...] = ()
    """Settings that the answering dialect could not express."""
    error: str = ""
    first_byte_ns: int | None = None
    answer_bytes: int = 0
    step_seen: bool | None = None
    """Whether the run's supervisor answered the step notice in time; ``None`` when there was none."""


class Exchange(Struct, frozen=True, kw_only=True):
    """Both halves; ``ended`` is ``None`` while it runs."""

    began: ExchangeBegan
    ended: ExchangeEnded | None = None


class Bodies(Struct, frozen=True, kw_only=True):
    """What was sent and received, as recorded.

    ``request`` is the request in the client's dialect; ``sent`` what the provider that was asked last got (but for the model's name equal,
    where no translation was needed); ``answer`` is that provider's, before secrets were put back. On routes with redaction none of them
    holds a secret that was found, also where a local provider got it.
    """

    request: bytes
    sent: bytes
    sent_path: str
    """Path and query of the provider's address that it was sent to, without the host."""
    answer: bytes
    content_type: str = ""
