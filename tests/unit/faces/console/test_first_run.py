"""The first run, from the link in the terminal to something that was approved and taken back."""

from __future__ import annotations

import base64
import os
import re
import time

import pytest

from lastro.accounts import totp
from lastro.accounts.nouns import LinkPurpose
from lastro.app.operations.login import login
from lastro.app.requests.accounts import Login
from lastro.app.requests.proposals import ProposalsReply, ProposalSummary
from lastro.app.requests.runs import Run, RunsReply, RunSummary
from lastro.app.sample import write_sample
from lastro.app.visiting import Visit
from lastro.app.wiring import person
from lastro.faces.console.pages.trying import CHANGE
from tests.decision_kit import PASSPHRASE, Office
from tests.door_kit import Authenticator, SignedIn, forms_of, house, text_of

pytestmark = pytest.mark.slow

CLICKS = 7
"""Buttons and links from the opened address to the last step with a password: a script posts the first form, as one of them would."""


@pytest.fixture
def kit(tmp_path):
    with house(tmp_path) as kit:
        yield kit


def opened(kit):
    link = login(kit.services.for_actor(person()), Login())
    browser = SignedIn(kit.client)
    browser.get(link.path)
    browser.button("/setup", link=link.url)
    return browser


def with_password(kit):
    browser = opened(kit)
    browser.button("/setup/language")
    browser.button("/setup/owner", name="ana", password=PASSPHRASE, again=PASSPHRASE)
    return browser


def step_of(page):
    return re.search(r"Step (\d) of (\d)", page.words).groups()


def secret_of(page):
    return base64.b32decode(page.words.partition("30 seconds): ")[2].partition(" Open")[0].replace(" ", ""))


def group_of(page):
    number = int(forms_of(page)[0]["fields"]["number"])
    key = re.search(r"(?:[0-9A-Z]{5}-){13}[0-9A-Z]{5}", page.text)[0]
    return key.split("-")[number - 1]


def test_from_the_link_to_the_end_with_a_password(kit):
    link = login(kit.services.for_actor(person()), Login())
    browser = SignedIn(kit.client)
    clicks = 0

    def click(action, **fields):
        nonlocal clicks
        clicks += 1
        return browser.button(action, **fields)

    def follow(path):
        nonlocal clicks
        clicks += 1
        assert path in browser.seen.links
        return browser.get(path)

    browser.get(link.path)
    page = browser.button("/setup", link=link.fragment)  # what the script of the page does
    seen = [step_of(page)]
    page = click("/setup/language", language="en")
    seen.append(step_of(page))
    page = click("/setup/owner", name="ana", password=PASSPHRASE, again=PASSPHRASE)
    seen.append(step_of(page))
    page = click("/setup/second-factor", code=totp.code_of(secret_of(page), totp.step_at(time.time_ns())))
    assert "recovery codes" in page.words
    page = follow("/setup")
    seen.append(step_of(page))
    page = click("/setup/kit", group=group_of(page).lower())
    seen.append(step_of(page))
    page = follow("/setup/demo")
    seen.append(step_of(page))
    page = follow("/setup/done")
    assert seen == [(str(number), "6") for number in range(1, 7)]
    assert "/inbox" in page.links
    assert clicks == CLICKS
    (row,) = kit.services.inbox.approvers()
    assert (row.name, row.uid) == ("ana", os.geteuid())
    assert kit.door.accounts.first_run.steps() == {"kit", "demo"}


def test_with_a_passkey_there_is_nothing_to_remember(kit):
    browser, passkey = opened(kit), Authenticator()
    page = browser.button("/setup/language")
    form = page.all("form", action="/setup/passkey")[0]
    assert form["data-rp"] == "localhost"
    assert "hidden" in form
    page = browser.button(
        "/setup/passkey",
        name="ana",
        public_key=text_of(passkey.public_key),
        authenticator_data=text_of(passkey.made()),
        transports="internal <script>",
    )
    form = page.all("form", action="/setup/passkey/prove")[0]
    challenge = base64.urlsafe_b64decode(form["data-challenge"] + "==")
    page = browser.button("/setup/passkey/prove", **passkey.fields(challenge))
    assert step_of(page) == ("4", "6")
    assert kit.door.accounts.passkeys.of("ana")[0].credential == passkey.credential


