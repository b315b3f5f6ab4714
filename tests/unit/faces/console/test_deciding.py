"""Decisions from pages: what is ticked is planned, what is planned is signed, what is signed is applied, and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from lastro.app.encoding import decode, encode
from lastro.app.requests.proposals import ApproveProposal
from lastro.app.wiring import person
from lastro.domain.job import JobState
from tests.console_kit import console_over
from tests.decision_kit import PASSPHRASE, Office
from tests.review_kit import chosen, fields, me, sign

pytestmark = pytest.mark.slow

LONG = b"".join(b"line %d\n" % number for number in range(60))


def edited(content, *lines):
    split = content.split(b"\n")
    for line in lines:
        split[line] = b"changed"
    return b"\n".join(split)


@pytest.fixture
def office(tmp_path):
    return Office.made(
        str(tmp_path), {"a": b"one\n", "b": b"two\n", "long": LONG, "caf\udce9 <script>": b"odd\n"}
    )


def propose(office, edits, **fields_):
    with office.desk() as desk:
        return office.propose(desk, edits, **fields_)


def planned(browser, number, **changed):
    page = browser.get(f"/proposals/{number}")
    return browser.post(f"/proposals/{number}/choose", chosen(page, number, **changed))


def test_all_of_it_is_approved_signed_and_applied(office):
    number = propose(office, {"a": b"ONE\n", "b": b"TWO\n"})
    with console_over(office) as kit:
        browser = me(kit)
        plan = planned(browser, number)
        assert "What would be written" in plan.words and office.read("a") == b"one\n"
        page = sign(browser, plan)
        assert "Approved and applied" in page.words and "applied" in page.words
        shown = office.show(kit.desk, number)
    assert (office.read("a"), office.read("b")) == (b"ONE\n", b"TWO\n")
    assert [(one.signed, one.actor) for one in shown.decisions] == [(True, person().name)]


def test_only_ticked_files_are_applied(office):
    number = propose(office, {"a": b"ONE\n", "b": b"TWO\n"})
    with console_over(office) as kit:
        browser = me(kit)
        plan = planned(browser, number, without=[("file", "0")])
        assert "1 path is not chosen" in plan.words
        sign(browser, plan)
    assert (office.read("a"), office.read("b")) == (b"one\n", b"TWO\n")


def test_only_ticked_hunks_are_applied(office):
    number = propose(office, {"long": edited(LONG, 3, 30, 55)})
    with console_over(office) as kit:
        browser = me(kit)
        sign(browser, planned(browser, number, without=[("hunk", "0:2")]))
    assert office.read("long") == edited(LONG, 3, 55)


def test_hunks_of_a_file_whose_box_is_not_ticked_are_not_applied(office):
    number = propose(office, {"a": b"ONE\n", "long": edited(LONG, 3, 30)})
    with console_over(office) as kit:
        browser = me(kit)
        sign(browser, planned(browser, number, without=[("file", "1")]))
    assert (office.read("a"), office.read("long")) == (b"ONE\n", LONG)


def test_names_that_are_no_text_are_chosen_exactly(office):
    name = "caf\udce9 <script>"
    number = propose(office, {"a": b"ONE\n", name: b"new\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        assert "<script>\n" not in page.raw and "caf\\xe9" in page.text
        sign(browser, planned(browser, number, without=[("file", "0")]))
    assert (office.read("a"), office.read(name)) == (b"one\n", b"new\n")


def test_a_directory_comes_along_with_what_is_chosen_in_it(office):
    number = propose(office, {"new/x": b"x\n", "new/y": b"y\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        names = [one["value"] for one in page.all("input", name="file", type="checkbox")]
        sign(browser, planned(browser, number, without=[("file", names[-1])]))
    assert office.read("new/x") == b"x\n" and "new/y" not in office.live()


def test_nothing_ticked_is_refused(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        answer = browser.post(
            f"/proposals/{number}/choose", chosen(page, number, without=[("file", "0")]), status=400
        )
    assert "Nothing is chosen" in answer.words


@pytest.mark.parametrize("verb", ["choose", "reject", "comment", "rebase"])
def test_what_changed_since_it_was_shown_is_shown_anew_and_nothing_is_done(office, verb):
    number = propose(office, {"a": b"ONE\n", "b": b"TWO\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        me(kit).post(
            f"/proposals/{number}/edit",
            {
                "digest": fields(page, f"/proposals/{number}/choose")["digest"],
                "file": "1",
                "text": "OTHER\r\n",
            },
        )
        answer = browser.post(
            f"/proposals/{number}/{verb}",
            {**chosen(page, number), "reason": "no", "message": "x"},
            status=409,
        )
        assert "this is not what you looked at" in answer.words
        assert "another than you saw" in answer.words and "OTHER" in answer.text
        assert "revision 2 stands now" in answer.words
        assert office.state(kit.desk, number) == "open"
    assert office.read("a") == b"one\n"


def test_a_plan_that_what_is_live_overtook_is_shown_anew_and_nothing_is_written(office):
    number = propose(office, {"long": edited(LONG, 3)})
    with console_over(office) as kit:
        browser = me(kit)
        plan = planned(browser, number)
        office.write("long", edited(LONG, 50))
        answer = sign(browser, plan, status=409)
        assert "Nothing was written" in answer.words and "merged" in answer.words
        assert office.read("long") == edited(LONG, 50)
        page = sign(browser, answer)  # it is signed already; now it is only applied
        assert "applied" in page.words
    assert office.read("long") == edited(LONG, 3, 50)


def test_a_wrong_password_applies_nothing(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        answer = sign(browser, planned(browser, number), password="wrong", status=403)
        assert answer.all("div", role="alert")
        assert office.state(kit.desk, number) == "open"
    assert office.read("a") == b"one\n"


def test_no_password_stands_in_a_job(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        sign(browser, planned(browser, number))
        assert kit.jobs.done
        assert not [job for job in kit.jobs.done if PASSPHRASE.encode() in job.order.request]


def test_a_plan_is_its_askers(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        plan = planned(me(kit), number)
        address = next(one["action"] for one in plan.all("form") if "/plan/" in one.get("action", ""))
        kit.browser("eve", "approver").get(address, status=404)
        kit.browser("eve", "approver").post(
            address, {**fields(plan, address), "password": PASSPHRASE, "csrf": "token-of-eve"}, status=404
        )
    assert office.read("a") == b"one\n"


def test_a_plan_is_of_its_proposal_alone(office):
    number, other = propose(office, {"a": b"ONE\n"}), propose(office, {"b": b"TWO\n"})
    with console_over(office) as kit:
        browser = me(kit)
        plan = planned(browser, number)
        job = next(one["action"] for one in plan.all("form") if "/plan/" in one.get("action", "")).rpartition(
            "/"
        )
        sent = fields(plan, "".join(job))
        browser.get(f"/proposals/{other}/plan/{job[2]}", status=404)
        digest = office.show(kit.desk, other).digest
        form = {**sent, "digest": digest, "password": PASSPHRASE}
        browser.post(f"/proposals/{other}/plan/{job[2]}", form, status=404)
        assert office.state(kit.desk, other) == "open"
    assert (office.read("a"), office.read("b")) == (b"one\n", b"two\n")


def test_another_acceptance_than_the_plans_applies_nothing(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        answer = sign(browser, planned(browser, number), acceptance="0" * 64, status=409)
        assert "Nothing was written" in answer.words
        assert office.state(kit.desk, number) == "open"
    assert office.read("a") == b"one\n"


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator"])
def test_who_may_not_decide_sees_it_and_can_do_nothing(office, role):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        page = me(kit, role).get(f"/proposals/{number}")
        assert "ONE" in page.text
        assert [one["action"] for one in page.all("form")] == ["/logout"]
        for verb in ("choose", "reject", "comment", "rebase", "undo", "drafts", "drafts/remove", "edit"):
            me(kit, role).post(f"/proposals/{number}/{verb}", {"digest": "x"}, status=403)
        me(kit, role).get(f"/proposals/{number}/edit?file=0", status=403)


def test_who_has_no_key_is_told_so(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        page = kit.browser("eve", "approver").get(f"/proposals/{number}")
        assert "You have no approver key" in page.words
        answer = kit.browser("eve", "approver").post(
            f"/proposals/{number}/choose", {**chosen(page, number), "csrf": "token-of-eve"}, status=403
        )
        assert "You have no approver key" in answer.words


def test_it_is_rejected_with_a_reason(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        form = f"/proposals/{number}/reject"
        answer = browser.post(form, {**fields(page, form), "reason": "<b>no</b>\x1b[31m"})
        assert "Rejected. Its content stays" in answer.words
        assert "<b>no" not in answer.raw and "\x1b" not in answer.raw and "<b>no</b>" in answer.text
        assert office.state(kit.desk, number) == "rejected"


def test_it_is_taken_back_whole_and_that_is_taken_back_too(office):
    number = propose(office, {"a": b"ONE\n", "b": b"TWO\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = sign(browser, planned(browser, number))
        plan = browser.post(f"/proposals/{number}/undo", chosen(page, number, verb="undo"))
        assert f"Take proposal-{number} back" in plan.words
        assert office.read("a") == b"ONE\n"
        sign(browser, plan)
        assert (office.read("a"), office.read("b")) == (b"one\n", b"two\n")
        assert office.state(kit.desk, number) == "undone"
        undo = browser.get(f"/proposals/{number + 1}")
        sign(browser, browser.post(f"/proposals/{number + 1}/undo", chosen(undo, number + 1, verb="undo")))
        assert office.read("a") == b"ONE\n"
        assert office.sound(kit.desk)


def test_one_file_and_one_hunk_are_taken_back(office):
    number = propose(office, {"a": b"ONE\n", "long": edited(LONG, 3, 55)})
    with console_over(office) as kit:
        browser = me(kit)
        page = sign(browser, planned(browser, number))
        without = [("file", "0"), ("hunk", "1:1")]
        plan = browser.post(f"/proposals/{number}/undo", chosen(page, number, verb="undo", without=without))
        sign(browser, plan)
    assert (office.read("a"), office.read("long")) == (b"ONE\n", edited(LONG, 3))


def test_what_was_taken_back_already_is_said(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = sign(browser, planned(browser, number))
        office.write("a", b"one\n")
        answer = browser.post(f"/proposals/{number}/undo", chosen(page, number, verb="undo"))
    assert "Nothing of it is left to be taken back" in answer.words


def test_a_conflict_is_shown_and_nothing_is_applied(office):
    number = propose(office, {"a": b"ONE\n"})
    office.write("a", b"somebody else\n")
    with console_over(office) as kit:
        plan = planned(me(kit), number)
        assert "it was changed here too, in the same place" in plan.words
        assert not plan.all("input", name="password")
    assert office.read("a") == b"somebody else\n"


@pytest.mark.parametrize(
    "odd",
    [
        {"file": "9"},
        {"file": "-1"},
        {"there": "x"},
        {"part": "0:9:1"},
        {"part": "0"},
        {"hunk": "a:b"},
        {"there": "1" * 30},
        {"part": "7:1:1"},
    ],
)
def test_a_form_of_another_hand_is_refused(office, odd):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        browser.post(f"/proposals/{number}/choose", {**chosen(page, number), **odd}, status=400)
    assert office.read("a") == b"one\n"


def test_a_key_stays_unlocked_for_low_risk_only_where_that_was_asked(office):
    low, low_too, high = (
        propose(office, {"a": b"1\n"}),
        propose(office, {"b": b"2\n"}),
        propose(office, {"long": b"3\n"}, risk="high"),
    )
    with console_over(office) as kit:
        browser = me(kit)
        sign(browser, planned(browser, low), stay="1")
        plan = planned(browser, low_too)
        assert "Your key is unlocked" in plan.words
        sign(browser, plan, password="")
        assert "Your key is unlocked" not in planned(browser, high).words
    assert office.read("b") == b"2\n" and office.read("long") == LONG


def test_what_the_agent_shall_do_with_the_rest_goes_with_the_approval(office):
    with office.desk() as desk:
        run = office.run(desk)
    number = propose(office, {"a": b"ONE\n", "b": b"TWO\n"}, run=run, kind="run")
    with console_over(office) as kit:
        browser = me(kit)
        plan = planned(browser, number, without=[("file", "0")], rest="<i>smaller</i> please", agent="claude")
        assert "Then claude goes on" in plan.words
        assert decode(kit.jobs.done[-1].order.request, ApproveProposal).agent == "claude"
        assert "--agent claude" in plan.text
        plan = planned(browser, number, without=[("file", "0")], rest="<i>smaller</i> please")
        assert "<i>smaller</i> please" in plan.text and "<i>smaller" not in plan.raw
        assert (
            f"lastro proposal approve proposal-{number} --file b --rest '<i>smaller</i> please'" in plan.text
        )
        job = kit.jobs.done[-1]
        assert decode(job.order.request, ApproveProposal).rest == "<i>smaller</i> please"


def test_a_plan_that_is_not_made_yet_is_waited_for(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        plan = planned(browser, number)
        done = kit.jobs.done[-1]
        kit.jobs.done[-1] = msgspec.structs.replace(done, state=JobState.RUNNING, reply=b"")
        address = f"/proposals/{number}/plan/{done.number}"
        page = browser.get(address)
        assert "It is being planned" in page.words and address in page.links
        assert [one["hx-trigger"] for one in page.all("div", id="plan")] == ["sse:job"]
        sent = {**fields(plan, address), "password": PASSPHRASE}
        assert browser.send(address, sent).headers["location"] == f"/jobs/{done.number}?said=started"
        kit.jobs.done[-1] = done
        assert (
            "Approve and apply" in browser.get(address, **{"hx-request": "true", "hx-target": "plan"}).words
        )
    assert office.read("a") == b"one\n"


def test_a_runner_that_dies_after_the_signature_loses_nothing(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        plan = planned(browser, number)
        submit = kit.jobs.submit

        def not_taken(order):
            job = submit(
                msgspec.structs.replace(order, request=encode(ApproveProposal(proposal="proposal-77")))
            )
            kit.jobs.done[-1] = msgspec.structs.replace(job, state=JobState.RUNNING, failure=b"", reply=b"")
            return kit.jobs.done[-1]

        kit.jobs.submit = not_taken
        address = next(one["action"] for one in plan.all("form") if "/plan/" in one.get("action", ""))
        answer = browser.send(address, {**fields(plan, address), "password": PASSPHRASE})
        assert answer.headers["location"].startswith("/jobs/")
        kit.jobs.submit = submit
        assert (office.state(kit.desk, number), office.read("a")) == ("approved", b"one\n")
        plan = planned(browser, number)
        assert "It is approved already, and waits to be applied" in plan.words
        assert not plan.all("input", name="password")
        sign(browser, plan)
    assert office.read("a") == b"ONE\n"


def test_a_page_that_is_too_old_for_a_decision_shows_how_it_is_now(office):
    number = propose(office, {"a": b"ONE\n"})
    with console_over(office) as kit:
        browser = me(kit)
        old = browser.get(f"/proposals/{number}")
        plan = planned(browser, number)
        sign(browser, plan)
        assert office.read("a") == b"ONE\n"
        for path, form in (
            ("choose", chosen(old, number)),
            ("reject", {**chosen(old, number), "reason": "no"}),
        ):
            page = browser.post(f"/proposals/{number}/{path}", form, status=409)
            assert "Nothing was done: by now it is applied." in page.words
            assert "Take back what is chosen" in page.words
        sign(browser, plan, status=409)
