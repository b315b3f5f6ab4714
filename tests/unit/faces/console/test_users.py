"""Users as pages: who there is, inviting, signing for a key, other roles, revoking."""

from __future__ import annotations

import os
import re

import pytest

from lastro.accounts.nouns import Enrolment, LinkPurpose
from lastro.app.account_file import accounts_of
from lastro.proposals.approvals import key_id_of
from tests.console_kit import console_over
from tests.decision_kit import PASSPHRASE, Office
from tests.passkey_kit import Authenticator
from tests.signing_kit import answer_with, enrol_passkey, hidden_fields, passkey_forms

HOSTILE = "<b hx-get=/x>"


@pytest.fixture
def office(tmp_path):
    made = Office.made(str(tmp_path), {"a": b"one\n"})
    with made.desk() as desk:
        made.enrol(desk, "bia", ("approver",))
    return made


@pytest.fixture
def kit(office):
    with console_over(office) as made:
        owner = next(row.name for row in made.services.inbox.approvers() if "owner" in row.roles)
        made.owner = owner
        made.door.stepped_up.add(owner)
        yield made


def key_of(kit, name):
    return next(row.key_id for row in kit.services.inbox.approvers() if row.name == name)


def roles_of(kit, name):
    return {
        tuple(row.roles) for row in kit.services.inbox.approvers() if row.name == name and not row.revoked_ns
    }


def test_everybody_is_listed_with_roles_and_keys(kit):
    page = kit.browser(kit.owner).get("/users")
    assert "bia" in page.words and "approver" in page.words and "password" in page.words
    assert f"/users/{key_of(kit, 'bia')}" in page.links
    assert "/users/invite" in page.links
    assert "lastro approver list" in page.words


def test_a_viewer_sees_them_and_is_offered_nothing(kit):
    browser = kit.browser("vera", "viewer")
    assert "/users/invite" not in browser.get("/users").links
    page = browser.get(f"/users/{key_of(kit, 'bia')}")
    assert not any("revoke" in link for link in page.links)
    assert not [form for form in page.all("form") if "roles" in form.get("action", "")]


@pytest.mark.parametrize("role", ["approver", "operator", "auditor", "viewer"])
def test_nobody_but_an_owner_changes_anything(kit, role):
    browser, key = kit.browser("vera", role), key_of(kit, "bia")
    for path in (
        "/users/invite",
        f"/users/{key}/roles?role=owner",
        f"/users/{key}/revoke",
        f"/users/waiting/{key}",
    ):
        browser.get(path, status=403)
        assert browser.send(path, {"role": "owner", "password": PASSPHRASE}).status_code == 403
    assert roles_of(kit, "bia") == {("approver",)}


def test_long_lists_come_in_pages(office, monkeypatch):
    monkeypatch.setattr("lastro.faces.console.pages.users.PAGE_LENGTH", 2)
    with office.desk() as desk:
        for number in range(3):
            office.enrol(desk, f"zoe-{number}", ("viewer",))
    with console_over(office) as kit:
        browser = kit.browser("ana")
        first = browser.get("/users")
        assert "zoe-2" not in first.words and "/users?from=2" in first.links
        last = browser.get("/users?from=4")
        assert "zoe-2" in last.words and "bia" not in last.words and "/users?from=2" in last.links
        browser.get("/users?from=999999999999999999999", status=400)


# Inviting -----------------------------------------------------------------------------------------------------------------------------


def test_an_invitation_is_a_link_that_is_shown_once(kit):
    browser = kit.browser(kit.owner)
    browser.get("/users/invite")
    page = browser.post("/users/invite", {"name": "caio", "role": "approver"})
    secret = re.search(r"http://localhost:8420/link#(\S+)", page.words)[1]
    with accounts_of(
        kit.services
    ) as accounts:  # the operation's, which the command 'invite' makes links in too
        found = accounts.links.look(secret, kit.services.clock.wall_ns())
    assert (found.purpose, found.human, found.roles, found.uid) == (
        LinkPurpose.INVITE,
        "caio",
        ("approver",),
        -1,
    )
    assert secret not in browser.get("/users").raw


def test_inviting_takes_to_have_proved_who_one_is(kit):
    kit.door.stepped_up.clear()
    answer = kit.browser(kit.owner).send("/users/invite", {"name": "caio", "role": "owner"})
    assert answer.status_code == 303 and answer.headers["location"].startswith("/step-up")


