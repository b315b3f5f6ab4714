"""``restore`` and ``undo``: a plan, and what carries it out. Restore is (now, then), undo is (now, before)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.applying import carry_out, finish_unfinished, refuse_stuck
from lastro.app.operations.capture import real_path
from lastro.app.operations.choosing import chosen, of_chosen
from lastro.app.requests import (
    ApplyPair,
    ApplyReply,
    Entries,
    EntriesReply,
    Plan,
    PlanWarning,
    Restoration,
    Restore,
    Undo,
)
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import LOCAL
from lastro.domain.paths import is_within, join, name_of, relative_to, to_bytes
from lastro.domain.reference import AtId, AtNow, Reference
from lastro.errors import DeniedError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.restore.plan import Concern, PlannedChanges, plan_restore, plan_undo, rebase

# Restore ------------------------------------------------------------------------------------------------------------------------------


def restore(desk: Desk, request: Restore) -> Restoration:
    """Bring a path back as it was."""
    if isinstance(request.reference.at, AtNow):
        raise UsageError(
            N_("The present needs no restore."), hint=N_("Give an instant, for example '@2h' or '@snap-12'.")
        )
    stuck = finish_unfinished(desk)
    recorded = desk.caller.call("entries", Entries(reference=request.reference, last=True))
    assert isinstance(recorded, EntriesReply)
    if recorded.proposed:  # whoever may restore need not be one who may approve
        raise DeniedError(
            N_("snap-{number} is what is proposed and never was there, so it is not restored."),
            hint=N_("Approve its proposal; to look at it: lastro cat, lastro diff."),
            number=recorded.snapshot,
        )
    if request.only:
        recorded = chosen(recorded, request.only)
    if not request.to and recorded.server != LOCAL:
        raise UsageError(
            N_("{path} is on {server}, which is another machine."),
            hint=N_("Bring it back here with '--to DIR'."),
            path=recorded.path,
            server=recorded.server,
        )
    place = recorded.path if not request.to else join(request.to, name_of(recorded.path) or recorded.server)
    directory, top = _standing_directory(place)
    refuse_stuck(stuck, join(directory, top))
    missing = list(_missing_directories(desk, recorded, directory, top, in_place=not request.to))
    live: Iterable[Entry] = desk.destination(directory).walk(top)
    wanted = [*missing, *rebase([item.entry for item in recorded.items], top)]
    if request.only:
        live, wanted = of_chosen(live, wanted, [join(top, path) for path in request.only])
    if recorded.shown is not None:
        from lastro.app.operations.inside_run import limited  # noqa: PLC0415  only inside a run

        live, wanted = limited(list(live), wanted, directory=directory, shown=recorded.shown)
    planned = plan_restore(live, wanted, keep=request.keep)
    concerns = list(planned.concerns)
    if (Concern.NOT_STORED, top) in concerns:
        raise NotFoundError(
            N_("The content of {path} could not be read when snap-{number} was taken."),
            hint=N_("See 'lastro log {path}' for other versions."),
            path=recorded.path,
            number=recorded.snapshot,
        )
    if recorded.last:
        concerns.append((Concern.LAST_VERSION, top))
    plan = _plan(
        "restore",
        directory,
        planned,
        snapshot=recorded.snapshot,
        time_ns=recorded.time_ns,
        concerns=concerns,
    )
    contents = {join(top, item.entry.path): item for item in recorded.items}
    return carry_out(desk, plan, contents, approved=request.approved, only_plan=request.plan)


def _missing_directories(
    desk: Desk, recorded: EntriesReply, directory: str, top: str, *, in_place: bool
) -> Iterator[Entry]:
    """The directories between ``directory``, which is there, and ``top``: as they were recorded, or plain ones of this user."""
    parts = top.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        absolute = join(directory, path)
        if in_place and is_within(absolute, recorded.target):
            instant = AtId("snap", recorded.snapshot, before=False)
            reference = Reference(server=LOCAL, path=absolute, at=instant)
            reply = desk.caller.call("entries", Entries(reference=reference, recursive=False))
            assert isinstance(reply, EntriesReply)
            yield msgspec.structs.replace(reply.items[0].entry, path=path)
        else:
            mode, now = 0o777 & ~_umask(), desk.clock.wall_ns()
            yield Entry(
                path=path,
                type=EntryType.DIRECTORY,
                mode=mode,
                uid=os.geteuid(),
                gid=os.getegid(),
                mtime_ns=now,
            )


def _umask() -> int:
    """This process's umask, which can only be read by setting it."""
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


def _standing_directory(place: str) -> tuple[str, str]:
    """The nearest existing directory strictly above ``place`` (links above it resolved), and ``place`` as seen from there.

    Raises:
        UsageError: something above it is no directory.
    """
    place = real_path(place)
    if place == "/":
        return "/", ""
    directory = os.path.dirname(place)
    while not os.path.isdir(directory):
        if os.path.lexists(directory):
            raise UsageError(
                N_("{path} is not a directory."),
                hint=N_("Move it away, or name another directory with '--to DIR'."),
                path=directory,
            )
        directory = os.path.dirname(directory)
    return directory, relative_to(place, directory)


