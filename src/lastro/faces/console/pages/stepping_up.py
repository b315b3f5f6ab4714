"""Proving anew who one is, before what is dangerous; and the second factor of a password."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import segno
from msgspec import Struct

from lastro.accounts import totp
from lastro.app.door import Tried
from lastro.app.permissions import Right
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.entrance import (
    PROBLEMS,
    onward,
    problem_of,
    proof_of,
    rp_of,
    status_of,
    where_of,
)
from lastro.faces.translation import gettext as _
from lastro.faces.wording.shell import command

PLACE: Final = "Lastro"
_QUIET: Final = 4
"""Modules of light around a QR code (ISO/IEC 18004)."""


class Picture(Struct, frozen=True, kw_only=True):
    """A QR code as one path of an SVG, ``size`` modules wide and high."""

    size: int
    path: str


def step_up(asked: Asked) -> Answer:
    """The form."""
    return _form(asked, Tried())


def _form(asked: Asked, tried: Tried) -> Page:
    session, accounts = asked.somebody.session, asked.door.accounts
    rp = rp_of(asked)
    mine = [passkey.credential for passkey in accounts.passkeys.of(session.human)] if rp else []
    values: dict[str, Any] = {
        "next": onward(asked),
        "rp": rp if mine else "",
        "credentials": mine,
        "challenge": accounts.challenges.make(asked.now_ns) if mine else b"",
        "code": accounts.second_factors.stands(session.human),
        "problem": problem_of(tried),
    }
    return Page(template="step_up.html", values=values, status=status_of(tried))


def prove(asked: Asked) -> Answer:
    """Hear them prove it."""
    tried = asked.door.step_up(asked.somebody.session, proof_of(asked), where_of(asked))
    return Redirect(to=onward(asked)) if tried.good else _form(asked, tried)


def second_factor(asked: Asked) -> Answer:
    """How it is; where none stands, the picture to put into an application."""
    return factor_page(asked, "second_factor.html")


def factor_page(asked: Asked, template: str, problem: tuple[str, str] = ("", ""), /, **more: Any) -> Page:
    """The page, in one of its two frames."""
    human, factors = asked.somebody.session.human, asked.door.accounts.second_factors
    secret = factors.offer(human, asked.now_ns)
    address = totp.address_of(secret, human, PLACE)
    values = {
        "stands": factors.stands(human),
        "left": factors.codes_left(human),
        "secret": totp.text_of(secret),
        "picture": picture_of(address),
        "address": address,
        "problem": problem,
        "next": onward(asked),
        "command": command("lastro", "login"),
        **more,
    }
    return Page(template=template, values=values, status=403 if problem[0] else 200)


def confirm(asked: Asked) -> Answer:
    """Let the second factor stand; its recovery codes are shown this once."""
    human = asked.somebody.session.human
    codes = asked.door.accounts.second_factors.confirm(human, asked.text("code"), asked.now_ns)
    if not codes:
        said, hint = PROBLEMS["code"]
        return factor_page(asked, "second_factor.html", (_(said), _(hint)))
    return Page(
        template="recovery_codes.html", values={"codes": codes, "next": onward(asked), "step": 0, "of": 0}
    )


def remove(asked: Asked) -> Answer:
    """Ask for no code any more."""
    asked.door.accounts.second_factors.remove(asked.somebody.session.human)
    return Redirect(to="/settings/second-factor", said="removed")


def picture_of(text: str) -> Picture:
    """``text`` as a QR code. Runs of dark modules are one piece of the path each."""
    code = segno.make(text, error="m", micro=False)
    pieces = []
    for row, modules in enumerate(code.matrix):
        column = 0
        while column < len(modules):
            length = 0
            while column + length < len(modules) and modules[column + length]:
                length += 1
            if length:
                pieces.append(f"M{column + _QUIET} {row + _QUIET}h{length}v1h-{length}z")
            column += length or 1
    return Picture(size=len(code.matrix) + 2 * _QUIET, path="".join(pieces))


def back_to(path: str) -> str:
    """Where to prove anew who one is, to go on at ``path``."""
    return f"/step-up?next={quote(path, safe='')}"


WAYS = (
    Way(path="/step-up", handler=step_up, right=Right.LOOK),
    Way(path="/step-up", handler=prove, right=Right.LOOK, methods=("POST",), limit=64 * 1024),
    Way(path="/settings/second-factor", handler=second_factor, right=Right.LOOK, dangerous=True),
    Way(
        path="/settings/second-factor",
        handler=confirm,
        right=Right.LOOK,
        methods=("POST",),
        dangerous=True,
        limit=4096,
    ),
    Way(
        path="/settings/second-factor/remove",
        handler=remove,
        right=Right.LOOK,
        methods=("POST",),
        dangerous=True,
        limit=4096,
    ),
)
