"""``events``: what happened as everyone may ask for it, with what other projections know of it."""

from __future__ import annotations

import dataclasses

import pytest

from lastro.app.operation import find_operation
from lastro.app.operations.happenings import MOST
from lastro.app.requests.happenings import AuditHead, Events, EventsSince
from lastro.errors import DeniedError, NotFoundError
from tests.console_kit import console_over
from tests.decision_kit import Office
from tests.proposal_kit import Hall


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n", "b\udcff": b"two\n"})


@pytest.fixture
def services(office):
    with office.desk() as desk:
        office.approve(desk, office.propose(desk, {"a": b"1\n", "c": b"2\n"}, purpose="first"))
        office.propose(desk, {"a": b"3\n"}, purpose="second")
    with console_over(office) as kit:
        yield kit.services


def call(services, name, request):
    return find_operation(name).run(services, request)


def test_everything_recorded_is_told_newest_first(services):
    reply = call(services, "events", Events(limit=1000))
    assert [one.seq for one in reply.events] == list(range(services.repository.head()[0], -1, -1))
    assert reply.newest == services.repository.head()[0]
    assert not reply.more
    assert {one.kind for one in reply.events} == {
        *("repository", "key", "snapshot", "approver", "proposal", "decision", "apply")
    }


def test_pages_are_everything_once(services):
    whole, found, before = call(services, "events", Events(limit=1000)).events, [], 0
    while True:
        page = call(services, "events", Events(before=before, limit=4))
        found += page.events
        if not page.more:
            break
        before = page.events[-1].seq
    assert tuple(found) == whole


def test_a_page_that_holds_all_says_that_there_is_no_more(services):
    count = services.repository.head()[0] + 1
    assert not call(services, "events", Events(limit=count)).more
    assert call(services, "events", Events(limit=count - 1)).more


def test_a_proposal_says_how_much_it_changes_and_a_snapshot_what(services, office):
    proposals = call(services, "events", Events(kind=("proposal",))).events
    assert {one.parameters["number"]: one.parameters["files"] for one in proposals} == {1: 2, 2: 1}
    first = call(services, "events", Events(kind=("snapshot",))).events[-1]
    assert set(first.parameters["paths"]) == {f"{office.root}/a", f"{office.root}/b\udcff"}
    assert first.server == "local" and first.path == office.root


def test_what_belongs_to_a_subject_is_found_with_it(services):
    found = call(services, "events", Events(subject="proposal-1")).events
    assert {one.kind for one in found} == {"proposal", "decision", "apply"}
    assert all("proposal-1" in {one.subject, one.also} for one in found)


def test_how_much_is_new(services):
    newest = services.repository.head()[0]
    asked = EventsSince(events=Events(kind=("proposal",)), after=newest)
    assert call(services, "events.since", asked).count == 0
    counted = call(services, "events.since", EventsSince(events=Events(kind=("proposal",)), after=0))
    assert counted.count == len(call(services, "events", Events(kind=("proposal",))).events)
    assert not counted.more


def test_a_server_that_is_not_there_is_said(services):
    assert call(services, "events", Events(server="local")).events
    with pytest.raises(NotFoundError):
        call(services, "events", Events(server="nowhere"))


@pytest.mark.parametrize(("limit", "most"), [(0, 1), (-5, 1), (2, 2), (10**9, MOST)])
def test_an_answer_is_bounded(services, limit, most):
    assert len(call(services, "events", Events(limit=limit)).events) == min(
        most, services.repository.head()[0] + 1
    )


def test_the_head_is_the_newest_record(services):
    reply = call(services, "audit.head", AuditHead())
    assert (reply.seq, bytes.fromhex(reply.id)) == services.repository.head()


def test_who_keeps_no_catalogue_says_so(tmp_path):
    hall = Hall(str(tmp_path))
    with pytest.raises(DeniedError):
        call(dataclasses.replace(hall.services), "events", Events())
    hall.close()
