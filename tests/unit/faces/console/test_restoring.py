"""Bringing something back through pages: the plan, the word, the result, and taking it back."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from lastro.app.encoding import decode
from lastro.app.requests import ApplyPair, Restore
from lastro.domain.job import JobState
from lastro.domain.progress import Progress
from lastro.faces.console.addresses import escaped
from tests.console_kit import console_over
from tests.decision_kit import Office

HOSTILE = "caf\udce9\n\x1b[31m\u202e<b hx-get='/x'>"


@pytest.fixture
def office(tmp_path):
    made = Office.made(str(tmp_path), {"a": b"then\n", "d/x": b"x\n", HOSTILE: b"odd\n"})
    with made.desk() as desk:
        made.write("a", b"now\n")
        made.edit({"d/x": None})
        made.capture(desk)
    return made


def what(office, path="", **fields):
    place = escaped(f"{office.root}/{path}".rstrip("/"))
    return {"server": "local", "path": place, "at": "snap-1", "target": "place", **fields}


def signed_in(kit, *roles, stepped_up=True):
    if stepped_up:
        kit.door.stepped_up.add("ana")
    return kit.browser("ana", *roles)


def digest_on(page):
    return page.all("input", name="digest")[0]["value"]


def confirmed(ana, plan):
    """Go from the plan's page through the last question."""
    (question,) = [link for link in plan.links if link.endswith("/confirm")]
    return ana.post(question, {"digest": digest_on(ana.get(question))})


def test_from_the_plan_to_the_result_and_back(office):
    with console_over(office) as kit:
        ana = signed_in(kit)
        form = ana.get(f"/restore/new?server=local&path={office.root}&at=snap-1")
        assert form.all("form", action="/restore") and "@snap-1" in form.words
        plan = ana.post("/restore", what(office))
        assert "to create1" in plan.words and "to overwrite1" in plan.words
        assert office.read("a") == b"now\n", "a plan changes nothing"
        done = confirmed(ana, plan)
        assert (office.read("a"), office.read("d/x")) == (b"then\n", b"x\n")
        assert "Verified: 2 paths are exactly as they were." in done.words
        undo = ana.post("/restore/undo", {"apply": done.all("input", name="apply")[0]["value"]})
        assert "Plan: take apply-1 back" in undo.words
        back = confirmed(ana, undo)
        assert office.read("a") == b"now\n" and "d/x" not in office.live()
        assert "Taken back" in back.words
        again = confirmed(ana, ana.post("/restore/undo", {"apply": "2"}))
        assert office.read("a") == b"then\n" and "Taken back" in again.words


def test_the_plan_says_how_much_room_there_is_and_warns_where_it_is_too_little(office, monkeypatch):
    with console_over(office) as kit:
        ana = signed_in(kit)
        assert "free there" in ana.post("/restore", what(office)).words
        full = SimpleNamespace(free=3)
        monkeypatch.setattr("lastro.app.operations.restore.shutil.disk_usage", lambda _: full)
        plan = ana.post("/restore", what(office))
        assert "free there3 B" in plan.words and "less room than this would write" in plan.words
        done = confirmed(ana, plan)
        assert office.read("a") == b"then\n" and "free there" not in done.words


def test_only_what_was_ticked_comes_back_whatever_its_name(office):
    with office.desk() as desk:
        office.edit({HOSTILE: b"spoilt\n"})
        office.capture(desk)
    with console_over(office) as kit:
        ana = signed_in(kit)
        plan = ana.post("/restore", what(office, only=[escaped(HOSTILE), "d"]))
        assert not any(mark in plan.raw for mark in ("\x1b", "\u202e", "<b hx-get"))
        confirmed(ana, plan)
    assert (office.read("a"), office.read("d/x")) == (b"now\n", b"x\n")
    assert office.live()[HOSTILE] == b"odd\n"


def test_into_another_directory(office, tmp_path):
    with console_over(office) as kit:
        ana = signed_in(kit)
        plan = ana.post("/restore", what(office, "a", target="directory", to=str(tmp_path / "out")))
        done = confirmed(ana, plan)
        assert "apply-1" in done.words
        ana.post("/restore", what(office, target="directory", to="relative"), status=400)
        ana.post("/restore", what(office, target="directory", to=""), status=400)
    assert (tmp_path / "out" / "a").read_bytes() == b"then\n"
    assert office.read("a") == b"now\n"


def test_something_that_changed_meanwhile_is_a_new_plan_and_nothing_is_done(office):
    with console_over(office) as kit:
        ana = signed_in(kit)
        ana.post("/restore", what(office, "a"))
        digest = digest_on(ana.get("/restore/1/confirm"))
        office.write("a", b"changed meanwhile\n")
        page = ana.post("/restore/1/confirm", {"digest": digest}, status=409)
        assert "Something changed since the plan was shown; nothing was done." in page.words
        assert office.read("a") == b"changed meanwhile\n"
        confirmed(ana, page)
        assert office.read("a") == b"then\n"


@pytest.mark.parametrize("digest", ["", "00" * 32])
def test_a_word_for_another_plan_does_nothing(office, digest):
    with console_over(office) as kit:
        ana = signed_in(kit)
        ana.post("/restore", what(office, "a"))
        ana.post("/restore/1/confirm", {"digest": digest}, status=409)
        assert office.read("a") == b"now\n"
        assert all(decode(job.order.request, Restore).plan for job in kit.jobs.done)