def test_a_passkey_that_does_not_hold_is_said_on_the_same_step(kit):
    browser, passkey = opened(kit), Authenticator(rp="evil.test")
    browser.button("/setup/language")
    page = browser.post(
        "/setup/passkey",
        {
            "name": "ana",
            "public_key": text_of(passkey.public_key),
            "authenticator_data": text_of(passkey.made()),
        },
        status=400,
    )
    assert step_of(page) == ("2", "6")
    assert page.all("div", role="alert")
    page = browser.post("/setup/passkey/prove", {"name": "ana", "made_public_key": "x"}, status=400)
    assert kit.services.inbox.approvers() == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "ana", "password": PASSPHRASE, "again": "other"}, "not the same"),
        ({"name": "ana", "password": "short", "again": "short"}, "8 to 1024"),
        ({"name": "", "password": PASSPHRASE, "again": PASSPHRASE}, "cannot be an approver"),
        ({"name": "<script>\x1b", "password": PASSPHRASE, "again": PASSPHRASE}, "cannot be an approver"),
    ],
)
def test_what_will_not_do_is_said_on_the_same_step(kit, fields, said):
    browser = opened(kit)
    page = browser.post("/setup/owner", fields, status=400)
    assert said in page.words
    assert "<script>\x1b" not in page.raw
    assert step_of(page) == ("2", "6")
    assert kit.services.inbox.approvers() == []


def test_the_language_that_was_chosen_is_spoken_from_then_on(kit):
    browser = opened(kit)
    browser.button("/setup/language", language="pt_BR")
    page = browser.post("/setup/owner", {"name": "ana", "password": PASSPHRASE, "again": PASSPHRASE})
    assert page.all("html")[0]["lang"] == "pt-BR"
    assert kit.door.accounts.preferred.of("ana").language == "pt_BR"
    browser.post("/setup/language", {"language": "tlh"}, status=400)


def test_who_left_goes_on_where_they_were(kit):
    browser = opened(kit)
    assert step_of(browser.get("/setup")) == ("1", "6")
    browser.post("/setup/owner", {"name": "ana", "password": PASSPHRASE, "again": PASSPHRASE})
    assert step_of(browser.get("/setup")) == ("3", "6")
    page = browser.get("/setup/kit")
    browser.button("/setup/kit", group=group_of(page))
    assert step_of(browser.get("/setup")) == ("3", "6")  # the second factor is still open
    secret = kit.door.accounts.second_factors.offer("ana", time.time_ns())
    page = browser.get("/setup/second-factor")
    assert secret_of(page) == secret
    browser.button("/setup/second-factor", code=totp.code_of(secret, totp.step_at(time.time_ns())))
    assert step_of(browser.get("/setup")) == ("5", "6")


def test_a_wrong_group_is_said_and_confirms_nothing(kit):
    browser = with_password(kit)
    page = browser.get("/setup/kit")
    number = forms_of(page)[0]["fields"]["number"]
    page = browser.post("/setup/kit", {"number": number, "group": "AAAAA"}, status=400)
    assert f"not group {number}" in page.words
    assert kit.door.accounts.first_run.steps() == frozenset()


def test_a_kit_that_was_moved_away_is_shown_to_nobody(kit):
    browser = with_password(kit)
    os.rename(kit.services.places.recovery_kit, f"{kit.services.places.home}/away")
    page = browser.get("/setup/kit")
    assert "moved away" in page.words
    assert "/setup/protected" in page.links
    assert "still lies on this machine" not in browser.get("/setup/protected").words


def test_a_kit_that_lies_there_is_warned_of_with_its_place(kit):
    page = with_password(kit).get("/setup/protected")
    assert f"mv {kit.services.places.recovery_kit}" in page.words


def test_nobody_but_an_owner_sees_the_kit(kit):
    office = Office(kit.services.places, "")
    office.enrol(kit.desk, "ana", ("owner",))
    office.enrol(kit.desk, "bruno", ("operator", "approver", "auditor"))
    browser = SignedIn(kit.client)
    browser.post("/login", {"name": "bruno", "password": PASSPHRASE})
    page = browser.get("/setup/kit", status=403)
    assert "RECOVERY KIT" not in page.raw
    assert "recovery-kit" not in browser.get("/setup/protected").raw


def test_who_makes_an_account_may_do_nothing_else(kit):
    browser = opened(kit)
    for path in ("/inbox", "/setup/kit", "/setup/protected", "/setup/demo", "/settings/tokens"):
        browser.get(path, status=403)
    browser.post("/setup/kit", {"number": 1, "group": "x"}, status=403)


def test_without_a_link_nobody_makes_an_account(kit):
    browser = SignedIn(kit.client)
    for path in ("/setup/owner", "/setup/passkey", "/setup/passkey/prove", "/setup/language"):
        page = browser.post(path, {"name": "eva", "password": PASSPHRASE, "again": PASSPHRASE})
        assert "The link was printed at a terminal" in page.words
    assert kit.services.inbox.approvers() == []


