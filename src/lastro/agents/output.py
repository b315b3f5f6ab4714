"""What an agent said: kept in its run's directory, bounded, and cut into lines for its adapter.

What always holds: at most about ``MOST`` bytes lie on the disk, the beginning and the end of all that was said; a line is given on whole,
or its first ``LONGEST_LINE`` bytes. Every byte is data: what is kept is JSON in ASCII, whatever it was.

    {"time_ns": …, "stream": "stdout", "text": "…"}    one line each, bytes that are no UTF-8 as lone surrogates
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Final

from lastro.domain.paths import from_bytes

HEAD: Final = 8 * 1024 * 1024
TAIL: Final = 4 * 1024 * 1024
MOST: Final = HEAD + 2 * TAIL
LONGEST_LINE: Final = 1024 * 1024


class OutputFile:
    """Writes ``path`` (the head), then ``path.1`` (the newest) and ``path.0`` (what was before it). For one thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[bytes] = _create(path)
        self._left = HEAD

    def write(self, time_ns: int, stream: str, data: bytes) -> None:
        """Keep a piece."""
        line = json.dumps({"time_ns": time_ns, "stream": stream, "text": from_bytes(data)}).encode("ascii")
        if len(line) >= self._left:
            self._turn()
        self._file.write(line[: self._left] + b"\n")
        self._left -= len(line) + 1

    def close(self) -> None:
        """Nothing more will be said."""
        self._file.close()

    def _turn(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            os.replace(f"{self._path}.1", f"{self._path}.0")
        self._file = _create(f"{self._path}.1")
        self._left = TAIL


def _create(path: str) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


class Lines:
    """Pieces of one stream in, lines out (without their end)."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that ``data`` ends."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._take(piece)
            yield self._line()
            self._dropping = False
        self._take(rest)

    def end(self) -> Iterator[bytes]:
        """The last line, if it had no end."""
        if self._rest:
            yield self._line()

    def _take(self, piece: bytes) -> None:
        if not self._dropping:
            self._rest += piece[: LONGEST_LINE - len(self._rest)]
            self._dropping = len(self._rest) >= LONGEST_LINE

    def _line(self) -> bytes:
        line = bytes(self._rest)
        self._rest.clear()
        return line
