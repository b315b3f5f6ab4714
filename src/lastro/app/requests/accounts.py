"""What operations on signing in are asked and answer: one-time links, sessions, tokens."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.messages import N_


class Login(Struct, frozen=True, kw_only=True):
    """A one-time link for whoever is at this machine's terminal."""


class Invite(Struct, frozen=True, kw_only=True):
    """A one-time link with which somebody new makes their account."""

    name: Annotated[str, parameter(N_("Who they are."), cli="argument", metavar="NAME")]
    role: Annotated[
        tuple[str, ...],
        parameter(
            N_("What they will be: owner, approver, operator, auditor, viewer (if none is given)."),
            metavar="ROLE",
        ),
    ] = ()


class OneTimeLink(Struct, frozen=True, kw_only=True):
    """A link to open in a browser. ``purpose``: ``setup``, ``login`` or ``invite``. ``path``: without the console's address.

    ``fragment``: what opens it; a browser sends it to nobody.
    """

    url: str
    path: str
    fragment: str
    purpose: str
    human: str
    ends_ns: int


class SessionsList(Struct, frozen=True, kw_only=True):
    """Browsers that are signed in."""

    all: Annotated[bool, parameter(N_("Everybody's; for owners."))] = False


class SessionItem(Struct, frozen=True, kw_only=True):
    """A browser that is signed in. ``means``: ``passkey``, ``password``, ``link``, ``setup``, ``invite``."""

    id: str
    human: str
    means: str
    began_ns: int
    seen_ns: int
    ends_ns: int
    address: str
    browser: str


class SessionsReply(Struct, frozen=True, kw_only=True):
    """The last seen first."""

    sessions: tuple[SessionItem, ...]


class RevokeSession(Struct, frozen=True, kw_only=True):
    """Sign a browser out."""

    session: Annotated[
        str, parameter(N_("Which: its id, of 'lastro session list'."), cli="argument", metavar="ID")
    ]


class TokensList(Struct, frozen=True, kw_only=True):
    """Tokens of programs."""

    all: Annotated[bool, parameter(N_("Everybody's; for owners."))] = False


class TokenItem(Struct, frozen=True, kw_only=True):
    """A token. ``ends_ns`` 0: it does not end by itself; ``used_ns`` 0: it was never used."""

    id: str
    human: str
    label: str
    scopes: tuple[str, ...]
    began_ns: int
    ends_ns: int = 0
    used_ns: int = 0


class TokensReply(Struct, frozen=True, kw_only=True):
    """The newest first."""

    tokens: tuple[TokenItem, ...]


class AddToken(Struct, frozen=True, kw_only=True):
    """Let a program ask in your name."""

    label: Annotated[str, parameter(N_("What it is for."), cli="argument", metavar="LABEL")]
    scope: Annotated[
        tuple[str, ...],
        parameter(
            N_(
                "What it may do: look, decide, operate, restore, audit, administer; only 'look' if not given."
            ),
            metavar="RIGHT",
        ),
    ] = ()
    expires: Annotated[str, parameter(N_("After how long it ends: 90d, 12h, never."), metavar="TIME")] = "90d"


class TokenAdded(Struct, frozen=True, kw_only=True):
    """A token, and its secret, which is shown this once."""

    token: TokenItem
    secret: str


class RevokeToken(Struct, frozen=True, kw_only=True):
    """Let a token open nothing any more."""

    token: Annotated[
        str, parameter(N_("Which: its id, of 'lastro token list'."), cli="argument", metavar="ID")
    ]


class ShowKit(Struct, frozen=True, kw_only=True):
    """The recovery kit, while it still lies on this machine."""


class KitReply(Struct, frozen=True, kw_only=True):
    """``text``: empty once it was moved away. ``groups``: of the key in it, how many groups of characters."""

    path: str
    text: str
    groups: int = 0


class ConfirmKit(Struct, frozen=True, kw_only=True):
    """Say that the recovery kit was written down: one group of its key, typed back. ``number`` counts from 1."""

    number: int
    group: str
