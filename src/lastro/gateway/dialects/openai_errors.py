"""Errors as OpenAI's interfaces write them, and as the many servers that imitate them do.

What always holds: reading never raises, whatever was sent. What failed inside a provider is ``UPSTREAM`` here, also where it calls it
internal: for us the same call may succeed elsewhere.

Source: https://platform.openai.com/docs/guides/error-codes/api-errors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from lastro.gateway.dialects.neutral import ErrorKind, Failed

LONGEST_TEXT: Final = 2_000
"""Characters of a provider's words that are passed on."""

_WRITTEN: Final[Mapping[ErrorKind, tuple[int, str, str | None]]] = {
    ErrorKind.INVALID: (400, "invalid_request_error", None),
    ErrorKind.AUTHENTICATION: (401, "invalid_request_error", "invalid_api_key"),
    ErrorKind.PERMISSION: (403, "invalid_request_error", "permission_denied"),
    ErrorKind.NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    ErrorKind.TOO_LARGE: (413, "invalid_request_error", "request_too_large"),
    ErrorKind.CONTEXT: (400, "invalid_request_error", "context_length_exceeded"),
    ErrorKind.RATE_LIMIT: (429, "requests", "rate_limit_exceeded"),
    ErrorKind.BUDGET: (429, "insufficient_quota", "insufficient_quota"),
    ErrorKind.OVERLOADED: (503, "server_error", "service_unavailable"),
    ErrorKind.TIMEOUT: (504, "server_error", "timeout"),
    ErrorKind.UPSTREAM: (502, "server_error", "upstream_error"),
    ErrorKind.INTERNAL: (500, "server_error", "internal_error"),
}
_CODES: Final[Mapping[str, ErrorKind]] = {
    "invalid_api_key": ErrorKind.AUTHENTICATION,
    "authentication_error": ErrorKind.AUTHENTICATION,
    "permission_denied": ErrorKind.PERMISSION,
    "permission_error": ErrorKind.PERMISSION,
    "model_not_found": ErrorKind.NOT_FOUND,
    "not_found_error": ErrorKind.NOT_FOUND,
    "request_too_large": ErrorKind.TOO_LARGE,
    "context_length_exceeded": ErrorKind.CONTEXT,
    "exceed_context_size_error": ErrorKind.CONTEXT,
    "rate_limit_exceeded": ErrorKind.RATE_LIMIT,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "too_many_requests": ErrorKind.RATE_LIMIT,
    "requests": ErrorKind.RATE_LIMIT,
    "tokens": ErrorKind.RATE_LIMIT,
    "insufficient_quota": ErrorKind.BUDGET,
    "billing_hard_limit_reached": ErrorKind.BUDGET,
    "service_unavailable": ErrorKind.OVERLOADED,
    "server_is_overloaded": ErrorKind.OVERLOADED,
    "slow_down": ErrorKind.OVERLOADED,
    "overloaded": ErrorKind.OVERLOADED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "unavailable_error": ErrorKind.OVERLOADED,
    "timeout": ErrorKind.TIMEOUT,
    "timeout_error": ErrorKind.TIMEOUT,
    "upstream_error": ErrorKind.UPSTREAM,
    "server_error": ErrorKind.UPSTREAM,
    "internal_error": ErrorKind.UPSTREAM,
    "internal_server_error": ErrorKind.UPSTREAM,
    "api_error": ErrorKind.UPSTREAM,
}
"""Codes and types; a code is more exact than a type and is looked up first."""
_STATUSES: Final[Mapping[int, ErrorKind]] = {
    401: ErrorKind.AUTHENTICATION,
    402: ErrorKind.BUDGET,
    403: ErrorKind.PERMISSION,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    413: ErrorKind.TOO_LARGE,
    429: ErrorKind.RATE_LIMIT,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
_CONTEXT: Final = re.compile(
    r"maximum context length|context[ _](?:length|window|size)|prompt is too long|too many (?:input )?tokens"
    r"|exceeds? the (?:maximum|available|model'?s) .{0,40}(?:tokens|context)",
    re.IGNORECASE,
)
_AGAIN_IN: Final = re.compile(r"try again in (?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)(ms|s))?")


def kind_of_status(status: int) -> ErrorKind:
    """What a status says by itself."""
    return _STATUSES.get(status, ErrorKind.INVALID if 400 <= status < 500 else ErrorKind.UPSTREAM)


def says_too_long(text: str) -> bool:
    """Whether the words of an error mean that the conversation is longer than the model's context."""
    return _CONTEXT.search(text) is not None


def retry_after(headers: Mapping[str, str], text: str = "") -> float | None:
    """Seconds until the same call may succeed, as the headers or the words of the error say; ``None`` where they do not.

    A date is counted from the answer's own ``date``, so that no clock is needed.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", said):
            return float(said) * unit_s
    try:
        then = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, (then - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        pass  # no dates, or none that can be read: the words may say it
    match = _AGAIN_IN.search(text)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, amount, unit = match.groups()
    seconds = float(amount or 0) * (0.001 if unit == "ms" else 1)
    return int(hours or 0) * 3_600 + int(minutes or 0) * 60 + seconds


def error_object(failed: Failed) -> dict[str, object]:
    """The value of ``error``, in a body and inside a stream alike."""
    _, type_, code = _WRITTEN[failed.kind]
    return {"message": failed.text, "type": type_, "param": None, "code": code}


def write_error(failed: Failed) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    headers = {"content-type": "application/json", **retry_headers(failed)}
    return _WRITTEN[failed.kind][0], headers, msgspec.json.encode({"error": error_object(failed)})


def retry_headers(failed: Failed) -> dict[str, str]:
    """What the client libraries heed: when to try again, and whether at all."""
    headers: dict[str, str] = {}
    if failed.retry_after_s is not None:
        headers["retry-after"] = str(max(0, -int(-failed.retry_after_s // 1)))
    if failed.kind is ErrorKind.BUDGET:
        headers["x-should-retry"] = "false"
    return headers


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Failed:
    """What an answer with another status says."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = body.decode(errors="replace").strip()
    text, codes = _said(value)
    kind = _kind(status, text, codes)
    return Failed(kind=kind, text=text or f"HTTP {status}", retry_after_s=retry_after(headers, text))


def read_error_object(error: object) -> Failed:
    """What ``error`` says inside a stream, or in an answer with status 200."""
    text, codes = _said({"error": error})
    unsaid = 400 if "invalid_request_error" in codes else 500
    status = next((int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)), unsaid)
    return Failed(kind=_kind(status, text, codes), text=text or "error", retry_after_s=retry_after({}, text))


def _kind(status: int, text: str, codes: tuple[str, ...]) -> ErrorKind:
    known = next((_CODES[code] for code in codes if code in _CODES), None)
    if known is not None and (known, status) != (ErrorKind.UPSTREAM, 503):
        return known
    if (400 <= status < 500 and status != 429) and says_too_long(text):
        return ErrorKind.CONTEXT
    return kind_of_status(status)


def _said(value: object) -> tuple[str, tuple[str, ...]]:
    """The words of an error, and its code and type."""
    if isinstance(value, list):  # Gemini's imitation wraps it so
        value = value[0] if value else ""
    if isinstance(value, dict) and value.get("error"):
        value = value["error"]
    if not isinstance(value, dict):
        return str(value or "")[:LONGEST_TEXT], ()
    text = next((value[key] for key in ("message", "detail", "error") if value.get(key)), "")
    if not isinstance(text, str):
        text = msgspec.json.encode(text).decode()
    codes = tuple(str(value[key]).lower() for key in ("code", "type") if value.get(key) is not None)
    return text[:LONGEST_TEXT], codes
