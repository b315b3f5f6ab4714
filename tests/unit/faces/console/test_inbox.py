"""The inbox as a page."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace

import pytest

from lastro.app.wiring import person
from lastro.domain.run import CheckResult, CheckVerdict
from lastro.faces.console.filters import tone
from tests.console_kit import Kit, console_over
from tests.decision_kit import Office


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


def test_an_empty_inbox_says_what_would_come_here(office):
    with console_over(office) as kit:
        page = kit.browser("ana").get("/inbox")
    assert "Nothing waits for you" in page.words
    assert "lastro run" in page.words


def test_what_waits_is_listed_with_its_risk(office):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"two\n"}, purpose="<script>alert(1)</script>\x1b[31m\u202e")
    with console_over(office) as kit:
        page = kit.browser("ana").get("/")
    assert f"/proposals/{number}" in page.links
    assert "low risk" in page.words
    assert "\x1b" not in page.raw and "\u202e" not in page.raw and "<script>alert" not in page.raw


def test_who_is_not_signed_in_is_sent_to_sign_in(office):
    with console_over(office) as kit:
        answer = kit.client.get("/inbox?show=all", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Finbox%3Fshow%3Dall"


def test_filters_show_what_they_say_and_stay_in_the_links(office):
    with office.desk() as desk:
        low = office.propose(desk, {"a": b"2\n"}, purpose="write docs")
        high = office.propose(desk, {"a": b"3\n"}, purpose="rotate keys", risk="high")
    with console_over(office) as kit:
        browser = kit.browser("ana")
        for query, shown in (("risk=high", [high]), ("text=docs", [low]), ("text=nothing+like+it", [])):
            page = browser.get(f"/inbox?{query}")
            found = [number for number in (low, high) if f"/proposals/{number}" in page.links]
            assert found == shown
            assert any(query.partition("=")[0] in link for link in page.links if link.startswith("/inbox?"))
        assert "No proposal is as the filter says" in page.words
        assert "lastro proposal list --text 'nothing like it'" in page.text
        assert "lastro proposal list --risk high" in browser.get("/inbox?risk=high").text
        browser.get("/inbox?risk=none", status=400)


def test_only_what_i_asked_for(office):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"2\n"})
    with console_over(office) as kit:
        assert f"/proposals/{number}" not in kit.browser("ana").get("/inbox?mine=1").links
        assert f"/proposals/{number}" in kit.browser(person().name).get("/inbox?mine=1").links


@pytest.mark.parametrize(("order", "first"), [("", 0), ("newest", -1), ("expiry", 0)])
def test_a_long_inbox_comes_in_pages_each_proposal_once(office, monkeypatch, order, first):
    monkeypatch.setattr("lastro.faces.console.pages.inbox.PAGE_LENGTH", 2)
    with office.desk() as desk:
        numbers = [office.propose(desk, {"a": b"%d\n" % place}) for place in range(5)]
    seen, address = [], f"/inbox?order={order}" if order else "/inbox"
    with console_over(office) as kit:
        while address:
            page = kit.browser("ana").get(address)
            seen += [int(link.rpartition("/")[2]) for link in page.links if link.startswith("/proposals/")]
            further = [link for link in page.links if "after=" in link]
            address = further[0] if further else ""
    assert sorted(seen) == numbers
    assert seen[0] == numbers[first]
    assert not order or f"--order {order}" in page.words


def test_what_expired_stands_as_denied(office):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"2\n"})
    with console_over(office) as kit:
        later = SimpleNamespace(wall_ns=lambda: time.time_ns() + 90 * 24 * 3600 * 10**9)
        kit.services = dataclasses.replace(kit.services, clock=later)
        late = Kit(kit.services)
        page = late.browser("ana").get("/inbox")
        assert "Nothing waits for you" in page.words
        assert "expired, so denied" in late.browser("ana").get("/inbox?show=all").words
        page = late.browser("ana").get(f"/proposals/{number}")
        assert "expired, so denied" in page.words
        assert [one["action"] for one in page.all("form")] == ["/logout"]
        late.close()


def test_what_somebody_types_into_a_filter_is_inert(office):
    with console_over(office) as kit:
        page = kit.browser("ana").get(
            "/inbox?text=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%1b%e2%80%ae%ff&project=%27%22"
        )
    assert "<script>alert" not in page.raw and "\x1b" not in page.raw and "\u202e" not in page.raw


def test_rows_are_fetched_alone_by_a_script(office):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"2\n"})
    with console_over(office) as kit:
        part = kit.browser("ana").get("/inbox", **{"hx-request": "true", "hx-target": "rows"})
    assert f"/proposals/{number}" in part.links and not part.all("html") and not part.all("form")


def test_what_waits_is_not_said_of_each_and_a_failed_check_is_marked(office):
    check = CheckResult(name="tests", command="pytest", verdict=CheckVerdict.FAILED)
    with office.desk() as desk:
        office.propose(desk, {"a": b"two\n"}, purpose="fix it", checks=(check,))
    with console_over(office) as kit:
        page, every = kit.browser("ana").get("/inbox"), kit.browser("ana").get("/inbox?show=all")
    assert [one["data-tone"] for one in page.all("span", **{"class": "tag"})] == ["plain", "bad"]
    assert "1 check failed" in page.words
    assert len(every.all("span", **{"class": "tag"})) == 3


def test_low_risk_does_not_look_like_something_that_passed():
    assert tone("low") == tone("open") == "plain" and tone("high") == "bad"
