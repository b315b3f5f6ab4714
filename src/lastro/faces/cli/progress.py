"""Progress of long work, for eyes: one moving line on standard error of a terminal, JSON lines with ``--json``, else nothing.

The line appears only when work lasts, and is gone when it ends: nothing of it stays between the data.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lastro.domain.progress import Progress, Report, silent
from lastro.faces.cli.terminal import Terminal
from lastro.faces.wording.progress_words import describe

__all__ = ["describe", "show_progress"]

_PAUSE_S: Final = 0.5
"""How long work may last without a word."""
_EVERY_S: Final = 0.25


@contextmanager
def show_progress(terminal: Terminal) -> Iterator[Report]:
    """A report for the length of a command."""
    if terminal.json:
        yield _Lines(terminal).show
        return
    if not terminal.moving:
        yield silent
        return
    line = _Line()
    try:
        yield line.show
    finally:
        line.close()


class _Lines:
    """JSON lines: latest-only, so one every ``_EVERY_S`` seconds is enough."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._next = time.monotonic() + _EVERY_S

    def show(self, progress: Progress) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + _EVERY_S
            self._terminal.object("progress", {"progress": progress})


class _Line:
    """Rich's status line, made when the first report after the pause comes."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._status: object | None = None

    def show(self, progress: Progress) -> None:
        if time.monotonic() - self._start < _PAUSE_S:
            return
        from rich.console import Console  # noqa: PLC0415  half of a second; only work that lasts pays for it
        from rich.status import Status  # noqa: PLC0415  as above
        from rich.text import Text  # noqa: PLC0415  as above

        text = Text(describe(progress), no_wrap=True, overflow="ellipsis")
        if not isinstance(self._status, Status):
            self._status = Status(text, console=Console(stderr=True))
            self._status.start()
        else:
            self._status.update(text)

    def close(self) -> None:
        stop = getattr(self._status, "stop", None)
        if stop is not None:
            stop()
