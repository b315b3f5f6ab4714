"""Circuit breakers against a plain model, and the detector of a network that is down."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from lastro.gateway.circuit import LONGEST_RETRY_AFTER_S, NETWORK_WINDOW_S, Circuits, CircuitState
from lastro.gateway.settings import Circuit

SETTINGS = Circuit(failures=3, pause_s=10.0, longest_pause_s=40.0)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def made():
    clock = Clock()
    return Circuits(SETTINGS, clock=clock), clock


class CircuitModel(RuleBasedStateMachine):
    """One model of one provider: a plain count, the time until which it is shut, and who is the probe."""

    permits = Bundle("permits")

    @initialize()
    def begin(self):
        self.circuits, self.clock = made()
        self.failures = 0
        self.shut_until = None
        self.pause = 0.0
        self.probe = None
        self.running = 0

    def may_go(self):
        if self.shut_until is None:
            return True
        return self.clock.now >= self.shut_until and self.probe is None

    @rule(target=permits)
    def enter(self):
        permit = self.circuits.enter("p", "m", local=False)
        assert (permit is not None) == self.may_go()
        if permit is None:
            return multiple()
        self.running += 1
        if self.shut_until is not None:
            assert permit.probe
            self.probe = permit
        return permit

    @rule(permit=consumes(permits))
    def succeed(self, permit):
        permit.succeeded()
        self.running -= 1
        if self.probe is permit or self.shut_until is None:
            self.failures, self.shut_until, self.pause = 0, None, 0.0
        if self.probe is permit:
            self.probe = None

    @rule(permit=consumes(permits), again=st.booleans())
    def abandon(self, permit, again):
        permit.abandoned()
        if again:
            permit.failed(at_once=True)  # a permit counts once
            permit.succeeded()
        self.running -= 1
        if self.probe is permit:
            self.probe = None

    @rule(
        permit=consumes(permits),
        at_once=st.booleans(),
        retry_after=st.sampled_from((None, 0.0, 5.0, 60.0, 1e9)),
    )
    def fail(self, permit, at_once, retry_after):
        permit.failed(at_once=at_once, retry_after_s=retry_after)
        self.running -= 1
        self.failures += 1
        asked = min(retry_after or 0.0, LONGEST_RETRY_AFTER_S)
        was_probe, self.probe = self.probe is permit, None if self.probe is permit else self.probe
        if self.shut_until is not None and not was_probe:
            self.shut_until = max(self.shut_until, self.clock.now + asked)
        elif was_probe or at_once or asked > 0 or self.failures >= SETTINGS.failures:
            self.pause = min(self.pause * 2 if self.pause else SETTINGS.pause_s, SETTINGS.longest_pause_s)
            self.shut_until = self.clock.now + max(self.pause, asked)

    @rule(permit=permits)
    def answer_begins(self, permit):
        permit.answering()
        if self.probe is permit:
            self.probe, self.shut_until, self.failures = None, None, SETTINGS.failures - 1

    @rule(seconds=st.sampled_from((0.5, 5.0, 10.0, 61.0, 4000.0)))
    def wait(self, seconds):
        self.clock.now += seconds

    @invariant()
    def views_agree(self):
        if not hasattr(self, "circuits"):
            return
        assert self.circuits.allows("p", "m") == self.may_go()
        assert self.circuits.in_flight("p", "m") == self.running
        left = self.circuits.retry_after_s("p", "m")
        if self.may_go():
            assert left is None
        else:
            assert left == max(self.shut_until - self.clock.now, 0.0)


TestCircuitModel = CircuitModel.TestCase


def test_a_permit_limits_calls_at_once():
    circuits, _ = made()
    first = circuits.enter("p", "m", local=False, max_concurrent=1)
    assert circuits.enter("p", "m", local=False, max_concurrent=1) is None
    first.abandoned()
    assert circuits.enter("p", "m", local=False, max_concurrent=1) is not None


def test_failing_connections_shut_all_models_of_a_provider_and_any_status_opens_them():
    circuits, clock = made()
    old = circuits.enter("p", "old", local=True)
    for number in range(3):
        circuits.enter("p", f"m{number}", local=True).failed(connecting=True)
    assert circuits.enter("p", "another", local=True) is None
    assert circuits.allows("q", "another")
    clock.now += SETTINGS.pause_s
    probe = circuits.enter("p", "another", local=True)
    assert probe.probe
    assert circuits.enter("p", "third", local=True) is None
    old.connected()
    assert circuits.enter("p", "third", local=True) is not None


def test_an_answer_that_fails_after_its_first_content_reopens_at_once_and_for_longer():
    circuits, clock = made()
    circuits.enter("p", "m", local=False).failed(at_once=True)
    clock.now += SETTINGS.pause_s
    probe = circuits.enter("p", "m", local=False)
    probe.answering()
    assert circuits.allows("p", "m")
    probe.failed()
    assert circuits.retry_after_s("p", "m") == 2 * SETTINGS.pause_s


def test_only_the_probe_closes_a_circuit():
    circuits, clock = made()
    old = circuits.enter("p", "m", local=False)
    circuits.enter("p", "m", local=False).failed(retry_after_s=60)
    old.succeeded()
    assert circuits.retry_after_s("p", "m") == 60
    clock.now += 60
    circuits.enter("p", "m", local=False).succeeded()
    assert circuits.allows("p", "m")


def test_no_way_out_is_a_network_that_is_down_until_somebody_answers():
    circuits, clock = made()
    circuits.enter("a", "m", local=False).failed(connecting=True, no_route=True)
    assert circuits.network_down
    circuits.enter("home", "m", local=True).connected()
    assert circuits.network_down, "what is near says nothing about what is far"
    circuits.enter("b", "m", local=False).connected()
    assert not circuits.network_down
    circuits.enter("a", "m", local=False).failed(connecting=True, no_route=True)
    assert not circuits.network_down, "another answered a moment ago: only this one is lost"
    clock.now += NETWORK_WINDOW_S
    circuits.enter("b", "m", local=False).failed(connecting=True, no_route=True)
    assert circuits.network_down


def test_one_provider_that_refuses_is_not_the_network_and_two_within_the_window_are():
    circuits, clock = made()
    circuits.enter("a", "m", local=False).failed(connecting=True)
    circuits.enter("a", "n", local=False).failed(connecting=True)
    assert not circuits.network_down
    clock.now += NETWORK_WINDOW_S + 1
    circuits.enter("b", "m", local=False).failed(connecting=True)
    assert not circuits.network_down
    circuits.enter("home", "m", local=True).failed(connecting=True, no_route=True)
    assert not circuits.network_down
    circuits.enter("c", "m", local=False).failed(connecting=True)
    assert circuits.network_down


def test_who_could_not_be_reached_before_somebody_answered_counts_no_more():
    circuits, _ = made()
    circuits.enter("a", "m", local=False).failed(connecting=True)
    circuits.enter("b", "m", local=False).connected()
    circuits.enter("c", "m", local=False).failed(connecting=True)
    assert not circuits.network_down


def test_a_network_that_is_down_is_tried_again_after_pauses_that_double():
    circuits, clock = made()
    pauses = []
    for _ in range(4):
        circuits.enter(f"p{clock.now}", "m", local=False).failed(connecting=True, no_route=True)
        began = clock.now
        while circuits.network_down:
            clock.now += 1
        pauses.append(clock.now - began)
    assert pauses == [10.0, 20.0, 40.0, 40.0]


def test_the_status_names_circuits_by_model_and_by_provider():
    circuits, _ = made()
    circuits.enter("p", "m/x", local=False).failed(at_once=True)
    status = {one.name: one for one in circuits.status()}
    assert status["p/m/x"].state is CircuitState.OPEN
    assert status["p/m/x"].retry_after_s == SETTINGS.pause_s
    assert status["p"].state is CircuitState.CLOSED


def test_the_only_provider_out_of_reach_means_that_the_network_is_down_unless_it_answered_just_now():
    now = [100.0]
    only = Circuits(Circuit(), clock=lambda: now[0], beyond=lambda: 1)
    only.connected(local=False)
    only.unconnected("p", local=False, no_route=False)
    assert not only.network_down
    now[0] += NETWORK_WINDOW_S
    only.unconnected("p", local=False, no_route=False)
    assert only.network_down
    only.connected(local=False)
    assert not only.network_down
    one_of_two = Circuits(Circuit(), clock=lambda: now[0], beyond=lambda: 2)
    one_of_two.unconnected("p", local=False, no_route=False)
    assert not one_of_two.network_down