def test_another_site_makes_no_account(kit):
    browser = opened(kit)
    fields = {"name": "eva", "password": PASSPHRASE, "again": PASSPHRASE}
    assert browser.send("/setup/owner", fields, token=False).status_code == 403
    assert browser.send("/setup/owner", fields, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert kit.services.inbox.approvers() == []


def test_an_invited_human_makes_a_key_and_waits(kit):
    with_password(kit)
    link = kit.door.accounts.links.make(
        LinkPurpose.INVITE, "bruno", uid=-1, roles=("viewer",), now_ns=time.time_ns()
    )
    browser = SignedIn(kit.client)
    page = browser.post("/link", {"link": link})
    assert "Step" not in page.words
    page = browser.button("/setup/language")
    assert "You are invited as bruno." in page.words
    page = browser.button("/setup/owner", password=PASSPHRASE, again=PASSPHRASE)
    assert "an owner has to sign" in page.words
    assert [one.human for one in kit.door.accounts.enrolments.waiting()] == ["bruno"]
    assert len(kit.services.inbox.approvers()) == 1


# The demo


@pytest.fixture
def sampled(kit):
    """With the sample project under watch, and its owner signed in."""
    from lastro.app.operations.capture import capture  # noqa: PLC0415  of the desk
    from lastro.app.requests import Capture  # noqa: PLC0415  as above
    from lastro.domain.ids import LOCAL  # noqa: PLC0415  as above
    from lastro.domain.reference import Reference  # noqa: PLC0415  as above

    sample = write_sample(kit.services.places.sample)
    capture(kit.desk, Capture(references=(Reference(server=LOCAL, path=sample, at=None),)))
    return kit, with_password(kit), sample


def test_the_demo_asks_for_a_harmless_run(sampled, monkeypatch):
    kit, browser, sample = sampled
    asked = []
    monkeypatch.setattr(
        "lastro.app.visiting.Visit.ask", lambda _self, name, request, **_: asked.append((name, request))
    )
    page = browser.get("/setup/demo")
    assert "Make the change" in page.words
    assert "lastro run --project" in page.words
    browser.button("/setup/demo")
    assert asked == [("run", Run(command=CHANGE, project=sample, check=False, queue=True))]
    assert kit.services.inbox.approvers()[0].name == "ana"


@pytest.mark.parametrize(
    ("states", "said", "link"),
    [
        (("running", ""), "It is at work: run-1", "/setup/demo"),
        (("failed", ""), "ended without a proposal", "/runs/1"),
        (("proposed", "open"), "waits for you", "/proposals/1"),
        (("proposed", "applied"), "the line is in the project", "/proposals/1"),
        (("proposed", "undone"), "The project is as it was", "/setup/done"),
        (("proposed", "rejected"), "proposal-1", "/proposals/1"),
    ],
)
def test_the_demo_says_what_comes_next(sampled, monkeypatch, states, said, link):
    _kit, browser, sample = sampled
    run, proposal = states
    answers = {"runs.list": runs_reply(run, bool(proposal)), "proposal.list": proposals_reply(proposal)}
    real = Visit.call
    monkeypatch.setattr(
        Visit, "call", lambda visit, name, request: answers.get(name) or real(visit, name, request)
    )
    page = browser.get("/setup/demo")
    assert said in page.words
    assert link in page.links
    part = browser.get("/setup/demo", **{"hx-request": "true", "hx-target": "trial"})
    assert part.all("html") == []
    assert said in part.words
    assert f"--project {sample}" in page.words


def runs_reply(state, proposed):
    one = RunSummary(
        run=1,
        state=state,
        project="x",
        role="client-agent",
        agent="generic",
        purpose="",
        actor="ana",
        began_ns=1,
        proposal=int(proposed),
    )
    return RunsReply(runs=(one,))


def proposals_reply(state):
    if not state:
        return ProposalsReply(proposals=())
    fields = {
        name: "" if kind in {"str", str} else 0
        for name, kind in ProposalSummary.__annotations__.items()
        if kind in {"str", "int", str, int}
    }
    return ProposalsReply(proposals=(ProposalSummary(**{**fields, "proposal": 1, "state": state}),))


def test_without_a_sample_project_there_is_nothing_to_try(kit):
    page = with_password(kit).get("/setup/demo")
    assert "There is no sample project here" in page.words
    assert "/setup/done" in page.links


def test_who_may_start_no_run_is_shown_no_button(sampled):
    kit, _browser, _sample = sampled
    office = Office(kit.services.places, "")
    office.owner = kit.services.inbox.approvers()[0].key_id
    office.enrol(kit.desk, "bruno", ("viewer",))
    browser = SignedIn(kit.client)
    browser.post("/login", {"name": "bruno", "password": PASSPHRASE})
    assert browser.get("/setup/demo").all("form", action="/setup/demo") == []
    browser.post("/setup/demo", status=403)


def test_what_is_protected_is_named_with_its_counts(sampled):
    _kit, browser, sample = sampled
    page = browser.get("/setup/protected")
    assert sample in page.words
    assert "6 files" in page.words
    assert "1 snapshot" in page.words
