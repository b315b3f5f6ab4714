"""The inbox says what the log says, however often it is made anew, and whatever the log holds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.proposal import ProposalState
from lastro.domain.record import (
    ApproverBody,
    DecisionBody,
    ProposalBody,
    ProposalRevisionBody,
    ProposalStateBody,
    RecordKind,
    RunBody,
    RunStateBody,
)
from lastro.domain.run import RunState
from lastro.errors import NotFoundError
from lastro.proposals.inbox import Inbox
from lastro.proposals.rows import NIL, clean_text, pack, unpack
from lastro.proposals.wanted import WantedRuns
from tests.proposal_kit import ANA, BIA, PROJECT, Hall


@pytest.fixture
def hall(tmp_path):
    made = Hall(str(tmp_path), cache=f"{tmp_path}/inbox.sqlite")
    made.enrol(ANA, "owner")
    made.enrol(BIA, by=ANA)
    yield made
    made.close()


def everything(inbox, now_ns=0):
    return (
        inbox.runs(),
        [inbox.run(run.number) for run in inbox.runs()],
        [inbox.proposal(row.number, now_ns=now_ns) for row in inbox.proposals(now_ns=now_ns)],
        inbox.approvers(),
    )


def lived(hall):
    """A log in which everything happened once."""
    run = hall.run("running", "collecting", "checking", "finished")
    first = hall.propose({"a": b"two\n"}, run=run)
    hall.approve(first, BIA)
    hall.apply(first)
    second = hall.propose({"a": b"three\n"})
    hall.revise(second, {"a": b"four\n"})
    hall.say(second, "comment", BIA)
    hall.run("failed")
    hall.run(queued=True)
    hall.enter(first, "undone")
    return first, second


def test_a_cache_that_is_lost_is_made_again(hall):
    lived(hall)
    before = everything(hall.inbox)
    hall.reopen()
    assert everything(hall.inbox) == before
    hall.reopen(forget=True)
    assert everything(hall.inbox) == before
    memory = Inbox(hall.repository, None)
    assert everything(memory) == before
    memory.close()


def test_two_processes_fold_into_one_cache(hall):
    other = Inbox(hall.repository, hall.cache)
    first, second = lived(hall)
    assert everything(other) == everything(hall.inbox)
    assert other.proposal(first, now_ns=0).proposal.state is ProposalState.UNDONE
    assert other.proposal(second, now_ns=0).proposal.revision == 2
    other.close()


def test_a_damaged_cache_is_no_trouble(hall):
    lived(hall)
    before = everything(hall.inbox)
    hall.inbox.close()
    with open(hall.cache, "r+b") as file:
        file.write(b"not a database at all" * 100)
    hall.inbox = Inbox(hall.repository, hall.cache)
    assert everything(hall.inbox) == before


def test_what_is_asked_for_and_is_not_there(hall):
    with pytest.raises(NotFoundError):
        hall.inbox.run(1)
    with pytest.raises(NotFoundError):
        hall.inbox.proposal(1, now_ns=0)
    assert hall.inbox.run_by_id("x") is None
    assert hall.inbox.proposal_by_id("x", now_ns=0) is None


def test_runs_are_found_by_project_and_state(hall):
    one = hall.run("running")
    two = hall.run(project="/srv/other")
    three = hall.run(queued=True)
    assert [run.number for run in hall.inbox.runs()] == [three, two, one]
    assert [run.number for run in hall.inbox.runs(WantedRuns(project="/srv/other"))] == [two]
    assert [run.number for run in hall.inbox.runs(WantedRuns(state=RunState.QUEUED))] == [three]
    assert [run.number for run in hall.inbox.runs(limit=1)] == [three]
    assert [run.number for run in hall.inbox.live_runs(PROJECT)] == [one]
    assert [run.number for run in hall.inbox.queued()] == [three]


_KINDS = {
    RecordKind.RUN: RunBody,
    RecordKind.RUN_STATE: RunStateBody,
    RecordKind.PROPOSAL: ProposalBody,
    RecordKind.PROPOSAL_REVISION: ProposalRevisionBody,
    RecordKind.PROPOSAL_STATE: ProposalStateBody,
    RecordKind.DECISION: DecisionBody,
    RecordKind.APPROVER: ApproverBody,
}
_RAWS = st.sampled_from([NIL, pack({"cause": "exited"}), pack([1, 2]), pack("x"), msgspec.Raw(b"\xa1\xff")])
_VALUES = {
    "str": st.sampled_from(["", "open", "approved", "enrolled", "revoked", "running", "approve", "nonsense"]),
    "bytes": st.binary(max_size=40),
    "int": st.integers(-(2**63), 2**64 - 1) | st.integers(0, 12),
    "int | None": st.none() | st.integers(-1, 12) | st.integers(-(2**63), 2**64 - 1),
    "bool": st.booleans(),
    "list[str]": st.lists(st.sampled_from(["owner", "viewer", "**"]), max_size=2),
    "list[bytes]": st.lists(st.binary(max_size=5), max_size=2),
    "msgspec.Raw": _RAWS,
    "list[msgspec.Raw]": st.lists(_RAWS, max_size=2),
}


@st.composite
def odd_records(draw):
    kind = draw(st.sampled_from(sorted(_KINDS)))
    body = _KINDS[kind]
    values = {name: draw(_VALUES[annotation]) for name, annotation in body.__annotations__.items()}
    return kind, body(**values)


@given(odd=st.lists(odd_records(), max_size=6))
def test_no_record_stops_the_inbox_or_hurts_another(tmp_path_factory, odd):
    hall = Hall(str(tmp_path_factory.mktemp("home")))
    try:
        hall.enrol(ANA, "owner")
        for kind, body in odd:
            try:
                hall.append(kind, body)
            except (OverflowError, msgspec.MsgspecError):
                return  # it cannot even be written
        number = hall.propose({"a": b"two\n"})
        assert hall.inbox.proposal(number, now_ns=0).proposal.state is ProposalState.OPEN
        everything(hall.inbox)
        reply = hall.audit()
        assert reply.records == hall.repository.head()[0] + 1
    finally:
        hall.close()


@given(st.text())
def test_every_text_can_be_recorded(text):
    odd = "".join(chr(0xDC00 + ord(character) % 0x100) for character in text) + text
    assert unpack(pack(odd), str) == clean_text(odd)
    assert clean_text(clean_text(odd)) == clean_text(odd)
    assert unpack(pack({"k": [odd, odd.encode("utf-8", "surrogatepass")]}), dict)["k"][0] == clean_text(odd)
