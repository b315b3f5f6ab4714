"""What the pages before and around signing in share: where somebody is, what they prove it with, where they go on, and what went wrong.

What always holds: nobody is sent to another site after signing in; a field that is no base64url is an empty one.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from lastro.accounts.nouns import MAKING
from lastro.app.door import NewPasskey, PasskeyUse, Password, Tried, Where
from lastro.errors import DeniedError
from lastro.faces.console import guard
from lastro.faces.console.asked import Asked
from lastro.faces.translation import gettext as _
from lastro.faces.wording import instants
from lastro.messages import N_

START: Final = "/"
STEP_UP: Final = "/step-up"
_LONGEST: Final = 2000

PROBLEMS: Final[Mapping[str, tuple[str, str]]] = {
    "wrong": (
        N_("The name, the password or the code is not right."),
        N_("A code is good once: wait for the next one. Without a second factor leave the field empty."),
    ),
    "far": (
        N_("From another machine a password alone is not enough."),
        N_(
            "Use a passkey, or set up a second factor at the machine itself: 'lastro login' there prints a link."
        ),
    ),
    "used": (
        N_("This link was used already, or its time is over."),
        N_("Make another one at a terminal of the machine: lastro login"),
    ),
    "loopback": (
        N_("This link makes the first account, so it works in a browser of the machine itself only."),
        N_("Open it there, or come by an SSH tunnel: ssh -L 8420:localhost:8420 MACHINE"),
    ),
    "differ": (N_("The two passwords are not the same."), N_("Type both again.")),
    "code": (
        N_("This is not the code that the application shows now."),
        N_("Codes change every 30 seconds; the clocks of both machines have to be right."),
    ),
}


def where_of(asked: Asked) -> Where:
    """Where they are."""
    return Where(address=asked.address, browser=asked.browser, origin=asked.origin)


def rp_of(asked: Asked) -> str:
    """The name that passkeys are for here; empty where a browser gives none: at a bare address, or without TLS from elsewhere."""
    parts = urlsplit(asked.origin)
    name = parts.hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name if parts.scheme == "https" or name == "localhost" else ""
    return ""


def onward(asked: Asked) -> str:
    """The page to go on at: one of this console, or its start."""
    to = asked.text("next")
    plain = len(to) <= _LONGEST and all("!" <= one <= "~" and one != "\\" for one in to)
    entrance = to.partition("?")[0] in {"/login", "/logout", "/link", STEP_UP}
    if not plain or not to.startswith("/") or to.startswith("//") or entrance:
        return START
    return to


def check_token(asked: Asked) -> None:
    """Refuse a form of another session, on ways that take no right.

    Raises:
        DeniedError: it is one.
    """
    if asked.visitor and not guard.has_token(
        asked.method, asked.text(guard.TOKEN_FIELD), asked.visitor.session.csrf
    ):
        raise DeniedError(
            N_("This page is of an earlier time that you were signed in, so it was not done."),
            hint=N_("Open the page again, and do it there."),
        )


def is_making(asked: Asked) -> bool:
    """Whether this is somebody who makes their account."""
    return asked.visitor is not None and asked.visitor.session.means in MAKING


def proof_of(asked: Asked) -> Password | PasskeyUse:
    """What they prove it with: a passkey where the form has one."""
    if asked.text("credential"):
        return passkey_use_of(asked)
    return Password(name=asked.text("name").strip(), password=asked.text("password"), code=asked.text("code"))


def passkey_use_of(asked: Asked) -> PasskeyUse:
    """What a passkey answered."""
    return PasskeyUse(
        credential=bytes_of(asked.text("credential")),
        authenticator_data=bytes_of(asked.text("authenticator_data")),
        client_data=bytes_of(asked.text("client_data")),
        signature=bytes_of(asked.text("signature")),
    )


def new_passkey_of(asked: Asked, *, start: str = "") -> NewPasskey:
    """A passkey that a browser made. ``start``: of the names of the fields that carry it through the page on which it signs."""
    return NewPasskey(
        name=asked.text("name").strip(),
        public_key=bytes_of(asked.text(f"{start}public_key")),
        authenticator_data=bytes_of(asked.text(f"{start}authenticator_data")),
        transports=tuple(
            one
            for one in asked.text(f"{start}transports")[:100].split()
            if one.isascii() and one.isprintable()
        ),
        use=passkey_use_of(asked) if start else None,
    )


def bytes_of(text: str) -> bytes:
    """The bytes in a field as base64url; none where it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def problem_of(tried: Tried) -> tuple[str, str]:
    """What went wrong, and what to do, in the reader's language; empty where nothing did."""
    if tried.wait_ns:
        return (
            _("Too many attempts."),
            _("Try again in {time}.", time=instants.duration(tried.wait_ns + 999_999_999)),
        )
    said, hint = PROBLEMS.get(tried.refused, ("", ""))
    return (_(said), _(hint)) if said else ("", "")


def status_of(tried: Tried) -> int:
    """As HTTP says it."""
    return 429 if tried.wait_ns else 403 if tried.refused else 200
