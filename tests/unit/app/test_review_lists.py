"""``proposal list`` and ``runs list``: filters and pages, against the same said with plain loops."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.requests.proposals import Proposals
from lastro.app.requests.runs import BeginRun, Runs
from lastro.errors import UsageError
from tests.proposal_kit import ANA, BIA, RUN_ID, Hall

RANKS = {"high": 0, "medium": 1, "low": 2}


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    made = Hall(str(tmp_path_factory.mktemp("hall")))
    made.enrol(ANA, "owner")
    made.enrol(BIA, by=ANA)
    base = made.base({"a": b"one\n"})
    for number in range(24):
        actor = (ANA, BIA)[number % 2]
        run = _run(made, number, actor) if number % 3 else None
        risk = ("low", "medium", "high")[number % 3]
        made.propose({"a": b"to %d\n" % number}, before=base, run=run, actor=actor, risk=risk)
    for number in (2, 7, 11):
        made.say(number, "reject", BIA)
    yield made
    made.close()


def _run(hall, number, actor):
    request = BeginRun(
        id=RUN_ID.format(1000 + number),
        project="/srv/app",
        role=("client-agent", "reviewer")[number % 2],
        agent=("codex", "claude")[number // 2 % 2],
        command=("true",),
        purpose=("Add a Health check", "ROTATE keys")[number // 3 % 2] + " ß%_",
        policy_digest="00" * 32,
    )
    return hall.call("runs.begin", request, actor).run


def filters():
    return {
        "agent": st.sampled_from(["", "codex", "claude", "none"]),
        "role": st.sampled_from(["", "client-agent", "reviewer", "' OR 1=1 --"]),
        "actor": st.sampled_from(["", "ana", "bia", "nobody"]),
    }


def _pages(request, hall, operation, field, cursor):
    found, last = [], 0
    while True:
        reply = hall.call(operation, msgspec.structs.replace(request, limit=3, **{cursor: last}))
        page = list(getattr(reply, field))
        assert not (found and page) or page[0] not in found
        found += page
        if not reply.more:
            return found
        assert len(page) == 3
        last = page[-1].proposal if field == "proposals" else page[-1].run


@given(
    request=st.builds(
        Proposals,
        all=st.booleans(),
        risk=st.sampled_from(["", "low", "medium", "high"]),
        state=st.sampled_from(["", "open", "rejected"]),
        text=st.sampled_from(["", "HEALTH", "rotate", "%"]),
        project=st.sampled_from(["", "/srv/app", "/srv/none"]),
        **filters(),
    )
)
def test_proposals_are_those_that_were_asked_for(hall, request):
    every = hall.call("proposal.list", Proposals(all=True, limit=0)).proposals
    runs = {one.run: one for one in hall.call("runs.list", Runs(limit=0)).runs}

    def belongs(one):
        run = runs.get(one.run)
        return (
            (one.state == (request.state or "open") or (request.all and not request.state))
            and request.risk in {"", one.risk}
            and request.actor in {"", one.actor}
            and request.text.casefold() in one.purpose.casefold()
            and request.project in {"", one.target}
            and (not request.agent or (run is not None and run.agent == request.agent))
            and (not request.role or (run is not None and run.role == request.role))
        )

    found = _pages(request, hall, "proposal.list", "proposals", "after")
    assert found == [one for one in every if belongs(one)]
    order = [(RANKS[one.risk], one.proposal) for one in found]
    assert order == sorted(order)


@given(
    request=st.builds(
        Runs,
        text=st.sampled_from(["", "health", "Rotate", "SS", "_"]),
        state=st.sampled_from(["", "preparing", "failed"]),
        project=st.sampled_from(["", "/srv/app", "/srv/none"]),
        recorded=st.sampled_from([True]),
        **filters(),
    )
)
def test_runs_are_those_that_were_asked_for(hall, request):
    every = hall.call("runs.list", Runs(limit=0, recorded=True)).runs
    assert [one.run for one in every] == sorted((one.run for one in every), reverse=True)
    assert _pages(request, hall, "runs.list", "runs", "before") == [
        one
        for one in every
        if request.state in {"", one.state}
        and request.project in {"", one.project}
        and request.agent in {"", one.agent}
        and request.role in {"", one.role}
        and request.actor in {"", one.actor}
        and request.text.casefold() in one.purpose.casefold()
    ]


def test_a_risk_that_is_none_is_said(hall):
    with pytest.raises(UsageError):
        hall.call("proposal.list", Proposals(risk="huge"))


def test_a_text_is_found_whatever_its_case(hall):
    found = hall.call("proposal.list", Proposals(text="HEALTH", limit=0)).proposals
    assert found and found == hall.call("proposal.list", Proposals(limit=0)).proposals
    assert not hall.call("proposal.list", Proposals(text="%", limit=0)).proposals
