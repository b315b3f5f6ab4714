"""Every page, in a real browser: no error, nothing asked of another host, nothing wider than the window, no barrier that axe-core finds.

Each wide, light and in English; and one of each route as narrow as WCAG 1.4.10 asks for (320 px), dark and in Portuguese.
"""

from __future__ import annotations

import pytest

from lastro.faces.console.pages import ALL
from tests.browser import kit
from tests.browser.pages import PAGES, UNLISTED

pytestmark = [pytest.mark.system, pytest.mark.slow]
NARROW = {"theme": "dark", "language": "pt-BR", "width": 320}
ONE_EACH = tuple({case.way: case for case in reversed(PAGES)}.values())


@pytest.fixture(scope="module")
def look_at(browser, console):
    """Open a page, and check it. Whoever looks has one window for each look: what a browser keeps between pages need not be made anew."""
    windows = {}

    def open_one(case, **look):
        who = case.name, case.roles, *look.values()
        if who not in windows:
            windows[who] = kit.Window(browser, console.address, case.name, case.roles, **look)
        windows[who].problems.clear()
        page = windows[who].open(case.address(console.office.root), status=case.status)
        windows[who].check()
        return page

    yield open_one
    for one in windows.values():
        one.close()


@pytest.mark.parametrize("case", PAGES, ids=lambda case: case.id)
def test_wide_light_and_english(look_at, case):
    look_at(case)


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.id)
def test_narrow_dark_and_portuguese(look_at, case):
    assert look_at(case, **NARROW).get_attribute("html", "lang") == "pt-BR"


def test_pages_are_listed():
    """No route is without a page that is opened here, or a reason."""
    listed = {case.way for case in PAGES} | set(UNLISTED)
    assert {way.path for way in ALL if "GET" in way.methods} - listed == set()
