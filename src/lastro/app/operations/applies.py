"""What an apply did, in the log: the steps of ``restore`` and ``undo`` that run in the keeper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from lastro.app.events import Event
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.applying import EDITED_SINCE
from lastro.app.requests import (
    ApplyPair,
    ApplyRecord,
    ApplyRecorded,
    ApplyReply,
    RecordedEntry,
    Touched,
    TouchedReply,
)
from lastro.app.services import Services
from lastro.domain.entry import EntryType
from lastro.domain.ids import LOCAL, ApplyNumber
from lastro.domain.paths import from_bytes, is_within, join, relative_to, to_bytes
from lastro.domain.record import ApplyBody, RecordKind
from lastro.history.answers import Apply
from lastro.messages import N_
from lastro.store.repository import RecordDraft
from lastro.store.tree import decode_tree_entry, lookup, to_entry


def show_apply(services: Services, request: ApplyPair) -> ApplyReply:
    """An apply, with what its paths were before and after it."""
    apply = services.timeline.apply(ApplyNumber(request.number) if request.number else None)
    body = apply.body
    destination = from_bytes(body.destination)
    paths = tuple(from_bytes(path) for path in body.paths)
    names = {server.id: server.name for server in services.timeline.servers()}
    return ApplyReply(
        number=apply.number,
        seq=apply.seq,
        time_ns=apply.time_ns,
        server=names.get(apply.server, apply.server),
        destination=destination,
        kind=body.kind,
        of=body.of or 0,
        outcome=body.outcome,
        paths=paths,
        before_snapshot=services.timeline.snapshot_by_seq(body.before).number
        if body.before is not None
        else 0,
        before=tuple(_touched(services, body.before, destination, paths)),
        after=tuple(_touched(services, body.after, destination, paths)),
        edited=tuple(from_bytes(path) for path, kind, _ in body.warnings if kind == EDITED_SINCE.encode()),
    )


def touched(services: Services, request: Touched) -> TouchedReply:
    """What paths of a directory were in a snapshot; those that were not there are left out."""
    return TouchedReply(items=tuple(_touched(services, request.seq, request.destination, request.paths)))


def _touched(
    services: Services, seq: int | None, destination: str, paths: Sequence[str]
) -> Iterator[RecordedEntry]:
    if seq is None:
        return
    snapshot = services.timeline.snapshot_by_seq(seq)
    root = decode_tree_entry(snapshot.root)
    for path in paths:
        absolute = join(destination, path)
        if not is_within(absolute, snapshot.target.path):
            continue
        tree_path = relative_to(absolute, snapshot.target.path)
        entry = lookup(services.repository, root, tree_path)
        if entry is None:
            continue
        found = to_entry(entry, path)
        linked = found.link_target
        if found.type is EntryType.HARDLINK and linked is not None:
            first = join(snapshot.target.path, linked)
            if is_within(first, destination) and relative_to(first, destination) in paths:
                found = msgspec.structs.replace(found, link_target=relative_to(first, destination))
            elif (leader := lookup(services.repository, root, linked)) is not None:
                tree_path, found = linked, to_entry(leader, path)
        yield RecordedEntry(entry=found, seq=seq, tree_path=tree_path)


_LATELY: Final = 16
"""Applies that may have been recorded since the process that is finished now died."""


def _known(services: Services, request: ApplyRecord) -> Apply | None:
    """The record of this very apply. Nothing else began at the same snapshot: the one after it is newer."""
    if request.before is None or request.before == request.after:
        return None
    wanted = request.before, request.change_digest, request.destination, request.kind, request.of
    for apply in services.timeline.applies(limit=_LATELY):
        body = apply.body
        said = body.before, body.change_digest.hex(), from_bytes(body.destination), body.kind, body.of or 0
        if said == wanted:
            return apply
    return None


def record_apply(services: Services, request: ApplyRecord) -> ApplyRecorded:
    """Write an apply into the log, or find the one that whoever died before they knew it had written."""
    if known := _known(services, request):
        return ApplyRecorded(number=known.number, seq=known.seq)
    stored = services.repository.append(
        RecordDraft(
            kind=RecordKind.APPLY,
            actor=services.actor,
            server=LOCAL,
            body=ApplyBody(
                after=request.after,
                before=request.before,
                change_digest=bytes.fromhex(request.change_digest),
                destination=to_bytes(request.destination),
                kind=request.kind,
                of=request.of or None,
                outcome=request.outcome,
                paths=[to_bytes(path) for path in request.paths],
                warnings=[
                    [to_bytes(note.path), note.kind.encode(), to_bytes(note.detail)] for note in request.notes
                ],
            ),
        )
    )
    apply = services.timeline.apply(None)
    services.publish(
        Event(
            kind="apply",
            seq=stored.seq,
            time_ns=stored.record.time_ns,
            parameters={
                "number": apply.number,
                "kind": request.kind,
                "paths": len(request.paths),
                "outcome": request.outcome,
                "of": request.of,
            },
        )
    )
    return ApplyRecorded(number=apply.number, seq=stored.seq)


OPERATIONS = (
    Operation(
        name="apply.show",
        request=ApplyPair,
        reply=ApplyReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=show_apply,
        summary=N_("An apply, with what its paths were before and after it."),
        internal=True,
    ),
    Operation(
        name="apply.touched",
        request=Touched,
        reply=TouchedReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=touched,
        summary=N_("What the paths of an apply were in a snapshot."),
        internal=True,
    ),
    Operation(
        name="apply.record",
        request=ApplyRecord,
        reply=ApplyRecorded,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=record_apply,
        summary=N_("Write an apply into the log."),
        internal=True,
    ),
)
