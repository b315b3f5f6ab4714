"""Who is asked next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import UnreachableError
from lastro.gateway.attempt import Failure
from lastro.gateway.candidates import Candidates
from lastro.gateway.dialects.neutral import Dialect, ErrorKind, Failed
from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.route import Match, Route, Routed, TaskKind
from tests.answering_kit import candidate

FAILED = Failed(kind=ErrorKind.UPSTREAM, text="no")
ELSEWHERE = Failure(outcome=AttemptOutcome.SERVER_ERROR, failed=FAILED)
UNREACHED = Failure(outcome=AttemptOutcome.CONNECT, failed=FAILED)
CLOSED = Failure(outcome=AttemptOutcome.CONNECT, failed=FAILED, same_again=True)
TOO_LONG = Failure(outcome=AttemptOutcome.CONTEXT, failed=FAILED)
FINAL = Failure(outcome=AttemptOutcome.REJECTED, failed=FAILED, elsewhere=False)


def routed(*choices, attempts=4):
    route = Route(name="r", match=Match(), models=(), attempts=attempts)
    return Routed(route=route, kind=TaskKind.CHAT, candidates=choices, considered=())


def choice(name, *, local=False, context=0):
    return candidate(name, "http://h", Dialect.CHAT, local=local, context=context)


def candidates(*choices, attempts=4, down=lambda: False, stand_ins=()):
    return Candidates(
        routed(*choices, attempts=attempts), network_down=down, reroute=lambda: routed(*stand_ins)
    )


def asked(candidates, failures):
    names, failure = [], None
    for failure_next in [*failures, ELSEWHERE, ELSEWHERE, ELSEWHERE, ELSEWHERE, ELSEWHERE]:
        one = candidates.next(failure)
        if one is None:
            break
        candidates.called()
        names.append(one.provider.name)
        failure = failure_next
    return names


@given(
    failures=st.lists(st.sampled_from((ELSEWHERE, UNREACHED, CLOSED, TOO_LONG, FINAL)), max_size=8),
    count=st.integers(1, 6),
    attempts=st.integers(1, 5),
)
def test_nobody_is_asked_again_but_once_after_a_closed_connection(failures, count, attempts):
    names = asked(candidates(*(choice(f"p{n}") for n in range(count)), attempts=attempts), failures)
    assert len(names) <= attempts
    assert list(dict.fromkeys(names)) == [f"p{n}" for n in range(len(set(names)))], "in their order"
    for name in set(names):
        assert names.count(name) <= 2
        if names.count(name) == 2:
            assert failures[names.index(name)] is CLOSED


def test_a_refused_request_is_asked_of_nobody_else():
    assert asked(candidates(choice("a"), choice("b")), [FINAL]) == ["a"]


def test_after_too_long_only_larger_or_unknown_ones_follow():
    choices = (choice("a", context=8), choice("b", context=4), choice("c", context=16), choice("d"))
    assert asked(candidates(*choices), [TOO_LONG]) == ["a", "c", "d"]


def test_with_the_network_down_the_stand_in_comes_even_after_the_last_attempt():
    stand_ins = (choice("a"), choice("near", local=True))
    down = candidates(choice("a"), attempts=1, down=lambda: True, stand_ins=stand_ins)
    assert asked(down, [UNREACHED]) == ["a", "near"]


def test_with_the_network_up_nobody_stands_in():
    up = candidates(choice("a"), attempts=1, stand_ins=(choice("near", local=True),))
    assert asked(up, [UNREACHED]) == ["a"]


def test_two_lost_providers_are_enough_once_the_network_is_down():
    choices = (choice("a"), choice("b"), choice("c"), choice("near", local=True))
    assert asked(candidates(*choices, down=lambda: True), [UNREACHED, UNREACHED]) == ["a", "b", "near"]


def test_where_nobody_stands_in_the_last_failure_stays():
    def nobody():
        raise UnreachableError("All are down.")

    one = Candidates(routed(choice("a")), network_down=lambda: True, reroute=nobody)
    assert one.next(None) is not None
    one.called()
    assert one.next(UNREACHED) is None
