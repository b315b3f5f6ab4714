"""Events of a process that stays, one readable line each (``wording.events``); with ``--json`` one ``item`` each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo

from lastro.app.events import Event
from lastro.faces.cli.context import Context
from lastro.faces.wording.events import lines_of


@dataclass(frozen=True, slots=True)
class TerminalSpeaker:
    """See ``Speaker``: in colours, with two blanks between what stands side by side."""

    context: Context

    @property
    def zone(self) -> tzinfo:
        """See ``Speaker``."""
        return self.context.zone

    def style(self, text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
        """See ``Speaker``."""
        return self.context.terminal.style(text, fg=fg, bold=bold or None, dim=dim or None)

    def beside(self, parts: Iterable[str]) -> str:
        """See ``Speaker``."""
        return "  ".join(filter(None, parts))


class Announcer:
    """Says what happens. ``emit`` may be called from any one thread at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def emit(self, event: Event) -> None:
        """Show one event. A kind that is not known yet is shown as it is."""
        terminal = self._context.terminal
        if terminal.json:
            terminal.object("progress" if event.kind == "progress" else "item", {"event": event})
            return
        if event.kind == "progress" and terminal.quiet:
            return
        for line in self.lines(event):
            terminal.line(line)
        terminal.flush()

    def lines(self, event: Event) -> list[str]:
        """What there is to say about one event; nothing about some."""
        return lines_of(event, TerminalSpeaker(self._context))