@pytest.mark.parametrize(
    ("name", "role", "status"),
    [
        ("bia", "viewer", 409),
        ("", "viewer", 400),
        ("a\x1bb", "viewer", 400),
        ("caio", "", 400),
        ("caio", "king", 400),
    ],
)
def test_whom_nobody_can_invite(kit, name, role, status):
    kit.browser(kit.owner).post("/users/invite", {"name": name, "role": role}, status=status)


def waiting(kit, authenticator, name="caio", roles=("approver",)):
    kit.door.accounts.enrolments.ask(
        Enrolment(
            key_id=key_id_of(authenticator.public_key),
            human=name,
            uid=-1,
            roles=roles,
            alg="webauthn",
            public_key=authenticator.public_key,
            began_ns=kit.services.clock.wall_ns(),
        )
    )
    return f"/users/waiting/{key_id_of(authenticator.public_key)}"


def test_an_owner_signs_for_who_took_the_invitation(kit):
    path = waiting(kit, Authenticator())
    browser = kit.browser(kit.owner)
    assert path in browser.get("/users").links
    page = browser.get(path)
    assert "caio" in page.words and "passkey" in page.words
    done = browser.post(path, {**hidden_fields(page, path), "password": PASSPHRASE})
    assert "They may sign in now" in done.words
    assert roles_of(kit, "caio") == {("approver",)}
    assert kit.door.accounts.enrolments.waiting() == []
    browser.get(path, status=404)


def test_a_wrong_password_lets_nobody_in(kit):
    path = waiting(kit, Authenticator())
    browser = kit.browser(kit.owner)
    fields = hidden_fields(browser.get(path), path)
    browser.post(path, {**fields, "password": "something else"}, status=403)
    browser.post(path, {**fields, "password": ""}, status=400)
    assert roles_of(kit, "caio") == set()
    assert kit.door.accounts.enrolments.waiting()


def test_who_is_sent_away_leaves_nothing(kit):
    path = waiting(kit, Authenticator())
    kit.browser(kit.owner).post(path, {"refuse": "1"})
    assert kit.door.accounts.enrolments.waiting() == [] and roles_of(kit, "caio") == set()


def test_names_are_inert(kit):
    path = waiting(kit, Authenticator(), name=HOSTILE)
    browser = kit.browser(kit.owner)
    for page in (browser.get("/users"), browser.get(path)):
        assert HOSTILE not in page.raw and HOSTILE in page.text
        assert not page.all("b")


# Changing -----------------------------------------------------------------------------------------------------------------------------


def test_other_roles_are_signed_with_a_password(kit):
    key = key_of(kit, "bia")
    browser, path = kit.browser(kit.owner), f"/users/{key}/roles"
    page = browser.get(f"{path}?role=operator&role=viewer")
    assert "lastro approver roles bia --role operator --role viewer" in page.words
    fields = {**hidden_fields(page, path), "role": ["operator", "viewer"], "password": PASSPHRASE}
    browser.post(path, fields)
    assert roles_of(kit, "bia") == {("operator", "viewer")}


def test_other_roles_are_signed_with_a_passkey(office):
    authenticator = Authenticator()
    with office.desk() as desk:
        owner = desk.actor.name
        enrol_passkey(office, desk, authenticator, owner, uid=os.geteuid())
    with console_over(office) as kit:
        path = f"/users/{key_of(kit, 'bia')}/roles"
        browser = kit.browser(owner)
        page = browser.get(f"{path}?role=viewer")
        (form,) = passkey_forms(page)
        assert form["data-rp"] == "localhost" and "hidden" in form
        wrong = answer_with(Authenticator(seed=2), page)
        browser.post(path, wrong, status=403)
        browser.post(path, answer_with(authenticator, page, type="webauthn.create"), status=403)
        assert roles_of(kit, "bia") == {("approver",)}
        browser.post(path, answer_with(authenticator, page))
        assert roles_of(kit, "bia") == {("viewer",)}


def test_what_was_shown_is_what_is_signed(office):
    """The passkey signed 'viewer'; a form that was changed to 'owner' on its way changes nothing."""
    authenticator = Authenticator()
    with office.desk() as desk:
        owner = desk.actor.name
        enrol_passkey(office, desk, authenticator, owner, uid=os.geteuid())
    with console_over(office) as kit:
        path = f"/users/{key_of(kit, 'bia')}/roles"
        browser = kit.browser(owner)
        fields = answer_with(authenticator, browser.get(f"{path}?role=viewer"))
        browser.post(path, {**fields, "role": "owner"}, status=403)
        assert roles_of(kit, "bia") == {("approver",)}


