"""The chosen part of a change set: what is left of a proposal when a human approves some files, or some hunks. Pure.

What always holds: the result does not contradict itself (``apply.plan`` can carry it out), holds nothing that was neither chosen nor
needed by something chosen (``Selected.brought`` says what was), and is the same wherever it is computed from the same pair: its digest is
what an approval signs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from lastro.chunking.digest import digest_of
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType, differing
from lastro.domain.paths import from_bytes, is_within, parent_of, to_bytes, tree_order
from lastro.domain.proposal import ChosenHunks, Selection
from lastro.errors import UsageError
from lastro.messages import N_
from lastro.proposals.hunks import Hunk, hunks_of, with_hunks


class Contents(Protocol):
    """The bytes of changed files. Asked only for files of which hunks are chosen, once for each side; ``None``: they cannot be had."""

    def before(self, path: str) -> bytes | None:
        """What the file at ``path`` held before."""
        ...

    def after(self, path: str) -> bytes | None:
        """What it holds as proposed."""
        ...


class Selected(Struct, frozen=True, kw_only=True):
    """What was chosen. ``composed``: the new content of files of which only some hunks were; everything else is as proposed.

    ``brought``: paths that nobody named, but that something named cannot do without. ``rest``: paths of which something was not chosen.
    """

    changes: ChangeSet
    composed: Mapping[str, bytes] = {}
    brought: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def select(changes: ChangeSet, selection: Selection, content: Contents) -> Selected:
    """The part of ``changes`` that ``selection`` names: each path exactly, a directory without what it holds (``named_within`` gives that).

    What a chosen path cannot do without comes along: the directories it lies in, where they are new (also in the place of a file); for a
    hard link the file it is a name of; and for a file that has several names before and after, its changes at the others. A removed
    directory, or one that becomes something else, needs the removal of everything in it chosen too. The two halves of a rename are two
    choices: the new file alone makes a copy, the old one alone a removal.

    Raises:
        UsageError: a path or hunk is not there, is named twice or cannot be chosen alone; ``hint`` says what there is.
    """
    if selection.whole:
        return Selected(changes=changes)
    known = {change.path: change for change in changes.changes}
    files = {_known(known, raw) for raw in selection.files}
    partly = {_known(known, chosen.path): chosen for chosen in selection.hunks}
    _check_once(selection, files, partly)
    named = files | partly.keys()
    wanted = _closed(known, named)
    _check_removals(changes, wanted)
    composed: dict[str, bytes] = {}
    chosen_changes = []
    rest = {path for path in known if path not in wanted}
    for change in changes.changes:
        if change.path not in wanted:
            continue
        if change.path in partly:
            part = _in_part(change, partly[change.path], content)
            if part.content is not None:
                composed[change.path] = part.content
                rest.add(change.path)
            chosen_changes.append(part.change)
        else:
            chosen_changes.append(change)
    return Selected(
        changes=ChangeSet(tuple(chosen_changes)),
        composed=composed,
        brought=tuple(sorted(wanted - named, key=tree_order)),
        rest=tuple(sorted(rest, key=tree_order)),
    )


def named_within(changes: ChangeSet, path: str) -> tuple[str, ...]:
    """The changed paths at and below ``path``: what a human means who names a directory."""
    return tuple(change.path for change in changes.changes if is_within(change.path, path))


class _Part(Struct, frozen=True):
    """A change of which some hunks were chosen; ``content`` is ``None`` when they were all."""

    change: Change
    content: bytes | None


def _known(known: Mapping[str, Change], raw: bytes) -> str:
    path = from_bytes(raw)
    if path not in known:
        raise UsageError(
            N_("{path} is not changed by this proposal"),
            path=path,
            paths=_some(sorted(known, key=tree_order)),
            hint=N_("Changed are: {paths}"),
        )
    return path


_NAMED: Final = 8


def _some(words: list[str]) -> str:
    return ", ".join(words[:_NAMED]) + (", …" if len(words) > _NAMED else "")


def _check_once(selection: Selection, files: set[str], partly: Mapping[str, ChosenHunks]) -> None:
    """A path is chosen whole or in hunks, and its hunks are named once."""
    seen: set[bytes] = {to_bytes(path) for path in files}
    for chosen in selection.hunks:
        if chosen.path in seen or not chosen.numbers or len(set(chosen.numbers)) != len(chosen.numbers):
            raise UsageError(
                N_("What is chosen of {path} is not clear"),
                path=from_bytes(chosen.path),
                hint=N_("Name a file once: whole, or with the numbers of its hunks, each once."),
            )
        seen.add(chosen.path)
    assert len(partly) == len(selection.hunks)


def _closed(known: Mapping[str, Change], named: set[str]) -> set[str]:
    """``named`` and what it cannot do without."""
    members: dict[str, list[str]] = {}
    for change in known.values():
        target = _stays_link(change)
        if target is not None:
            members.setdefault(target, []).append(change.path)
    wanted: set[str] = set()
    waiting = list(named)
    while waiting:
        path = waiting.pop()
        if path in wanted:
            continue
        wanted.add(path)
        waiting += _needed_by(known, known[path])
        if _stays_file(known[path]):
            waiting += members.get(path, ())
    return wanted


def _needed_by(known: Mapping[str, Change], change: Change) -> Iterator[str]:
    after = change.after
    if after is None:
        return
    if after.type is EntryType.HARDLINK and after.link_target is not None and after.link_target in known:
        yield after.link_target
    above = change.path
    while above:
        above = parent_of(above)
        if above in known and not _is_directory(known[above].before):
            yield above


def _stays_link(change: Change) -> str | None:
    """The file that the path is a further name of, before and after."""
    sides = (change.before, change.after)
    if any(side is None or side.type is not EntryType.HARDLINK for side in sides):
        return None
    targets = {side.link_target for side in sides if side is not None}
    return targets.pop() if len(targets) == 1 else None


def _stays_file(change: Change) -> bool:
    return all(side is not None and side.type is EntryType.FILE for side in (change.before, change.after))


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.type is EntryType.DIRECTORY


def _check_removals(changes: ChangeSet, wanted: set[str]) -> None:
    """Nothing stays below a directory that goes."""
    going: str | None = None
    for change in changes.changes:
        if going is not None and not is_within(change.path, going):
            going = None
        if going is not None and change.before is not None and change.path not in wanted:
            raise UsageError(
                N_("{directory} cannot be removed without {path}, which is in it"),
                directory=going,
                path=change.path,
                hint=N_("Choose the removal of everything in the directory too, or leave the directory out."),
            )
        goes = _is_directory(change.before) and not _is_directory(change.after)
        if going is None and goes and change.path in wanted:
            going = change.path


def _in_part(change: Change, chosen: ChosenHunks, content: Contents) -> _Part:
    before, after, hunks = _hunks(change, content)
    numbers = {hunk.number for hunk in hunks}
    for number in chosen.numbers:
        if number not in numbers:
            raise UsageError(
                N_("{path} has no hunk {number}"),
                path=change.path,
                number=number,
                count=len(hunks),
                hint=N_("Its hunks are numbered from 1 to {count}; look at the proposal again."),
            )
    if numbers == set(chosen.numbers):
        return _Part(change, None)
    assert change.after is not None  # a removed file is one hunk
    composed = with_hunks(before, after, chosen.numbers)
    entry = replace(change.after, size=len(composed), digest=digest_of(composed), holes=(), torn=False)
    if change.before is not None and not differing(change.before, entry):
        raise _no_hunks(change.path)
    return _Part(replace(change, after=entry), composed)


def _hunks(change: Change, content: Contents) -> tuple[bytes, bytes, tuple[Hunk, ...]]:
    sides = [side for side in (change.before, change.after) if side is not None]
    if any(side.type is not EntryType.FILE for side in sides):
        raise _no_hunks(change.path)
    before = content.before(change.path) if change.before is not None else b""
    after = content.after(change.path) if change.after is not None else b""
    hunks = hunks_of(before, after) if before is not None and after is not None else None
    if before is None or after is None or not hunks:
        raise _no_hunks(change.path)
    return before, after, hunks


def _no_hunks(path: str) -> UsageError:
    return UsageError(
        N_("{path} has no hunks to choose from"),
        path=path,
        hint=N_("It is no text, or its content does not change. Choose the whole file instead."),
    )
