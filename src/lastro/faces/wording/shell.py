"""Commands that are printed to be pasted: quoted for a POSIX shell, with ``$'...'`` (bash, zsh, ksh) where a name has odd bytes."""

from __future__ import annotations

import shlex
from typing import Final

from lastro.domain.paths import printable, to_bytes

_PLAIN: Final = frozenset(
    b'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !#$%&()*+,-./:;<=>?@[]^_`{|}~"'
)


def quote(text: str) -> str:
    r"""``text`` as one word of a shell. Whatever it holds, the result is printable and means the same bytes."""
    if printable(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in to_bytes(text)) + "'"


def command(*words: str) -> str:
    """A command line of ``words``."""
    return " ".join(quote(word) for word in words)
