"""Who and what is signed in: browsers, and tokens of programs."""

from __future__ import annotations

from typing import Final

from lastro.app.permissions import Right
from lastro.app.requests.accounts import (
    AddToken,
    RevokeSession,
    RevokeToken,
    SessionsList,
    TokensList,
)
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, SignIn, Way
from lastro.faces.wording.account_words import MEANS, browser_name
from lastro.faces.wording.shell import command

LASTING: Final = ("1d", "30d", "90d", "365d", "never")
PAGE_LENGTH: Final = 50


def sessions(asked: Asked) -> Answer:
    """The browsers."""
    everybody = asked.ticked("all") and asked.somebody.may(Right.ADMINISTER)
    reply = asked.visit.call("session.list", SessionsList(all=everybody))
    page = max(1, asked.count("page", 1, 10_000))
    start = (page - 1) * PAGE_LENGTH
    values = {
        "sessions": reply.sessions[start : start + PAGE_LENGTH],
        "page": page,
        "more": len(reply.sessions) > start + PAGE_LENGTH,
        "all": everybody,
        "means": MEANS,
        "browser_name": browser_name,
        "command": command("lastro", "session", "list", *(("--all",) if everybody else ())),
    }
    return Page(template="sessions.html", values=values)


def end_session(asked: Asked) -> Answer:
    """Sign a browser out; this one too."""
    wanted = asked.text("session")
    asked.visit.step(Right.LOOK, "session.revoke", RevokeSession(session=wanted))
    if wanted == asked.somebody.session.id:
        return SignIn(to="/login?said=signed_out", secret="")
    return Redirect(to="/settings/sessions", said="removed")


def end_others(asked: Asked) -> Answer:
    """Sign every other browser of theirs out."""
    session = asked.somebody.session
    for one in asked.visit.call("session.list", SessionsList()).sessions:
        if one.id != session.id:
            asked.visit.step(Right.LOOK, "session.revoke", RevokeSession(session=one.id))
    return Redirect(to="/settings/sessions", said="removed")


def tokens(asked: Asked) -> Answer:
    """The tokens."""
    everybody = asked.ticked("all") and asked.somebody.may(Right.ADMINISTER)
    reply = asked.visit.call("token.list", TokensList(all=everybody))
    page = max(1, asked.count("page", 1, 10_000))
    start = (page - 1) * PAGE_LENGTH
    values = {
        "tokens": reply.tokens[start : start + PAGE_LENGTH],
        "page": page,
        "more": len(reply.tokens) > start + PAGE_LENGTH,
        "all": everybody,
        "command": command("lastro", "token", "list", *(("--all",) if everybody else ())),
    }
    return Page(template="tokens.html", values=values)


def new_token(asked: Asked) -> Answer:
    """The form for a new one."""
    values = {
        "rights": [right.value for right in Right if asked.somebody.may(right)],
        "lasting": LASTING,
        "command": command("lastro", "token", "add", "LABEL", "--scope", "look"),
    }
    return Page(template="token_new.html", values=values)


def add_token(asked: Asked) -> Answer:
    """Make one; its secret is shown this once."""
    request = AddToken(
        label=asked.text("label"), scope=asked.texts("scope"), expires=asked.text("expires") or LASTING[2]
    )
    added = asked.visit.step(Right.LOOK, "token.add", request)
    return Page(
        template="token_added.html", values={"added": added, "address": f"{asked.origin}/api/v1/status"}
    )


def revoke_token(asked: Asked) -> Answer:
    """Let one open nothing any more."""
    asked.visit.step(Right.LOOK, "token.revoke", RevokeToken(token=asked.text("token")))
    return Redirect(to="/settings/tokens", said="removed")


WAYS = (
    Way(path="/settings/sessions", handler=sessions, right=Right.LOOK),
    Way(path="/settings/sessions/end", handler=end_session, right=Right.LOOK, methods=("POST",)),
    Way(path="/settings/sessions/end-others", handler=end_others, right=Right.LOOK, methods=("POST",)),
    Way(path="/settings/tokens", handler=tokens, right=Right.LOOK),
    Way(path="/settings/tokens/new", handler=new_token, right=Right.LOOK, dangerous=True),
    Way(path="/settings/tokens/new", handler=add_token, right=Right.LOOK, methods=("POST",), dangerous=True),
    Way(path="/settings/tokens/revoke", handler=revoke_token, right=Right.LOOK, methods=("POST",)),
)
