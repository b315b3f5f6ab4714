"""Passkeys and users in a real browser, with a virtual authenticator: made, signed with, refused, removed."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from lastro.accounts.nouns import Enrolment
from lastro.proposals.approvals import key_id_of
from tests.browser import kit as browser_kit
from tests.browser.kit import Window
from tests.console_kit import console_over
from tests.decision_kit import PASSPHRASE, Office
from tests.passkey_kit import Authenticator

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def console(tmp_path):
    """A console of its own: what is made here would be in the way of other journeys."""
    office = Office.made(str(tmp_path), {"a": b"one\n"})
    with office.desk() as desk:
        office.enrol(desk, "bia", ("approver",))
    with console_over(office) as made, browser_kit.served(made.client.app) as address:
        made.address = address
        made.owner = next(row.name for row in made.services.inbox.approvers() if "owner" in row.roles)
        made.door.stepped_up.add(made.owner)
        yield made


@contextmanager
def authenticator(window):
    """A virtual authenticator that checks who uses it (``verified``), until the context ends."""
    session = window.context.new_cdp_session(window.page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]
    yield lambda verified: session.send(
        "WebAuthn.setUserVerified", {"authenticatorId": made, "isUserVerified": verified}
    )
    session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": made})


def good(console, name):
    return [row for row in console.services.inbox.approvers() if row.name == name and not row.revoked_ns]


def test_a_passkey_is_made_signs_and_is_removed(window, console):
    mine = window(console.owner)
    with authenticator(mine) as verified:
        page = mine.open("/settings/passkeys")
        page.get_by_label("Its name").fill("laptop")
        page.get_by_role("button", name="Make a passkey").click()
        page.get_by_label("Your password").fill(PASSPHRASE)
        mine.check()
        page.get_by_role("button", name="Sign for it").click()
        page.get_by_text("The passkey is yours now").wait_for()
        mine.check()
        assert len(good(console, console.owner)) == 2

        bia = good(console, "bia")[0].key_id
        page = mine.open(f"/users/{bia}")
        page.get_by_label("viewer").check()
        page.get_by_label("approver").uncheck()
        mine.check()
        page.get_by_role("button", name="Continue to sign").click()
        mine.check()
        verified(False)  # noqa: FBT003
        page.get_by_role("button", name="passkey laptop").click()
        page.get_by_text("did not sign").wait_for()
        assert good(console, "bia")[0].roles == ("approver",)
        verified(True)  # noqa: FBT003
        page.get_by_role("button", name="passkey laptop").click()
        page.get_by_text("Saved.").wait_for()
        assert good(console, "bia")[0].roles == ("viewer",)

        mine.open(f"/users/{bia}/revoke")
        mine.check()
        page = mine.open("/settings/passkeys")
        page.get_by_role("link", name="Remove laptop").click()
        mine.check()
        page.get_by_role("button", name="passkey laptop").click()
        page.get_by_text("Removed.").wait_for()
        assert len(good(console, console.owner)) == 1
        mine.check()


@pytest.mark.parametrize(
    "look", [{}, {"theme": "dark", "width": 390, "language": "pt-BR"}], ids=["wide", "phone-dark-pt-BR"]
)
def test_inviting_and_signing_for_whoever_came(window, console, look):
    mine = window(console.owner, **look)
    mine.open("/users/invite")
    mine.check()
    mine.page.fill("#name", "caio")
    mine.page.check("input[value=operator]")
    mine.page.click("main form button")
    assert "/link#" in mine.text()
    mine.check()
    came = Authenticator()
    key_id = key_id_of(came.public_key)
    console.door.accounts.enrolments.ask(
        Enrolment(
            key_id=key_id,
            human="caio",
            uid=-1,
            roles=("operator",),
            alg="webauthn",
            public_key=came.public_key,
            began_ns=console.services.clock.wall_ns(),
        )
    )
    page = mine.open("/users")
    mine.check()
    page.click(f"a[href='/users/waiting/{key_id}']")
    mine.check()
    page.fill("#password", PASSPHRASE)
    page.press("#password", "Enter")
    page.wait_for_url("**/users?said=enrolled")
    mine.check()
    assert [row.roles for row in good(console, "caio")] == [("operator",)]


def test_without_scripts_a_password_signs(browser, console):
    mine = Window(browser, console.address, console.owner, java_script_enabled=False)
    bia = good(console, "bia")[0].key_id
    mine.open(f"/users/{bia}/revoke")
    assert not mine.page.query_selector("form[data-passkey]:not([hidden])")
    mine.page.fill("#password", PASSPHRASE)
    mine.page.click("text=Revoke it")
    mine.page.wait_for_url("**/users?said=removed")
    assert not good(console, "bia")
    assert not mine.problems
    mine.close()
