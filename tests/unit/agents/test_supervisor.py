"""The core of the supervisor: laws over any order of events, and the table itself against the states of a run."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lastro.agents.supervisor import (
    STATE_OF_CAUSE,
    Check,
    Checked,
    Collect,
    Collected,
    CutChecks,
    Ended,
    Failed,
    Leave,
    Phase,
    Prepared,
    Propose,
    Proposed,
    Record,
    Resumed,
    Stop,
    StopAgent,
    Supervision,
)
from lastro.domain.run import FINAL_RUN_STATES, RUN_TRANSITIONS, EndCause, RunState

CAUSES = st.sampled_from(EndCause)
LIMITS = st.sampled_from([EndCause.WALL, EndCause.BUDGET, EndCause.DISK])
EVENTS = st.one_of(
    st.just(Prepared()),
    st.builds(Stop, CAUSES),
    st.builds(Ended, CAUSES),
    st.just(Resumed()),
    st.builds(Collected, st.integers(0, 3), st.booleans()),
    st.just(Checked()),
    st.builds(Proposed, st.integers(1, 9)),
    st.just(Failed()),
)


@given(st.lists(EVENTS, max_size=30), st.booleans())
def test_any_order_of_events_makes_only_transitions_that_the_table_of_states_has(events, left):
    core = Supervision(left=left)
    state = RunState.INTERRUPTED if left else RunState.PREPARING
    for event in events:
        for deed in core.take(event):
            if isinstance(deed, Record) and deed.state is not state:
                assert deed.state in RUN_TRANSITIONS[state]
                state = deed.state
    assert core.state is state


@given(st.lists(EVENTS, max_size=30))
def test_what_is_over_says_nothing_more(events):
    core = Supervision()
    for event in events:
        before = core.is_over
        deeds = core.take(event)
        assert not (before and deeds)


@given(st.lists(EVENTS, max_size=40), st.booleans())
def test_work_is_collected_once_the_agent_began_and_nothing_is_finished_without_a_proposal(events, left):
    core, done = Supervision(left=left), []
    for event in events:
        done += core.take(event)
    kinds = [type(deed) for deed in done]
    if Record(RunState.FINISHED) in done or Record(RunState.BLOCKED) in done:
        assert core.proposal
        assert kinds.index(Collect) < kinds.index(Check) < kinds.index(Propose)
    # Whatever ended the agent after it began: it is collected, unless somebody left, or something could not be done.
    if Record(RunState.RUNNING) in done and core.phase is Phase.OVER:
        assert Collect in kinds or core.state is RunState.INTERRUPTED
    assert kinds.count(Collect) <= 1


@pytest.mark.parametrize("cause", EndCause)
def test_every_cause_leads_to_one_final_state(cause):
    assert STATE_OF_CAUSE[cause] in FINAL_RUN_STATES


def test_a_run_that_ends_by_itself_is_finished_with_its_proposal():
    core = Supervision()
    assert core.take(Prepared()) == (Record(RunState.RUNNING),)
    assert core.take(Ended(EndCause.EXITED)) == (Record(RunState.COLLECTING), Collect())
    assert core.take(Collected(3)) == (Record(RunState.CHECKING), Check())
    assert core.take(Checked()) == (Propose(),)
    assert core.take(Proposed(4)) == (Record(RunState.FINISHED),)
    assert core.is_over


def test_an_agent_that_changed_nothing_is_empty_and_proposes_nothing():
    core = Supervision()
    core.take(Prepared())
    core.take(Ended(EndCause.EXITED))
    assert core.take(Collected(0)) == (Record(RunState.EMPTY),)


def test_what_the_role_may_not_write_blocks_even_a_cancelled_run():
    core = Supervision()
    core.take(Prepared())
    assert core.take(Stop(EndCause.CANCELLED)) == (StopAgent(EndCause.CANCELLED),)
    core.take(Ended(EndCause.CANCELLED))
    core.take(Collected(1, outside=True))
    core.take(Checked())
    assert core.take(Proposed(1)) == (Record(RunState.BLOCKED),)


def test_the_first_cause_stays():
    core = Supervision()
    core.take(Prepared())
    core.take(Stop(EndCause.WALL))
    core.take(Stop(EndCause.CANCELLED))
    core.take(Ended(EndCause.SIGNALLED))
    assert core.cause is EndCause.WALL


def test_the_first_stop_while_checks_run_cuts_them_and_the_second_leaves():
    core = Supervision()
    core.take(Prepared())
    core.take(Ended(EndCause.EXITED))
    core.take(Collected(1))
    assert core.take(Stop(EndCause.CANCELLED)) == (CutChecks(),)
    assert core.take(Stop(EndCause.CANCELLED)) == (Leave(),)
    assert core.is_over
    assert core.state is RunState.CHECKING  # found interrupted later


def test_what_could_not_be_recorded_is_interrupted_and_can_be_collected_again():
    core = Supervision()
    core.take(Prepared())
    core.take(Ended(EndCause.EXITED))
    assert core.take(Failed()) == (Record(RunState.INTERRUPTED),)
    again = Supervision(left=True)
    assert again.take(Resumed(EndCause.EXITED)) == (Record(RunState.COLLECTING), Collect())


class Supervised(RuleBasedStateMachine):
    """A caller that does what it is told, against what a human expects of the whole."""

    def __init__(self):
        super().__init__()
        self.core = Supervision()
        self.todo = []
        self.agent = "none"
        self.presses = 0
        self.collected = False
        self.states = [RunState.PREPARING]

    def follow(self, event):
        for deed in self.core.take(event):
            match deed:
                case Record(state):
                    self.states.append(state)
                case StopAgent():
                    assert self.agent == "runs"
                    self.agent = "ending"
                case Collect() | Check() | Propose():
                    self.todo.append(deed)
                case _:
                    pass

    @precondition(lambda self: self.agent == "none" and self.core.phase is Phase.PREPARING)
    @rule()
    def starts(self):
        self.agent = "runs"
        self.follow(Prepared())

    @precondition(lambda self: self.agent in {"runs", "ending"})
    @rule(cause=st.sampled_from([EndCause.EXITED, EndCause.SIGNALLED, EndCause.MEMORY]))
    def ends(self, cause):
        self.agent = "gone"
        self.follow(Ended(cause))

    @rule()
    def press(self):
        self.presses += not self.core.is_over
        self.follow(Stop(EndCause.CANCELLED))

    @rule(cause=LIMITS)
    def limit(self, cause):
        self.follow(Stop(cause))

    @precondition(lambda self: self.todo)
    @rule(changes=st.integers(0, 2), outside=st.booleans())
    def works(self, changes, outside):
        deed = self.todo.pop()
        if isinstance(deed, Collect):
            self.collected = True
            self.follow(Collected(changes, outside=outside and changes > 0))
        else:
            self.follow(Checked() if isinstance(deed, Check) else Proposed(7))

    @invariant()
    def nothing_is_left_undone_when_it_is_over(self):
        if self.core.phase is not Phase.OVER:
            return
        assert not self.todo
        assert self.agent in {"none", "gone"}
        assert self.collected or self.agent == "none"
        assert self.states[-1] in FINAL_RUN_STATES

    @invariant()
    def one_press_never_leaves(self):
        if self.presses < 2:
            assert self.core.phase is not Phase.LEFT


TestSupervised = Supervised.TestCase
