"""A directory of this machine as a destination."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import structs
from typing_extensions import override

from lastro.apply.apply import Work, run_apply, run_recover, trouble
from lastro.apply.destination import Conflict, Content, Destination, Outcome, OutcomeKind
from lastro.apply.finishing import remove_made, roll_back
from lastro.apply.intent import (
    Intent,
    Phase,
    destination_lock,
    ensure_intents,
    pending_intents,
    remove_intent,
    write_intent,
)
from lastro.apply.plan import Plan, in_tree_order, make_plan
from lastro.apply.reading import read_path, walk_tree
from lastro.apply.site import Site
from lastro.domain.changes import ChangeSet
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import parent_of, to_bytes
from lastro.errors import ConflictError, LockedError, UsageError
from lastro.filesystem.beneath import open_root
from lastro.filesystem.metadata import Owners
from lastro.filesystem.system import System
from lastro.messages import N_

_PLAIN: Final = 0o755


class LocalDestination(Destination):
    """The directory at the absolute ``path``; it is made by ``apply`` when it is not there.

    ``path`` may lead through links (its user named it); nothing below it does. ``intents`` is the absolute path of a directory, owner-only,
    not below ``path``, for the intent and lock files of all destinations of one installation.
    """

    def __init__(self, path: str, *, intents: str, system: System | None = None) -> None:
        self._path = os.path.realpath(path)
        self._intents = intents
        self._system = System() if system is None else system
        self._owners = Owners()

    @override
    def read(self, paths: list[str]) -> dict[str, Entry | None]:
        with self._opened() as root:
            if root is None:
                return dict.fromkeys(paths)
            return {path: read_path(root, path, owners=self._owners) for path in paths}

    @override
    def walk(self, path: str) -> Iterator[Entry]:
        """As promised. A walk of the whole (``""``) names all but the first member of each hard-link group as ``HARDLINK``."""
        with self._opened() as root:
            if root is not None:
                yield from _named_links(walk_tree(root, path, owners=self._owners), whole=path == "")

    @override
    def apply(self, apply_id: str, changes: ChangeSet, content: Content) -> Outcome:
        _check_id(apply_id)
        changes = in_tree_order(changes)
        make_plan(changes)  # refuses one that contradicts itself
        ensure_intents(self._intents, system=self._system)
        with destination_lock(self._intents, self._path):
            for pending in pending_intents(self._intents, self._path):
                raise LockedError(
                    N_("An apply to {destination} was interrupted ({apply_id})"),
                    destination=self._path,
                    apply_id=pending.apply_id,
                    hint=N_("Let it be finished or taken back first, then try again."),
                )
            try:
                return self._apply(apply_id, changes, content)
            except OSError as error:
                raise trouble(error, self._path) from error

    @override
    def recover(self) -> list[tuple[str, Outcome]]:
        if not os.path.isdir(to_bytes(self._intents)):
            return []
        with destination_lock(self._intents, self._path):
            try:
                return [
                    (intent.apply_id, self._recover(intent))
                    for intent in list(pending_intents(self._intents, self._path))
                ]
            except OSError as error:
                raise trouble(error, self._path) from error

    def _apply(self, apply_id: str, changes: ChangeSet, content: Content) -> Outcome:
        missing = _missing_directories(self._path)
        if not missing:
            with self._opened() as root:
                return run_apply(self._work(root, apply_id), changes, content)
        conflicts = [
            Conflict(path=change.path, expected=change.before, found=None)
            for change in changes.changes
            if change.before is not None
        ]
        if conflicts:
            return Outcome(kind=OutcomeKind.CONFLICT, conflicts=tuple(conflicts))
        announced = Intent(
            apply_id=apply_id,
            destination=self._path,
            inode=0,
            phase=Phase.STAGING,
            changes=changes,
            plan=Plan(),
            made=missing,
        )
        try:
            write_intent(self._intents, announced, system=self._system)
            for path in missing:
                _make_directory(path, system=self._system)
        except BaseException:
            self._take_back_made(announced)
            raise
        with self._opened() as root:
            outcome = run_apply(self._work(root, apply_id, made=missing), changes, content)
        if outcome.kind is OutcomeKind.CONFLICT:
            self._take_back_made(announced)
        return outcome

    def _take_back_made(self, intent: Intent) -> None:
        remove_made(intent.made, system=self._system)
        if os.path.lexists(os.path.join(to_bytes(self._intents), to_bytes(intent.apply_id))):
            remove_intent(self._intents, intent.apply_id, system=self._system)

    def _recover(self, intent: Intent) -> Outcome:
        with self._opened() as root:
            if root is None and intent.phase is Phase.PLACED and _removes_root(intent.changes):
                remove_intent(self._intents, intent.apply_id, system=self._system)
                return intent.outcome or Outcome(kind=OutcomeKind.APPLIED)
            if intent.inode == 0:
                roll_back(None, self._intents, intent, system=self._system)
                return Outcome(kind=OutcomeKind.ROLLED_BACK)
            if root is None or os.fstat(root).st_ino != intent.inode:
                raise ConflictError(
                    N_("{destination} is not the directory in which an interrupted apply ({apply_id}) began"),
                    destination=self._path,
                    apply_id=intent.apply_id,
                    hint=N_("Mount or move back what was there, then try again."),
                )
            return run_recover(self._work(root, intent.apply_id, made=intent.made), intent)

    def _work(self, root: int | None, apply_id: str, *, made: tuple[str, ...] = ()) -> Work:
        if root is None:
            raise FileNotFoundError(self._path)
        site = Site(root=root, apply_id=apply_id, system=self._system, owners=self._owners)
        return Work(site=site, intents=self._intents, destination=self._path, made=made)

    @contextmanager
    def _opened(self) -> Iterator[int | None]:
        try:
            root = open_root(self._path)
        except FileNotFoundError:
            yield None
            return
        try:
            yield root
        finally:
            os.close(root)


def _named_links(entries: Iterator[Entry], *, whole: bool) -> Iterator[Entry]:
    """In a walk of the whole, later members of a hard-link group are told as links to the first, as captures tell them."""
    first: dict[tuple[int, int], str] = {}
    for entry in entries:
        if not whole or entry.type is not EntryType.FILE or entry.nlink < 2:
            yield entry
            continue
        known = first.setdefault((entry.dev, entry.inode), entry.path)
        if known == entry.path:
            yield entry
        else:
            yield structs.replace(
                entry, type=EntryType.HARDLINK, link_target=known, size=0, holes=(), digest=None
            )


def _removes_root(changes: ChangeSet) -> bool:
    return any(change.path == "" and change.after is None for change in changes.changes)


def _missing_directories(path: str) -> tuple[str, ...]:
    """The directories at and above ``path`` that are not there, outer ones first."""
    missing: list[str] = []
    while path != "/" and not os.path.lexists(to_bytes(path)):
        missing.append(path)
        path = parent_of(path) or "/"
    return tuple(reversed(missing))


def _make_directory(path: str, *, system: System) -> None:
    folder, _, name = to_bytes(path).rpartition(b"/")
    parent = os.open(folder or b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        system.make_directory(parent, name, _PLAIN)
        system.sync(parent)
    finally:
        os.close(parent)


def _check_id(apply_id: str) -> None:
    if (
        not apply_id
        or not apply_id.isascii()
        or not apply_id.replace("-", "").isalnum()
        or "" in apply_id.split("-")
    ):
        raise UsageError(
            N_("{apply_id} cannot be the id of an apply"),
            apply_id=apply_id,
            hint=N_("Use letters, digits and single dashes."),
        )
