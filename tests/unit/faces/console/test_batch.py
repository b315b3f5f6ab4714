"""One decision on several proposals: each by itself, and the first that is not what was shown ends it."""

from __future__ import annotations

import pytest

from tests.console_kit import console_over
from tests.decision_kit import PASSPHRASE, Office
from tests.review_kit import fields, me

pytestmark = pytest.mark.slow

APPROVE, REJECT = "/inbox/batch/approve", "/inbox/batch/reject"


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), dict.fromkeys("abc", b"old\n"))


@pytest.fixture
def numbers(office):
    with office.desk() as desk:
        return [office.propose(desk, {name: b"new\n"}) for name in "abc"]


def batch(browser, numbers):
    return browser.get("/inbox/batch?" + "&".join(f"proposal={number}" for number in numbers))


def live(office):
    return [office.read(name) for name in "abc"]


def states(kit, office, numbers):
    return [office.state(kit.desk, number) for number in numbers]


def test_all_are_shown_and_approved_each_with_its_signature(office, numbers):
    with console_over(office) as kit:
        browser = me(kit)
        page = batch(browser, numbers)
        assert page.text.count("added line 1") == 3
        answer = browser.post(APPROVE, {**fields(page, APPROVE), "password": PASSPHRASE})
        assert answer.words.count("approved and applied") == 3
        assert all(office.show(kit.desk, number).decisions[0].signed for number in numbers)
    assert live(office) == [b"new\n"] * 3


def test_all_are_rejected_with_one_reason(office, numbers):
    with console_over(office) as kit:
        browser = me(kit)
        browser.post(REJECT, {**fields(batch(browser, numbers), REJECT), "reason": "not now"})
        assert states(kit, office, numbers) == ["rejected"] * 3
        assert office.show(kit.desk, numbers[2]).decisions[0].comments[0].text == "not now"
    assert live(office) == [b"old\n"] * 3


@pytest.mark.parametrize("verb", [APPROVE, REJECT])
def test_it_ends_at_the_first_that_is_another_and_says_what_was_done(office, numbers, verb):
    with console_over(office) as kit:
        browser = me(kit)
        page = batch(browser, numbers)
        edit = f"/proposals/{numbers[1]}/edit"
        form = fields(browser.get(f"{edit}?file=0"), edit)
        browser.post(edit, {**form, "text": "other\n"})
        answer = browser.post(verb, {**fields(page, verb), "password": PASSPHRASE}, status=409)
        assert f"proposal-{numbers[1]} changed since it was shown" in answer.words
        assert f"Not touched: 1 proposal: proposal-{numbers[2]}" in answer.words
        after = "applied" if verb == APPROVE else "rejected"
        assert states(kit, office, numbers) == [after, "open", "open"]


def test_it_ends_where_what_is_live_changed(office, numbers):
    with console_over(office) as kit:
        browser = me(kit)
        page = batch(browser, numbers)
        office.write("b", b"somebody\n")
        browser.post(APPROVE, {**fields(page, APPROVE), "password": PASSPHRASE}, status=409)
        assert states(kit, office, numbers)[::2] == ["applied", "open"]
    assert live(office) == [b"new\n", b"somebody\n", b"old\n"]


def test_a_wrong_password_ends_it_before_anything_is_done(office, numbers):
    with console_over(office) as kit:
        browser = me(kit)
        page = batch(browser, numbers)
        answer = browser.post(APPROVE, {**fields(page, APPROVE), "password": "wrong"}, status=409)
        assert "Not touched: 2 proposals" in answer.words
        assert states(kit, office, numbers) == ["open"] * 3


def test_high_risk_is_not_approved_with_others(office, numbers):
    with office.desk() as desk:
        high = office.propose(desk, {"a": b"high\n"}, risk="high")
    with console_over(office) as kit:
        browser = me(kit)
        page = batch(browser, [high, numbers[1]])
        assert "approved on its own page only" in page.words
        assert [one.partition(":")[0] for one in fields(page, APPROVE)["one"]] == [str(numbers[1])]
        digest = office.show(kit.desk, high).digest
        browser.post(APPROVE, {"one": f"{high}:{digest}", "password": PASSPHRASE}, status=409)
        assert office.state(kit.desk, high) == "open"


def test_what_is_decided_already_is_in_no_form(office, numbers):
    with console_over(office) as kit:
        browser = me(kit)
        browser.post(REJECT, fields(batch(browser, numbers[:1]), REJECT))
        page = batch(browser, numbers[:1])
    assert "It cannot be decided on" in page.words
    assert not [one for one in page.all("form") if one["action"].startswith("/inbox")]


@pytest.mark.parametrize(
    "asked", ["", "?proposal=x", "?proposal=" + "&proposal=".join(map(str, range(1, 30)))]
)
def test_nothing_odd_or_too_much_is_refused(office, asked):
    with console_over(office) as kit:
        me(kit).get(f"/inbox/batch{asked}", status=400)
        me(kit).post(APPROVE, {"one": "x:y"}, status=400)


def test_who_may_not_decide_cannot(office, numbers):
    with console_over(office) as kit:
        viewer = me(kit, "viewer")
        viewer.get(f"/inbox/batch?proposal={numbers[0]}", status=403)
        viewer.post(REJECT, {"one": f"{numbers[0]}:x"}, status=403)
        assert not viewer.get("/inbox").all("input", name="proposal")
        assert states(kit, office, numbers) == ["open"] * 3


def test_what_would_be_merged_was_not_shown_so_it_ends_there(office, numbers):
    lines = [b"line %d\n" % number for number in range(30)]
    office.write("long", b"".join(lines))
    with office.desk() as desk:
        number = office.propose(desk, {"long": b"".join([b"first\n", *lines[1:]])})
    with console_over(office) as kit:
        browser = me(kit)
        page = batch(browser, [number, *numbers])
        office.write("long", b"".join([*lines[:-1], b"last\n"]))
        answer = browser.post(APPROVE, {**fields(page, APPROVE), "password": PASSPHRASE}, status=409)
        assert "What is live changed" in answer.words
        assert states(kit, office, [number, *numbers]) == ["open"] * 4
    assert live(office) == [b"old\n"] * 3
