"""Operations on the repository itself: ``init``, ``repo.check``, ``repo.stats``."""

from __future__ import annotations

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.requests import Check, CheckFinding, CheckReply, Init, Initialized, RepositoryStatistics
from lastro.app.services import Services
from lastro.domain.paths import join
from lastro.domain.snapshot import Snapshot
from lastro.errors import NotFoundError
from lastro.messages import N_
from lastro.store.check import Finding, Severity, check


def init(desk: Desk, _: Init) -> Initialized:
    """Make a repository with a key file and a recovery kit."""
    from lastro.app.opening import create_repository  # noqa: PLC0415  it imports operations' services

    return create_repository(desk.places, desk.actor, desk.clock)


def check_repository(services: Services, request: Check) -> CheckReply:
    """Try every claim that the repository makes about itself."""
    findings = list(check(services.repository, read_data=request.read_data, report=services.report))
    statistics = services.repository.statistics()
    return CheckReply(
        sound=not any(finding.severity is Severity.DAMAGE for finding in findings),
        records=statistics.records,
        packs=statistics.packs,
        chunks=statistics.chunks,
        bytes=sum(statistics.bytes.values()),
        findings=tuple(_finding(services, finding) for finding in findings),
    )


def statistics(services: Services, _: Nothing) -> RepositoryStatistics:
    """How much lies where."""
    measured = services.repository.statistics()
    return RepositoryStatistics(
        repository=services.repository.id,
        path=services.places.repository,
        bytes=sum(measured.bytes.values()),
        packs=measured.packs,
        chunks=measured.chunks,
        records=measured.records,
        snapshots=services.timeline.count_snapshots(),
    )


def _finding(services: Services, finding: Finding) -> CheckFinding:
    snapshots = {affected.seq: _snapshot(services, affected.seq) for affected in finding.affected}
    return CheckFinding(
        code=finding.code,
        object=finding.object,
        detail=str(finding.message),
        paths=tuple(
            sorted(
                {
                    join(snapshot.target.path, affected.path)
                    for affected in finding.affected
                    if (snapshot := snapshots[affected.seq])
                }
            )
        ),
        snapshots=tuple(sorted({snapshot.number for snapshot in snapshots.values() if snapshot})),
    )


def _snapshot(services: Services, seq: int) -> Snapshot | None:
    try:
        return services.timeline.snapshot_by_seq(seq)
    except NotFoundError:
        return None


OPERATIONS = (
    Operation(
        name="init",
        request=Init,
        reply=Initialized,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=init,
        summary=N_("Make a repository, its key file and its recovery kit."),
        details=N_(
            "The repository keeps every version for ever, encrypted. It lies in LASTRO_HOME/data/repository: 'format' says its"
            " version, 'keys/' holds the wrapped keys, 'data/' and 'meta/' the packs of file contents and of directory trees,"
            " 'journal/' the newest small captures, 'index/' where each chunk lies, 'log/' the signed records, 'lock' who writes,"
            " 'tmp/' what is being written. Move the recovery kit to a safe place: with it alone everything can be read."
        ),
    ),
    Operation(
        name="repo.check",
        request=Check,
        reply=CheckReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=check_repository,
        summary=N_("Is the repository sound?"),
        details=N_(
            "Exit code 6 when something is damaged; what is damaged is named, with the files and snapshots it belongs to."
        ),
    ),
    Operation(
        name="repo.stats",
        request=Nothing,
        reply=RepositoryStatistics,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=statistics,
        summary=N_("How large the repository is."),
    ),
)
