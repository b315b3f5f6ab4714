"""A case: a proposal with everything that bears on a decision about it, put together from the log.

What always holds: ``shown`` is the digest of what a human is shown, and follows from the log and the policy alone; so the keeper, who
checks that an answer names it, and an audit years later compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lastro.domain.changes import ChangeSet
from lastro.domain.paths import from_bytes, join, to_bytes
from lastro.domain.policy import Policy, ReviewRule
from lastro.domain.proposal import Flag, Selection
from lastro.domain.record import Actor
from lastro.domain.run import RunState
from lastro.errors import ConfigError, DamagedError
from lastro.messages import N_
from lastro.proposals.approvals import (
    Count,
    Demand,
    count_approvals,
    demands_of,
    given_for,
    needed_by,
    rules_of,
    standing,
)
from lastro.proposals.inbox import Inbox
from lastro.proposals.pair import Pair, PairContents, Side, content_of
from lastro.proposals.pairs import Pairs
from lastro.proposals.policy import POLICY_FILE, outside_role, policy_digest
from lastro.proposals.rows import ApproverRow, ProposalRow, ProposalWhole, Revision, RunWhole
from lastro.proposals.selecting import Selected, select
from lastro.proposals.showing import shown_digest
from lastro.store.repository import Repository
from lastro.store.tree import lookup

HUMAN: Final = "human"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A revision of a proposal and what it is judged by.

    ``rules``: what the policy asks for each path. ``approvers``: keys that are good. ``authors``: who asked for it or edited it.
    ``outside``: changed paths that the role may not write. ``shown``: digest of what is shown.
    """

    repository: Repository
    whole: ProposalWhole
    revision: Revision
    run: RunWhole | None
    pair: Pair
    policy: Policy
    policy_digest: bytes
    rules: Mapping[str, ReviewRule]
    demands: tuple[Demand, ...]
    approvers: tuple[ApproverRow, ...]
    authors: tuple[Actor, ...]
    outside: tuple[str, ...]
    shown: bytes

    @property
    def proposal(self) -> ProposalRow:
        """The proposal itself."""
        return self.whole.proposal

    @property
    def changes(self) -> ChangeSet:
        """What is proposed."""
        return self.pair.changes

    def selected(self, selection: Selection) -> Selected:
        """The chosen part.

        Raises:
            UsageError: it names what is not there, or cannot stand by itself.
        """
        return select(self.changes, selection, PairContents(self.repository, self.pair))

    def count(self, chosen: ChangeSet) -> Count:
        """How far the approvals that were given reach for ``chosen``."""
        given = given_for(
            self.whole.decisions,
            revision=self.revision.number,
            applies=chosen.digest,
            approvers=self.approvers,
        )
        return count_approvals(
            self.demands_for(chosen), given, approvers=self.approvers, authors=self.authors
        )

    def demands_for(self, chosen: ChangeSet) -> tuple[Demand, ...]:
        """What the policy asks for ``chosen``, which is a part of what is proposed."""
        return demands_of({change.path: self.rules[change.path] for change in chosen.changes})

    def forbidden(self, chosen: ChangeSet) -> tuple[str, str]:
        """A code and a path where the policy forbids ``chosen`` whoever approves it: ``outside``, ``blocked``; ``""`` where it does not."""
        outside = set(self.outside)
        path = next((change.path for change in chosen.changes if change.path in outside), None)
        if path is not None:
            return "outside", path
        blocked = self.run is not None and self.run.run.state is RunState.BLOCKED
        if blocked and not self.outside and self.revision.number == 1:
            return "blocked", chosen.changes[0].path if chosen.changes else ""
        return "", ""


def open_case(
    repository: Repository,
    inbox: Inbox,
    number: int,
    *,
    policy_for: Callable[[str, str], Policy],
    now_ns: int,
) -> Case:
    """The newest revision of proposal ``number`` as it is at ``now_ns``.

    ``policy_for(TEXT, ORIGIN)``: the effective policy, narrowed by the text of the project's file.

    Raises:
        NotFoundError: there is no such proposal.
        DamagedError: its snapshots do not differ by what was proposed, or cannot be read.
        ConfigError: a policy file says something impossible.
    """
    whole = inbox.proposal(number, now_ns=now_ns)
    revision = whole.newest
    run = None if whole.proposal.run is None else inbox.run(whole.proposal.run)
    pair = _intact_pair(inbox.pairs, whole.proposal, revision)
    policy = policy_for(narrowing_of(repository, pair.before), f"{whole.proposal.target}/{POLICY_FILE}")
    return build_case(
        repository,
        whole,
        revision,
        run=run,
        pair=pair,
        policy=policy,
        approvers=standing(inbox.approvers()),
    )


