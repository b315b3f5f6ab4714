"""Codes of an authenticator application: time-based one-time passwords (RFC 6238 over RFC 4226: SHA-1, 6 digits, 30 seconds)."""

from __future__ import annotations

import base64
import hmac
from typing import Final
from urllib.parse import quote, urlencode

DIGITS: Final = 6
STEP_S: Final = 30
SECRET_SIZE: Final = 20
"""Bytes: what RFC 4226, section 4, recommends."""
AROUND: Final = 1
"""How many steps the clocks may differ."""


def step_at(now_ns: int) -> int:
    """The number of the 30 seconds that ``now_ns`` lies in."""
    return now_ns // (STEP_S * 1_000_000_000)


def code_of(secret: bytes, step: int) -> str:
    """The six digits of ``step`` (RFC 4226, section 5.3)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(secret: bytes, code: str, now_ns: int) -> int | None:
    """The step around ``now_ns`` whose code this is; ``None`` where it is none of them. Every candidate is compared, in constant time."""
    typed = "".join(code.split()).encode("utf-8", "surrogatepass")
    found = None
    for step in range(step_at(now_ns) - AROUND, step_at(now_ns) + AROUND + 1):
        if hmac.compare_digest(code_of(secret, step).encode(), typed):
            found = step
    return found


def text_of(secret: bytes) -> str:
    """The secret as people type it: Base32 in groups of four."""
    text = base64.b32encode(secret).decode("ascii").rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def address_of(secret: bytes, human: str, place: str) -> str:
    """``otpauth://…``, which an authenticator application reads from a picture. ``place``: what it shows beside the name."""
    label = quote(f"{place}:{human}", safe="")
    fields = {"secret": text_of(secret).replace(" ", ""), "issuer": place}
    return f"otpauth://totp/{label}?{urlencode(fields, quote_via=quote)}"
