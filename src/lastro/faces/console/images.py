"""Contents that are no text: images that a browser may show, and what can be said of everything else.

What always holds: only what begins as one of the formats here, which hold nothing that runs, is ever sent as an image; its name says
nothing. SVG is a text that can hold scripts, and is shown as text.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = 256
"""Bytes that are looked at, and shown of what is neither text nor image."""
LARGEST_IMAGE: Final = 32 * 1024 * 1024
"""Bytes of an image that a page shows; a larger one is only described."""

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
)
_BRANDS: Final = (b"avif", b"avis")
_WIDTH: Final = 16

_KINDS: Final = (
    (b"\x7fELF", "ELF"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"SQLite format 3\x00", "SQLite 3"),
    (b"%PDF-", "PDF"),
)


def media_type(head: bytes) -> str:
    """The image type of what begins with ``head``; empty for what is no image that may be shown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        return "image/avif"
    return next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), "")


def format_name(head: bytes) -> str:
    """What format a content seems to be, by its first bytes; empty where nothing is known."""
    image = media_type(head)
    if image:
        return image.removeprefix("image/").removeprefix("x-").upper()
    return next((name for beginning, name in _KINDS if head.startswith(beginning)), "")


def hexadecimal(head: bytes) -> str:
    """``00000000  7f 45 4c 46 …  |.ELF…|``, as ``hexdump -C`` writes it."""
    lines = []
    for offset in range(0, len(head), _WIDTH):
        piece = head[offset : offset + _WIDTH]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
        lines.append(f"{offset:08x}  {piece.hex(' '):<{3 * _WIDTH - 1}}  |{text}|")
    return "\n".join(lines)
