"""Who may ask for what: rights, the roles that hold them, and the right that each operation wants.

What always holds: an operation without a row here cannot be called through a face that people sign in to (a test walks the table); an
internal operation is a step of another one, and nobody who signed in may call it; no agent holds a right at all, so none approves.

| right | owner | approver | operator | auditor | viewer |
|---|---|---|---|---|---|
| look       | yes | yes | yes | yes | yes |
| decide     | yes | yes |     |     |     |
| operate    | yes |     | yes |     |     |
| restore    | yes |     | yes |     |     |
| audit      | yes |     |     | yes |     |
| administer | yes |     |     |     |     |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from lastro.app.operation import Effect, Operation
from lastro.domain.policy import HumanRole
from lastro.domain.record import Actor
from lastro.errors import DeniedError
from lastro.messages import N_


class Right(StrEnum):
    """Something a human may be let do."""

    LOOK = "look"
    """See everything that is kept and asked: names, contents, proposals, runs."""
    DECIDE = "decide"
    """Approve, reject, comment and edit proposals, and take back what was applied."""
    OPERATE = "operate"
    """Start and stop runs, capture, set a project up."""
    RESTORE = "restore"
    """Write something of the history to a live place."""
    AUDIT = "audit"
    """Verify the log and the repository."""
    ADMINISTER = "administer"
    """Users, servers, providers, keys, settings."""


_ROLES: Final[Mapping[HumanRole, frozenset[Right]]] = {
    HumanRole.OWNER: frozenset(Right),
    HumanRole.APPROVER: frozenset({Right.LOOK, Right.DECIDE}),
    HumanRole.OPERATOR: frozenset({Right.LOOK, Right.OPERATE, Right.RESTORE}),
    HumanRole.AUDITOR: frozenset({Right.LOOK, Right.AUDIT}),
    HumanRole.VIEWER: frozenset({Right.LOOK}),
}

_RIGHTS: Final[Mapping[str, Right]] = {
    "approver.add": Right.ADMINISTER,
    "approver.remove": Right.ADMINISTER,
    "approver.roles": Right.ADMINISTER,
    "audit.verify": Right.AUDIT,
    "capture": Right.OPERATE,
    "diff": Right.OPERATE,  # with the present, it captures whatever path is named
    "doctor": Right.LOOK,
    "gateway.env": Right.ADMINISTER,
    "gateway.keys.add": Right.ADMINISTER,
    "gateway.keys.revoke": Right.ADMINISTER,
    "gateway.models.import": Right.ADMINISTER,
    "gateway.models.pull": Right.ADMINISTER,
    "gateway.models.remove": Right.ADMINISTER,
    "gateway.providers.add": Right.ADMINISTER,
    "gateway.providers.remove": Right.ADMINISTER,
    "gateway.providers.test": Right.ADMINISTER,
    "init": Right.ADMINISTER,
    "job.cancel": Right.OPERATE,
    "node.init": Right.ADMINISTER,
    "node.roots.add": Right.ADMINISTER,
    "node.roots.remove": Right.ADMINISTER,
    "notify.add": Right.ADMINISTER,
    "notify.remove": Right.ADMINISTER,
    "notify.test": Right.ADMINISTER,
    "project.init": Right.OPERATE,
    "proposal.approve": Right.DECIDE,
    "proposal.comment": Right.DECIDE,
    "proposal.edit": Right.DECIDE,
    "proposal.rebase": Right.DECIDE,
    "proposal.reject": Right.DECIDE,
    "proposal.undo": Right.DECIDE,
    "repo.check": Right.AUDIT,
    "restore": Right.RESTORE,
    "run": Right.OPERATE,
    "runs.propose": Right.OPERATE,
    "runs.stop": Right.OPERATE,
    "server.add": Right.ADMINISTER,
    "undo": Right.DECIDE,
}
"""Operations that change something, and readings that want more than ``LOOK``."""


class Principal(Struct, frozen=True, kw_only=True):
    """Somebody who asks, however they proved who they are. ``how``: ``peer`` (a process of this machine), ``session``, ``token``."""

    actor: Actor
    rights: frozenset[Right]
    how: str


def rights_of(roles: Collection[str]) -> frozenset[Right]:
    """What a human with these roles may do. A role that is not known gives nothing."""
    known = [role for role in HumanRole if role.value in roles]
    return frozenset().union(*(_ROLES[role] for role in known))


def right_of(operation: Operation[Any, Any]) -> Right:
    """The right that an operation wants.

    Raises:
        DeniedError: it is a step of another one, or nobody said who may call it.
    """
    right = _RIGHTS.get(operation.name)
    if right is None and operation.effect is Effect.READ:
        right = Right.LOOK
    if right is None or operation.internal:
        raise DeniedError(
            N_("{operation} cannot be called from outside: it is a step of another operation."),
            operation=operation.name,
        )
    return right


def require(principal: Principal, right: Right) -> None:
    """Refuse whoever has not ``right``.

    Raises:
        DeniedError: they have not.
    """
    if right not in principal.rights:
        raise DeniedError(
            N_("You may not do this: it takes the right '{right}'."),
            hint=N_("Whoever is an owner here can give you a role that has it."),
            right=right.value,
        )
