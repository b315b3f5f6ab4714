"""Names, sizes and kinds of things in words."""

from __future__ import annotations

from typing import Final

from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import printable
from lastro.faces.translation import gettext as _
from lastro.faces.wording.shell import command
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


def one_line(text: str) -> str:
    """A text of somebody else on one line, with what is no text made visible."""
    return printable(" ".join(text.split()))
