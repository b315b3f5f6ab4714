"""What a reader sees at first: where things lie on the screen, not only that they are there."""

from __future__ import annotations

import pytest

from tests.browser import kit
from tests.browser.pages import ENROLLED

pytestmark = [pytest.mark.system, pytest.mark.slow]
LINES = 4
"""Lines of a difference that are seen before anybody scrolls."""


@pytest.fixture
def window(browser, console):
    """Make a window at the console."""
    opened = []

    def made(**look):
        opened.append(kit.Window(browser, console.address, ENROLLED, **look))
        return opened[-1]

    yield made
    for one in opened:
        one.close()


def top_of(page, selector):
    return page.locator(selector).first.bounding_box()["y"]


@pytest.mark.parametrize("proposal", [1, 2])
def test_a_review_begins_with_what_changes_and_not_with_facts(window, proposal):
    page = window().open(f"/proposals/{proposal}")
    row = page.locator(".diff tbody tr").nth(LINES).bounding_box()
    assert row["y"] + row["height"] <= top_of(page, ".dock")


def test_rejecting_lies_apart_from_approving(window):
    page = window().open("/proposals/1")
    approve = page.get_by_role("button", name="Approve what is chosen").bounding_box()
    reject = page.locator(".dock").get_by_role("link", name="Reject").bounding_box()
    assert reject["x"] - (approve["x"] + approve["width"]) > 200


def test_a_proposal_and_its_box_share_a_line_on_a_phone(window):
    page = window(width=390).open("/inbox")
    box = page.locator(".entries input[type=checkbox]").first.bounding_box()
    subject = page.locator(".entries .subject").first.bounding_box()
    assert subject["y"] < box["y"] + box["height"] and box["y"] < subject["y"] + subject["height"]


def test_a_name_of_a_directory_takes_few_lines_on_a_phone(window, console):
    page = window(width=390).open(f"/history/local{console.office.root}")
    row = page.locator(".list-table tbody tr").first.bounding_box()
    cells = page.locator(".list-table tbody tr").first.locator("td, th").count()
    line = page.locator(".list-table tbody tr").first.locator("th").bounding_box()["height"]
    assert row["height"] < cells * line


def test_the_head_of_what_is_counted_stands_above_it(window, console):
    page = window().open(f"/history/local{console.office.root}")
    head = page.get_by_role("columnheader", name="Size")
    ends = [
        one.evaluate("(one) => getComputedStyle(one).textAlign")
        for one in (head, page.locator("td.number").first)
    ]
    assert ends == ["end", "end"]


@pytest.mark.parametrize("width", [800, 1000, 1180, 1440])
def test_signing_out_stands_beside_the_menu(window, width):
    page = window(width=width).open("/inbox")
    menu = page.get_by_role("navigation", name="Main menu").bounding_box()
    leave = page.get_by_role("button", name="Sign out").bounding_box()
    assert leave["x"] >= menu["x"] + menu["width"]
