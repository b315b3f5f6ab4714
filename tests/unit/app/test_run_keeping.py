"""The keeper's operations on runs, through their table, over a real log."""

from __future__ import annotations

import threading

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lastro.app.requests.runs import BeginRun, QueuedRuns, RecordRunState, Runs, ShowRun, TellStep
from lastro.domain.record import RecordKind
from lastro.domain.run import RUN_TRANSITIONS, EndCause, RunFacts, RunState, RunStep
from lastro.errors import ConflictError, NotFoundError, UsageError
from lastro.store.transaction import Transaction
from tests.proposal_kit import PROJECT, RUN_ID, Hall


@pytest.fixture
def hall(tmp_path):
    made = Hall(str(tmp_path))
    yield made
    made.close()


def order(number=1, **fields):
    return BeginRun(
        **{
            "id": RUN_ID.format(number),
            "project": PROJECT,
            "role": "client-agent",
            "agent": "generic",
            "command": ("true",),
            "purpose": "test",
            "policy_digest": "00" * 32,
            **fields,
        }
    )


def test_a_run_begins_once(hall):
    first = hall.call("runs.begin", order())
    head = hall.repository.head()
    assert hall.call("runs.begin", order()) == first
    assert hall.repository.head() == head
    shown = hall.call("runs.show", ShowRun())
    assert (shown.run, shown.state, shown.actor, shown.actor_uid) == (1, "preparing", "ana", 1000)
    assert [passage.state for passage in shown.transitions] == ["queued", "preparing"]


def test_a_run_that_begins_is_never_seen_waiting_in_the_queue(hall, monkeypatch):
    """Its record and its state are one commit: killed in between, whoever serves the queue would run it once more."""
    commits, commit = [], Transaction.commit

    def counted(self, *drafts):
        commits.append([draft.kind for draft in drafts])
        return commit(self, *drafts)

    monkeypatch.setattr(Transaction, "commit", counted)
    hall.call("runs.begin", order(1))
    hall.call("runs.begin", order(2, queued=True))
    assert commits == [[RecordKind.RUN, RecordKind.RUN_STATE], [RecordKind.RUN]]
    assert [run.run for run in hall.call("runs.list", Runs(state="queued")).runs] == [2]


def test_states_follow_the_table_and_twice_is_once(hall):
    run = hall.run("running")
    head = hall.repository.head()
    hall.call("runs.state", RecordRunState(run=run, state="running"))
    assert hall.repository.head() == head
    with pytest.raises(ConflictError):
        hall.call("runs.state", RecordRunState(run=run, state="finished"))
    with pytest.raises(UsageError):
        hall.call("runs.state", RecordRunState(run=run, state="perfect"))
    with pytest.raises(NotFoundError):
        hall.call("runs.state", RecordRunState(run=99, state="running"))
    assert hall.repository.head() == head


def test_what_becomes_known_stays_known(hall):
    before = hall.base({"a": b"one\n"})
    after = hall.layer(before, {"a": b"two\n"})
    run = hall.run()
    facts = RunFacts(cause=EndCause.EXITED, last_words="done \udcff", session="s")
    for state, fields in (
        ("running", {"before": before}),
        ("collecting", {}),
        ("checking", {"after": after, "facts": facts}),
        ("finished", {}),
    ):
        hall.call("runs.state", RecordRunState(run=run, state=state, **fields))
    shown = hall.call("runs.show", ShowRun(run=f"run-{run}"))
    assert (shown.before_seq, shown.after_seq, shown.before, shown.after) == (before, after, 1, 2)
    assert shown.facts is not None and shown.facts.last_words == "done \ufffd"


def test_a_lease_is_for_one_run_at_a_time(hall):
    first = hall.call("runs.begin", order(1, leases=("src/**",)))
    with pytest.raises(ConflictError) as caught:
        hall.call("runs.begin", order(2, leases=("src/app/*.py",)))
    assert "run-1" in str(caught.value)
    other = hall.call("runs.begin", order(3, leases=("docs/**",)))
    assert other.frozen == ("src/**",)
    assert hall.call("runs.begin", order(4)).frozen == ("docs/**", "src/**")
    assert hall.call("runs.begin", order(5, project="/srv/other", leases=("src/**",))).frozen == ()
    hall.call("runs.state", RecordRunState(run=first.run, state="interrupted"))
    assert hall.call("runs.begin", order(2, leases=("src/app/*.py",))).frozen == ("docs/**",)


