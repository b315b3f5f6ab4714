"""Errors of Anthropic Messages.

What always holds: reading never raises. A budget is ``billing_error``, which no client tries again; a conversation that is too long says so
in the words that clients look for before they shorten it.

Source: https://docs.anthropic.com/en/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from lastro.gateway.dialects.neutral import ErrorKind, Failed
from lastro.gateway.dialects.openai_errors import (
    LONGEST_TEXT,
    kind_of_status,
    read_error,
    retry_after,
    retry_headers,
    says_too_long,
)

_WRITTEN: Final[Mapping[ErrorKind, tuple[int, str]]] = {
    ErrorKind.INVALID: (400, "invalid_request_error"),
    ErrorKind.AUTHENTICATION: (401, "authentication_error"),
    ErrorKind.PERMISSION: (403, "permission_error"),
    ErrorKind.NOT_FOUND: (404, "not_found_error"),
    ErrorKind.TOO_LARGE: (413, "request_too_large"),
    ErrorKind.CONTEXT: (400, "invalid_request_error"),
    ErrorKind.RATE_LIMIT: (429, "rate_limit_error"),
    ErrorKind.BUDGET: (402, "billing_error"),
    ErrorKind.OVERLOADED: (529, "overloaded_error"),
    ErrorKind.TIMEOUT: (504, "timeout_error"),
    ErrorKind.UPSTREAM: (502, "api_error"),
    ErrorKind.INTERNAL: (500, "api_error"),
}
_TYPES: Final[Mapping[str, ErrorKind]] = {
    "invalid_request_error": ErrorKind.INVALID,
    "authentication_error": ErrorKind.AUTHENTICATION,
    "permission_error": ErrorKind.PERMISSION,
    "not_found_error": ErrorKind.NOT_FOUND,
    "request_too_large": ErrorKind.TOO_LARGE,
    "rate_limit_error": ErrorKind.RATE_LIMIT,
    "billing_error": ErrorKind.BUDGET,
    "overloaded_error": ErrorKind.OVERLOADED,
    "timeout_error": ErrorKind.TIMEOUT,
    "api_error": ErrorKind.UPSTREAM,
}
_TOO_LONG: Final = "prompt is too long"


def error_value(failed: Failed) -> dict[str, object]:
    """The whole error, as a body and as the data of an ``error`` event."""
    text = failed.text
    if failed.kind is ErrorKind.CONTEXT and _TOO_LONG not in text.lower():
        text = f"{_TOO_LONG}: {text}"
    return {"type": "error", "error": {"type": _WRITTEN[failed.kind][1], "message": text}}


def write_error(failed: Failed) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    headers = {"content-type": "application/json", **retry_headers(failed)}
    return _WRITTEN[failed.kind][0], headers, msgspec.json.encode(error_value(failed))


def read_error_answer(status: int, headers: Mapping[str, str], body: bytes) -> Failed:
    """What an answer with another status says."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    failed = None if not isinstance(value, dict) else read_error_object(value.get("error"), headers)
    if failed is None:
        return read_error(status, headers, body)
    if failed.kind in {ErrorKind.UPSTREAM, ErrorKind.INVALID} and kind_of_status(status) not in {
        ErrorKind.UPSTREAM,
        ErrorKind.INVALID,
    }:
        return Failed(kind=kind_of_status(status), text=failed.text, retry_after_s=failed.retry_after_s)
    return failed


def read_error_object(error: object, headers: Mapping[str, str] | None = None) -> Failed | None:
    """What the value of ``error`` says; ``None`` where it is none of this dialect's."""
    if not isinstance(error, dict) or error.get("type") not in _TYPES:
        return None
    message = error.get("message")
    text = message[:LONGEST_TEXT] if isinstance(message, str) else ""
    kind = _TYPES[error["type"]]
    if kind is ErrorKind.INVALID and says_too_long(text):
        kind = ErrorKind.CONTEXT
    return Failed(kind=kind, text=text, retry_after_s=retry_after(headers or {}, text))
