"""A file system that is a dict of inodes: what a change set does to one, hard links and all, as plainly as can be said."""

from __future__ import annotations

from msgspec.structs import replace

from lastro.apply.plan import make_plan
from lastro.domain.entry import EntryType, differing
from lastro.domain.paths import is_within, parent_of, tree_order
from tests.strategies import as_link, as_live

FILE, DIRECTORY, HARDLINK = EntryType.FILE, EntryType.DIRECTORY, EntryType.HARDLINK


class Disk:
    """A naive file system: every path names an inode, and an inode is an entry. Hard links are paths with one inode."""

    def __init__(self, tree):
        self.inodes = {entry.inode: entry for entry in as_live(tree).values()}
        self.names = {path: entry.inode for path, entry in as_live(tree).items()}

    def walk(self):
        """What is there as a ``Destination`` tells it: no member of a hard-link group is special."""
        inodes = list(self.names.values())
        return [
            replace(self.inodes[self.names[path]], path=path, nlink=inodes.count(self.names[path]))
            for path in sorted(self.names, key=tree_order)
        ]

    def read(self, paths):
        found = {entry.path: entry for entry in self.walk()}
        return {path: found.get(path) for path in paths}

    def recorded(self):
        """What a snapshot says of it: later members of a hard-link group are links to the first."""
        tree, first = {}, {}
        for entry in self.walk():
            leader = first.setdefault(entry.inode, entry)
            plain = replace(entry, dev=0, inode=0, nlink=1)
            tree[entry.path] = plain if leader is entry else as_link(tree[leader.path], entry.path)
        return tree

    def carry_out(self, changes):
        """Make every change, after a look that everything is as the plan says it is."""
        make_plan(changes)  # refuses what contradicts itself
        for change in changes.changes:
            assert self.is_as(change.path, change.before), change.path
        renamed = {
            change.path for change in changes.changes if change.before is not None and is_other(change)
        }
        renamed -= {
            change.path
            for change in changes.changes
            if change.path in renamed and stays_file(change) and self.has_names_beside(change.path, renamed)
        }
        for change in reversed(changes.changes):
            if change.path in renamed:
                above = change.after is not None and change.after.type is DIRECTORY
                assert above or not [path for path in self.names if is_within(path, change.path)][1:]
                del self.names[change.path]
        for links in (False, True):
            for change in changes.changes:
                if change.after is not None and (change.after.type is HARDLINK) == links:
                    self.make(change.after)

    def has_names_beside(self, path, renamed):
        """Whether a file has names that are to stay: then it is written into, and they show it too."""
        return bool({other for other, inode in self.names.items() if inode == self.names[path]} - renamed)

    def make(self, after):
        assert after.path == "" or self.inodes[self.names[parent_of(after.path)]].type is DIRECTORY
        if after.type is not HARDLINK:
            inode = self.names.setdefault(after.path, max(self.inodes, default=1) + 1)
            self.inodes[inode] = replace(after, dev=1, inode=inode)
            return
        leader = self.names[after.link_target]
        assert self.names.setdefault(after.path, leader) == leader
        told = {name: getattr(after, name) for name in ("mode", "uid", "xattrs", "flags")}
        assert self.inodes[leader].type is FILE
        self.inodes[leader] = replace(self.inodes[leader], **told)

    def is_as(self, path, before):
        found = self.read([path])[path]
        if before is None or found is None:
            return before is found
        if before.type is HARDLINK:
            linked = self.names.get(before.link_target) == self.names[path]
            return linked and not differing(as_link(replace(found, path=before.link_target), path), before)
        return not differing(found, before)


def is_other(change):
    """Whether another inode has to come, or none."""
    return change.after is None or any(
        getattr(change.before, name) != getattr(change.after, name)
        for name in ("type", "size", "link_target", "rdev", "digest")
    )


def stays_file(change):
    return change.after is not None and change.before.type is change.after.type is FILE


def same(one, other):
    return one.keys() == other.keys() and not any(differing(one[path], other[path]) for path in one)
