"""The words all renderers share: sizes, times, names, references and columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.instants import age, clock_time
from lastro.faces.cli.shell import command
from lastro.faces.translation import gettext as _
from lastro.messages import N_

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")

TYPES: Final = {
    EntryType.FILE: N_("file"),
    EntryType.DIRECTORY: N_("directory"),
    EntryType.SYMLINK: N_("symbolic link"),
    EntryType.HARDLINK: N_("hard link"),
    EntryType.FIFO: N_("pipe"),
    EntryType.SOCKET: N_("socket"),
    EntryType.CHARACTER_DEVICE: N_("character device"),
    EntryType.BLOCK_DEVICE: N_("block device"),
}


def size(count: int) -> str:
    """``count`` bytes in three figures: ``812 B``, ``3.2 kB`` (a kB is 1000 bytes)."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit and value < 99.95 else f"{value:.0f} {_UNITS[unit]}"


def snapshot(number: int) -> str:
    """The name of a snapshot."""
    return f"snap-{number}"


def apply(number: int) -> str:
    """The name of an apply."""
    return f"apply-{number}"


def moment(time_ns: int, context: Context) -> str:
    """``2026-11-20 14:05:12``."""
    return clock_time(time_ns, context.zone)


def ago(time_ns: int, context: Context) -> str:
    """``5 min ago``."""
    return age(time_ns, context.now_ns)


def place(server: str, path: str) -> str:
    """``server:path``, for reading."""
    return printable(f"{server}:{path}")


def restore_command(server: str, path: str, number: int) -> str:
    """The command that brings a path back as a snapshot has it; it can be pasted."""
    return command("lastro", "restore", f"{server}:{path}@{snapshot(number)}")


def entry_type(kind: str) -> str:
    """``file``, ``directory``... in the reader's language."""
    return _(TYPES[EntryType(kind)])


def owner(entry: Entry) -> str:
    """``user:group``, by name where the names are known."""
    return printable(f"{entry.user or entry.uid}:{entry.group or entry.gid}")


def width_of(text: str) -> int:
    """Columns that printable ``text`` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


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


def shortened(text: str, width: int) -> str:
    """``text`` cut to ``width`` columns, with an ellipsis."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) >= width:
        text = text[:-1]
    return f"{text}…"


def one_line(text: str) -> str:
    """A text of somebody else on one line, with what is no text made visible."""
    return printable(" ".join(text.split()))


def warning(text: str, context: Context) -> str:
    """A warning's line."""
    return f"{context.terminal.style('!', error=True, fg='yellow', bold=True)} {text}"
