"""Content-defined chunking: FastCDC (2020), fed in blocks through a window of at most one maximum chunk and one block.

What always holds: the boundaries depend on the bytes and the parameters, never on how the bytes were cut into blocks; no file is mapped
and none is held whole in memory (except those below ``whole_below``, which are one chunk). The algorithm is published in
``docs/format.md`` (Chunking) and implemented a second time in ``tests/unit/chunking/reference.py``.

Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems", IEEE TPDS 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from pyfastcdc import FastCDC

MINIMUM: Final = 64 << 10
AVERAGE: Final = 256 << 10
MAXIMUM: Final = 1 << 20
WHOLE_BELOW: Final = 128 << 10
SEED_BITS: Final = 63
"""The gear table is XORed with the seed, and with the seed shifted left by one: 64 bits hold both."""


class ChunkerParameters(Struct, frozen=True, kw_only=True):
    """Sizes in bytes, and the seed (0 … 2⁶³ - 1) that keeps a repository's boundaries to itself. Files below
    ``whole_below`` are one chunk.
    """

    minimum: int = MINIMUM
    average: int = AVERAGE
    maximum: int = MAXIMUM
    whole_below: int = WHOLE_BELOW
    seed: int = 0


class Chunker:
    """One file's bytes in, its chunks out. Not for use from two threads at once."""

    def __init__(self, parameters: ChunkerParameters) -> None:
        self._cutter = FastCDC(
            parameters.average,
            min_size=parameters.minimum,
            max_size=parameters.maximum,
            normalized_chunking=1,
            seed=parameters.seed,
        )
        self._maximum = parameters.maximum
        self._whole_below = parameters.whole_below
        self._window = bytearray()
        self._cut_any = False

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Take the next bytes of the file; the chunks that are certain now."""
        self._window += data
        # A cut is certain when one maximum chunk is in sight, so that the end of the window decided nothing, and when the
        # file is known to be no small one.
        while len(self._window) >= max(self._maximum, self._whole_below):
            yield self._cut()

    def finish(self) -> Iterator[bytes]:
        """The file is complete: the rest of its chunks. An empty file has none."""
        if not self._cut_any and len(self._window) < self._whole_below:
            if self._window:
                yield bytes(self._window)
            self._window.clear()
            return
        while self._window:
            yield self._cut()

    def _cut(self) -> bytes:
        with memoryview(self._window) as view:
            length = next(iter(self._cutter.cut_buf(view[: self._maximum]))).length
            chunk = bytes(view[:length])
        del self._window[:length]
        self._cut_any = True
        return chunk
