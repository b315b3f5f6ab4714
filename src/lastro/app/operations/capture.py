"""Operations that take snapshots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from lastro.app.desk import Desk
from lastro.app.events import Event
from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests import (
    Capture,
    Captured,
    CaptureOffered,
    CapturePlace,
    CapturePlaceReply,
    CaptureReply,
    CaptureServer,
)
from lastro.app.requests.runs import CaptureLayer, LayerCaptured
from lastro.app.services import Services
from lastro.capture.source import ChangedPath
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.paths import is_within, join, relative_to
from lastro.domain.reference import normal
from lastro.domain.snapshot import Reason
from lastro.domain.target import Target, TargetKind
from lastro.errors import UnreachableError, UsageError
from lastro.messages import N_

if TYPE_CHECKING:  # who asks for a capture has no store
    from lastro.keeper.capture_cycle import CaptureResult


def capture(desk: Desk, request: Capture) -> CaptureReply:
    """Take a snapshot now: of paths of this machine with the caller's own rights, of other servers through their nodes."""
    if not request.references:
        raise UsageError(
            N_("What is to be captured?"),
            hint=N_("Name a path, for example 'lastro capture ./project', or a server."),
        )
    snapshots: list[Captured] = []
    for reference in request.references:
        if reference.at is not None:
            raise UsageError(N_("Only the present can be captured."), hint=N_("Leave the '@...' away."))
        if reference.server == LOCAL and reference.path.startswith("/"):
            snapshots.append(capture_here(desk, reference.path))
        else:
            reply = desk.caller.call(
                "capture.server", CaptureServer(server=reference.server, path=reference.path)
            )
            assert isinstance(reply, CaptureReply)
            snapshots += reply.snapshots
    return CaptureReply(snapshots=tuple(snapshots))


def capture_here(desk: Desk, path: str) -> Captured:
    """Capture everything at and below ``path`` of this machine from the caller's own process."""
    path = real_path(path)
    root = _place(desk, path)
    if not root and not os.path.isdir(path):
        return offer_paths(
            desk, os.path.dirname(path), (os.path.basename(path),), recursive=True, reason=Reason.REQUEST
        )
    if root in {"", path}:
        return _offer(desk, CaptureOffered(offer="", root=path))
    return _offer(desk, CaptureOffered(offer="", root=root, paths=(relative_to(path, root),), recursive=True))


def offer_paths(
    desk: Desk, directory: str, paths: Sequence[str], *, recursive: bool, reason: Reason
) -> Captured:
    """Capture only ``paths`` below ``directory``: into the captured root that holds them all, else as a target of nothing but such paths.

    Raises:
        NotFoundError: the root that holds them is gone.
    """
    absolute = [join(directory, path) for path in paths]
    root = _place(desk, os.path.commonpath(absolute))
    below = tuple(relative_to(path, root or directory) for path in absolute)
    return _offer(
        desk,
        CaptureOffered(
            offer="",
            root=root or directory,
            paths=below,
            recursive=recursive,
            reason=reason.value,
            touched=not root,
        ),
    )


def real_path(path: str) -> str:
    """``path`` with the links above its last component resolved: captures never pass through a link."""
    return normal(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))


def _place(desk: Desk, path: str) -> str:
    reply = desk.caller.call("capture.place", CapturePlace(path=path))
    assert isinstance(reply, CapturePlaceReply)
    return reply.root


def _offer(desk: Desk, request: CaptureOffered) -> Captured:
    with desk.caller.offer(desk.local_source(request.root)) as offer:
        reply = desk.caller.call("capture.offered", msgspec.structs.replace(request, offer=offer))
    assert isinstance(reply, CaptureReply)
    return reply.snapshots[0]


def capture_place(services: Services, request: CapturePlace) -> CapturePlaceReply:
    """The deepest captured root of this machine that holds a path."""
    holding = [
        target.path
        for target in services.state.targets()
        if target.server == LOCAL and target.kind is TargetKind.FILES and is_within(request.path, target.path)
    ]
    return CapturePlaceReply(root=max(holding, key=len, default=""))


