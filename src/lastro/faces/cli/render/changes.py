"""One change of one path in words: what is added, what goes, and of what changes, which properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lastro.domain.changes import Change, ChangeKind
from lastro.domain.entry import Entry
from lastro.domain.paths import printable
from lastro.faces.translation import gettext as _
from lastro.faces.wording import plain

SIGNS: Final = {
    ChangeKind.ADDED: ("+", "green"),
    ChangeKind.CHANGED: ("~", "yellow"),
    ChangeKind.REMOVED: ("-", "red"),
}


def in_words(before: Entry | None, after: Entry | None) -> str:
    """What happened to a path from ``before`` to ``after`` (``None``: nothing there)."""
    if before is None or after is None:
        entry = before or after
        return _whole(entry) if entry is not None else ""
    fields = Change(path=after.path, before=before, after=after).fields
    if "type" in fields:
        return _("{before} became {after}", before=_whole(before), after=_whole(after))
    return "; ".join(filter(None, (PROPERTIES[name](before, after) for name in fields)))


def _whole(entry: Entry) -> str:
    kind = plain.entry_type(entry.type)
    if entry.link_target is not None:
        return f"{kind} → {printable(entry.link_target)}"
    return f"{kind}, {plain.size(entry.size)}" if entry.type == "file" else kind


def _content(before: Entry, after: Entry) -> str:
    if before.digest is None or after.digest is None:
        return _("content (not kept on one side)")
    return _("content, {before} → {after}", before=plain.size(before.size), after=plain.size(after.size))


def _size(before: Entry, after: Entry) -> str:
    """The size of what differs in content is said with it."""
    if before.digest != after.digest:
        return ""
    return _("size {before} → {after}", before=plain.size(before.size), after=plain.size(after.size))


def _mode(before: Entry, after: Entry) -> str:
    return _("mode {before} → {after}", before=f"{before.mode:04o}", after=f"{after.mode:04o}")


def _owner(before: Entry, after: Entry) -> str:
    return _("owner {before} → {after}", before=plain.owner(before), after=plain.owner(after))


def _group(before: Entry, after: Entry) -> str:
    return "" if before.uid != after.uid else _owner(before, after)


def _target(before: Entry, after: Entry) -> str:
    return _("points to {before} → {after}", before=before.link_target or "", after=after.link_target or "")


def _numbers(before: Entry, after: Entry) -> str:
    return _("device {before} → {after}", before=_device(before), after=_device(after))


def _flags(before: Entry, after: Entry) -> str:
    return _("inode flags {before} → {after}", before=f"{before.flags:#x}", after=f"{after.flags:#x}")


def _device(entry: Entry) -> str:
    return f"{entry.rdev.major}:{entry.rdev.minor}" if entry.rdev else "-"


def _xattrs(before: Entry, after: Entry) -> str:
    old = {xattr.name: xattr.value for xattr in before.xattrs}
    new = {xattr.name: xattr.value for xattr in after.xattrs}
    names = [printable(name) for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return _("extended attributes: {names}", names=", ".join(names))


PROPERTIES: Final[Mapping[str, Callable[[Entry, Entry], str]]] = {
    "mode": _mode,
    "uid": _owner,
    "gid": _group,
    "size": _size,
    "link_target": _target,
    "rdev": _numbers,
    "xattrs": _xattrs,
    "flags": _flags,
    "digest": _content,
}
"""Every compared field but the type → what is said when only it differs; empty where another one says it already."""
