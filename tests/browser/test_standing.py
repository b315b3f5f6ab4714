"""Journeys at a real ``lastro up``: without scripts, with keys alone, in step with others, after a cut, and when it is too late."""

from __future__ import annotations

import re

import pytest

from tests.browser.standing import PASSWORD, Standing, approved, lapse, look_again, sign, step_up, tree, up

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("bubblewrap")]


@pytest.fixture(scope="module")
def standing(browser, tmp_path_factory):
    home = tmp_path_factory.mktemp("up") / "home"
    with up(str(home)) as link:
        yield Standing(browser, home, link)


@pytest.fixture(scope="module")
def plain(standing):
    """The owner's window without scripts, in which the account was made."""
    window = standing.window(java_script_enabled=False)
    standing.newcomer(window)
    yield window
    window.close()


@pytest.fixture
def window(standing, plain):
    """``window(theme="dark")`` is another window of the owner, who is signed in; each is closed at the end."""
    opened = []

    def open_one(**options):
        opened.append(standing.window(storage_state=plain.context.storage_state(), **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def history_of(standing, path):
    return f"/history/local{standing.sample}/{path}"


def test_without_scripts_from_the_link_to_what_was_brought_back(standing, plain):
    page = plain.page
    page.get_by_role("heading", name="What is protected").wait_for()
    page.get_by_role("link", name="Go on").click()
    before = tree(standing.sample)
    page.get_by_role("button", name="Make the change").click()
    look_again(page, page.get_by_role("link", name="and approve it"))
    page.get_by_role("link", name="and approve it").click()
    page.get_by_role("button", name="Approve what is chosen").click()
    assert tree(standing.sample) == before
    sign(page)
    approved(page)
    assert tree(standing.sample) != before
    page.get_by_role("button", name="Take back").click()
    sign(page)
    approved(page)
    assert tree(standing.sample) == before

    page.get_by_role("button", name="Sign out").click()
    standing.sign_in(plain)
    page.get_by_role("heading", name="Inbox").wait_for()
    (standing.sample / "docs/notes.md").unlink()
    standing.lastro("capture", str(standing.sample))
    page.goto(f"{history_of(standing, 'docs')}?deleted=1")
    page.get_by_role("link", name="notes.md").click()
    page.get_by_role("link", name="Restore…").click()
    page.get_by_role("button", name="Show the plan").click()
    look_again(page, page.get_by_role("link", name="Go on…"))
    page.get_by_role("link", name="Go on…").click()
    page.get_by_role("button", name="Do exactly this").click()
    look_again(page, page.get_by_text("Verified: 1 path is exactly as it was."))
    assert tree(standing.sample) == before
    assert not plain.problems


def test_with_keys_alone_from_signing_in_to_taking_back(standing, plain):
    assert standing.codes, plain
    number = standing.propose("echo keys > keys.txt; sed -i 's/workers = 2/workers = 3/' server/app.conf")
    one = standing.window()
    keys, page = one.page.keyboard, one.page
    page.goto("/inbox")

    def tab_to(what):
        for _ in range(80):
            keys.press("Tab")
            if page.evaluate(f"document.activeElement.matches({what!r})"):
                return
        raise AssertionError(what)

    def enter(words):
        with page.expect_navigation():
            keys.press("Enter")
        page.get_by_role("heading", name=words).first.wait_for()

    tab_to("#name")
    keys.type("ana")
    tab_to("#password")
    keys.type(PASSWORD)
    tab_to("#code")
    keys.type(standing.codes.pop())
    enter("Inbox")
    tab_to(f"a[href='/proposals/{number}']")
    enter(f"proposal-{number}")
    keys.press("j")
    keys.press("j")
    tab_to("input[name=hunk]")
    keys.press("Space")
    chosen = page.locator("input[name=file]:checked").count()
    assert chosen == 1
    with page.expect_navigation():
        keys.press("a")
    tab_to("#password")
    keys.type(PASSWORD)
    enter(f"proposal-{number}")
    approved(page)
    one.check()
    assert (standing.sample / "keys.txt").exists()
    assert "workers = 2" in (standing.sample / "server/app.conf").read_text()
    with page.expect_navigation():
        keys.press("u")
    tab_to("#password")
    keys.type(PASSWORD)
    enter("proposal-")
    approved(page)
    assert not (standing.sample / "keys.txt").exists()
    one.close()


def test_a_plan_that_is_too_old_is_not_carried_out(standing, window):
    number = standing.propose("sed -i 's/level = info/level = debug/' server/app.conf")
    one = window()
    page = one.open(f"/proposals/{number}")
    page.get_by_role("button", name="Approve what is chosen").click()
    page.get_by_label("Your password").wait_for()
    conf = standing.sample / "server/app.conf"
    conf.write_text(conf.read_text().replace("port = 8000", "port = 9000"))
    one.expected.add(409)
    sign(page)
    page.get_by_text("what is live changed since the plan").wait_for()
    one.check()
    assert "level = info" in conf.read_text()
    page.get_by_text("merged with what was changed here meanwhile").wait_for()
    page.get_by_role("button", name="Apply").click()
    approved(page)
    assert "level = debug" in conf.read_text() and "port = 9000" in conf.read_text()
    one.check()


def test_on_a_phone_something_is_brought_back_and_that_is_taken_back(standing, window):
    readme = standing.sample / "README.md"
    was = readme.read_text()
    readme.write_text("spoilt\n")
    standing.lastro("capture", str(standing.sample))
    one = window(width=390, theme="dark", is_mobile=True, has_touch=True)
    page = one.open(history_of(standing, "README.md"))
    one.check()
    page.get_by_role("link", name="Older").tap()
    page.get_by_role("link", name="Restore…").tap()
    page.get_by_role("heading", name="Restore", exact=True).wait_for()
    one.check()
    page.get_by_role("button", name="Show the plan").tap()
    page.get_by_role("heading", name="The plan", exact=True).wait_for()
    one.check()
    page.get_by_role("link", name="Go on…").tap()
    page.get_by_role("heading", name="Restore it?").wait_for()
    one.check()
    assert readme.read_text() == "spoilt\n"
    page.get_by_role("button", name="Do exactly this").tap()
    page.get_by_text("Verified: 1 path is exactly as it was.").wait_for()
    one.check()
    assert readme.read_text() == was
    page.get_by_role("button", name="Undo this…").tap()
    page.get_by_role("link", name="Go on…").tap()
    page.get_by_role("button", name="Do exactly this").tap()
    page.get_by_role("heading", name="Taken back").wait_for()
    assert readme.read_text() == "spoilt\n"


def test_what_is_dangerous_asks_anew_who_it_is_and_then_goes_on_there(standing, window):
    one = window()
    readme = standing.sample / "README.md"
    readme.write_text("newest\n")
    page = one.open(f"/restore/new?server=local&path={standing.sample}/README.md&at=snap-1")
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("link", name="Go on…").click()
    lapse(standing)
    page.get_by_role("button", name="Do exactly this").click()
    page.get_by_role("heading", name="Is it you?").wait_for()
    one.check()
    one.expected |= {401, 403}
    page.get_by_label("Your password").fill("wrong")
    page.get_by_label("Code of your second factor").fill(standing.codes[-1])
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("alert").first.wait_for()
    one.check()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("Code of your second factor").fill(standing.codes.pop())
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Restore it?").wait_for()
    assert readme.read_text() == "newest\n"
    page.get_by_role("button", name="Do exactly this").click()
    page.get_by_role("heading", name="Restored").wait_for()
    assert readme.read_text().startswith("# Sample project")


def test_after_a_cut_nothing_is_missed_and_an_open_editor_stays(standing, window):
    inbox, other = window(), window()
    number = standing.propose("echo first > first.txt")
    editing = other.open(f"/proposals/{number}/edit?file=0")
    editor = editing.locator(".cm-content[contenteditable=true]").last
    editor.click()
    editing.keyboard.press("Control+Home")
    editing.keyboard.type("typed ")
    page = inbox.open("/inbox")
    page.get_by_role("link", name=re.compile(f"proposal-{number}\\b")).wait_for()
    inbox.context.set_offline(True)
    missed = standing.propose("echo second > second.txt")
    assert not page.get_by_role("link", name=re.compile(f"proposal-{missed}\\b")).count()
    inbox.context.set_offline(False)
    page.get_by_role("link", name=re.compile(f"proposal-{missed}\\b")).wait_for()
    later = standing.propose("echo third > third.txt")
    page.get_by_role("link", name=re.compile(f"proposal-{later}\\b")).wait_for()
    assert "typed first" in editor.inner_text()
    other.check()
    editing.get_by_role("button", name="Save as a new revision").click()
    editing.get_by_text("revision 2").first.wait_for()
    page.get_by_role("link", name=re.compile(f"proposal-{number}r2")).wait_for()


def test_two_windows_of_one_human(standing, window):
    number = standing.propose("echo once > once.txt")
    one, other = window(), window()
    first, second = one.open(f"/proposals/{number}"), other.open(f"/proposals/{number}")
    first.get_by_role("button", name="Approve what is chosen").click()
    sign(first)
    approved(first)
    second.locator("#state").get_by_text("applied").wait_for()
    other.expected.add(409)
    second.get_by_role("button", name="Approve what is chosen").click()
    second.get_by_role("alert").first.wait_for()
    other.check()


def test_two_humans_and_what_one_asked_for_the_other_approves(standing, window):
    """The last one here: from now on nobody approves alone."""
    one = window()
    lapse(standing)
    step_up(standing, one, "/users/invite")
    page = one.page
    page.get_by_label("Name").fill("bia")
    page.get_by_label("approver").check()
    page.get_by_role("button", name="Make the link").click()
    link = page.locator(".command code").first.inner_text()

    other = standing.window(theme="dark")
    other.authenticator()
    theirs = other.page
    theirs.goto(link)
    theirs.get_by_role("group", name="Language").wait_for()
    theirs.get_by_role("button", name="Go on").click()
    theirs.get_by_role("button", name="Make a passkey").click()
    theirs.get_by_role("button", name="Use your passkey").click()
    theirs.get_by_role("heading", name="Almost there").wait_for()
    other.check()
    theirs.get_by_role("button", name="To the sign-in page").click()

    page.goto("/users")
    page.get_by_role("link", name="Look and sign").click()
    sign(page, "Sign for them")
    page.get_by_text("They may sign in now.").wait_for()
    theirs.get_by_role("button", name="Sign in with a passkey").click()
    theirs.get_by_role("heading", name="Inbox").wait_for()

    number = standing.propose("echo both > both.txt")
    page = one.open(f"/proposals/{number}")
    theirs = other.open(f"/proposals/{number}")
    assert "somebody else has to approve it" in one.text()
    one.expected.add(409)
    page.get_by_role("button", name="Approve what is chosen").click()
    page.get_by_role("heading", name="This was not done").wait_for()
    one.check()
    one.open(f"/proposals/{number}")
    theirs.get_by_role("button", name="Approve what is chosen").click()
    theirs.get_by_role("button", name="Approve and apply").click()
    approved(theirs)
    other.check()
    assert (standing.sample / "both.txt").read_text() == "both\n"
    page.locator("#state").get_by_text("applied").wait_for()
    one.check()
    other.close()
