"""Errors as Google's interfaces write them: ``{"error": {"code", "message", "status", "details"}}``.

What always holds: reading never raises, whatever was sent. A budget of a gateway is told as a daily quota that is used up, which the Gemini
CLI does not try again, and carries an id by which another gateway knows it.

Source: https://cloud.google.com/apis/design/errors and https://ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from lastro.gateway.dialects.neutral import ErrorKind, Failed
from lastro.gateway.dialects.openai_errors import (
    LONGEST_TEXT,
    kind_of_status,
    retry_after,
    retry_headers,
    says_too_long,
)

_TOO_LONG: Final = "The input token count exceeds the maximum number of tokens allowed"
_BUDGET_QUOTA: Final = "LastroBudgetPerDay"
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
_QUOTA_FAILURE: Final = "type.googleapis.com/google.rpc.QuotaFailure"
_WRITTEN: Final[Mapping[ErrorKind, tuple[int, str]]] = {
    ErrorKind.INVALID: (400, "INVALID_ARGUMENT"),
    ErrorKind.AUTHENTICATION: (401, "UNAUTHENTICATED"),
    ErrorKind.PERMISSION: (403, "PERMISSION_DENIED"),
    ErrorKind.NOT_FOUND: (404, "NOT_FOUND"),
    ErrorKind.TOO_LARGE: (413, "INVALID_ARGUMENT"),
    ErrorKind.CONTEXT: (400, "INVALID_ARGUMENT"),
    ErrorKind.RATE_LIMIT: (429, "RESOURCE_EXHAUSTED"),
    ErrorKind.BUDGET: (429, "RESOURCE_EXHAUSTED"),
    ErrorKind.OVERLOADED: (503, "UNAVAILABLE"),
    ErrorKind.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
    ErrorKind.UPSTREAM: (502, "UNAVAILABLE"),
    ErrorKind.INTERNAL: (500, "INTERNAL"),
}
_STATUSES: Final[Mapping[str, ErrorKind]] = {
    "INVALID_ARGUMENT": ErrorKind.INVALID,
    "FAILED_PRECONDITION": ErrorKind.INVALID,
    "OUT_OF_RANGE": ErrorKind.INVALID,
    "UNIMPLEMENTED": ErrorKind.INVALID,
    "UNAUTHENTICATED": ErrorKind.AUTHENTICATION,
    "PERMISSION_DENIED": ErrorKind.PERMISSION,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "RESOURCE_EXHAUSTED": ErrorKind.RATE_LIMIT,
    "DEADLINE_EXCEEDED": ErrorKind.TIMEOUT,
    "UNAVAILABLE": ErrorKind.OVERLOADED,
    "INTERNAL": ErrorKind.UPSTREAM,
    "ABORTED": ErrorKind.UPSTREAM,
    "CANCELLED": ErrorKind.UPSTREAM,
    "DATA_LOSS": ErrorKind.UPSTREAM,
    "UNKNOWN": ErrorKind.UPSTREAM,
}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def error_object(failed: Failed) -> dict[str, object]:
    """The value of ``error``, in a body and inside a stream alike."""
    code, status = _WRITTEN[failed.kind]
    text = failed.text
    if failed.kind is ErrorKind.CONTEXT and not says_too_long(text):
        text = f"{_TOO_LONG}: {text}"  # Google has no code for it, only words
    error: dict[str, object] = {"code": code, "message": text, "status": status}
    details: list[dict[str, object]] = []
    if failed.kind is ErrorKind.BUDGET:
        details.append({"@type": _QUOTA_FAILURE, "violations": [{"quotaId": _BUDGET_QUOTA}]})
    if failed.retry_after_s is not None:
        details.append(
            {"@type": _RETRY_INFO, "retryDelay": f"{failed.retry_after_s:.3f}".rstrip("0").rstrip(".") + "s"}
        )
    return error | ({"details": details} if details else {})


def write_error(failed: Failed) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    headers = {"content-type": "application/json", **retry_headers(failed)}
    return _WRITTEN[failed.kind][0], headers, msgspec.json.encode({"error": error_object(failed)})


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> Failed:
    """What an answer with another status says."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = body.decode(errors="replace").strip()
    if isinstance(value, list) and value:  # a stream that was not asked for as events
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else value
    failed = _failed(error, status)
    seconds = failed.retry_after_s if failed.retry_after_s is not None else retry_after(headers, failed.text)
    return msgspec.structs.replace(failed, text=failed.text or f"HTTP {status}", retry_after_s=seconds)


def read_error_object(error: object) -> Failed:
    """What ``error`` says inside a stream, or in an answer with status 200."""
    failed = _failed(error, 500)
    return msgspec.structs.replace(failed, text=failed.text or "error")


def _failed(error: object, status: int) -> Failed:
    if not isinstance(error, dict):
        return Failed(kind=kind_of_status(status), text=str(error or "")[:LONGEST_TEXT])
    text = str(error.get("message") or "")[:LONGEST_TEXT]
    details = [one for one in _listed(error.get("details")) if isinstance(one, dict)]
    code = error.get("code")
    code = code if isinstance(code, int) and 400 <= code < 600 else status
    seconds = next((said for one in details if (said := _delay(one)) is not None), None)
    return Failed(kind=_kind(error, code, text, details), text=text, retry_after_s=seconds)


def _kind(error: dict[str, object], code: int, text: str, details: list[dict[str, object]]) -> ErrorKind:
    if any(
        isinstance(one, dict) and one.get("quotaId") == _BUDGET_QUOTA
        for detail in details
        for one in _listed(detail.get("violations"))
    ):
        return ErrorKind.BUDGET
    if code == 400 and says_too_long(text):
        return ErrorKind.CONTEXT
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        return ErrorKind.AUTHENTICATION
    if code in {413, 502}:  # their names are those of other statuses too
        return kind_of_status(code)
    return _STATUSES.get(str(error.get("status") or ""), kind_of_status(code))


def _delay(detail: dict[str, object]) -> float | None:
    match = _DURATION.fullmatch(str(detail.get("retryDelay") or ""))
    return None if match is None else float(match[1])


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
