"""Byte-faithful paths. A path is a ``str`` decoded from the bytes of the file system with ``surrogateescape`` (PEP 383), so no byte of a
name is ever lost, and paths are ordered by their bytes. A relative path has no leading or trailing slash; the root itself is ``""``.
"""

from __future__ import annotations

from typing import Final

from lastro.errors import ProtocolError
from lastro.messages import N_


def to_bytes(path: str) -> bytes:
    """The bytes the file system knows this path by."""
    return path.encode("utf-8", "surrogateescape")


def from_bytes(raw: bytes) -> str:
    """The inverse of ``to_bytes``, for any bytes."""
    return raw.decode("utf-8", "surrogateescape")


def tree_order(path: str) -> tuple[bytes, ...]:
    """The sort key of a depth-first walk whose siblings are sorted by bytes: a directory, then all it holds, then its next sibling."""
    return tuple(to_bytes(path).split(b"/")) if path else ()


def is_faithful(text: str) -> bool:
    """Whether ``text`` is the one way to write some path: no NUL, and exactly what its own bytes decode to."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or from_bytes(to_bytes(text)) == text
    except UnicodeEncodeError:
        return False


def join(parent: str, name: str) -> str:
    """``parent/name``, where either may be the empty root path."""
    if not parent:
        return name
    if not name:
        return parent
    return f"{parent}{name}" if parent.endswith("/") else f"{parent}/{name}"


def parent_of(path: str) -> str:
    """The path of the directory that holds the relative ``path``; the root's parent is the root."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """The last component of ``path``."""
    return path.rpartition("/")[2]


def is_within(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or lies below it. Both relative, or both absolute."""
    if directory in {"", "/"}:
        return True
    return path == directory or path.startswith(f"{directory}/")


def relative_to(path: str, directory: str) -> str:
    """``path`` as seen from ``directory``, which must hold it.

    Raises:
        ValueError: it does not; asking was a mistake.
    """
    if path == directory:
        return ""
    if not is_within(path, directory):
        raise ValueError(f"{path!a} is not within {directory!a}")
    return path.lstrip("/") if directory in {"", "/"} else path[len(directory) + 1 :]


def check_relative(path: str) -> str:
    """Return ``path`` if it is a clean relative path; a hostile or sloppy peer's ``..``, ``//``, leading slash or NUL raises.

    Raises:
        ProtocolError: the path could leave its root, means two things, or is one that no file system has.
    """
    if path and (not is_faithful(path) or not _NO_NAMES.isdisjoint(path.split("/"))):
        raise ProtocolError(N_("The peer sent an impossible relative path: {path}"), path=ascii(path))
    return path


_NO_NAMES: Final = frozenset({"", ".", ".."})


def printable(path: str) -> str:
    r"""``path`` for a human's terminal. What is not shown as itself: a byte that was not UTF-8 is ``\xNN``, as are ASCII controls; other
    controls, bidirectional marks and what takes no visible room are ``\uNNNN`` or ``\UNNNNNNNN``.

    Only a face calls this; stored and sent paths stay as they are.
    """
    return path if path.isascii() and path.isprintable() else "".join(map(_printable_character, path))


def _printable_character(character: str) -> str:
    if character.isprintable() and character not in _INVISIBLE:
        return character
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{point - 0xDC00:02x}"
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x1_0000 else f"\\U{point:08x}"


_INVISIBLE: Final = frozenset(
    map(
        chr,
        [
            0x034F,  # combining grapheme joiner
            *(0x115F, 0x1160, 0x3164, 0xFFA0),  # Hangul fillers
            *(0x17B4, 0x17B5),  # Khmer inherent vowels
            *range(0x180B, 0x1810),  # Mongolian variation selectors
            0x2800,  # Braille without dots
            *range(0xFE00, 0xFE10),  # variation selectors
            *range(0xE0100, 0xE01F0),
        ],
    )
)
"""What Python calls printable and nobody can see (Unicode, Default_Ignorable_Code_Point): two names would look like one."""
