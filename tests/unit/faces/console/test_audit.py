"""Audit as a page: who decided what and by whose key, and whether the log is as it was signed."""

from __future__ import annotations

import pytest

from lastro.app.operation import find_operation
from lastro.app.requests.happenings import AuditHead
from lastro.app.requests.proposals import RejectProposal
from lastro.domain.record import Actor, DecisionBody, RecordKind
from lastro.errors import ConflictError
from lastro.faces.console.pages import audit as page_module
from lastro.proposals.rows import NIL
from lastro.store.repository import RecordDraft
from tests.console_kit import console_over
from tests.decision_kit import Office

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


def test_a_decision_is_shown_with_who_signed_it(office):
    with office.desk() as desk:
        office.approve(desk, office.propose(desk, {"a": b"two\n"}, purpose=HOSTILE))
        number = office.propose(desk, {"a": b"three\n"})
        find_operation("proposal.reject").run(
            desk, RejectProposal(proposal=f"proposal-{number}", reason="no")
        )
        owner = desk.actor.name
    with console_over(office) as kit:
        page = kit.browser("ana", "viewer").get("/audit")
    assert f"proposal-1 · approved · {owner}" in page.words
    assert office.owner in page.words
    assert "alone: nobody else could approve" in page.words
    assert page.words.count("alone: nobody else could approve") == 1
    assert "needs no signature" in page.words
    assert "/proposals/1" in page.links and "/proposals/2" in page.links
    assert "<script>alert" not in page.raw and "\x1b" not in page.raw


def test_the_newest_record_is_named_for_a_witness(office):
    with console_over(office) as kit:
        page = kit.browser("ana").get("/audit")
        head = find_operation("audit.head").run(kit.services, AuditHead())
    assert head.id in page.words and "lastro audit head" in page.words


def test_verifying_is_a_job_and_its_result_stands_here(office):
    with console_over(office) as kit:
        browser = kit.browser("ana", "auditor")
        assert "It was not verified from here yet." in browser.get("/audit").words
        answer = browser.send("/audit/verify")
        assert answer.status_code == 303 and answer.headers["location"].startswith("/jobs/1")
        [job] = kit.jobs.done
        assert (job.order.operation, job.order.subject) == ("audit.verify", page_module.SUBJECT)
        page = browser.get("/audit")
        assert "everything is as it was signed" in page.words and "/jobs/1" in page.links
        assert "records" in page.words
        part = browser.get("/audit", **{"hx-request": "true", "hx-target": "state"})
        assert "<html" not in part.raw and "everything is as it was signed" in part.words


def test_what_is_not_right_is_named(office):
    with console_over(office) as kit:
        body = DecisionBody(
            approval=NIL,
            comments=[],
            proposal=77,
            revision=1,
            selection=NIL,
            shown=b"",
            single_user=False,
            verdict="approve",
        )
        kit.services.repository.append(
            RecordDraft(
                kind=RecordKind.DECISION, actor=Actor(kind="human", name=HOSTILE), server="local", body=body
            )
        )
        browser = kit.browser("ana")
        browser.send("/audit/verify")
        page = browser.get("/audit")
    assert "1 finding" in page.words and "everything is as it was signed" not in page.words
    assert f"record {kit.services.repository.head()[0]}" in page.words
    assert "<script>alert" not in page.raw and "\x1b" not in page.raw


def test_a_verification_that_failed_says_why(office, monkeypatch):
    def fail(*_):
        raise ConflictError("It cannot be read: {reason}", reason=HOSTILE)

    with console_over(office) as kit:
        monkeypatch.setattr("lastro.app.operations.audit.audit", fail)
        browser = kit.browser("ana")
        browser.send("/audit/verify")
        page = browser.get("/audit")
    assert "It cannot be read:" in page.words and "\x1b" not in page.raw


@pytest.mark.parametrize("role", ["viewer", "approver", "operator"])
def test_who_may_not_verify_cannot(office, role):
    with console_over(office) as kit:
        browser = kit.browser("ana", role)
        page = browser.get("/audit")
        assert not page.all("form", action="/audit/verify")
        assert browser.send("/audit/verify").status_code == 403
        assert kit.jobs.done == []


def test_pages_and_kinds(office, monkeypatch):
    monkeypatch.setattr(page_module, "PAGE_LENGTH", 1)
    with console_over(office) as kit:
        browser = kit.browser("ana")
        first = browser.get("/audit?kind=key")
        [older] = first.all("a", rel="next")
        assert "kind=key" in older["href"]
        second = browser.get(older["href"])
        assert not second.all("a", rel="next")
        assert "A key that opens the repository was added" in second.words
        assert "may decide from now on" in browser.get("/audit?kind=approver").words
        assert browser.get("/audit?kind=<script>").all("a", **{"aria-current": "true"})[0]["href"] == "/audit"