def capture_offered(services: Services, request: CaptureOffered) -> CaptureReply:
    """Capture what another process of this machine offers."""
    source = services.offers.source(request.offer)
    target = Target(
        ServerId(LOCAL), TargetKind.TOUCHED if request.touched else TargetKind.FILES, request.root
    )
    paths = None
    if request.paths is not None:
        paths = [
            ChangedPath(root=request.root, path=path, recursive=request.recursive) for path in request.paths
        ]
    result = services.cycle.capture(
        source,
        target,
        actor=services.actor,
        reason=Reason(request.reason),
        paths=paths,
        only=request.touched,
        report=services.report,
    )
    return CaptureReply(snapshots=(describe(services, LOCAL, target, result),))


def capture_server(services: Services, request: CaptureServer) -> CaptureReply:
    """Capture a server through its node."""
    server = services.timeline.server(request.server)
    if services.links is None:
        raise UnreachableError(
            N_("No keeper is running, so {server} cannot be reached."),
            hint=N_("Start it with 'lastro up' or 'lastro keeper serve'."),
            server=server.name,
        )
    results = services.links.capture(server, request.path)
    return CaptureReply(
        snapshots=tuple(
            describe(services, server.name, Target(server.id, TargetKind.FILES, root), result)
            for root, result in results
        )
    )


def capture_layer(services: Services, request: CaptureLayer) -> LayerCaptured:
    """Record what a run made of a project (``keeper.layer_capture``)."""
    from lastro.keeper.layer_capture import capture_layer as record_layer  # noqa: PLC0415  only a keeper does

    before = services.timeline.snapshot_by_seq(request.before)
    result = record_layer(
        services.repository,
        services.state,
        services.clock,
        services.offers.source(request.offer),
        before=before,
        project=request.project,
        changed=request.changed,
        actor=services.actor,
        reason=Reason(request.reason),
        report=services.report,
    )
    changes = result.changes.changes
    return LayerCaptured(
        before=before.seq,
        after=result.after,
        digest=result.changes.digest.hex() if changes else "",
        paths=tuple(change.path for change in changes),
        changes=changes,
    )


def describe(services: Services, server: str, target: Target, result: CaptureResult) -> Captured:
    """A result as people see it, and as an event when it is a new snapshot."""
    snapshot = services.timeline.snapshot_by_seq(result.seq)
    captured = Captured(
        snapshot=snapshot.number,
        seq=result.seq,
        server=server,
        path=target.path,
        time_ns=result.time_ns,
        unchanged=result.unchanged,
        statistics=result.statistics,
        warnings=result.warnings,
    )
    if not result.unchanged:
        services.publish(snapshot_event(services, server, target, result))
    return captured


def snapshot_event(services: Services, server: str, target: Target, result: CaptureResult) -> Event:
    """The event of a new snapshot, the same whoever took it."""
    shown = services.timeline.changes_of(result.seq)
    return Event(
        kind="snapshot",
        seq=result.seq,
        time_ns=result.time_ns,
        parameters={
            "number": shown.snapshot,
            "server": server,
            "path": target.path,
            "reason": shown.reason,
            "added": shown.added,
            "changed": shown.changed,
            "removed": shown.removed,
            "bytes": result.statistics.read,
            "duration_ns": result.statistics.duration_ns,
            "warnings": len(result.warnings),
            "paths": list(shown.paths),
        },
    )


OPERATIONS = (
    Operation(
        name="capture",
        request=Capture,
        reply=CaptureReply,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=capture,
        summary=N_("Take a snapshot now."),
        details=N_(
            "Of paths of this machine with your own rights, without a node and, if none runs, without a keeper; of other servers"
            " through their node. Says so when nothing had changed."
        ),
    ),
    Operation(
        name="capture.place",
        request=CapturePlace,
        reply=CapturePlaceReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=capture_place,
        summary=N_("Which captured root holds a path of this machine."),
        internal=True,
    ),
    Operation(
        name="capture.offered",
        request=CaptureOffered,
        reply=CaptureReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=capture_offered,
        summary=N_("Capture from a source that the caller offers."),
        internal=True,
    ),
    Operation(
        name="capture.layer",
        request=CaptureLayer,
        reply=LayerCaptured,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=capture_layer,
        summary=N_("Record what a run made of a project."),
        internal=True,
    ),
    Operation(
        name="capture.server",
        request=CaptureServer,
        reply=CaptureReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=capture_server,
        summary=N_("Capture a server through its node."),
        internal=True,
    ),
)
