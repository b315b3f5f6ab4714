"""The inbox: a projection of what the log says about runs, proposals, decisions and approvers, with the log's ``seq`` as cursor.

It pulls, like the history projection: ``refresh`` folds the records it has not seen, each in one transaction with the cursor; deleting the
file loses nothing. What always holds: no record can stop it. One that cannot be understood, or whose transition the tables of
``domain.run`` and ``domain.proposal`` do not allow, changes nothing here; ``audit verify`` names it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from typing_extensions import override

from lastro.domain.paths import to_bytes
from lastro.domain.proposal import ProposalState
from lastro.domain.run import RunState
from lastro.errors import NotFoundError
from lastro.messages import N_
from lastro.proposals.folding import fold
from lastro.proposals.inbox_schema import SCHEMA, SCHEMA_VERSION
from lastro.proposals.pairs import Pairs
from lastro.proposals.reading import (
    PROPOSAL_COLUMNS,
    RUN_COLUMNS,
    approver_of,
    decision_of,
    facts_of,
    happening_of,
    proposal_of,
    proposal_passage_of,
    revision_of,
    run_of,
    run_passage_of,
)
from lastro.proposals.rows import (
    LIVE,
    UNDECIDED,
    ApproverRow,
    Happening,
    ProposalRow,
    ProposalWhole,
    RunRow,
    RunWhole,
)
from lastro.proposals.wanted import (
    EVERY_PROPOSAL,
    EVERY_RUN,
    ORDERS,
    WantedProposals,
    WantedRuns,
    holds,
    is_of,
    of_proposals,
    of_runs,
    where,
)
from lastro.store.log_projection import LogProjection
from lastro.store.repository import Repository, StoredRecord


class Inbox(LogProjection):
    """Answers from the projection. Every question first folds what is new. Safe to use from several threads."""

    def __init__(self, repository: Repository, path: str | None) -> None:
        """``path`` of the SQLite file; ``None``: in memory. A foreign or damaged file is made anew."""
        super().__init__(repository, path, schema=SCHEMA, version=SCHEMA_VERSION)
        self._turn = threading.RLock()
        self.pairs = Pairs(repository)
        self._database.create_function("is_of", 2, is_of, deterministic=True)
        self._database.create_function("holds", 2, holds, deterministic=True)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """What is read here still stands when it is acted on: one thread at a time. Only one process writes a repository at all."""
        with self._turn:
            yield

    # Runs -----------------------------------------------------------------------------------------------------------------------------

    def runs(self, wanted: WantedRuns = EVERY_RUN, *, limit: int = 0) -> list[RunRow]:
        """The newest runs first."""
        condition = where(of_runs(wanted))
        rows = self._rows(
            f"SELECT {RUN_COLUMNS} FROM run {condition.text} ORDER BY number DESC LIMIT ?",
            *condition.arguments,
            limit or -1,
        )
        return [run_of(row) for row in rows]

    def live_runs(self, project: str) -> list[RunRow]:
        """The runs of a project that have begun and are not over, oldest first."""
        rows = self._rows(
            f"SELECT {RUN_COLUMNS} FROM run WHERE project = ? AND state IN ({_places(LIVE)}) ORDER BY number",
            to_bytes(project),
            *LIVE,
        )
        return [run_of(row) for row in rows]

    def queued(self) -> list[RunRow]:
        """The runs that wait for a runner, oldest first."""
        rows = self._rows(
            f"SELECT {RUN_COLUMNS} FROM run WHERE state = ? ORDER BY number", RunState.QUEUED.value
        )
        return [run_of(row) for row in rows]

    def run(self, number: int) -> RunWhole:
        """The run with this number.

        Raises:
            NotFoundError: there is none.
        """
        with self._lock:
            rows = self._rows(f"SELECT {RUN_COLUMNS} FROM run WHERE number = ?", number)
            if not rows:
                raise NotFoundError(
                    N_("There is no run-{number}."), hint=N_("See 'lastro runs list'."), number=number
                )
            passages = self._rows(
                "SELECT seq, state, time_ns FROM run_state WHERE run = ? ORDER BY seq", number
            )
            facts = self._rows("SELECT facts FROM run WHERE number = ?", number)
        return RunWhole(
            run=run_of(rows[0]),
            passages=tuple(run_passage_of(row) for row in passages),
            facts=facts_of(facts[0]),
        )

    def run_by_id(self, identity: str) -> RunRow | None:
        """The run that its supervisor called ``identity``."""
        rows = self._rows(f"SELECT {RUN_COLUMNS} FROM run WHERE id = ?", identity)
        return run_of(rows[0]) if rows else None

    # Proposals ------------------------------------------------------------------------------------------------------------------------

    def proposals(
        self,
        wanted: WantedProposals = EVERY_PROPOSAL,
        *,
        now_ns: int,
        limit: int = 0,
    ) -> list[ProposalRow]:
        """Proposals as they are at ``now_ns``, in the order that is wanted."""
        condition = where(of_proposals(wanted))
        rows = self._rows(
            f"SELECT {PROPOSAL_COLUMNS} FROM (SELECT *, {_STATE_NOW} AS state_now FROM proposal) {condition.text}"
            f" ORDER BY {ORDERS[wanted.order]} LIMIT ?",
            now_ns,
            *condition.arguments,
            limit or -1,
        )
        return [proposal_of(row) for row in rows]

    def count(self, states: frozenset[ProposalState], *, now_ns: int) -> int:
        """How many proposals are in one of ``states`` at ``now_ns``."""
        rows = self._rows(
            f"SELECT count(*) FROM (SELECT {_STATE_NOW} AS state_now FROM proposal) WHERE state_now IN ({_places(states)})",
            now_ns,
            *states,
        )
        return int(rows[0][0])

    def files_of(self, numbers: Collection[int]) -> dict[int, int]:
        """How many paths each of these proposals changes, by its number."""
        rows = self._rows(
            f"SELECT number, files FROM proposal WHERE number IN ({_places(numbers)})", *sorted(numbers)
        )
        return {row["number"]: row["files"] for row in rows}

    def proposal(self, number: int, *, now_ns: int) -> ProposalWhole:
        """The proposal with this number, as it is at ``now_ns``.

        Raises:
            NotFoundError: there is none.
        """
        with self._lock:
            rows = self._rows(
                f"SELECT {PROPOSAL_COLUMNS} FROM (SELECT *, {_STATE_NOW} AS state_now FROM proposal) WHERE number = ?",
                now_ns,
                number,
            )
            if not rows:
                raise NotFoundError(
                    N_("There is no proposal-{number}."),
                    hint=N_("See 'lastro proposal list --all'."),
                    number=number,
                )
            revisions = self._rows("SELECT * FROM revision WHERE proposal = ? ORDER BY revision", number)
            passages = self._rows("SELECT * FROM proposal_state WHERE proposal = ? ORDER BY seq", number)
            decisions = self._rows("SELECT * FROM decision WHERE proposal = ? ORDER BY seq", number)
            applies = self._rows(
                "SELECT number FROM apply WHERE of = ? AND kind = 'proposal' ORDER BY number", number
            )
        return ProposalWhole(
            proposal=proposal_of(rows[0]),
            revisions=tuple(revision_of(row) for row in revisions),
            passages=tuple(proposal_passage_of(row) for row in passages),
            decisions=tuple(decision_of(row) for row in decisions),
            applies=tuple(row["number"] for row in applies),
        )

    def proposal_by_id(self, identity: str, *, now_ns: int) -> ProposalRow | None:
        """The proposal that whoever proposed it called ``identity``."""
        rows = self._rows(
            f"SELECT {PROPOSAL_COLUMNS} FROM (SELECT *, {_STATE_NOW} AS state_now FROM proposal) WHERE id = ?",
            now_ns,
            identity,
        )
        return proposal_of(rows[0]) if rows else None

    def built_on(self, number: int, *, now_ns: int) -> list[int]:
        """Numbers of the undecided proposals that build on proposal ``number``: they begin at a state that it made, or they begin after it
        was applied and change a path that it changed.
        """
        whole = self.proposal(number, now_ns=now_ns)
        made = {revision.after for revision in whole.revisions}
        applied = [apply for apply in map(self._apply_after, whole.applies) if apply is not None]
        found = []
        for row in self.proposals(WantedProposals(states=UNDECIDED), now_ns=now_ns):
            if number in {row.number, row.of}:
                continue
            later = any(row.before >= seq for seq in applied) and row.target == whole.proposal.target
            if row.before in made or (later and self._share_paths(number, row.number)):
                found.append(row.number)
        return found

    def undone_makers(self, seq: int) -> list[int]:
        """Numbers of the rejected or undone proposals that made the state that snapshot record ``seq`` holds."""
        rows = self._rows(
            "SELECT DISTINCT number FROM proposal JOIN revision ON revision.proposal = proposal.number"
            " WHERE revision.after = ? AND state IN ('rejected', 'undone') ORDER BY number",
            seq,
        )
        return [row["number"] for row in rows]

    def happenings(self, after: int) -> list[Happening]:
        """What happened to runs and proposals after ``seq`` ``after``, in order."""
        rows = self._rows(
            "SELECT 'run' AS kind, seq, time_ns, run AS number, state AS word, 0 AS revision, NULL AS actor FROM run_state WHERE seq > ?"
            " UNION ALL SELECT 'proposal', seq, time_ns, proposal, state, 0, NULL FROM proposal_state WHERE seq > ?"
            " UNION ALL SELECT 'decision', seq, time_ns, proposal, verdict, revision, actor FROM decision WHERE seq > ?"
            " ORDER BY seq",
            after,
            after,
            after,
        )
        return [happening_of(row) for row in rows]

    def was_used(self, nonce: bytes) -> bool:
        """Whether an approval, or other roles of a human, are recorded with this nonce."""
        found = "SELECT 1 FROM decision WHERE nonce = ? UNION ALL SELECT 1 FROM roles_nonce WHERE nonce = ?"
        return bool(self._rows(found, nonce, nonce))

    def knows_policy(self, digest: bytes) -> bool:
        """Whether a decision holds the policy with this digest."""
        return bool(self._rows("SELECT 1 FROM policy WHERE digest = ?", digest))

    # Approvers ------------------------------------------------------------------------------------------------------------------------

    def approvers(self) -> list[ApproverRow]:
        """Every approver key there ever was, by name, then by age."""
        return [approver_of(row) for row in self._rows("SELECT * FROM approver ORDER BY name, since_seq")]

    def last_signed(self) -> dict[str, int]:
        """When each approver key signed an approval the last time (nanoseconds since 1970), by its id."""
        return {row["key_id"]: row["time_ns"] for row in self._rows("SELECT * FROM last_signed")}

    # ----------------------------------------------------------------------------------------------------------------------------------

    def _rows(self, query: str, *arguments: object) -> list[sqlite3.Row]:
        with self._lock:
            self.refresh()
            cursor = self._database.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(query, arguments).fetchall()

    def _apply_after(self, number: int) -> int | None:
        rows = self._rows("SELECT after FROM apply WHERE number = ?", number)
        return rows[0][0] if rows else None

    def _share_paths(self, one: int, other: int) -> bool:
        return bool(
            self._rows(
                "SELECT 1 FROM changed_path AS a JOIN changed_path AS b ON a.path = b.path"
                " WHERE a.proposal = ? AND b.proposal = ? LIMIT 1",
                one,
                other,
            )
        )

    @override
    def _enter(self, stored: StoredRecord) -> None:
        fold(self._database, self._repository, stored)


def _places(values: Collection[object]) -> str:
    """Placeholders for as many values."""
    return ", ".join("?" for _ in values)


_STATE_NOW = (
    "CASE WHEN expires_ns <= ? AND state IN ("
    + ", ".join(f"'{state.value}'" for state in sorted(UNDECIDED))
    + ") THEN 'expired' ELSE state END"
)
