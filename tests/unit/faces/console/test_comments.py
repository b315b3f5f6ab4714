"""Comments are kept while somebody reads, and go back once, with what they are about."""

from __future__ import annotations

import pytest

from lastro.app.encoding import decode
from lastro.app.requests.proposals import CommentProposal
from lastro.domain.job import Job, JobState
from lastro.domain.paths import to_bytes
from tests.console_kit import console_over
from tests.decision_kit import Office
from tests.review_kit import fields, me

pytestmark = pytest.mark.slow

NAME = "caf\udce9:1:x"


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\ntwo\nthree\n", "b": b"b\n", NAME: b"odd\n"})


@pytest.fixture
def number(office):
    with office.desk() as desk:
        return office.propose(desk, {"a": b"one\nTWO\nTHREE\n", "b": b"B\n", NAME: b"new\n"})


def digest_of(page, number):
    return fields(page, f"/proposals/{number}/comment")["digest"][0]


def keep(browser, number, **more):
    page = browser.get(f"/proposals/{number}")
    sent = {"digest": digest_of(page, number), "file": "0", "text": "why?", **more}
    return browser.post(f"/proposals/{number}/drafts", sent, status=more.pop("status", 200))


def drafts(page):
    return [one["value"] for one in page.all("input", name="draft", type="checkbox")]


def test_what_is_kept_is_there_in_every_tab_and_after_a_restart(office, number):
    with console_over(office) as kit:
        first, second = me(kit), me(kit)
        keep(first, number, first="2", last="3")
        page = keep(second, number, text="<b>and</b> this\x1b", file="1")
        assert len(drafts(page)) == 2
    with console_over(office) as kit:
        page = me(kit).get(f"/proposals/{number}")
    assert len(drafts(page)) == 2
    assert "a:2-3" in page.words and "<b>and</b> this" in page.text
    assert "<b>and" not in page.raw and "\x1b" not in page.raw


def test_nobody_sees_anothers(office, number):
    with console_over(office) as kit:
        keep(me(kit), number, text="mine alone")
        page = kit.browser("eve", "approver").get(f"/proposals/{number}")
        assert "mine alone" not in page.text
        digest = fields(page, f"/proposals/{number}/comment")["digest"][0]
        mine = drafts(me(kit).get(f"/proposals/{number}"))[0]
        kit.browser("eve", "approver").post(f"/proposals/{number}/drafts/remove", {"draft": mine})
        assert drafts(me(kit).get(f"/proposals/{number}")) == [mine]
        answer = kit.browser("eve", "approver").post(
            f"/proposals/{number}/comment", {"digest": digest, "draft": mine}, status=400
        )
        assert "What shall be different?" in answer.words


def test_one_is_forgotten(office, number):
    with console_over(office) as kit:
        browser = me(kit)
        page = keep(browser, number)
        page = browser.post(f"/proposals/{number}/drafts/remove", {"draft": drafts(page)[0]})
    assert drafts(page) == [] and "Forgotten" in page.words


def test_they_are_sent_back_once_with_their_places_and_are_gone_then(office, number):
    with console_over(office) as kit:
        browser = me(kit)
        keep(browser, number, first="2", text="line\r\nbreak")
        page = keep(browser, number, file="2", text="odd name")
        form = f"/proposals/{number}/comment"
        page = browser.post(form, {**fields(page, form), "message": "in all"})
        assert "sent back" in page.words and drafts(page) == []
        decision = office.show(kit.desk, number).decisions[-1]
        assert [(one.text, one.path, one.lines) for one in decision.comments] == [
            ("in all", b"", None),
            ("line\nbreak", b"a", (2, 2)),
            ("odd name", to_bytes(NAME), None),
        ]
        assert office.state(kit.desk, number) == "changes_requested"
        assert len([job for job in kit.jobs.done if job.order.operation == "proposal.comment"]) == 1
        assert not [job for job in kit.jobs.done if b'"run":true' in job.order.request]


