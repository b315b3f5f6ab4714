"""The second step of the first run: the account of the first owner, or of somebody invited. With a passkey, or a password."""

from __future__ import annotations

from lastro.app.account_making import challenge_for
from lastro.app.door import Password, Tried
from lastro.errors import LastroError, UsageError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, SignIn, Way
from lastro.faces.console.entrance import (
    PROBLEMS,
    check_token,
    is_making,
    new_passkey_of,
    rp_of,
    where_of,
)
from lastro.faces.console.pages.first_run import said_of, step_page
from lastro.faces.translation import gettext as _
from lastro.faces.wording.shell import command
from lastro.proposals.passkeys import COSE_ALGORITHMS


def owner(asked: Asked) -> Answer:
    """A passkey, or a password."""
    return _owner(asked) if is_making(asked) else Redirect(to="/setup")


def _owner(asked: Asked, problem: tuple[str, str] = ("", ""), name: str = "") -> Page:
    session, actor = asked.somebody.session, asked.visit.services.actor
    name = session.human or name or _account_name(actor.uid)
    return step_page(
        asked,
        "owner",
        "setup_owner.html",
        status=400 if problem[0] else 200,
        problem=problem,
        name=name,
        rp=rp_of(asked),
        challenge=asked.door.accounts.challenges.make(asked.now_ns),
        user=session.id.encode(),
        algorithms=" ".join(map(str, COSE_ALGORITHMS)),
        command=command("lastro", "approver", "add", "--role", "owner"),
    )


def _account_name(uid: int | None) -> str:
    import pwd  # noqa: PLC0415  not on every system

    try:
        return pwd.getpwuid(-1 if uid is None else uid).pw_name
    except (KeyError, OverflowError):
        return ""


def make_owner(asked: Asked) -> Answer:
    """Make the account with a password."""
    check_token(asked)
    if not is_making(asked):
        return Redirect(to="/setup")
    made = Password(name=asked.text("name").strip(), password=asked.text("password"))
    if made.password != asked.text("again"):
        said, hint = PROBLEMS["differ"]
        return _owner(asked, (_(said), _(hint)), made.name)
    try:
        tried = asked.door.make_account(asked.somebody.session, made, where_of(asked))
    except UsageError as error:
        return _owner(asked, said_of(error), made.name)
    return _made(asked, tried, "/setup/second-factor")


def prove_passkey(asked: Asked) -> Answer:
    """A passkey was made; let it sign its own enrolment."""
    check_token(asked)
    if not is_making(asked):
        return Redirect(to="/setup")
    made = new_passkey_of(asked)
    try:
        challenge = challenge_for(asked.somebody.session, made, where_of(asked))
    except LastroError as error:
        return _owner(asked, said_of(error), made.name)
    values = {name: asked.text(name) for name in ("public_key", "authenticator_data", "transports")}
    return step_page(
        asked,
        "owner",
        "setup_passkey.html",
        made=values,
        name=made.name,
        challenge=challenge,
        rp=rp_of(asked),
    )


def make_owner_with_passkey(asked: Asked) -> Answer:
    """Make the account with the passkey that signed."""
    check_token(asked)
    if not is_making(asked):
        return Redirect(to="/setup")
    made = new_passkey_of(asked, start="made_")
    try:
        tried = asked.door.make_account(asked.somebody.session, made, where_of(asked))
    except LastroError as error:
        return _owner(asked, said_of(error), made.name)
    return _made(asked, tried, "/setup/kit")


def _made(asked: Asked, tried: Tried, to: str) -> Answer:
    if tried.secret:
        return SignIn(to=to, secret=tried.secret)
    return step_page(asked, "owner", "setup_waiting.html", name=asked.somebody.session.human)


WAYS = (
    Way(path="/setup/owner", handler=owner, right=None),
    Way(path="/setup/owner", handler=make_owner, right=None, methods=("POST",), limit=64 * 1024),
    Way(path="/setup/passkey", handler=prove_passkey, right=None, methods=("POST",), limit=64 * 1024),
    Way(
        path="/setup/passkey/prove",
        handler=make_owner_with_passkey,
        right=None,
        methods=("POST",),
        limit=128 * 1024,
    ),
)
