"""``Caller``: how a face or a CALLER operation reaches KEEPER operations, in this process or over the keeper's unix socket.

The two implementations behave the same (``tests/conformance/test_callers.py``): ``InProcessCaller`` opens the repository itself, taking its
lock only for what changes it; ``SocketCaller`` speaks HTTP to ``run/keeper.sock`` and offers sources over ``run/source.sock``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from lastro.capture.source import Source


class Bytes(Struct, frozen=True, kw_only=True):
    """A reply that is bytes: its logical size and the blocks ``(offset, data)``; gaps are zeros.

    ``digest`` is its plain BLAKE3; empty where it is of several files.
    """

    size: int
    digest: bytes
    blocks: Iterator[tuple[int, bytes]]


class Caller(Protocol):
    """Calls operations by name. Errors are the same ``LastroError`` whatever the way."""

    def call(self, name: str, request: Struct) -> object:
        """Run the KEEPER operation ``name``; the reply is of its reply type (``Bytes`` for a reply that is bytes)."""
        ...

    def offer(self, source: Source) -> AbstractContextManager[str]:
        """Let the keeper capture from ``source`` while the context lasts; gives the offer's id for ``capture.offered``."""
        ...

    def events(self, after: int | None) -> Iterator[Struct]:
        """Events as they happen (``app.events.Event``), first the durable ones after the log's ``seq`` ``after``.

        Ends when the keeper stops.
        """
        ...

    def damage(self) -> tuple[str, ...]:
        """Objects of the repository that could not be read when this process opened it.

        Empty where a keeper opened it: that one says so.
        """
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...
