"""Placeholders: what stands for a secret on its way to a provider.

What always holds: the same secret has the same placeholder within an installation, so that a provider's prompt cache keeps working;
without the installation's key it says nothing about the secret, not even its length; letters, digits and ``_`` alone, so that it survives
JSON, shells and URLs, and a model copies it as it copies any identifier.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

PREFIX: Final = "LASTRO_SECRET_"
_LENGTH: Final = 10
PLACEHOLDER: Final = re.compile(rf"{PREFIX}[a-z2-7]{{{_LENGTH}}}")
"""Something of a placeholder's shape, also in the middle of a word; whether it is one, and of which request, only the request knows."""
MASK: Final = "\x1f"
"""Stands for one character of a placeholder while secrets are looked for: white space to every pattern, so that none reaches across."""


def masked(text: str) -> str:
    """``text`` with everything of a placeholder's shape hidden; of the same length."""
    return PLACEHOLDER.sub(lambda match: MASK * len(match[0]), text) if PREFIX in text else text


class Placeholders:
    """Makes them. ``key``: 32 bytes of this installation."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(b"lastro-placeholder-0", key=key, digest_size=32).digest()

    def of(self, secret: str) -> str:
        """The placeholder of ``secret``: 50 bits of a keyed BLAKE2b."""
        digest = hashlib.blake2b(
            secret.encode("utf-8", "surrogatepass"), key=self._key, digest_size=10
        ).digest()
        return PREFIX + base64.b32encode(digest)[:_LENGTH].decode().lower()
