"""What differs of a path beside its content, as rows of a table, with what deserves a second look said in words.

What always holds: every compared field of an entry that differs is said; a new right that others get by it is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from stat import S_IWOTH, filemode
from typing import Final, NamedTuple

from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import printable
from lastro.faces.translation import gettext as _
from lastro.faces.wording import plain

_SETUID: Final = 0o4000
_SETGID: Final = 0o2000
_WORTH_SAYING: Final = 0o7113
"""Rights of a new file that are said: special ones, to execute, and to be written by anybody."""
_DIRECTORY: Final = 0o040000
_FILE: Final = 0o100000
_LONGEST_VALUE: Final = 64
_CAPABILITY: Final = "security.capability"


class Property(NamedTuple):
    """A row: its name, both values (empty: there is none), and what to look at (empty: nothing)."""

    name: str
    before: str
    after: str
    warning: str = ""


def properties_of(before: Entry | None, after: Entry | None) -> list[Property]:
    """What differs beside the content; of what is new or gone, what is worth saying."""
    if before is not None and after is not None:
        fields = Change(path=after.path, before=before, after=after).fields
        rows = [row for name in fields for row in _ROWS[name](before, after)]
        return list(dict.fromkeys(rows))
    one = before or after
    assert one is not None
    if one.type is EntryType.FILE:  # its kind and usual rights go without saying
        odd = after is not None and after.mode & _WORTH_SAYING
        return [*(_mode(before, after) if odd else ()), *_xattrs(before, after)]
    return [row for make in (_kind, _mode, _target, _xattrs) for row in make(before, after)]


def summary(before: Entry | None, after: Entry | None) -> str:
    """All of it in one line, the content too: ``content, 3 B → 5 B; mode 0644 → 0755``."""
    if before is None or after is None:
        one = before or after
        return _whole(one) if one is not None else ""
    parts = []
    if before.digest != after.digest:
        parts.append(
            _("content, {before} → {after}", before=plain.size(before.size), after=plain.size(after.size))
        )
    parts += [f"{row.name} {row.before or '-'} → {row.after or '-'}" for row in properties_of(before, after)]
    return "; ".join(parts)


def _whole(entry: Entry) -> str:
    kind = plain.entry_type(entry.type)
    if entry.link_target is not None:
        return f"{kind} → {printable(entry.link_target)}"
    return f"{kind}, {plain.size(entry.size)}" if entry.type is EntryType.FILE else kind


def _kind(before: Entry | None, after: Entry | None) -> list[Property]:
    old, new = (plain.entry_type(one.type) if one else "" for one in (before, after))
    return [Property(_("kind"), old, new)] if old != new else []


def _mode(before: Entry | None, after: Entry | None) -> list[Property]:
    if after is not None and after.type is EntryType.SYMLINK:
        return []  # Linux gives them all the same, and lets nobody change it
    return [Property(_("mode"), _mode_text(before), _mode_text(after), _mode_warning(before, after))]


def _mode_text(entry: Entry | None) -> str:
    if entry is None:
        return ""
    kind = _DIRECTORY if entry.type is EntryType.DIRECTORY else _FILE
    return f"{entry.mode:04o} {filemode(kind | entry.mode)[1:]}"


def _mode_warning(before: Entry | None, after: Entry | None) -> str:
    if after is None:
        return ""
    gained = after.mode & ~(before.mode if before is not None else 0)
    warnings = []
    if gained & _SETUID:
        warnings.append(_("setuid: runs with its owner's rights, whoever starts it"))
    if gained & _SETGID and after.type is not EntryType.DIRECTORY:
        warnings.append(_("setgid: runs with its group's rights, whoever starts it"))
    if gained & S_IWOTH and after.type is not EntryType.SYMLINK:
        warnings.append(_("anybody on that machine may write it"))
    return "; ".join(warnings)


def _owner(before: Entry | None, after: Entry | None) -> list[Property]:
    old, new = (
        f"{plain.owner(one)} ({one.uid}:{one.gid})" if one is not None else "" for one in (before, after)
    )
    root = after is not None and after.uid == 0 and (before is None or before.uid != 0)
    return [Property(_("owner"), old, new, _("it would belong to root") if root else "")]


def _target(before: Entry | None, after: Entry | None) -> list[Property]:
    old, new = (printable((one.link_target or "") if one else "") for one in (before, after))
    return [Property(_("points to"), old, new)] if old or new else []


def _device(before: Entry | None, after: Entry | None) -> list[Property]:
    old, new = (f"{one.rdev.major}:{one.rdev.minor}" if one and one.rdev else "" for one in (before, after))
    return [Property(_("device"), old, new)]


def _flags(before: Entry | None, after: Entry | None) -> list[Property]:
    old, new = (f"{one.flags:#x}" if one else "" for one in (before, after))
    return [Property(_("inode flags"), old, new)]


def _xattrs(before: Entry | None, after: Entry | None) -> list[Property]:
    old, new = ({xattr.name: xattr.value for xattr in one.xattrs} if one else {} for one in (before, after))
    return [
        Property(
            _("extended attribute {name}", name=printable(name)),
            _value(old.get(name)),
            _value(new.get(name)),
            _("capabilities: more rights for whoever starts it")
            if name == _CAPABILITY and name in new
            else "",
        )
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _value(value: bytes | None) -> str:
    if value is None:
        return ""
    text = value.decode("utf-8", "surrogateescape")
    shown = printable(text) if printable(text) == text else value.hex()
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"


def _nothing(_before: Entry | None, _after: Entry | None) -> list[Property]:
    """Content is shown by itself, and its size with it."""
    return []


_ROWS: Final[Mapping[str, Callable[[Entry | None, Entry | None], list[Property]]]] = {
    "type": _kind,
    "mode": _mode,
    "uid": _owner,
    "gid": _owner,
    "size": _nothing,
    "link_target": _target,
    "rdev": _device,
    "xattrs": _xattrs,
    "flags": _flags,
    "digest": _nothing,
}