@pytest.mark.parametrize("field", ["signature", "client_data", "authenticator_data"])
def test_bytes_that_are_none_are_refused(kit, field):
    path = f"/users/{key_of(kit, 'bia')}/roles"
    browser = kit.browser(kit.owner)
    fields = {**hidden_fields(browser.get(f"{path}?role=viewer"), path), "client_data": "e30", field: "*\x1b"}
    assert browser.send(path, fields).status_code in {400, 403, 404}
    assert roles_of(kit, "bia") == {("approver",)}


def test_the_last_owner_stays(kit):
    key = key_of(kit, kit.owner)
    browser = kit.browser(kit.owner)
    page = browser.get(f"/users/{key}")
    assert f"/users/{key}/revoke" not in page.links and "last owner" in page.words
    for path, extra in ((f"/users/{key}/roles", {"role": "viewer"}), (f"/users/{key}/revoke", {})):
        shown = browser.get(f"{path}?role=viewer")
        browser.post(path, {**hidden_fields(shown, path), **extra, "password": PASSPHRASE}, status=409)
    assert roles_of(kit, kit.owner) == {("owner",)}


def test_a_revoked_key_is_gone_from_here(kit):
    key = key_of(kit, "bia")
    place = f"{kit.services.places.approver_keys}/{key}.key"
    assert os.path.exists(place)
    browser, path = kit.browser(kit.owner), f"/users/{key}/revoke"
    browser.post(path, {**hidden_fields(browser.get(path), path), "password": PASSPHRASE})
    assert roles_of(kit, "bia") == set() and not os.path.exists(place)
    browser.get(f"/users/{key}", status=404)


def test_without_the_token_of_the_session_nothing_is_done(kit):
    key = key_of(kit, "bia")
    browser, path = kit.browser(kit.owner), f"/users/{key}/revoke"
    fields = {**hidden_fields(browser.get(path), path), "password": PASSPHRASE}
    assert browser.send(path, fields, token=False).status_code == 403
    assert roles_of(kit, "bia") == {("approver",)}


# Rights -------------------------------------------------------------------------------------------------------------------------------


def test_the_grid_says_what_the_table_says(kit):
    page = kit.browser("vera", "viewer").get("/rights")
    rows = re.findall(r"<tr><th scope=\"row\">(\w+)<br>.*?</tr>", page.raw, re.DOTALL)
    assert rows == ["look", "decide", "operate", "restore", "audit", "administer"]
    decide = re.search(r"<th scope=\"row\">decide<br>.*?</tr>", page.raw, re.DOTALL)[0]
    assert re.findall(r">(yes|no)<", decide) == ["yes", "yes", "no", "no", "no"]


def test_what_a_human_may(kit):
    page = kit.browser("vera", "viewer").get("/rights?human=bia")
    said = re.search(r"<dt>decide</dt><dd>(.*?)</dd>", page.raw, re.DOTALL)[1]
    assert "yes" in said and "proposal approve" in said
    assert ">no<" in re.search(r"<dt>administer</dt><dd>(.*?)</dd>", page.raw, re.DOTALL)[1]
    nobody = kit.browser("vera", "viewer").get("/rights?human=%3Cscript%3E")
    assert "<script>" not in nobody.raw.replace("<script type", "")


def test_what_an_agent_may(kit, office):
    page = kit.browser("vera", "viewer").get(f"/rights?path=a&role=client-agent&project={office.root}")
    assert (
        "Write" in page.words
        and f"lastro policy explain a --role client-agent --project {office.root}" in page.words
    )
    odd = kit.browser("vera", "viewer").get(f"/rights?path=%1B%3Cb%3E&project={office.root}")
    assert "\x1b" not in odd.raw and "<b>" not in odd.raw


def test_signing_out_locks_the_key(kit):
    now = kit.services.clock.wall_ns()
    kit.services.unlocked.keep(kit.owner, "key", object(), now)
    kit.browser(kit.owner).send("/logout")
    assert kit.services.unlocked.key(kit.owner, now) is None
