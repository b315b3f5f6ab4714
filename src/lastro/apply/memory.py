"""A destination in memory: for trying out what an apply would do, and the plain model that the conformance suite holds the other to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import structs
from typing_extensions import override

from lastro.apply.destination import Conflict, Content, Destination, Note, NoteKind, Outcome, OutcomeKind
from lastro.apply.plan import Index, Plan, UnitKind, in_tree_order, make_plan, written_in_place
from lastro.apply.reading import as_member, equal
from lastro.chunking.digest import digest_of
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import Digest
from lastro.domain.paths import is_within, parent_of, tree_order
from lastro.errors import DamagedError, NotFoundError
from lastro.messages import N_

_PLAIN = 0o755
_DEVICE = 1


class MemoryDestination(Destination):
    """Entries by path, and the bytes of files. Names of one file share an inode number; nothing here is forbidden or runs full.

    ``entries``: in tree order; a file's bytes are in ``contents`` by its digest. ``uid`` and ``gid`` own what no change describes.
    """

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        contents: Mapping[Digest, bytes] | None = None,
        *,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        self._entries: dict[str, Entry] = {}
        self._bytes: dict[int, bytes] = {}
        self._inodes = 0
        self._uid, self._gid = uid, gid
        for entry in entries:
            self._add(entry, (contents or {}).get(entry.digest or Digest(b""), b""))

    def content(self, path: str) -> bytes:
        """The bytes of the file at ``path``.

        Raises:
            NotFoundError: there is no file at it.
        """
        entry = self._entries.get(path)
        if entry is None or entry.type is not EntryType.FILE:
            raise NotFoundError(
                N_("There is no file at {path}"), path=path, hint=N_("List what is there first.")
            )
        return self._bytes[entry.inode]

    @override
    def read(self, paths: list[str]) -> dict[str, Entry | None]:
        return {path: self._counted(path) for path in paths}

    @override
    def walk(self, path: str) -> Iterator[Entry]:
        first: dict[int, str] = {}
        for each in sorted(self._entries, key=tree_order):
            entry = self._counted(each)
            if entry is None or not is_within(each, path):
                continue
            known = first.setdefault(entry.inode, each)
            if path or entry.nlink < 2 or known == each:
                yield entry
            else:
                yield structs.replace(
                    entry, type=EntryType.HARDLINK, link_target=known, size=0, holes=(), digest=None
                )

    @override
    def apply(self, apply_id: str, changes: ChangeSet, content: Content) -> Outcome:
        changes = in_tree_order(changes)
        make_plan(changes)
        conflicts = [
            conflict for change in changes.changes if (conflict := self._conflict(change)) is not None
        ]
        if conflicts:
            return Outcome(kind=OutcomeKind.CONFLICT, conflicts=tuple(conflicts))
        observed = {path: entry for path in self._entries if (entry := self._counted(path)) is not None}
        in_place = written_in_place(observed, changes.changes)
        plan = make_plan(changes, in_place=in_place, highest_missing=self._highest_missing)
        conflicts = self._unknown(plan, changes)
        if conflicts:
            return Outcome(kind=OutcomeKind.CONFLICT, conflicts=tuple(conflicts))
        new_bytes, missing = _staged(plan, changes, content)
        return self._carry_out(plan, changes, new_bytes, missing)

    @override
    def recover(self) -> list[tuple[str, Outcome]]:
        return []

    def _carry_out(
        self, plan: Plan, changes: ChangeSet, new_bytes: Mapping[str, bytes], missing: set[str]
    ) -> Outcome:
        index, skipped = Index(changes, plan), {*plan.skipped, *missing}
        notes = [
            *plan.notes,
            *(Note(path=path, kind=NoteKind.SKIPPED, detail="content") for path in sorted(missing)),
        ]
        going = [
            change
            for unit in plan.units
            for change in index.within(unit.path)
            if change.path not in skipped and change.after is not None
        ]
        for unit in plan.units:
            if unit.kind is UnitKind.WRITE:
                notes.append(Note(path=unit.path, kind=NoteKind.IN_PLACE, detail="hard_link"))
            elif unit.path not in skipped:
                for path in [path for path in self._entries if is_within(path, unit.path)]:
                    del self._entries[path]
        for change in sorted(
            going, key=lambda change: change.after is not None and change.after.type is EntryType.HARDLINK
        ):
            after = change.after
            if after is None:
                continue
            if after.type is EntryType.HARDLINK and after.link_target not in self._entries:
                notes.append(Note(path=after.path, kind=NoteKind.SKIPPED, detail="link_target"))
                skipped.add(after.path)
            else:
                self._make(after, new_bytes.get(change.path, b""))
        for path in plan.attributes:
            self._set(path, index.changes[path].after)
        applied = {
            *plan.attributes,
            *(
                change.path
                for unit in plan.units
                for change in index.within(unit.path)
                if change.path not in skipped
            ),
        }
        return Outcome(
            kind=OutcomeKind.APPLIED, applied=tuple(sorted(applied, key=tree_order)), notes=tuple(notes)
        )

    def _make(self, after: Entry, data: bytes) -> None:
        above = parent_of(after.path)
        while above not in self._entries:
            plain = Entry(path=above, type=EntryType.DIRECTORY, mode=_PLAIN, uid=self._uid, gid=self._gid)
            self._add(plain, b"")
            above = parent_of(above)
        old = self._entries.get(after.path)
        if old is None:
            self._add(after, data)
        else:  # written in place: every name of the file shows it
            self._bytes[old.inode] = data
            self._set(after.path, after)

    def _add(self, entry: Entry, data: bytes) -> None:
        if entry.type is EntryType.HARDLINK:
            self._entries[entry.path] = structs.replace(
                self._entries[entry.link_target or ""], path=entry.path
            )
            return
        self._inodes += 1
        self._entries[entry.path] = structs.replace(entry, inode=self._inodes, dev=_DEVICE, nlink=1)
        if entry.type is EntryType.FILE:
            self._bytes[self._inodes] = data

    def _set(self, path: str, after: Entry | None) -> None:
        if after is None:
            del self._entries[path]
            return
        old = self._entries.get(path)
        if old is None:
            self._add(after, b"")
            return
        for name, entry in self._entries.items():
            if entry.inode == old.inode:
                kept = old if after.type is EntryType.HARDLINK else after
                self._entries[name] = structs.replace(
                    after,
                    path=name,
                    type=old.type,
                    inode=old.inode,
                    dev=_DEVICE,
                    digest=kept.digest,
                    size=kept.size,
                    holes=kept.holes,
                    link_target=old.link_target,
                )

    def _counted(self, path: str) -> Entry | None:
        entry = self._entries.get(path)
        if entry is None:
            return None
        return structs.replace(
            entry, nlink=sum(other.inode == entry.inode for other in self._entries.values())
        )

    def _conflict(self, change: Change) -> Conflict | None:
        found, before = self._counted(change.path), change.before
        same = equal(before, found)
        if before is not None and before.type is EntryType.HARDLINK and found is not None:
            first = self._entries.get(before.link_target or "")
            same = found.type is EntryType.FILE and equal(before, as_member(found, before))
            same = same and first is not None and first.inode == found.inode
        return None if same else Conflict(path=change.path, expected=before, found=found)

    def _unknown(self, plan: Plan, changes: ChangeSet) -> list[Conflict]:
        known = {change.path for change in changes.changes}
        conflicts = []
        for unit in plan.units:
            if unit.kind is UnitKind.CREATE:
                above = self._entries.get(parent_of(unit.path))
                if above is not None and above.type is not EntryType.DIRECTORY:
                    conflicts.append(Conflict(path=unit.path, expected=None, found=above))
                continue
            conflicts += [
                Conflict(path=path, expected=None, found=self._counted(path))
                for path in self._entries
                if is_within(path, unit.path) and path not in known
            ]
        return conflicts

    def _highest_missing(self, path: str) -> str:
        while parent_of(path) and parent_of(path) not in self._entries:
            path = parent_of(path)
        return path


def _staged(plan: Plan, changes: ChangeSet, content: Content) -> tuple[dict[str, bytes], set[str]]:
    """The bytes of every new file, verified; and the paths whose content is not stored."""
    index, found, missing = Index(changes, plan), {}, set[str]()
    for unit in plan.units:
        for change in index.within(unit.path):
            after = change.after
            if after is None or after.type is not EntryType.FILE or change.path in plan.skipped:
                continue
            data = bytearray(after.size)
            try:
                for offset, block in content.read(after):
                    data[offset : offset + len(block)] = block
            except NotFoundError:
                missing.add(change.path)
                continue
            if digest_of(data) != after.digest:
                raise DamagedError(
                    N_("The content of {path} is not what was recorded"),
                    path=after.path,
                    hint=N_("Nothing was changed. Check the repository: lastro repo check --read-data"),
                )
            found[change.path] = bytes(data)
    return found, missing
