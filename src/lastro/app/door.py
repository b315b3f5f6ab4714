"""Who is at the console's door: signing in, staying signed in, proving it anew. Over ``accounts`` (how) and the log (who, which rights).

What always holds: a role that was taken away is gone with the next request; what opens a session is compared in constant time and kept as
a digest; nobody is told whether a name exists; after some failures it waits, and nobody is locked out for ever.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from lastro.accounts.accounts import Accounts
from lastro.accounts.nouns import Preferences, Session
from lastro.app.permissions import Principal


class Entered(Struct, frozen=True, kw_only=True):
    """Somebody who is signed in."""

    session: Session
    principal: Principal
    preferences: Preferences


class Password(Struct, frozen=True, kw_only=True):
    """A name, the passphrase of that human's approver key, and a code of their second factor (empty where they have none)."""

    name: str
    password: str
    code: str = ""


class PasskeyUse(Struct, frozen=True, kw_only=True):
    """A passkey's answer to a challenge of ``accounts.challenges``, or to what is enrolled."""

    credential: bytes
    authenticator_data: bytes
    client_data: bytes
    signature: bytes


class NewPasskey(Struct, frozen=True, kw_only=True):
    """A passkey that a browser made for ``name``: SubjectPublicKeyInfo, authenticator data, how it is reached. ``use``: it signs its own
    enrolment, which proves that it is held; ``None`` while that is being asked for.
    """

    name: str
    public_key: bytes
    authenticator_data: bytes
    transports: tuple[str, ...] = ()
    use: PasskeyUse | None = None


class Where(Struct, frozen=True, kw_only=True):
    """Where somebody is. ``origin``: scheme, host and port that their browser used."""

    address: str
    browser: str
    origin: str


class Tried(Struct, frozen=True, kw_only=True):
    """How an attempt went. ``secret``: of the new session; else it is empty, and ``wait_ns`` (try again after that) or ``refused`` says so.

    ``wrong``; ``far`` (a password alone is good at this machine only); ``used`` (the link was used, or is over); ``loopback`` (the link is
    for this machine); ``waiting`` (the key waits for an owner's signature).
    """

    secret: str = ""
    wait_ns: int = 0
    refused: str = ""

    @property
    def good(self) -> bool:
        """Whether it went well."""
        return not self.wait_ns and not self.refused


class Door(Protocol):
    """See the module."""

    @property
    def accounts(self) -> Accounts:
        """Everything about signing in that is kept."""
        ...

    def entered(self, secret: str) -> Entered | None:
        """Who has a session with this secret; ``None`` where it is over, or never was, or its human has no good key any more."""
        ...

    def bearer(self, secret: str) -> Principal | None:
        """Whose token this is, with the rights that it and its human both have; ``None`` where it is over, or never was."""
        ...

    def sign_in(self, proof: Password | PasskeyUse, where: Where) -> Tried:
        """Sign a browser in. The same answer, after the same time, for a wrong password, a wrong code, and a name that nobody has."""
        ...

    def step_up(self, session: Session, proof: Password | PasskeyUse, where: Where) -> Tried:
        """Hear the human of a session prove anew who they are. A good one has no secret: the session stays."""
        ...

    def redeem(self, link: str, where: Where) -> Tried:
        """Sign a browser in by a one-time link."""
        ...

    def make_account(self, session: Session, made: Password | NewPasskey, where: Where) -> Tried:
        """Make the key of the first owner, or of somebody invited (whose ``name`` is the invitation's), who is in by ``redeem``.

        Raises:
            LastroError: the name or the password will not do, or the passkey does not hold.
        """
        ...
