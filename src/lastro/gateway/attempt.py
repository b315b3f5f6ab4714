"""How one call to a provider fails, as the ladder needs it: what the client is told, who else may be asked, what the circuits learn. Pure.

What always holds: a failure's text holds nothing of the request and no key; every failure has a kind in neutral words.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lastro.errors import DeniedError, LastroError, NotFoundError, ProtocolError, UnreachableError
from lastro.gateway.dialects.codec import Codec, TruncatedError
from lastro.gateway.dialects.neutral import ErrorKind, Failed
from lastro.gateway.exchange import Attempt, AttemptOutcome
from lastro.gateway.upstream import UpstreamError

LONGEST_DETAIL: Final = 500
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_NO_NAMES: Final = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL})
_OWN_FAULT: Final = frozenset({401, 402, 403})
"""The provider refuses the gateway's key, or its account: not the client's fault, and not the request's."""
_EMPTY: Final = re.compile(
    r"credit balance is too low|insufficient[ _](?:quota|balance|credits?|funds)|exceeded your current quota, please check"
    r"|billing[ _](?:hard[ _]limit|account|not active|details)|enable billing|account is not active",
    re.IGNORECASE,
)
"""The words of providers whose customer owes them something; some say it with the status of a wrong request."""
_LONGEST_NOTICE: Final = 600
"""Characters; a longer text is not about the account, whatever words are in it."""
_TIMEOUTS: Final = frozenset({AttemptOutcome.FIRST_BYTE, AttemptOutcome.BETWEEN_BYTES, AttemptOutcome.TOTAL})


class Failure(Struct, frozen=True, kw_only=True):
    """What became of an attempt that gave no answer."""

    outcome: AttemptOutcome
    failed: Failed
    status: int = 0
    elsewhere: bool = True
    """Another candidate may answer."""
    blames: bool = True
    """It counts against the provider's circuit."""
    at_once: bool = False
    """The circuit opens whatever the count."""
    no_route: bool = False
    same_again: bool = False
    """A connection that had been idle was closed under the call: a fresh one to the same provider may do."""
    untouched: tuple[int, Mapping[str, str], bytes] | None = None
    """The provider's own error, which a client of the same dialect gets as it is."""


class AttemptFailedError(LastroError):
    """Carries a ``Failure`` up to the ladder."""

    code = "attempt_failed"

    def __init__(self, failure: Failure) -> None:
        super().__init__("{text}", text=failure.failed.text)
        self.failure = failure


def sentence(error: LastroError) -> str:
    """What went wrong and what to do, in one line."""
    text = str(error).rstrip()
    hint = error.hint_text
    return f"{text} {hint}".strip() if text.endswith((".", "?", "!", ":")) or not hint else f"{text}. {hint}"


def refused_kind(error: LastroError) -> ErrorKind:
    """What it means for a client that the gateway itself says no."""
    kinds = (
        (NotFoundError, ErrorKind.NOT_FOUND),
        (DeniedError, ErrorKind.PERMISSION),
        (ProtocolError, ErrorKind.INVALID),
        (UnreachableError, ErrorKind.OVERLOADED),
    )
    return next((kind for of, kind in kinds if isinstance(error, of)), ErrorKind.INTERNAL)


def connection_failure(error: UpstreamError, name: str) -> Failure:
    """No answer, or one that broke off. ``name`` is ``PROVIDER/MODEL``."""
    kind = ErrorKind.TIMEOUT if error.outcome in _TIMEOUTS else ErrorKind.UPSTREAM
    return Failure(
        outcome=error.outcome,
        failed=Failed(kind=kind, text=f"{name}: {error}"[:LONGEST_DETAIL]),
        no_route=error.outcome is AttemptOutcome.CONNECT and _has_no_route(error),
        same_again=error.outcome is AttemptOutcome.CONNECT and _was_closed(error),
    )


