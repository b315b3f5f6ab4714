"""Humans, as the log knows them: whose good keys there are, and which roles they have."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from lastro.app.permissions import Right, rights_of
from lastro.app.services import Services
from lastro.domain.record import Actor
from lastro.errors import NotFoundError
from lastro.messages import N_
from lastro.proposals.approvals import standing
from lastro.proposals.rows import ApproverRow


class Human(Struct, frozen=True, kw_only=True):
    """Somebody with at least one good key. ``uid`` -1: no account on this machine."""

    name: str
    uid: int
    roles: tuple[str, ...]
    keys: tuple[ApproverRow, ...]

    @property
    def rights(self) -> frozenset[Right]:
        """What they may do."""
        return rights_of(self.roles)

    @property
    def actor(self) -> Actor:
        """As records name them."""
        return Actor(kind="human", name=self.name, uid=self.uid if self.uid >= 0 else None)

    def was_there(self, since_ns: int, key_id: str = "") -> bool:
        """Whether a key of theirs (this one) was good at ``since_ns`` and is. What somebody else of the same name began is not theirs."""
        return any(key.since_ns <= since_ns and key_id in {"", key.key_id} for key in self.keys)


def humans_of(services: Services) -> list[Human]:
    """Everybody, by name."""
    keys: dict[str, list[ApproverRow]] = {}
    for row in standing(services.inbox.approvers()):
        keys.setdefault(row.name, []).append(row)
    return [_human(name, rows) for name, rows in sorted(keys.items())]


def human_named(services: Services, name: str) -> Human | None:
    """The human with this name."""
    return next((human for human in humans_of(services) if human.name == name), None)


def human_of(services: Services, actor: Actor) -> Human:
    """Who asks: the human with this account, else with this name.

    Raises:
        NotFoundError: nobody enrolled a key for them.
    """
    everybody = humans_of(services)
    uid = -1 if actor.uid is None else actor.uid
    if uid >= 0:
        found = [human for human in everybody if human.uid == uid]
        found.sort(key=lambda human: human.name != actor.name)
    else:
        found = [human for human in everybody if human.name == actor.name and actor.kind == "human"]
    if not found:
        raise NotFoundError(
            N_("Nobody enrolled a key for {name}, so there is no account for it."),
            hint=N_("Make one: lastro approver add"),
            name=actor.name or str(uid),
        )
    return found[0]


def _human(name: str, rows: Iterable[ApproverRow]) -> Human:
    rows = tuple(rows)
    roles = dict.fromkeys(role.value for row in rows for role in row.roles)
    return Human(name=name, uid=max(row.uid for row in rows), roles=tuple(roles), keys=rows)
