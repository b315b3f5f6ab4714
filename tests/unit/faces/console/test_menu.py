"""The menu says where the reader is."""

from __future__ import annotations

import pytest

from lastro.app.wiring import person
from lastro.proposals.inbox import Inbox
from tests.console_kit import console_over
from tests.decision_kit import Office


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    office = Office.made(str(tmp_path_factory.mktemp("menu")), {"a": b"one\n"})
    with office.desk() as desk:
        office.propose(desk, {"a": b"two\n"})
    with console_over(office) as kit:
        made = kit.browser(person().name)
        made.root = office.root
        yield made


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("/inbox", "/inbox"),
        ("/proposals/1", "/inbox"),
        ("/proposals/1/files/0", "/inbox"),
        ("/history", "/history"),
        ("/search?q=a", "/history"),
        ("/compare/local{root}?old=snap-1&new=snap-2", "/history"),
        ("/restore/new?server=local&path={root}&at=snap-1", "/history"),
        ("/rights", "/users"),
        ("/settings/tokens", "/settings"),
    ],
)
def test_the_entry_that_a_page_belongs_to_is_marked(browser, path, entry):
    page = browser.get(path.replace("{root}", browser.root))
    marked = [one["href"] for one in page.all("a", **{"aria-current": "page"}) if "class" not in one]
    assert marked == [entry]


@pytest.mark.parametrize("path", ["/settings/tokens", "/settings/sessions", "/rights", "/search?q=a"])
def test_a_page_below_another_leads_back_up(browser, path):
    page = browser.get(path)
    assert page.all("nav", **{"aria-label": "Where this is"})


def test_a_page_that_is_not_there_does_not_say_that_something_was_not_done(browser):
    page = browser.get("/no-such-page", status=404)
    assert "It is not here" in page.words and "This was not done" not in page.words


def test_a_failure_of_what_the_menu_counts_is_still_told_on_a_page(browser, monkeypatch):
    def fails(*_arguments, **_named):
        raise RuntimeError("the projection is gone")

    monkeypatch.setattr(Inbox, "proposals", fails)
    page = browser.get("/history", status=500)
    assert "This was not done" in page.words and "/inbox" in page.links
