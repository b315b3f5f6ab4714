"""What a run may see of runs and proposals: itself, and the proposals of its own project, in what its role may read. It decides nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from lastro.app.operation import find_operation
from lastro.app.requests.proposals import (
    ProposalReply,
    Proposals,
    ProposalsReply,
    ProposalSummary,
    ShownFile,
    ShowProposal,
)
from lastro.app.requests.runs import RunDetail, ShowRun
from lastro.app.runs.scope import RunScope
from lastro.app.services import Services
from lastro.domain.paths import from_bytes, join
from lastro.domain.run import RunStep
from lastro.errors import DeniedError, NotFoundError, UsageError
from lastro.messages import N_


def show_run(scope: RunScope, services: Services, request: ShowRun) -> RunDetail:
    """The run itself.

    Raises:
        DeniedError: another one was asked for.
    """
    name = f"run-{scope.run}"
    if request.run not in {"", str(scope.run), name}:
        raise DeniedError(N_("A run sees no other run than itself, {name}."), name=name)
    reply: RunDetail = _run("runs.show", services, ShowRun(run=name))
    return reply


def list_proposals(scope: RunScope, services: Services, request: Proposals) -> ProposalsReply:
    """Those of the run's project."""
    reply: ProposalsReply = _run(
        "proposal.list", services, msgspec.structs.replace(request, project=scope.project)
    )
    own = tuple(item for item in reply.proposals if scope.holds(item.target))
    return msgspec.structs.replace(reply, proposals=own)


def show_proposal(scope: RunScope, services: Services, request: ShowProposal) -> ProposalReply:
    """One of the run's project, without what the role may not read.

    Raises:
        NotFoundError: it is of another project, or there is none.
        UsageError: none was named, and there is not exactly one that is open.
    """
    name = request.proposal or _only(list_proposals(scope, services, Proposals(limit=2)).proposals)
    reply: ProposalReply = _run(
        "proposal.show", services, msgspec.structs.replace(request, proposal=name, file=())
    )
    if not scope.holds(reply.target):
        raise NotFoundError(
            N_("There is no proposal-{number}."),
            hint=N_("See 'lastro proposal list --all'."),
            number=reply.proposal,
        )
    wanted = frozenset(request.file)
    files = tuple(
        file
        for file in reply.files
        if _may_see(scope, reply.target, file) and (not wanted or file.path in wanted)
    )
    return msgspec.structs.replace(
        reply,
        files=files,
        steps=tuple(_step(scope, reply.target, step) for step in reply.steps),
        outside=tuple(path for path in reply.outside if scope.may_read(join(reply.target, path))),
    )


def _only(proposals: tuple[ProposalSummary, ...]) -> str:
    if len(proposals) != 1:
        raise UsageError(
            N_("Which proposal?"), hint=N_("'lastro proposal list' shows them: name one, as proposal-9.")
        )
    return f"proposal-{proposals[0].proposal}"


def _may_see(scope: RunScope, target: str, file: ShownFile) -> bool:
    names = [name for name in (file.path, file.old_path) if name]
    return all(scope.may_read(join(target, name)) for name in names)


def _step(scope: RunScope, target: str, step: RunStep) -> RunStep:
    paths = tuple(path for path in step.paths if scope.may_read(join(target, from_bytes(path))))
    return msgspec.structs.replace(step, paths=paths)


def _run(name: str, services: Services, request: msgspec.Struct) -> Any:
    return find_operation(name).run(services, request)
