"""Operations on the policy: what holds for a project, whether its files are sound, and why a path is or is not open to a role.

The keeper's file lies with the keeper and is read by it; the project's file is the caller's own, so its text is read in the caller's
process and handed over.
"""

from __future__ import annotations

from typing import Any

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.capture import real_path
from lastro.app.project_place import policy_for, project_checks, project_directory
from lastro.app.requests.policy import (
    CheckPolicy,
    EffectivePolicy,
    ExplainPolicy,
    Explanation,
    PolicyReply,
    ShowPolicy,
)
from lastro.app.requests.sentence import told
from lastro.app.services import Services
from lastro.domain.paths import is_within, relative_to
from lastro.domain.reference import normal
from lastro.errors import UsageError
from lastro.messages import N_
from lastro.proposals.executed_later import executed_later
from lastro.proposals.policy import POLICY_FILE, may_read, may_write, policy_digest, reviewing, role_of
from lastro.proposals.policy_file import narrow_policy, read_policy


def effective(services: Services, request: EffectivePolicy) -> PolicyReply:
    """The keeper's policy, narrowed by a project's text."""
    policy, files = read_policy(services.places.policy_file)
    origin = request.origin or POLICY_FILE
    if request.narrowing.strip():
        policy = narrow_policy(policy, request.narrowing, origin)
        files = (*files, origin)
    return PolicyReply(policy=policy, digest=policy_digest(policy).hex(), files=files)


def check(desk: Desk, request: CheckPolicy) -> PolicyReply:
    """Read every file that says what agents may do here, and the project's checks; raise for the first mistake."""
    project = project_directory(desk.places, request.project)
    project_checks(project)
    return policy_for(desk.caller, project)


def show(desk: Desk, request: ShowPolicy) -> PolicyReply:
    """The policy in force for a project."""
    return policy_for(desk.caller, project_directory(desk.places, request.project))


def explain(desk: Desk, request: ExplainPolicy) -> Explanation:
    """What a role may do with a path, who approves it, and which rules say so."""
    project = project_directory(desk.places, request.project)
    path = _below(project, request.path)
    policy = policy_for(desk.caller, project).policy
    role = role_of(policy, request.role)
    read, write, review = may_read(role, path), may_write(role, path), reviewing(policy, path)
    return Explanation(
        path=path,
        role=role,
        read=read.allowed,
        read_because=told(read.because),
        write=write.allowed,
        write_because=told(write.because),
        approvals=review.rule.approvals,
        by=tuple(str(one) for one in review.rule.by),
        not_author=review.rule.not_author,
        review_because=told(review.because),
        executed_later=executed_later(path),
    )


def _below(project: str, named: str) -> str:
    """The path that was named, relative to the project: absolute, or from the top of the project. It need not exist."""
    path = normal(named)
    if path.startswith("/"):
        path = path if is_within(path, project) else real_path(path)
        if is_within(path, project):
            return relative_to(path, project)
    elif path.partition("/")[0] != "..":
        return path
    raise UsageError(
        N_("{path} is not in the project {project}."),
        hint=N_("Name a path below it, or another project with --project."),
        path=path,
        project=project,
    )


OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="policy.effective",
        request=EffectivePolicy,
        reply=PolicyReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=effective,
        summary=N_("The policy that holds with a project's own file narrowing it."),
        internal=True,
    ),
    Operation(
        name="policy.check",
        request=CheckPolicy,
        reply=PolicyReply,
        effect=Effect.READ,
        place=Place.CALLER,
        run=check,
        summary=N_("Whether the policy files and the project's checks are well formed."),
    ),
    Operation(
        name="policy.show",
        request=ShowPolicy,
        reply=PolicyReply,
        effect=Effect.READ,
        place=Place.CALLER,
        run=show,
        summary=N_("The policy in force for a project, as policy.toml would say it."),
    ),
    Operation(
        name="policy.explain",
        request=ExplainPolicy,
        reply=Explanation,
        effect=Effect.READ,
        place=Place.CALLER,
        run=explain,
        summary=N_("What a role may do with a path, who has to approve it, and which rules say so."),
    ),
)