def test_two_who_confirm_at_once_do_it_once(office):
    with console_over(office) as kit:
        ana = signed_in(kit)
        ana.post("/restore", what(office, "a"))
        digest = digest_on(ana.get("/restore/1/confirm"))
        first = ana.send("/restore/1/confirm", {"digest": digest})
        second = ana.send("/restore/1/confirm", {"digest": digest})
        assert (first.status_code, second.status_code) == (303, 303)
        keys = [job.order.key for job in kit.jobs.done if job.order.key]
        assert len(keys) == 2 and len(set(keys)) == 1, "a store of jobs makes one of them"
    with office.desk() as desk:
        assert desk.caller.call("apply.show", ApplyPair()).number == 1


def test_the_last_question_wants_proof_of_who_asks(office):
    with console_over(office) as kit:
        ana = signed_in(kit, stepped_up=False)
        ana.post("/restore", what(office, "a"))
        bare = kit.client.get(
            "/restore/1/confirm",
            headers={**ana.headers, "cookie": "lastro-test=ana:owner"},
            follow_redirects=False,
        )
        assert bare.headers["location"] == "/step-up?next=%2Frestore%2F1%2Fconfirm"
        sent = ana.send("/restore/1/confirm", {"digest": "x"})
        assert sent.headers["location"] == "/step-up?next=%2Frestore%2F1%2Fconfirm"
        sent = ana.send("/restore/1/confirm", {"digest": "x"})
        assert sent.headers["location"].startswith("/step-up")
    assert office.read("a") == b"now\n"


@pytest.mark.parametrize("role", ["viewer", "approver", "auditor"])
def test_who_may_not_restore_does_not(office, role):
    with console_over(office) as kit:
        kit.door.stepped_up.add("eve")
        signed_in(kit).post("/restore", what(office, "a"))
        eve = kit.browser("eve", role)
        assert not [link for link in eve.get("/restore/1").links if link.endswith("/confirm")]
        eve.get("/restore/new?server=local&path=/etc&at=snap-1", status=403)
        eve.post("/restore", what(office, "a"), status=403)
        eve.get("/restore/1/confirm", status=403)
        eve.post("/restore/1/confirm", {"digest": "x"}, status=403)
        eve.post("/restore/1/again", status=403)
        if role != "approver":
            eve.post("/restore/undo", {"apply": "1"}, status=403)
    assert office.read("a") == b"now\n"


def test_an_operator_restores_and_does_not_undo(office):
    with console_over(office) as kit:
        oscar = signed_in(kit, "operator")
        done = confirmed(oscar, oscar.post("/restore", what(office, "a")))
        assert office.read("a") == b"then\n"
        assert not done.all("form", action="/restore/undo")
        oscar.post("/restore/undo", {"apply": "1"}, status=403)


def test_another_machine_is_not_written_to_and_that_is_said(office):
    with console_over(office) as kit:
        ana = signed_in(kit)
        form = ana.get("/restore/new?server=web-01&path=/etc&at=snap-1")
        assert "Writing to it from here is not there yet" in form.words
        assert not form.all("input", value="place")
        ana.post(
            "/restore", {"server": "web-01", "path": "/etc", "at": "snap-1", "target": "place"}, status=400
        )
        assert not kit.jobs.done


def test_a_job_under_way_shows_how_far_it_is_and_one_that_failed_why(office):
    with console_over(office) as kit:
        ana = signed_in(kit)
        ana.post("/restore", what(office, "a"))
        kit.jobs.done[0] = msgspec.structs.replace(
            kit.jobs.done[0],
            state=JobState.RUNNING,
            progress=Progress(phase="capture", files=3, bytes=10, path=f"x{HOSTILE}"),
        )
        waiting = ana.get("/restore/1")
        assert waiting.all("div", **{"hx-get": "/restore/1"}) and "3 files" in waiting.words
        assert "\x1b" not in waiting.raw
        assert ana.get("/restore/1/confirm").words == waiting.words, "there is nothing to say yes to yet"
        failed = ana.post("/restore", what(office, "never"))
        assert "This was not done" in failed.words and failed.all("form", action="/restore/2/again")


def test_a_plan_that_changes_nothing_asks_nothing(office):
    office.write("a", b"then\n")
    with console_over(office) as kit:
        ana = signed_in(kit)
        plan = ana.post("/restore", what(office, "a", at="snap-1"))
        assert "there is nothing to do" in plan.words
        assert not [link for link in plan.links if link.endswith("/confirm")]


def test_a_job_of_something_else_is_no_restore(office):
    with console_over(office) as kit:
        ana = signed_in(kit)
        ana.post("/compare", {"server": "local", "path": office.root, "at": "snap-1"})
        ana.get("/restore/1", status=404)
        ana.get("/restore/77", status=404)
        ana.get("/restore/x", status=404)


def test_an_apply_of_a_proposal_is_taken_back_where_it_was_decided(office):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"proposed\n"})
        office.approve(desk, number)
    with console_over(office) as kit:
        sent = signed_in(kit).send("/restore/undo", {"apply": "1"})
        assert sent.headers["location"] == f"/proposals/{number}"


def test_the_part_that_is_fetched_anew_is_that_part(office):
    with console_over(office) as kit:
        ana = signed_in(kit)
        ana.post("/restore", what(office, "a"))
        running = msgspec.structs.replace(kit.jobs.done[0], state=JobState.RUNNING)
        planned, kit.jobs.done[0] = kit.jobs.done[0], running
        fetched = {"hx-request": "true", "hx-target": "detail"}
        waiting = ana.get("/restore/1", **fetched)
        assert not waiting.all("html")
        assert waiting.all("div", **{"id": "detail", "hx-get": "/restore/1", "hx-swap": "outerHTML"})
        kit.jobs.done[0] = planned
        over = ana.get("/restore/1", **fetched)
        assert over.all("div", id="detail") and not [tag for tag, found in over.tags if "hx-get" in found]