# Undo ---------------------------------------------------------------------------------------------------------------------------------


def undo(desk: Desk, request: Undo) -> Restoration:
    """Take an apply back; one that carried out a proposal, with that proposal."""
    kind = request.apply.rpartition("-")[0]
    if kind in {"proposal", "run"}:
        return _undo_decision(desk, request, kind)
    stuck = finish_unfinished(desk)
    reply = desk.caller.call("apply.show", ApplyPair(number=_number(request.apply)))
    assert isinstance(reply, ApplyReply)
    if reply.kind == "proposal":
        return _undo_decision(
            desk, msgspec.structs.replace(request, apply=f"proposal-{reply.of}"), "proposal"
        )
    if request.file or request.hunk:
        raise UsageError(
            N_("apply-{number} was a restore; it is taken back whole."),
            hint=N_("Bring one file back with 'lastro restore FILE@apply-{number}^'."),
            number=reply.number,
        )
    if reply.server != LOCAL:
        raise UsageError(
            N_("apply-{number} changed {server}, which is another machine."),
            number=reply.number,
            server=reply.server,
        )
    if not os.path.isdir(reply.destination):
        raise NotFoundError(
            N_("The directory {path}, which apply-{number} changed, is gone."),
            path=reply.destination,
            number=reply.number,
        )
    refuse_stuck(stuck, reply.destination)
    destination = desk.destination(reply.destination)
    before = {item.entry.path: item.entry for item in reply.before}
    after = {item.entry.path: item.entry for item in reply.after}
    live = destination.read(list(reply.paths))
    below = [entry.path for entry in _below_removed(destination.walk, live, before)]
    planned = plan_undo(live, below, before, after, reply.paths)
    plan = _plan(
        "undo",
        reply.destination,
        planned,
        snapshot=reply.before_snapshot,
        time_ns=reply.time_ns,
        concerns=planned.concerns,
        undoes=reply.number,
    )
    contents = {item.entry.path: item for item in reply.before}
    return carry_out(desk, plan, contents, approved=request.approved, only_plan=request.plan)


def _undo_decision(desk: Desk, request: Undo, kind: str) -> Restoration:
    from lastro.app.operations.proposal import undoing  # noqa: PLC0415  a restore alone needs no review

    return undoing.undo_run(desk, request) if kind == "run" else undoing.undo_proposal(desk, request)


def _number(text: str) -> int:
    if not text:
        return 0
    kind, _, number = text.rpartition("-")
    if kind not in {"", "apply"} or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise UsageError(
            N_("{text} is not an apply."),
            hint=N_(
                "Name it like apply-7, proposal-9 or run-42; see 'lastro log' and 'lastro proposal list --all'."
            ),
            text=text,
        )
    return int(number)


def _below_removed(
    walk: Callable[[str], Iterator[Entry]],
    live: Mapping[str, Entry | None],
    wanted: Mapping[str, Entry | None],
) -> Iterator[Entry]:
    """Everything below the directories that are ``live`` and shall be none; ``walk`` is a ``Destination``'s."""
    for path, entry in live.items():
        then = wanted.get(path)
        if (
            entry is not None
            and entry.type is EntryType.DIRECTORY
            and (then is None or then.type is not EntryType.DIRECTORY)
        ):
            yield from (inner for inner in walk(path) if inner.path != path)


# Both ---------------------------------------------------------------------------------------------------------------------------------


def _plan(
    kind: str,
    directory: str,
    planned: PlannedChanges,
    *,
    snapshot: int,
    time_ns: int,
    concerns: Sequence[tuple[Concern, str]],
    undoes: int = 0,
) -> Plan:
    free = shutil.disk_usage(to_bytes(directory)).free
    warnings = [PlanWarning(code=concern.value, path=path) for concern, path in concerns]
    if planned.changes.written > free:
        warnings.append(PlanWarning(code="no_room", path=""))
    return Plan(
        kind=kind,
        server=LOCAL,
        destination=directory,
        snapshot=snapshot,
        time_ns=time_ns,
        changes=planned.changes,
        digest=planned.changes.digest.hex(),
        warnings=tuple(warnings),
        undoes=undoes,
        free=free,
    )


OPERATIONS = (
    Operation(
        name="restore",
        request=Restore,
        reply=Restoration,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=restore,
        summary=N_("Bring a file or directory back as it was."),
        details=N_(
            "Shows what would change first. Without an instant, a file that is missing now takes the last version that existed. A"
            " snapshot of what is there is taken before anything changes, so 'lastro undo' takes it back."
        ),
    ),
    Operation(
        name="undo",
        request=Undo,
        reply=Restoration,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=undo,
        summary=N_("Take a restore, a proposal or a run back; an undo can be undone."),
        details=N_(
            "What was applied of a proposal can be taken back at any later time, whole or by file or hunk, with the same checks for"
            " conflicts; it is a proposal itself, signed like any other. Ends with exit code 4 if somebody else has to approve it."
        ),
    ),
)
