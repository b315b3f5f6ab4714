"""The first run: from a one-time link to an owner who has approved something and taken it back.

What always holds: each step is a page of its own, and can be come back to; what is done is known from what stands, so whoever left goes on
where they were; nothing of it is asked twice.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from lastro.accounts.nouns import PASSWORD, SETUP
from lastro.app.keeper_door import making_key
from lastro.app.operations.recovery import CONFIRMED
from lastro.app.permissions import Right
from lastro.app.requests.accounts import ConfirmKit, ShowKit
from lastro.app.requests.servers import Status, StatusReply
from lastro.domain.ids import LOCAL
from lastro.errors import LastroError, UsageError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.entrance import (
    PROBLEMS,
    check_token,
    is_making,
)
from lastro.faces.console.pages.signing_in import link
from lastro.faces.console.pages.stepping_up import factor_page
from lastro.faces.translation import gettext as _
from lastro.faces.translation import has_language, sentence
from lastro.faces.wording.language_names import named_languages
from lastro.faces.wording.shell import command
from lastro.messages import N_

STEPS: Final = ("language", "owner", "second-factor", "kit", "protected", "demo")


def step_page(asked: Asked, step: str, template: str, /, *, status: int = 200, **values: Any) -> Page:
    """A page of the first run: without the menu, with where in it one is."""
    frame = {
        "menu": (),
        "step": STEPS.index(step) + 1,
        "of": len(STEPS),
        "invited": bool(is_making(asked) and asked.somebody.session.means != SETUP),
        "problem": ("", ""),
    }
    return Page(template=template, values={**frame, **values}, status=status)


def said_of(error: LastroError) -> tuple[str, str]:
    """An error as the summary of a page."""
    return sentence(error.msgid, error.parameters), sentence(error.hint, error.parameters)


def setup(asked: Asked) -> Answer:
    """Go on where it was left."""
    if asked.visitor is None:
        return link_page(asked)
    if is_making(asked):
        return Redirect(to="/setup/language")
    accounts, session = asked.door.accounts, asked.visitor.session
    if session.means == PASSWORD and not accounts.second_factors.stands(session.human):
        return Redirect(to="/setup/second-factor")
    if asked.visitor.may(Right.ADMINISTER) and CONFIRMED not in accounts.first_run.steps():
        return Redirect(to="/setup/kit")
    return Redirect(to="/setup/protected")


def link_page(asked: Asked) -> Answer:
    """A form for the link, which a script fills."""
    page = link(asked)
    assert isinstance(page, Page)
    return Page(template=page.template, values={**page.values, "kind": "setup"})


# 1: language ----------------------------------------------------------------------------------------------------------------------------


def language(asked: Asked) -> Answer:
    """Which language."""
    if asked.visitor is None:
        return Redirect(to="/setup")
    return step_page(asked, "language", "setup_language.html", languages=named_languages())


def choose_language(asked: Asked) -> Answer:
    """Speak it from now on."""
    check_token(asked)
    if asked.visitor is None:
        return Redirect(to="/setup")
    chosen = asked.text("language")
    if not has_language(chosen):
        raise UsageError(N_("There are no texts in this language: {text}"), text=chosen)
    session, preferred = asked.visitor.session, asked.door.accounts.preferred
    whose = making_key(session) if is_making(asked) else session.human
    preferred.choose(whose, msgspec.structs.replace(preferred.of(whose), language=chosen))
    return Redirect(to="/setup/owner" if is_making(asked) else "/setup")


# 3: second factor -----------------------------------------------------------------------------------------------------------------------


def second_factor(asked: Asked) -> Answer:
    """The picture to put into an application."""
    return _factor(asked)


def _factor(asked: Asked, problem: tuple[str, str] = ("", "")) -> Page:
    frame = step_page(asked, "second-factor", "setup_second_factor.html")
    return factor_page(asked, frame.template, problem, **{**frame.values, "problem": problem})


def confirm_factor(asked: Asked) -> Answer:
    """Let it stand, and show its recovery codes."""
    human = asked.somebody.session.human
    codes = asked.door.accounts.second_factors.confirm(human, asked.text("code"), asked.now_ns)
    if not codes:
        said, hint = PROBLEMS["code"]
        return _factor(asked, (_(said), _(hint)))
    return step_page(asked, "second-factor", "recovery_codes.html", codes=codes, next="/setup")


# 4: recovery kit ------------------------------------------------------------------------------------------------------------------------


def kit(asked: Asked) -> Answer:
    """The kit, to be written down."""
    return _kit(asked)


def _kit(asked: Asked, problem: tuple[str, str] = ("", "")) -> Page:
    found = asked.visit.step(Right.ADMINISTER, "recovery.show", ShowKit())
    number = 1 + sum(asked.somebody.session.id.encode()) % found.groups if found.groups else 0
    return step_page(
        asked,
        "kit",
        "setup_kit.html",
        status=400 if problem[0] else 200,
        problem=problem,
        kit=found,
        number=number,
        command=command("cat", found.path),
    )


def confirm_kit(asked: Asked) -> Answer:
    """Hear a group typed back."""
    request = ConfirmKit(number=asked.count("number", 0, 1000), group=asked.text("group"))
    try:
        asked.visit.step(Right.ADMINISTER, "recovery.confirm", request)
    except LastroError as error:
        return _kit(asked, said_of(error))
    return Redirect(to="/setup/protected")


# 5: what is protected -------------------------------------------------------------------------------------------------------------------


def protected(asked: Asked) -> Answer:
    """What is kept already, and how more is added."""
    status = _status(asked)
    kit_path = status.recovery_kit if asked.somebody.may(Right.ADMINISTER) else ""
    return step_page(
        asked,
        "protected",
        "setup_protected.html",
        servers=status.servers,
        kit_path=kit_path,
        move=command("mv", kit_path, "/media/USB/"),
        roots_command=command("lastro", "node", "roots", "add", "DIR"),
        server_command=command("lastro", "server", "add", "TOKEN"),
        command=command("lastro", "status"),
        local=LOCAL,
    )


def _status(asked: Asked) -> StatusReply:
    reply = asked.visit.call("status", Status())
    assert isinstance(reply, StatusReply)
    return reply


WAYS = (
    Way(path="/setup", handler=setup, right=None),
    Way(path="/setup/language", handler=language, right=None),
    Way(path="/setup/language", handler=choose_language, right=None, methods=("POST",), limit=4096),
    Way(path="/setup/second-factor", handler=second_factor, right=Right.LOOK, dangerous=True),
    Way(
        path="/setup/second-factor",
        handler=confirm_factor,
        right=Right.LOOK,
        methods=("POST",),
        dangerous=True,
        limit=4096,
    ),
    Way(path="/setup/kit", handler=kit, right=Right.ADMINISTER, dangerous=True),
    Way(
        path="/setup/kit",
        handler=confirm_kit,
        right=Right.ADMINISTER,
        methods=("POST",),
        dangerous=True,
        limit=4096,
    ),
    Way(path="/setup/protected", handler=protected, right=Right.LOOK),
)
