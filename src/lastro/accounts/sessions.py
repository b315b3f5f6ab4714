"""Sessions: browsers that are signed in.

What always holds: a session is over after 12 hours without a request and 7 days in all, whoever asks; its secret, and the token that its
forms carry, stand in no file.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec
from blake3 import blake3
from sqlalchemy import Row, delete, insert, select, update

from lastro.accounts.database import SESSIONS, AccountsDatabase, digest_of, is_same, new_secret
from lastro.accounts.nouns import SESSION_IDLE_NS, SESSION_LONGEST_NS, Session

_SEEN_EVERY_NS: Final = 60 * 1_000_000_000
"""How exactly it is kept when a session was last seen: a write for each request would cost more than it says."""
_FORMS: Final = "lastro 2026-11 the token of a session's forms"
_LONGEST: Final = 300
_COLUMNS: Final = (
    "id",
    "human",
    "uid",
    "means",
    "key_id",
    "began_ns",
    "seen_ns",
    "ends_ns",
    "stepped_up_ns",
    "address",
    "browser",
)


class Sessions:
    """See the module."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def begin(
        self,
        human: str,
        *,
        uid: int,
        means: str,
        now_ns: int,
        key_id: str = "",
        roles: tuple[str, ...] = (),
        stepped_up: bool = False,
        address: str = "",
        browser: str = "",
    ) -> tuple[str, Session]:
        """Sign a browser in: the secret of its cookie, given this once, and the session. Sessions that are over are swept out."""
        secret = new_secret()
        session = Session(
            id=secrets.token_hex(6),
            human=human,
            uid=uid,
            means=means,
            key_id=key_id,
            roles=roles,
            began_ns=now_ns,
            seen_ns=now_ns,
            ends_ns=now_ns + SESSION_LONGEST_NS,
            stepped_up_ns=now_ns if stepped_up else 0,
            address=address[:_LONGEST],
            browser=browser[:_LONGEST],
            csrf=forms_token(secret),
        )
        fields = {name: getattr(session, name) for name in _COLUMNS}
        with self._database.begin() as connection:
            connection.execute(delete(SESSIONS).where(~_alive(now_ns)))
            connection.execute(
                insert(SESSIONS).values(digest=digest_of(secret), roles=" ".join(roles), **fields)
            )
        return secret, session

    def find(self, secret: str, now_ns: int) -> Session | None:
        """The session with this secret, which is seen now; ``None`` where it is over, or never was."""
        digest = digest_of(secret)
        with self._database.begin() as connection:
            row = connection.execute(
                select(SESSIONS).where(SESSIONS.c.digest == digest, _alive(now_ns))
            ).first()
            if row is None or not is_same(row.digest, digest):
                return None
            if now_ns - row.seen_ns >= _SEEN_EVERY_NS:
                connection.execute(update(SESSIONS).where(SESSIONS.c.digest == digest).values(seen_ns=now_ns))
        return msgspec.structs.replace(_session(row), csrf=forms_token(secret))

    def step_up(self, session: str, now_ns: int) -> None:
        """Its human proved anew who they are."""
        with self._database.begin() as connection:
            connection.execute(update(SESSIONS).where(SESSIONS.c.id == session).values(stepped_up_ns=now_ns))

    def of(self, human: str, now_ns: int) -> list[Session]:
        """The sessions of a human that are not over, the last seen first; of everybody for ``""``."""
        wanted = select(SESSIONS).where(_alive(now_ns)).order_by(SESSIONS.c.seen_ns.desc(), SESSIONS.c.id)
        if human:
            wanted = wanted.where(SESSIONS.c.human == human)
        with self._database.begin() as connection:
            return [_session(row) for row in connection.execute(wanted)]

    def end(self, session: str) -> bool:
        """End the session with this id; whether there was one."""
        with self._database.begin() as connection:
            return bool(connection.execute(delete(SESSIONS).where(SESSIONS.c.id == session)).rowcount)

    def end_of(self, human: str, *, but: str = "") -> int:
        """End every session of a human except the one with the id ``but``; how many."""
        with self._database.begin() as connection:
            gone = delete(SESSIONS).where(SESSIONS.c.human == human, SESSIONS.c.id != but)
            return connection.execute(gone).rowcount


def forms_token(secret: str) -> str:
    """What the forms of the session with this secret carry: it follows from the secret and says nothing of it."""
    return blake3(secret.encode("utf-8", "surrogatepass"), derive_key_context=_FORMS).hexdigest(length=24)


def _alive(now_ns: int) -> Any:
    return (SESSIONS.c.ends_ns > now_ns) & (SESSIONS.c.seen_ns > now_ns - SESSION_IDLE_NS)


def _session(row: Row[Any]) -> Session:
    return Session(**{name: getattr(row, name) for name in _COLUMNS}, roles=tuple(row.roles.split()), csrf="")
