"""What signing in is made of. Nouns; a secret in them is never its own plain text, but for the one moment it is given out."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

HOUR_NS: Final = 3600 * 1_000_000_000

SESSION_IDLE_NS: Final = 12 * HOUR_NS
SESSION_LONGEST_NS: Final = 7 * 24 * HOUR_NS
STEPPED_UP_NS: Final = HOUR_NS // 12
"""For how long (5 minutes) somebody who proved anew who they are may do what is dangerous."""
LINK_NS: Final = HOUR_NS // 4
"""For how long (15 minutes) a one-time link can be used."""


class Theme(StrEnum):
    """How pages look."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class Preferences(Struct, frozen=True, kw_only=True):
    """How one human likes it. ``language`` empty: as the browser asks. ``keys``: whether single keys do something (WCAG 2.1.4)."""

    language: str = ""
    theme: Theme = Theme.SYSTEM
    keys: bool = True
    side_by_side: bool = False


PASSKEY: Final = "passkey"
PASSWORD: Final = "password"  # noqa: S105  a word, not one
LINK: Final = "link"
SETUP: Final = "setup"
INVITE: Final = "invite"
MAKING: Final = frozenset({SETUP, INVITE})
"""Means of sessions whose human has no account yet."""


class Session(Struct, frozen=True, kw_only=True):
    """A browser that is signed in. ``id``: for people and lists; it opens nothing. ``means``: ``passkey``, ``password``, ``link``; or
    ``setup``, ``invite``: somebody who makes their account, and may do nothing else. ``key_id``: the approver key that opened it.
    ``roles``: what an invited human will be.

    ``csrf``: what every form of this session carries; empty in lists.
    """

    id: str
    human: str
    uid: int
    means: str
    began_ns: int
    seen_ns: int
    ends_ns: int
    csrf: str
    key_id: str = ""
    roles: tuple[str, ...] = ()
    stepped_up_ns: int = 0
    address: str = ""
    browser: str = ""


class Token(Struct, frozen=True, kw_only=True):
    """A program that may ask in a human's name, at most what ``scopes`` (rights) say and that human may. ``ends_ns`` 0: it does not end."""

    id: str
    human: str
    uid: int
    label: str
    scopes: tuple[str, ...]
    began_ns: int
    ends_ns: int = 0
    used_ns: int = 0


class Passkey(Struct, frozen=True, kw_only=True):
    """A passkey of a human. ``credential``: its id. ``key_id``: the approver key in the log that it is; ``public_key``: as enrolled there
    (``proposals.passkeys``). ``count``: its signature counter when it was last used.
    """

    credential: bytes
    human: str
    key_id: str
    public_key: bytes
    label: str
    transports: tuple[str, ...]
    began_ns: int
    count: int = 0
    used_ns: int = 0


class LinkPurpose(StrEnum):
    """What a one-time link is for."""

    SETUP = "setup"
    """The first owner makes their account."""
    LOGIN = "login"
    """Somebody at this machine's terminal signs in as themselves."""
    INVITE = "invite"
    """Somebody new makes their account, with the roles that an owner chose."""


class Link(Struct, frozen=True, kw_only=True):
    """A one-time link that was redeemed."""

    purpose: LinkPurpose
    human: str
    uid: int
    roles: tuple[str, ...] = ()


class Enrolment(Struct, frozen=True, kw_only=True):
    """A key that an invited human made, as ``ApproverBody`` will record it once an owner signed for it."""

    key_id: str
    human: str
    uid: int
    roles: tuple[str, ...]
    alg: str
    public_key: bytes
    began_ns: int
