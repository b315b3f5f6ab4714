"""What people come for, in a real browser: to look, to decide, to edit, to take back; with a mouse, with keys alone, in two windows."""

from __future__ import annotations

import re

import pytest

from lastro.app.wiring import person
from tests.decision_kit import PASSPHRASE

pytestmark = [pytest.mark.system, pytest.mark.slow]

LINES = b"".join(b"line %d\n" % number for number in range(40))
TWO_HUNKS = LINES.replace(b"line 3\n", b"line three\n").replace(b"line 33\n", b"line thirty-three\n")


@pytest.fixture
def me():
    """The human whose key is enrolled in the sample's home."""
    return person().name


@pytest.fixture
def proposed(console, request):
    """A proposal of two hunks of a file that no other journey touches; its number and the file."""
    name = re.sub(r"\W", "-", request.node.name) + ".txt"
    console.office.write(name, LINES)
    number = console.office.propose(console.desk, {name: TWO_HUNKS}, purpose=f"Change {name}")
    return number, name


def sign(page):
    page.get_by_label("Your password").fill(PASSPHRASE)
    page.get_by_role("button", name="Approve and apply").click()


def test_one_hunk_is_approved_applied_and_taken_back(window, console, me, proposed):
    number, name = proposed
    one = window(me)
    page = one.open("/inbox")
    page.get_by_role("link", name=f"proposal-{number}").click()
    page.get_by_role("checkbox", name="Hunk 2").uncheck()
    page.get_by_role("button", name="Approve what is chosen").click()
    page.get_by_role("heading", name="What would be written").wait_for()
    assert console.office.read(name) == LINES
    one.check()
    sign(page)
    page.get_by_text("Approved and applied").wait_for()
    assert console.office.read(name) == LINES.replace(b"line 3\n", b"line three\n")
    one.check()
    page.get_by_role("button", name="Take back").first.click()
    sign(page)
    page.get_by_text("takes back").wait_for()
    assert "Approved and applied" in one.text()
    assert console.office.read(name) == LINES
    one.check()


def test_with_keys_alone(window, console, me, proposed):
    number, name = proposed
    page = window(me).open(f"/proposals/{number}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.hasAttribute('data-file')")
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.hasAttribute('data-hunk')")
    page.keyboard.press("a")
    page.get_by_role("heading", name="What would be written").wait_for()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "password":
            break
    page.keyboard.type(PASSPHRASE)
    page.keyboard.press("Enter")
    page.get_by_text("Approved and applied").wait_for()
    assert console.office.read(name) == TWO_HUNKS


def test_keys_are_typed_into_fields_and_do_nothing_else(window, me, proposed):
    number, _name = proposed
    page = window(me).open(f"/proposals/{number}")
    page.get_by_role("textbox", name="Why").fill("")
    page.get_by_role("textbox", name="Why").press_sequentially("ajneru")
    assert page.get_by_role("textbox", name="Why").input_value() == "ajneru"
    assert page.url.endswith(f"/proposals/{number}")


def test_an_edit_makes_a_revision_and_what_was_shown_before_is_not_approved(window, console, me, proposed):
    number, name = proposed
    old, new = window(me), window(me)
    stale = old.open(f"/proposals/{number}")
    page = new.open(f"/proposals/{number}")
    page.get_by_role("link", name="Edit").first.click()
    editor = page.locator(".cm-content[contenteditable=true]").last
    editor.wait_for()
    new.check()
    editor.click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("typed by a human ")
    page.get_by_role("button", name="Save as a new revision").click()
    page.get_by_text("revision 2").first.wait_for()
    new.check()
    old.expected.add(409)
    stale.get_by_role("button", name="Approve what is chosen").click()
    stale.get_by_text("this is not what you looked at").wait_for()
    assert "typed by a human" in old.text()
    assert console.office.read(name) == LINES
    old.check()


def test_a_rejection_says_why(window, console, me, proposed):
    number, name = proposed
    one = window(me)
    page = one.open(f"/proposals/{number}")
    page.get_by_role("textbox", name="Why").fill("Not on a Friday.")
    page.get_by_role("button", name="Reject the proposal").click()
    page.get_by_role("status").get_by_text("Rejected").wait_for()
    assert "Not on a Friday." in one.text()
    assert console.office.read(name) == LINES
    one.check()


def test_on_a_phone_with_a_finger(window, console, me, proposed):
    number, name = proposed
    one = window(me, width=390, is_mobile=True, has_touch=True, theme="dark")
    page = one.open("/inbox")
    page.get_by_role("link", name=f"proposal-{number}").tap()
    approve = page.get_by_role("button", name="Approve what is chosen")
    box = approve.bounding_box()
    assert box["height"] >= 44
    assert 0 <= box["y"] <= 800 - box["height"]  # in sight, however long the proposal
    approve.tap()
    sign(page)
    page.get_by_text("Approved and applied").wait_for()
    assert console.office.read(name) == TWO_HUNKS
    one.check()


def test_without_scripts_the_same_is_done(window, console, me, proposed):
    number, name = proposed
    one = window(me, java_script_enabled=False)
    page = one.open(f"/proposals/{number}")
    page.get_by_role("button", name="Approve what is chosen").click()
    sign(page)
    page.get_by_text("Approved and applied").wait_for()
    assert console.office.read(name) == TWO_HUNKS
    assert not one.problems


def test_in_portuguese(window, console, me, proposed):
    number, name = proposed
    one = window(me, language="pt-BR")
    page = one.open(f"/proposals/{number}")
    assert page.get_attribute("html", "lang") == "pt-BR"
    page.locator("#decide button").first.click()
    page.locator("input[name=password]").fill(PASSPHRASE)
    page.locator("button.main").last.click()
    page.locator(".notice").wait_for()
    assert console.office.read(name) == TWO_HUNKS
    one.check()
