"""The words all renderers share: sizes, times, names, references and columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lastro.app.requests.sentence import Sentence
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.translation import gettext as _
from lastro.faces.translation import sentence
from lastro.faces.wording.instants import age, clock_time
from lastro.faces.wording.widths import shortened, width_of

__all__ = ["ago", "colored", "columns", "moment", "shortened", "warn_of", "warning", "width_of"]


def moment(time_ns: int, context: Context) -> str:
    """``2026-11-20 14:05:12``."""
    return clock_time(time_ns, context.zone)


def ago(time_ns: int, context: Context) -> str:
    """``5 min ago``."""
    return age(time_ns, context.now_ns)


def columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """``rows`` as lines with aligned columns, two spaces between them; the columns in ``right`` are right-aligned. No trailing spaces."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for position, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - width_of(cell))
            cells.append(gap + cell if position in right else cell + gap)
        lines.append("  ".join(cells).rstrip())
    return lines


def warning(text: str, context: Context) -> str:
    """A warning's line."""
    return f"{context.terminal.style('!', error=True, fg='yellow', bold=True)} {text}"


def colored(table: dict[str, tuple[str, str]], code: str, context: Context) -> str:
    """The word for ``code``, in its colour."""
    word, color = table.get(code, (printable(code), "white"))
    return context.terminal.style(_(word), fg=color)


def warn_of(problems: Iterable[Sentence], context: Context) -> None:
    """Say what could not be read, and what to do about it."""
    for problem in problems:
        context.terminal.warn(warning(sentence(problem.msgid, problem.parameters), context))
        if problem.hint:
            context.terminal.warn(f"  {sentence(problem.hint, problem.parameters)}")