@pytest.mark.parametrize(
    "wrong",
    [{"id": "x"}, {"id": "G" * 32}, {"project": "srv"}, {"leases": ("\udcff",)}, {"leases": ("",)}],
    ids=["short id", "no id", "relative", "no text", "empty"],
)
def test_what_no_supervisor_sends_is_refused(hall, wrong):
    with pytest.raises(UsageError):
        hall.call("runs.begin", order(**wrong))
    assert hall.inbox.runs() == []


def test_queued_runs_are_taken_once_and_in_order(hall):
    for number in range(1, 4):
        hall.call("runs.begin", order(number, queued=True))
    assert [run.run for run in hall.call("runs.queue", QueuedRuns()).runs] == [1, 2, 3]
    taken = []

    def take():
        taken.extend(run.run for run in hall.call("runs.queue", QueuedRuns(take=True)).runs)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == [1, 2, 3]
    assert hall.call("runs.queue", QueuedRuns()).runs == ()


def test_a_queued_run_waits_for_the_leases_of_others(hall):
    holder = hall.call("runs.begin", order(1, leases=("src/**",))).run
    hall.call("runs.begin", order(2, leases=("src/a",), queued=True))
    free = hall.call("runs.begin", order(3, leases=("docs/**",), queued=True)).run
    assert [run.run for run in hall.call("runs.queue", QueuedRuns(take=True)).runs] == [free]
    assert hall.call("runs.queue", QueuedRuns(take=True)).runs == ()
    hall.call("runs.state", RecordRunState(run=holder, state="cancelled"))
    assert [run.run for run in hall.call("runs.queue", QueuedRuns(take=True)).runs] == [2]


def test_a_step_is_told_and_not_recorded(hall):
    run = hall.run("running")
    head = hall.repository.head()
    hall.call(
        "runs.step", TellStep(run=run, step=RunStep(number=1, exchange="e", time_ns=5, paths=(b"a", b"b")))
    )
    assert hall.repository.head() == head
    assert hall.events[-1].kind == "run_step" and hall.events[-1].parameters["paths"] == 2


def test_who_watches_hears_of_every_state(hall):
    hall.run("running", "collecting", "empty")
    told = [event.parameters["state"] for event in hall.events if event.kind == "run"]
    assert told == ["preparing", "running", "collecting", "empty"]
    assert all(event.seq is not None for event in hall.events if event.kind == "run")


def test_the_newest_runs_come_first(hall):
    for number in range(1, 5):
        hall.call("runs.begin", order(number))
    reply = hall.call("runs.list", Runs(limit=3))
    assert [run.run for run in reply.runs] == [4, 3, 2] and reply.more
    assert hall.call("runs.list", Runs(state="queued")).runs == ()
    with pytest.raises(UsageError):
        hall.call("runs.list", Runs(state="x"))
    with pytest.raises(UsageError):
        hall.call("runs.show", ShowRun(run="proposal-1"))


def test_without_any_run_there_is_no_last_one(hall):
    with pytest.raises(NotFoundError):
        hall.call("runs.show", ShowRun())


def test_any_command_and_purpose_can_be_kept(hall):
    request = order(command=("sh", "\udcff", "é"), purpose="p\udcff", agent="a\udcff")
    hall.call("runs.begin", request)
    shown = hall.call("runs.show", ShowRun())
    assert shown.command == request.command
    assert shown.purpose == "p\ufffd"


class RunStates(RuleBasedStateMachine):
    """Runs against a plain dictionary."""

    def __init__(self):
        super().__init__()
        self.hall = Hall("/nonexistent")
        self.model = {}

    def teardown(self):
        self.hall.close()

    @rule(queued=st.booleans())
    def begin(self, queued):
        number = self.hall.run(queued=queued)
        self.model[number] = RunState.QUEUED if queued else RunState.PREPARING

    @rule(number=st.integers(1, 5), state=st.sampled_from(list(RunState)))
    def enter(self, number, state):
        request = RecordRunState(run=number, state=state.value)
        before = self.model.get(number)
        if before is None:
            with pytest.raises(NotFoundError):
                self.hall.call("runs.state", request)
        elif state is before or state in RUN_TRANSITIONS.get(before, frozenset()):
            self.hall.call("runs.state", request)
            self.model[number] = state
        else:
            with pytest.raises(ConflictError):
                self.hall.call("runs.state", request)

    @rule()
    def restart(self):
        self.hall.reopen()

    @invariant()
    def as_the_dictionary_says(self):
        assert {run.number: run.state for run in self.hall.inbox.runs()} == self.model
        assert msgspec.to_builtins(sorted(self.model)) == [
            run.number for run in reversed(self.hall.inbox.runs())
        ]


TestRunStates = pytest.mark.slow(RunStates.TestCase)