def build_case(
    repository: Repository,
    whole: ProposalWhole,
    revision: Revision,
    *,
    run: RunWhole | None,
    pair: Pair,
    policy: Policy,
    approvers: Sequence[ApproverRow],
) -> Case:
    """The case of ``revision``, judged by ``policy`` and with these keys."""
    rules = rules_of(policy, (change.path for change in pair.changes.changes))
    demands = demands_of(rules)
    outside = _outside(revision, run, pair.changes, policy)
    digest = policy_digest(policy)
    return Case(
        repository=repository,
        whole=whole,
        revision=revision,
        run=run,
        pair=pair,
        policy=policy,
        policy_digest=digest,
        rules=rules,
        demands=demands,
        approvers=tuple(approvers),
        authors=authors_of(whole, revision, run),
        outside=outside,
        shown=_shown(whole.proposal, revision, run, demands=demands, policy=digest, outside=outside),
    )


def _shown(
    proposal: ProposalRow,
    revision: Revision,
    run: RunWhole | None,
    *,
    demands: Sequence[Demand],
    policy: bytes,
    outside: Sequence[str],
) -> bytes:
    facts = run.facts if run else None
    return shown_digest(
        proposal=proposal.number,
        revision=revision.number,
        target=to_bytes(proposal.target),
        purpose=proposal.purpose,
        change_digest=revision.change_digest,
        notes=revision.notes,
        checks=revision.checks,
        risk=revision.risk,
        policy_digest=policy,
        needed=needed_by(demands),
        enforcement=facts.enforcement if facts else None,
        outside=[to_bytes(path) for path in outside],
    )


def _outside(revision: Revision, run: RunWhole | None, changes: ChangeSet, policy: Policy) -> tuple[str, ...]:
    """What is still proposed of what the role may not write. The run's facts say it; a revision's own notes can only add to it.

    What comes straight from an agent is judged once more by the policy that holds now, so nothing depends on its supervisor's word alone.
    What a human made of it is that human's.
    """
    forbidden = {from_bytes(note.path) for note in revision.notes if Flag.OUTSIDE_ROLE in note.flags}
    if run is not None and run.facts is not None:
        forbidden.update(from_bytes(path) for path in run.facts.outside)
    if run is not None and revision.number == 1:
        role = next((role for role in policy.roles if role.name == run.run.role), None)
        forbidden.update(outside_role(role, changes.changes) if role else [])
    return tuple(change.path for change in changes.changes if change.path in forbidden)


def authors_of(whole: ProposalWhole, revision: Revision, run: RunWhole | None) -> tuple[Actor, ...]:
    """The humans who asked for what is proposed, or made it: who prompted the run, who proposed, who edited up to this revision."""
    actors = [whole.proposal.actor]
    actors += [one.actor for one in whole.revisions if one.number <= revision.number]
    if run is not None:
        actors.append(run.run.actor)
    return tuple(dict.fromkeys(actor for actor in actors if actor.kind == HUMAN))


def _intact_pair(pairs: Pairs, proposal: ProposalRow, revision: Revision) -> Pair:
    pair = pairs.read(before=revision.before, after=revision.after, target=proposal.target)
    if pair.changes.digest != revision.change_digest:
        raise DamagedError(
            N_("proposal-{number} does not hold what was proposed."),
            hint=N_("'lastro repo check --read-data' and 'lastro audit verify' say more."),
            number=proposal.number,
        )
    return pair


def narrowing_of(repository: Repository, side: Side) -> str:
    """The text of the project's own policy file on the side before the change; an agent's version of it counts for nothing.

    Raises:
        ConfigError: something is there that is no text file, so what it asks for is not known.
    """
    if lookup(repository, side.root, join(side.place, POLICY_FILE)) is None:
        return ""
    raw = content_of(repository, side, POLICY_FILE)
    try:
        if raw is not None:
            return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise ConfigError(
        N_("{path} was no text file when the proposal was made, so nobody knows what it asks for."),
        hint=N_("Make it one, and run the agent again."),
        path=POLICY_FILE,
    )
