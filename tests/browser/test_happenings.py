"""A page that is open shows what happens, also after a cut, and gives its connection back while nobody sees it."""

from __future__ import annotations

import pytest

from tests.browser.kit import until

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def following(window, console):
    """An inbox that follows; every request for its rows is counted."""
    until(lambda: not console.happenings.followers)
    one = window()
    one.fetched = []
    one.page.on(
        "request",
        lambda request: one.fetched.append(request.url) if request.headers.get("hx-request") else None,
    )
    one.open("/inbox")
    until(lambda: console.happenings.followers == 1)
    return one


def test_what_comes_is_shown(following, console):
    number = console.office.propose(console.desk, {"came.txt": b"x\n"}, purpose="Came meanwhile")
    console.happenings.happen("proposal")
    following.page.get_by_text("Came meanwhile").wait_for()
    assert f"proposal-{number}" in following.text()
    following.check()


def test_what_comes_right_after_is_shown_too(following, console):
    with following.page.expect_response(lambda answer: answer.request.headers.get("hx-request")):
        console.happenings.happen("proposal")
    console.office.propose(console.desk, {"after.txt": b"x\n"}, purpose="Came right after")
    console.happenings.happen("proposal")
    following.page.get_by_text("Came right after").wait_for()


def test_many_at_once_are_asked_for_once(following, console):
    for _ in range(200):
        console.happenings.happen("proposal")
    following.page.wait_for_timeout(1000)
    assert 1 <= len(following.fetched) <= 3


def test_what_no_part_shows_asks_for_nothing(following, console):
    console.happenings.happen("server")
    following.page.wait_for_timeout(600)
    assert following.fetched == []


def test_after_a_cut_what_was_missed_is_shown(following, console):
    asked = console.happenings.asked
    console.happenings.silent = True
    console.happenings.happen("")
    until(lambda: not console.happenings.followers)
    console.office.propose(console.desk, {"missed.txt": b"x\n"}, purpose="Came while nobody listened")
    console.happenings.silent = False
    following.page.get_by_text("Came while nobody listened").wait_for()
    assert console.happenings.asked > asked


def test_a_part_that_could_not_be_fetched_is_fetched_again(following, console):
    page = following.page
    refused = []

    def refuse(route):
        refused.append(route.request.url)
        route.abort()

    page.route("**/inbox*", refuse)
    console.office.propose(console.desk, {"again.txt": b"x\n"}, purpose="Came while the rows could not")
    console.happenings.happen("proposal")
    page.get_by_role("status").get_by_text("cannot be reached").wait_for()
    page.unroute("**/inbox*")
    page.get_by_text("Came while the rows could not").wait_for()
    assert refused


def test_a_window_that_nobody_sees_gives_its_connection_back(following, console):
    page = following.page
    hide = """hidden => {
      Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.evaluate(hide, arg=True)
    until(lambda: not console.happenings.followers)
    console.office.propose(console.desk, {"unseen.txt": b"x\n"}, purpose="Came while nobody looked")
    page.evaluate(hide, arg=False)
    page.get_by_text("Came while nobody looked").wait_for()
