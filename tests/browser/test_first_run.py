"""From ``lastro up`` to the first change approved and taken back, as somebody does it who has never seen Lastro, with a passkey."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser import kit
from tests.browser.standing import tree, type_group_back, up

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("bubblewrap")]


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A real keeper, node, runner and console; its home and the link that it printed."""
    home = tmp_path_factory.mktemp("up") / "home"
    with up(str(home)) as link:
        yield home, link


@pytest.fixture(scope="module")
def one(browser, standing):
    """The newcomer's window, with a passkey device; the journeys here go on from each other."""
    address = urlsplit(standing[1])
    window = kit.Window(browser, f"{address.scheme}://{address.netloc}", "")
    window.authenticator()
    yield window
    window.close()


def approve(page):
    page.get_by_role("button", name=re.compile("Approve and apply")).first.click()
    page.get_by_text("Approved and applied").wait_for()


def test_an_owner_with_a_passkey_a_recovery_kit_and_a_first_change(one, standing):
    home, link = standing
    page = one.page
    page.goto(link)
    page.get_by_role("heading", name="Welcome to Lastro").wait_for()
    page.get_by_text("Language").first.wait_for()
    assert "#" not in page.url
    one.check()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Your account").wait_for()
    one.check()
    page.get_by_role("button", name="Make a passkey").click()
    page.get_by_role("button", name="Use your passkey").click()
    page.get_by_role("heading", name="Your recovery kit").wait_for()
    one.check()
    type_group_back(page)
    page.get_by_role("heading", name="What is protected").wait_for()
    one.check()
    page.get_by_role("link", name="Go on").click()
    before = tree(home / "sample")
    page.get_by_role("button", name="Make the change").click()
    page.get_by_role("link", name=re.compile("and approve it")).click(timeout=60_000)
    assert tree(home / "sample") == before
    page.get_by_role("button", name="Approve what is chosen").click()
    approve(page)
    one.check()
    assert tree(home / "sample") != before
    page.get_by_role("button", name="Take back").first.click()
    approve(page)
    assert tree(home / "sample") == before
    one.check()


def test_the_link_is_good_once(browser, standing):
    _home, link = standing
    address = urlsplit(link)
    other = kit.Window(browser, f"{address.scheme}://{address.netloc}", "")
    other.expected |= {400, 401, 403, 404, 409, 410, 429}
    other.page.goto(link)
    other.page.get_by_role("alert").wait_for()
    assert not other.violations()
    assert other.page.goto("/inbox").url.startswith(f"{other.address}/login")
    other.close()


def test_out_and_in_again_with_the_passkey(one):
    page = one.open("/inbox")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in to Lastro").wait_for()
    one.check()
    assert page.goto("/runs").url.startswith(f"{one.address}/login")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("heading", name="Runs").wait_for()
    one.check()


def test_what_happens_elsewhere_shows_without_asking_again(one, standing):
    home, _link = standing
    page = one.open("/events")
    (Path(home) / "sample" / "written-now.txt").write_text("now\n")
    page.locator("#newer a").click(timeout=30_000)
    page.get_by_text("written-now.txt").first.wait_for()
    one.check()
