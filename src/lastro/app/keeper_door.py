"""``KeeperDoor``: the door of a running keeper. See ``Door``."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from lastro.accounts.accounts import Accounts
from lastro.accounts.attempts import Limit
from lastro.accounts.nouns import (
    INVITE,
    LINK,
    MAKING,
    PASSKEY,
    PASSWORD,
    SETUP,
    Link,
    LinkPurpose,
    Preferences,
    Session,
)
from lastro.app.account_making import make_account
from lastro.app.door import Entered, NewPasskey, PasskeyUse, Password, Tried, Where
from lastro.app.events import Event
from lastro.app.humans import Human, human_named, humans_of
from lastro.app.permissions import Principal
from lastro.app.proving import passkey_proves, password_proves
from lastro.app.services import Services
from lastro.domain.record import Actor
from lastro.proposals.approver_keys import KeyCost
from lastro.proposals.rows import ApproverRow
from lastro.transport.address import is_loopback

NAME_LIMIT: Final = Limit(burst=5, every_ns=20 * 1_000_000_000)
"""Of one name from one address."""
ADDRESS_LIMIT: Final = Limit(burst=20, every_ns=5 * 1_000_000_000)
"""Of one address, whatever the name."""
CODE_LIMIT: Final = Limit(burst=10, every_ns=60 * 1_000_000_000)
"""Of codes for one name beside the right password, from anywhere."""
_AT_ONCE: Final = 2
"""Passwords that are tried at the same time: each takes 64 MiB."""


class KeeperDoor:
    """``accounts`` stays the caller's to close; ``cost``: of keys that are made here."""

    def __init__(
        self,
        services: Services,
        accounts: Accounts,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        cost: KeyCost = KeyCost(),  # noqa: B008  a frozen noun
    ) -> None:
        self._services = services
        self._accounts = accounts
        self._now_ns = now_ns
        self._cost = cost
        self._trying = threading.BoundedSemaphore(_AT_ONCE)

    @property
    def accounts(self) -> Accounts:
        """See ``Door``."""
        return self._accounts

    def entered(self, secret: str) -> Entered | None:
        """See ``Door``."""
        session = self._accounts.sessions.find(secret, self._now_ns())
        if session is None:
            return None
        if session.means in MAKING:
            return self._making(session)
        human = human_named(self._services, session.human)
        if human is None or not human.was_there(session.began_ns, session.key_id):
            self._accounts.sessions.end(session.id)
            return None
        principal = Principal(actor=human.actor, rights=human.rights, how="session")
        preferences = self._accounts.preferred.of(human.name)
        return Entered(session=session, principal=principal, preferences=preferences)

    def bearer(self, secret: str) -> Principal | None:
        """See ``Door``."""
        token = self._accounts.tokens.find(secret, self._now_ns())
        human = None if token is None else human_named(self._services, token.human)
        if token is None or human is None or not human.was_there(token.began_ns):
            return None
        rights = frozenset(right for right in human.rights if right.value in token.scopes)
        return Principal(actor=human.actor, rights=rights, how="token")

    def sign_in(self, proof: Password | PasskeyUse, where: Where) -> Tried:
        """See ``Door``."""
        tried, key = self._tried(proof, where, self._now_ns())
        return tried if key is None else self._begin(key, proof, where)

    def step_up(self, session: Session, proof: Password | PasskeyUse, where: Where) -> Tried:
        """See ``Door``."""
        if isinstance(proof, Password):
            proof = msgspec.structs.replace(proof, name=session.human)
        now_ns = self._now_ns()
        tried, key = self._tried(proof, where, now_ns)
        if key is None:
            return tried
        if key.name != session.human:
            return Tried(refused="wrong")
        self._accounts.sessions.step_up(session.id, now_ns)
        return Tried()

    def redeem(self, link: str, where: Where) -> Tried:
        """See ``Door``."""
        now_ns = self._now_ns()
        found = self._accounts.links.look(link, now_ns)
        if found is not None and found.purpose is LinkPurpose.SETUP and not _is_here(where):
            return Tried(refused="loopback")
        if found is None or not self._is_wanted(found) or self._accounts.links.redeem(link, now_ns) is None:
            return Tried(refused="used")
        means = {LinkPurpose.SETUP: SETUP, LinkPurpose.INVITE: INVITE}.get(found.purpose, LINK)
        secret, session = self._accounts.sessions.begin(
            found.human,
            uid=found.uid,
            means=means,
            now_ns=now_ns,
            roles=found.roles,
            address=where.address,
            browser=where.browser,
        )
        if means == LINK:
            self._tell(session)
        return Tried(secret=secret)

    def make_account(self, session: Session, made: Password | NewPasskey, where: Where) -> Tried:
        """See ``Door``."""
        key = make_account(
            self._services, self._accounts, session, made, where, now_ns=self._now_ns(), cost=self._cost
        )
        if key is None:
            return Tried(refused="waiting")
        preferences = self._accounts.preferred.of(making_key(session))
        self._accounts.preferred.choose(key.name, preferences)
        self._accounts.sessions.end(session.id)
        return self._begin(key, made, where)

    # ----------------------------------------------------------------------------------------------------------------------------------

    def _tried(
        self, proof: Password | PasskeyUse, where: Where, now_ns: int
    ) -> tuple[Tried, ApproverRow | None]:
        """Whose key that proves; or why nobody's."""
        address = _network(where.address)
        name = proof.name if isinstance(proof, Password) else proof.credential.hex()
        buckets = {f"address\n{address}": ADDRESS_LIMIT, f"name\n{address}\n{name}": NAME_LIMIT}
        for what, limit in buckets.items():
            if wait_ns := self._accounts.attempts.take(what, limit, now_ns):
                return Tried(wait_ns=wait_ns), None
        if isinstance(proof, PasskeyUse):
            key = passkey_proves(self._services, self._accounts, proof, now_ns)
        else:
            with self._trying:
                key = password_proves(self._services, proof, cost=self._cost)
            tried = self._second(key, proof, where, now_ns)
            if tried is not None:
                return tried, None
        if key is None:
            return Tried(refused="wrong"), None
        for what in buckets:
            self._accounts.attempts.succeeded(what)
        return Tried(), key

    def _second(self, key: ApproverRow | None, proof: Password, where: Where, now_ns: int) -> Tried | None:
        """What the second factor says against it."""
        if key is None:
            return None
        factors, what = self._accounts.second_factors, f"code\n{key.name}"
        if not factors.stands(key.name):
            return None if _is_here(where) else Tried(refused="far")
        if wait_ns := self._accounts.attempts.take(what, CODE_LIMIT, now_ns):
            return Tried(wait_ns=wait_ns)
        if not factors.check(key.name, proof.code, now_ns):
            return Tried(refused="wrong")
        self._accounts.attempts.succeeded(what)
        return None

    def _begin(self, key: ApproverRow, proof: Password | PasskeyUse | NewPasskey, where: Where) -> Tried:
        secret, session = self._accounts.sessions.begin(
            key.name,
            uid=key.uid,
            means=PASSWORD if isinstance(proof, Password) else PASSKEY,
            now_ns=max(
                self._now_ns(), key.since_ns
            ),  # a clock that was set back makes no session older than its key
            key_id=key.key_id,
            stepped_up=True,
            address=where.address,
            browser=where.browser,
        )
        self._tell(session)
        return Tried(secret=secret)

    def _tell(self, session: Session) -> None:
        parameters = {"human": session.human, "means": session.means, "address": session.address}
        self._services.publish(Event(kind="signed_in", time_ns=session.began_ns, parameters=parameters))

    def _making(self, session: Session) -> Entered | None:
        """Somebody who makes their account: they may do that, and nothing else."""
        over = bool(humans_of(self._services)) if session.means == SETUP else self._human(session.human)
        if over:
            self._accounts.sessions.end(session.id)
            return None
        actor = Actor(kind="human", name=session.human, uid=session.uid if session.uid >= 0 else None)
        return Entered(
            session=session,
            principal=Principal(actor=actor, rights=frozenset(), how="session"),
            preferences=self._preferred(session),
        )

    def _preferred(self, session: Session) -> Preferences:
        return self._accounts.preferred.of(making_key(session))

    def _human(self, name: str) -> Human | None:
        return human_named(self._services, name)

    def _is_wanted(self, link: Link) -> bool:
        """Whether there is still use for it."""
        match link.purpose:
            case LinkPurpose.SETUP:
                return not humans_of(self._services)
            case LinkPurpose.LOGIN:
                return self._human(link.human) is not None
            case LinkPurpose.INVITE:
                return self._human(link.human) is None


def making_key(session: Session) -> str:
    """Under what the preferences of somebody without an account are kept. No name has a line end."""
    return f"{session.id}\n"


def _is_here(where: Where) -> bool:
    """Whether somebody is at this machine: by address, and by what their browser asked for."""
    return is_loopback(where.address) and is_loopback(urlsplit(where.origin).hostname or "")


def _network(address: str) -> str:
    """What counts as one place: an address, or the network (64 bits) of an IPv6 one, in which anybody has as many as they like."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)
