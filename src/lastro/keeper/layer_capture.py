"""A capture of what a run made of a project in its own view: the snapshot before, with some paths as an offered source has them.

Such a snapshot has a target of kind ``run``: it never was there live, so it is nobody's head, and no stat row is remembered of it. What
always holds: nothing but the named paths differs from the snapshot before; a path whose compared attributes turn out the same stands
as it was; when nothing differs, nothing is recorded.

Hard links (``docs/format.md``, Runs): members of a group that are all named become a group; a file whose other names were not named is a
file of its own, as it is in the view (an overlay parts a file from its other names when it is first written).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, structs

from lastro.capture.source import Skipped, Source
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.clock import Clock
from lastro.domain.entry import Entry, EntryType, differing
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.paths import (
    check_relative,
    from_bytes,
    is_within,
    join,
    parent_of,
    relative_to,
    to_bytes,
    tree_order,
)
from lastro.domain.progress import Report, silent
from lastro.domain.record import Actor, RecordKind, RecordTarget
from lastro.domain.snapshot import Reason, Snapshot, SnapshotBody, Statistics
from lastro.domain.target import Target, TargetKind
from lastro.errors import NotFoundError
from lastro.keeper.capture_run import CaptureRun
from lastro.keeper.capture_state import CaptureState
from lastro.keeper.kept_chunks import KeptChunks
from lastro.keeper.link_groups import first_members, part_links, up
from lastro.keeper.standing import checked_listing, topmost
from lastro.messages import N_
from lastro.store.repository import RecordDraft, Repository
from lastro.store.tree import (
    ChunkReader,
    TreeEntry,
    decode_tree_entry,
    encode_tree_entry,
    lookup,
    to_entry,
    to_tree_entry,
    update,
)
from lastro.store.tree import diff as tree_diff

_BATCH_FILES = 1000
_BATCH_BYTES = 64 * 1024 * 1024
_Edits = dict[str, TreeEntry | None]


class LayerResult(Struct, frozen=True, kw_only=True):
    """``after``: the ``seq`` of the snapshot that was recorded, or of the one before when nothing differs. ``changes``: what differs in the
    project, paths relative to it.
    """

    after: int
    changes: ChangeSet


def changes_within(reader: ChunkReader, before: bytes, after: bytes, directory: str) -> ChangeSet:
    """What differs between two snapshot roots (``Snapshot.root``) at and below ``directory`` (relative to the target), as seen from there.

    Its digest is what proposals and approvals name.

    Raises:
        DamagedError: a piece that has to be read is not what was written.
    """
    old, new = (lookup(reader, decode_tree_entry(root), directory) for root in (before, after))
    return ChangeSet(tuple(tree_diff(reader, old, new)))


def capture_layer(
    repository: Repository,
    state: CaptureState,
    clock: Clock,
    source: Source,
    *,
    before: Snapshot,
    project: str,
    changed: Sequence[str],
    actor: Actor,
    reason: Reason = Reason.RUN,
    report: Report = silent,
) -> LayerResult:
    """Record ``before`` with what ``source``, rooted at the absolute ``project``, has at the ``changed`` paths (relative to ``project``).

    A path that is not there any more is removed. A directory that is a directory in ``before`` too stands for its own attributes; what
    differs in it is named itself. Any other is taken with everything below it.

    Raises:
        NotFoundError: ``before`` does not hold the project.
        ProtocolError, UnreachableError: nothing was recorded.
    """
    started_ns = clock.monotonic_ns()
    prefix = _prefix(before.target, project)
    root = decode_tree_entry(before.root)
    with repository.begin() as transaction:
        reader = KeptChunks(transaction)
        old = lookup(reader, root, prefix)
        if old is None or not old.is_directory:
            raise NotFoundError(N_("snap-{number} does not hold {path}."), number=before.number, path=project)
        run = CaptureRun(
            repository=repository,
            transaction=transaction,
            state=state,
            source=source,
            target=Target(ServerId(LOCAL), TargetKind.RUN, project),
            report=report,
        )
        edits = _Collecting(run, reader, old, prefix).collect(changed)
        edits |= part_links(reader, state, before.target, root, edits)
        after = update(transaction, transaction, root, edits)
        assert after is not None
        encoded = encode_tree_entry(after)
        changes = changes_within(reader, before.root, encoded, prefix)
        if not changes.changes:
            return LayerResult(after=before.seq, changes=changes)
        statistics = _statistics(
            before.statistics, changes.changes, transaction.stored, clock.monotonic_ns() - started_ns
        )
        warnings = [
            (to_bytes(join(prefix, warning.path)), warning.kind.value, warning.detail)
            for warning in run.warnings
        ]
        body = SnapshotBody(
            node_time_ns=None, reason=reason.value, root=encoded, statistics=statistics, warnings=warnings
        )
        (stored,) = transaction.commit(_draft(before.target, body, actor))
        return LayerResult(after=stored.seq, changes=changes)


def _draft(target: Target, body: SnapshotBody, actor: Actor) -> RecordDraft:
    """The record of what a run made of ``target``."""
    return RecordDraft(
        kind=RecordKind.SNAPSHOT,
        actor=actor,
        server=target.server,
        target=RecordTarget(kind=TargetKind.RUN.value, path=to_bytes(target.path)),
        body=body,
    )


def _prefix(target: Target, project: str) -> str:
    if not is_within(project, target.path):
        raise NotFoundError(
            N_("{path} does not lie in {target}, of which the snapshot is."), path=project, target=target.path
        )
    return relative_to(project, target.path)


def _statistics(before: Statistics, changes: Sequence[Change], stored: int, duration_ns: int) -> Statistics:
    entries, files, size = before.entries, before.files, before.bytes
    for change in changes:
        for entry, sign in ((change.before, -1), (change.after, 1)):
            if entry is not None:
                entries += sign
                files += sign * (entry.type is EntryType.FILE)
                size += sign * entry.size
    kinds = [change.kind.value for change in changes]
    return Statistics(
        added=kinds.count("added"),
        bytes=size,
        changed=kinds.count("changed"),
        duration_ns=duration_ns,
        entries=entries,
        files=files,
        removed=kinds.count("removed"),
        stored=stored,
    )


class _Collecting:
    """Reads the named paths. ``before``: the project's own entry in the snapshot before."""

    def __init__(self, run: CaptureRun, reader: ChunkReader, before: TreeEntry, prefix: str) -> None:
        self._run = run
        self._reader = reader
        self._before = before
        self._prefix = prefix
        self._project = run.target.path
        self._edits: _Edits = {}
        self._same: dict[str, str] = {}
        """Links of the snapshot before that are files of their own now, with the same content → the file they were links to."""

    def collect(self, changed: Sequence[str]) -> _Edits:
        """Path relative to the target → tree entry to record, ``None`` to remove."""
        named = sorted({check_relative(path) for path in changed}, key=tree_order)
        listed, unknown = self._look(named)
        whole = topmost(
            path
            for path, entry in listed.items()
            if entry.type is EntryType.DIRECTORY and not self._was_directory(path)
        )
        listings = {path: self._listing(path) for path in whole}
        single = {
            path: entry
            for path, entry in listed.items()
            if not any(is_within(path, above) for above in _above(path, listings))
        }
        firsts = first_members([*single.values(), *_entries(listings.values())])
        for path in named:
            if path not in listed and not any(is_within(path, above) for above in unknown):
                self._edit(path, None)
        self._take(single, firsts)
        for path, listing in listings.items():
            built = self._run.build(self._grouped(listing, firsts), path, lambda _: (None, None))
            self._edit(path, built)
        for path, first in self._same.items():
            if first not in self._edits and path not in firsts.values():
                del self._edits[path]
        self._lead()
        return {join(self._prefix, path): edit for path, edit in self._edits.items()}

    def _look(self, named: Sequence[str]) -> tuple[dict[str, Entry], list[str]]:
        """The entries of the named paths, and the paths at and below which nothing is known."""
        wanted, listed, unknown = set(named), dict[str, Entry](), list[str]()
        if not named:
            return listed, unknown
        for item in self._run.source.list(self._project, named, recursive=False):
            check_relative(item.path)
            if isinstance(item, Skipped):
                if any(is_within(path, item.path) for path in wanted):
                    self._run.warn(item)
                    unknown.append(item.path)
            elif item.path in wanted:
                listed[item.path] = item
        return listed, unknown

    def _was_directory(self, path: str) -> bool:
        entry = self._known(path)
        return entry is not None and entry.is_directory

    def _known(self, path: str) -> TreeEntry | None:
        return lookup(self._reader, self._before, path)

    def _listing(self, path: str) -> list[Entry | Skipped]:
        return list(checked_listing(self._run.source.list(self._project, (path,), recursive=True), path))

    def _grouped(
        self, listing: Iterable[Entry | Skipped], firsts: Mapping[str, str]
    ) -> Iterator[Entry | Skipped]:
        return (self._member(item, firsts) if isinstance(item, Entry) else item for item in listing)

    def _member(self, entry: Entry, firsts: Mapping[str, str]) -> Entry:
        """``entry``, or when another named path is the first of its hard-link group, a link to that."""
        first = firsts.get(entry.path, entry.path)
        if first == entry.path:
            return entry
        target = join(self._prefix, first)
        return structs.replace(entry, type=EntryType.HARDLINK, link_target=target, size=0, holes=())

    def _take(self, single: Mapping[str, Entry], firsts: Mapping[str, str]) -> None:
        """Single paths, each without what is below it."""
        batch: list[Entry] = []
        size = 0
        for entry in (self._member(entry, firsts) for entry in single.values()):
            if entry.type is not EntryType.FILE:
                self._edit(entry.path, to_tree_entry(entry))
                continue
            batch.append(entry)
            size += entry.size
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                self._read(batch)
                batch, size = [], 0
        self._read(batch)

    def _read(self, batch: list[Entry]) -> None:
        for path, file in self._run.fetch(batch).items() if batch else ():
            if file.tree_entry is None or file.tree_entry.digest is not None:
                self._edit(path, file.tree_entry)
            # else it could not be read: what was known before stands

    def _edit(self, path: str, entry: TreeEntry | None) -> None:
        """Record ``entry`` at ``path``, if it is not what stands there already."""
        before = self._known(path)
        if entry is None and before is None:
            return
        if entry is not None and before is not None and entry.type is before.type:
            same = not differing(to_entry(before, path), to_entry(entry, path))
            if same and (not entry.is_directory or entry.subtree is None):
                return
        if entry is not None and before is not None and self._is_same_content(before, entry, path):
            assert before.link_target is not None
            self._same[path] = relative_to(from_bytes(before.link_target), self._prefix)
        self._edits[path] = entry

    def _is_same_content(self, before: TreeEntry, entry: TreeEntry, path: str) -> bool:
        """Whether a link became a file like the one it led to. It was only opened for writing: that is no change."""
        if (
            before.type is not EntryType.HARDLINK
            or entry.type is not EntryType.FILE
            or before.link_target is None
        ):
            return False
        first = from_bytes(before.link_target)
        linked = self._known(relative_to(first, self._prefix)) if is_within(first, self._prefix) else None
        return linked is not None and not differing(to_entry(linked, path), to_entry(entry, path))

    def _lead(self) -> None:
        """Make every edit lie in a directory: in one of the snapshot before, else in one of the view that nobody named."""
        for path in sorted(self._edits, key=tree_order):
            above = parent_of(path)
            for directory in reversed(list(up(above))) if path else ():
                if directory not in self._edits and not self._was_directory(directory):
                    found, _ = self._look((directory,))
                    entry = found.get(directory)
                    self._edits[directory] = None if entry is None else to_tree_entry(entry)
        sealed: str | None = None
        for path in sorted(self._edits, key=tree_order):
            if sealed is not None and is_within(path, sealed):
                del self._edits[path]
                continue
            edit = self._edits[path]
            sealed = path if edit is None or not edit.is_directory or edit.subtree is not None else sealed


def _above(path: str, listings: Mapping[str, object]) -> list[str]:
    return [each for each in (path, *up(parent_of(path))) if each in listings]


def _entries(listings: Iterable[Iterable[Entry | Skipped]]) -> Iterator[Entry]:
    for listing in listings:
        yield from (item for item in listing if isinstance(item, Entry))