def own_failure(
    outcome: AttemptOutcome,
    error: LastroError,
    name: str,
    *,
    kind: ErrorKind = ErrorKind.UPSTREAM,
    blames: bool,
) -> Failure:
    """The call could not be made, or its answer not be read."""
    return Failure(
        outcome=outcome,
        failed=Failed(kind=kind, text=f"{name}: {sentence(error)}"[:LONGEST_DETAIL]),
        blames=blames,
    )


def not_asked(error: LastroError, name: str) -> Failure:
    """No key, or no engine: the provider is not to blame."""
    failure = own_failure(AttemptOutcome.CONNECT, error, name, kind=refused_kind(error), blames=False)
    return replace(failure, failed=replace(failure.failed, retry_after_s=retry_after(error)))


def not_paid(error: LastroError) -> Failure:
    """A budget stands against one more call after those that have cost something."""
    failed = Failed(kind=ErrorKind.BUDGET, text=sentence(error)[:LONGEST_DETAIL])
    return Failure(outcome=AttemptOutcome.REJECTED, failed=failed, elsewhere=False, blames=False)


def retry_after(error: LastroError) -> float | None:
    """Seconds, where the error says so (``retry_after_s`` among its parameters)."""
    said = error.parameters.get("retry_after_s")
    return float(said) if isinstance(said, int | float) else None


def broken_answer(error: LastroError, name: str) -> Failure:
    """An answer that is not of its dialect, too large, or ends too early."""
    outcome = AttemptOutcome.TRUNCATED if isinstance(error, TruncatedError) else AttemptOutcome.MALFORMED
    return own_failure(outcome, error, name, blames=True)


def in_stream_failure(failed: Failed, name: str, status: int) -> Failure:
    """The provider said inside its answer that it failed."""
    if failed.kind is ErrorKind.BUDGET:
        return _account_empty(name, status)
    context = failed.kind is ErrorKind.CONTEXT
    return Failure(
        outcome=AttemptOutcome.CONTEXT if context else AttemptOutcome.IN_STREAM,
        failed=Failed(
            kind=failed.kind,
            text=f"{name}: {failed.text}"[:LONGEST_DETAIL],
            retry_after_s=failed.retry_after_s,
        ),
        status=status,
        elsewhere=failed.kind is not ErrorKind.INVALID,
        blames=failed.kind not in (ErrorKind.CONTEXT, ErrorKind.INVALID, ErrorKind.TOO_LARGE),
    )


def refusal(
    codec: Codec, status: int, headers: Mapping[str, str], body: bytes, name: str, *, is_whole: bool = True
) -> Failure:
    """An answer with an error's status, or one of another status that holds no answer. ``is_whole``: its body was read to the end."""
    failed = codec.decode_error(status, headers, body)
    is_own_form = status >= 400 and is_whole and body.lstrip()[:1] == b"{"  # not a proxy's page
    untouched = (status, headers, body) if is_own_form else None
    told = Failed(
        kind=failed.kind, text=f"{name}: {failed.text}"[:LONGEST_DETAIL], retry_after_s=failed.retry_after_s
    )
    if status >= 400 and _is_account_empty(failed, status):
        return _account_empty(name, status)
    if status == 429:
        return Failure(outcome=AttemptOutcome.RATE_LIMITED, failed=told, status=status, untouched=untouched)
    if status < 400 or status == 408 or status >= 500:
        outcome = AttemptOutcome.SERVER_ERROR if status >= 300 or status == 408 else AttemptOutcome.MALFORMED
        return Failure(outcome=outcome, failed=told, status=status, untouched=untouched)
    if status in _OWN_FAULT:
        text = f"{name} refuses the gateway's own key or account ({status})"
        failed = Failed(kind=ErrorKind.UPSTREAM, text=text)
        return Failure(outcome=AttemptOutcome.REJECTED, failed=failed, status=status, at_once=True)
    if failed.kind in (ErrorKind.CONTEXT, ErrorKind.TOO_LARGE) or status == 413:
        return Failure(
            outcome=AttemptOutcome.CONTEXT, failed=told, status=status, blames=False, untouched=untouched
        )
    missing = status == 404
    return Failure(
        outcome=AttemptOutcome.REJECTED,
        failed=told,
        status=status,
        elsewhere=missing,  # the model is not there; it may be somewhere else
        blames=missing,
        untouched=untouched,
    )


