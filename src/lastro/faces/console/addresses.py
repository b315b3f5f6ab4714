"""Addresses of what history keeps: a server's path, at an instant, as a page's address and as a field of a form.

What always holds: any path comes back as the same bytes, through every browser and every redirection. A name may hold what an address
cannot carry unharmed (bytes that are no UTF-8, control characters, ``?``, ``#``, ``%``): those bytes stand as ``~XX``, in hexadecimal, and
so does the ``~`` itself. What is left is percent-encoded as any address is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlencode

from lastro.domain.paths import from_bytes, to_bytes

_HARMFUL: Final = frozenset(b'~?#%\\;"<>|^`{}')
_ESCAPE: Final = re.compile(rb"~([0-9A-F]{2})")


def escaped(path: str) -> str:
    """``path`` as text that fields of forms, addresses and redirections carry unharmed."""
    return "".join(_escaped(character) for character in path)


def unescaped(text: str) -> str:
    """The inverse of ``escaped``; what somebody typed by hand is mostly itself."""
    return from_bytes(_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), to_bytes(_sound(text))))


def history_address(server: str, path: str, **query: object) -> str:
    """The page of a path: what it is and was. ``query``: ``at``, ``before``, ... ; what is empty is left out."""
    return _address("history", server, path, query)


def compare_address(server: str, path: str, **query: object) -> str:
    """The page of what differs between two instants, ``old`` and ``new``."""
    return _address("compare", server, path, query)


def download_address(server: str, path: str, **query: object) -> str:
    """The bytes of a file, or a directory as a tar."""
    return _address("download", server, path, query)


def restore_address(server: str, path: str, *, at: str, only: Iterable[str] = ()) -> str:
    """The first page of bringing something back."""
    fields = [
        ("server", server),
        ("path", escaped(path)),
        ("at", at),
        *(("only", escaped(one)) for one in only),
    ]
    return f"/restore/new?{urlencode(fields)}"


def _address(page: str, server: str, path: str, query: dict[str, object]) -> str:
    place = quote(escaped(path.removeprefix("/")))
    fields = urlencode({name: str(value) for name, value in query.items() if value})
    return f"/{page}/{quote(server)}/{place}{'?' if fields else ''}{fields}"


def _escaped(character: str) -> str:
    if character.isprintable() and not (character.isascii() and ord(character) in _HARMFUL):
        return character
    return "".join(f"~{byte:02X}" for byte in to_bytes(character))


def _sound(text: str) -> str:
    """``text`` without halves of surrogate pairs, which no path holds."""
    return "".join(
        "\ufffd" if 0xD800 <= ord(one) < 0xDC80 or 0xDD00 <= ord(one) < 0xE000 else one for one in text
    )