def test_only_ticked_ones_are_sent(office, number):
    with console_over(office) as kit:
        browser = me(kit)
        keep(browser, number, text="first")
        page = keep(browser, number, text="second")
        form = f"/proposals/{number}/comment"
        sent = fields(page, form)
        page = browser.post(form, {**sent, "draft": sent["draft"][1:]})
        assert [one.text for one in office.show(kit.desk, number).decisions[-1].comments] == ["second"]
        assert len(drafts(page)) == 1


def test_they_go_to_the_agent_that_was_chosen(office, monkeypatch):
    with office.desk() as desk:
        run = office.run(desk)
        number = office.propose(desk, {"a": b"1\n"}, run=run, kind="run")
    with console_over(office) as kit:
        browser, form = me(kit), f"/proposals/{number}/comment"
        page = browser.get(f"/proposals/{number}")
        offered = {one["value"] for one in page.all("option")}
        assert {"", "claude", "offline"} <= offered and "codex" not in offered
        orders = []

        def submit(order):  # a runner would take it
            orders.append(order)
            return Job(number=1, order=order, state=JobState.QUEUED, asked_ns=0)

        monkeypatch.setattr(kit.jobs, "submit", submit)
        browser.send(form, {**fields(page, form), "message": "smaller", "run": "1", "agent": "claude"})
        assert [decode(order.request, CommentProposal).agent for order in orders] == ["claude"]


def edit(browser, number, place, text):
    page = browser.get(f"/proposals/{number}/edit?file={place}")
    return browser.post(
        f"/proposals/{number}/edit", {**fields(page, f"/proposals/{number}/edit"), "text": text}
    )


def test_one_whose_lines_are_others_by_now_is_marked_and_not_ticked(office, number):
    with console_over(office) as kit:
        browser = me(kit)
        keep(browser, number, first="3", text="about line three")
        keep(browser, number, first="1", text="about line one")
        keep(browser, number, file="1", first="1", text="about b")
        page = edit(browser, number, 0, "one\nTWO\nother\n")
        boxes = {one["value"]: "checked" in one for one in page.all("input", name="draft", type="checkbox")}
        assert list(boxes.values()) == [False, True, True]
        assert page.words.count("outdated: these lines are others now") == 1
        form = f"/proposals/{number}/comment"
        browser.post(form, fields(page, form))
        sent = [one.text for one in office.show(kit.desk, number).decisions[-1].comments]
    assert sent == ["about line one", "about b"]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"text": "  "}, 400),
        ({"first": "3", "last": "2"}, 400),
        ({"first": "x"}, 400),
        ({"file": "9"}, 404),
        ({"text": "x" * 30_000}, 413),
        ({"digest": "0"}, 409),
    ],
)
def test_what_is_no_comment_is_not_kept(office, number, more, status):
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        sent = {"digest": digest_of(page, number), "file": "0", "text": "why?", **more}
        browser.post(f"/proposals/{number}/drafts", sent, status=status)
        assert drafts(browser.get(f"/proposals/{number}")) == []


def test_a_damaged_file_of_drafts_takes_nothing_else_away(office, number):
    with console_over(office) as kit:
        browser = me(kit)
        keep(browser, number)
        import glob  # noqa: PLC0415

        for file in glob.glob(f"{office.places.state}/drafts/*"):
            with open(file, "wb") as damaged:
                damaged.write(b"{")
        assert drafts(browser.get(f"/proposals/{number}")) == []
        assert len(drafts(keep(browser, number))) == 1


def test_the_operation_refuses_a_comment_on_what_was_not_shown(office, number):
    from lastro.app.operations.proposal.deciding import comment  # noqa: PLC0415
    from lastro.errors import ConflictError  # noqa: PLC0415

    with office.desk() as desk:
        request = CommentProposal(proposal=f"proposal-{number}", message=("x",), run=False, digest="0" * 64)
        with pytest.raises(ConflictError):
            comment(desk, request)
        assert office.state(desk, number) == "open"