def _is_account_empty(failed: Failed, status: int) -> bool:
    """A budget is the gateway's own affair; a provider that speaks of one means its account. A quota that comes back is a mere limit."""
    if failed.kind is ErrorKind.BUDGET:
        return failed.retry_after_s is None or status == 402
    is_words = status in {400, 403, 429} and failed.retry_after_s is None
    return is_words and len(failed.text) <= _LONGEST_NOTICE and _EMPTY.search(failed.text) is not None


def _account_empty(name: str, status: int) -> Failure:
    """The provider wants money first: nothing that the client could do, nor the gateway's own budgets."""
    text = f"{name}: the provider says that its account has no money or quota left ({status}); whoever runs the gateway can fill it up"
    failed = Failed(kind=ErrorKind.UPSTREAM, text=text)
    return Failure(outcome=AttemptOutcome.REJECTED, failed=failed, status=status, at_once=True)


def with_secrets(name: str) -> AttemptFailedError:
    """The request still holds its secrets, and would leave: it does not."""
    failed = Failed(
        kind=ErrorKind.INVALID, text=f"{name}: not asked, because secrets could not be taken out for sure"
    )
    return AttemptFailedError(Failure(outcome=AttemptOutcome.UNEXPRESSED, failed=failed, blames=False))


def out_of_time(name: str, seconds: float) -> AttemptFailedError:
    """The exchange has taken as long as it may."""
    text = f"{name}: no complete answer within {seconds:g} s"
    return AttemptFailedError(
        Failure(
            outcome=AttemptOutcome.TOTAL, failed=Failed(kind=ErrorKind.TIMEOUT, text=text), elsewhere=False
        )
    )


def too_much(name: str, limit: int) -> AttemptFailedError:
    """The answer is larger than it may be."""
    text = f"{name}: an answer of more than {limit} bytes"
    return AttemptFailedError(
        Failure(
            outcome=AttemptOutcome.MALFORMED,
            failed=Failed(kind=ErrorKind.UPSTREAM, text=text),
            elsewhere=False,
            blames=False,
        )
    )


def no_calls(name: str) -> Failure:
    """The answer came, and is of no use after what the client has seen of an earlier one."""
    text = f"{name} answered otherwise than the provider before it, which broke off; ask again"
    return Failure(outcome=AttemptOutcome.ANSWERED, failed=Failed(kind=ErrorKind.OVERLOADED, text=text))


def final_failure(last: Failure | None, *, shut_s: Sequence[float], attempts: Sequence[Attempt]) -> Failed:
    """What the client is told when nobody answered. ``shut_s``: after how long the circuits of those who were passed over open."""
    if last is None:
        text = "No model of this route can be asked right now"
        return Failed(kind=ErrorKind.OVERLOADED, text=text, retry_after_s=min(shut_s, default=None))
    failed = last.failed
    if failed.kind in (ErrorKind.AUTHENTICATION, ErrorKind.PERMISSION):
        return replace(failed, kind=ErrorKind.UPSTREAM)  # the client's own key is good
    if failed.kind is ErrorKind.RATE_LIMIT and any(
        attempt.outcome is not AttemptOutcome.RATE_LIMITED for attempt in attempts
    ):
        return replace(failed, retry_after_s=None)  # others may be back sooner
    return failed


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    next_one: BaseException | None = error
    while next_one is not None and next_one not in chain:
        chain.append(next_one)
        next_one = getattr(next_one, "os_error", None) or next_one.__cause__ or next_one.__context__
    return chain


def _has_no_route(error: BaseException) -> bool:
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return cause.errno in _NO_NAMES
        if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
            return True
    return False


def _was_closed(error: BaseException) -> bool:
    """The connection was there and went away before a status came: not refused, not timed out."""
    causes = _causes(error)[1:]
    if any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in causes):
        return True
    return bool(causes) and not any(isinstance(cause, OSError) for cause in causes)
