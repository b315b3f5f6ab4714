"""Proofs of thoughts in Gemini's words, where every one is bytes in base64.

What always holds: as ``signatures``; one of another dialect is put into base64 once more, since Google's own client libraries read nothing
else in its place.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.dialects.signatures import unwrap, wrap

SKIPPED_SIGNATURE: Final = "skip_thought_signature_validator"
"""What Google documents for calls that no Gemini model made, in place of the signature that its newer models demand."""


def show_signature(signature: str, *, of: Dialect | None) -> str:
    """The signature as a client of Gemini gets it; empty where it gets none."""
    shown = wrap(signature, of=of, shown_in=Dialect.GEMINI)
    return shown if of is Dialect.GEMINI else base64.b64encode(shown.encode()).decode()


def read_signature(signature: str) -> tuple[str, Dialect | None]:
    """The signature that a client of Gemini gave back, and the dialect that it is of."""
    if signature in {"", SKIPPED_SIGNATURE}:
        return "", None
    try:
        inner = base64.b64decode(signature, validate=True).decode()
    except (binascii.Error, ValueError):  # its own are no text
        return signature, Dialect.GEMINI
    plain, of = unwrap(inner, shown_in=Dialect.GEMINI)
    return (signature, Dialect.GEMINI) if of is Dialect.GEMINI else (plain, of)
