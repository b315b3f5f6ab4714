"""Signing in and out: password, passkey, one-time link.

What always holds: a page says the same for a name that nobody has and for a wrong password; a link's secret stands in the fragment of an
address, which a browser sends to nobody, and is posted from there.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from lastro.accounts.nouns import MAKING, PASSWORD
from lastro.app.door import Password, Tried
from lastro.app.humans import humans_of
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, SignIn, Way
from lastro.faces.console.entrance import (
    check_token,
    is_making,
    onward,
    problem_of,
    proof_of,
    rp_of,
    status_of,
    where_of,
)
from lastro.faces.wording.shell import command

SECOND_FACTOR = "/settings/second-factor"


def login(asked: Asked) -> Answer:
    """The form."""
    if asked.visitor is not None:
        return Redirect(to="/setup" if is_making(asked) else onward(asked))
    return _form(asked, Tried())


def _form(asked: Asked, tried: Tried, name: str = "") -> Page:
    rp = rp_of(asked)
    values: dict[str, Any] = {
        "next": onward(asked),
        "name": name,
        "rp": rp,
        "challenge": asked.door.accounts.challenges.make(asked.now_ns) if rp else b"",
        "problem": problem_of(tried),
        "fresh": not humans_of(asked.visit.services),
        "command": command("lastro", "login"),
    }
    return Page(template="login.html", values=values, status=status_of(tried))


def sign_in(asked: Asked) -> Answer:
    """Let somebody in."""
    check_token(asked)
    proof = proof_of(asked)
    tried = asked.door.sign_in(proof, where_of(asked))
    if not tried.secret:
        return _form(asked, tried, proof.name if isinstance(proof, Password) else "")
    to = onward(asked)
    entered = asked.door.entered(tried.secret)
    alone = entered is not None and entered.session.means == PASSWORD
    if entered and alone and not asked.door.accounts.second_factors.stands(entered.session.human):
        to = f"{SECOND_FACTOR}?{urlencode({'next': to})}"
    return SignIn(to=to, secret=tried.secret)


def logout(asked: Asked) -> Answer:
    """End the session."""
    check_token(asked)
    if asked.visitor is not None:
        asked.door.accounts.sessions.end(asked.visitor.session.id)
        asked.visit.services.unlocked.forget(asked.visitor.session.id)
    return SignIn(to="/login?said=signed_out", secret="")


def link(asked: Asked) -> Answer:
    """A form for a one-time link: a script fills it from the address, and without one it is pasted."""
    return link_form(asked, Tried())


def link_form(asked: Asked, tried: Tried, title: str = "link") -> Page:
    """The form. ``title``: ``link`` or ``setup``."""
    values = {
        "problem": problem_of(tried),
        "kind": title,
        "action": asked.path,
        "command": command("lastro", "login"),
    }
    return Page(template="link.html", values=values, status=status_of(tried))


def redeem(asked: Asked) -> Answer:
    """Let somebody in by a link."""
    check_token(asked)
    secret = asked.text("link").strip().rpartition("#")[2]
    tried = asked.door.redeem(secret, where_of(asked))
    if not tried.secret:
        return link_form(asked, tried, "setup" if asked.path == "/setup" else "link")
    entered = asked.door.entered(tried.secret)
    making = entered is not None and entered.session.means in MAKING
    return SignIn(to="/setup/language" if making else "/", secret=tried.secret)


WAYS = (
    Way(path="/login", handler=login, right=None),
    Way(path="/login", handler=sign_in, right=None, methods=("POST",), limit=64 * 1024),
    Way(path="/logout", handler=logout, right=None, methods=("POST",), limit=4096),
    Way(path="/link", handler=link, right=None),
    Way(path="/link", handler=redeem, right=None, methods=("POST",), limit=16 * 1024),
    Way(path="/setup", handler=redeem, right=None, methods=("POST",), limit=16 * 1024),
)
