"""What happens during one command, for eyes: lines on standard error, and on a terminal one moving line with how far it is.

With ``--json`` each event is an ``item``. What always holds: nothing of it goes to standard output otherwise, and events may come from any
thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lastro.app.events import Event
from lastro.faces.cli.context import Context

MOVING = frozenset({"run_progress"})
"""Kinds that say how far it is; only the newest counts."""

LAST = frozenset({"run_ended"})
"""Kinds after which nothing moves any more: the reply follows."""


@contextmanager
def show_events(context: Context) -> Iterator[Callable[[Event], None]]:
    """Where to tell events for the length of a command."""
    live = _Live(context)
    try:
        yield live.tell
    finally:
        live.close()


class _Live:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._status: object | None = None
        self._is_watched = True

    def tell(self, event: Event) -> None:
        """Show one event. When nobody can be shown anything any more (a closed terminal, a reader that is gone), the work goes on."""
        with self._lock:
            if self._is_watched:
                try:
                    self._tell(event)
                except OSError:
                    self._is_watched = False

    def _tell(self, event: Event) -> None:
        terminal = self._context.terminal
        if terminal.json:
            terminal.object("progress" if event.kind in MOVING else "item", {"event": event})
        elif not terminal.quiet:
            self._show(event)

    def _show(self, event: Event) -> None:
        from lastro.faces.cli.render.events import TerminalSpeaker  # noqa: PLC0415  most commands tell nothing
        from lastro.faces.wording.review_events import SENTENCES  # noqa: PLC0415  as above

        if event.kind in LAST:
            self.close()
        say = SENTENCES.get(event.kind)
        text = say(event.parameters, TerminalSpeaker(self._context)) if say else ""
        if not text:
            return
        if not self._context.terminal.moving:
            if event.kind not in MOVING:
                self._context.terminal.note(text)
            return
        if event.kind in MOVING:
            self._move(text)
        else:
            self._print(text)

    def _move(self, text: str) -> None:
        from rich.console import Console  # noqa: PLC0415  half of a second; only work that lasts pays for it
        from rich.status import Status  # noqa: PLC0415  as above
        from rich.text import Text  # noqa: PLC0415  as above

        shown = Text(text, no_wrap=True, overflow="ellipsis")
        if isinstance(self._status, Status):
            self._status.update(shown)
        else:
            self._status = Status(shown, console=Console(stderr=True))
            self._status.start()

    def _print(self, text: str) -> None:
        """Above the moving line."""
        console = getattr(self._status, "console", None)
        if console is None:
            self._context.terminal.note(text)
            return
        from rich.text import Text  # noqa: PLC0415  as above

        console.print(Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        stop = getattr(self._status, "stop", None)
        self._status = None
        if stop is not None:
            with suppress(OSError):  # nobody is there to see it end
                stop()
