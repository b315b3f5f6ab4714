"""Tokens: programs that ask in a human's name, with fewer rights or as many.

What always holds: a token's secret is shown once; it can do at most what its scopes say and its human may at that time.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update

from lastro.accounts.database import TOKENS, AccountsDatabase, digest_of, is_same, new_secret
from lastro.accounts.nouns import Token

PREFIX: Final = "lastro_"
"""So that a token is recognised where it does not belong: in a commit, in a chat."""
_USED_EVERY_NS: Final = 60 * 1_000_000_000


class Tokens:
    """See the module."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def make(
        self, human: str, *, uid: int, label: str, scopes: tuple[str, ...], now_ns: int, ends_ns: int = 0
    ) -> tuple[str, Token]:
        """A token: its secret, given this once, and what it is. ``ends_ns`` 0: it does not end by itself."""
        secret = PREFIX + new_secret()
        token = Token(
            id=secrets.token_hex(6),
            human=human,
            uid=uid,
            label=label,
            scopes=scopes,
            began_ns=now_ns,
            ends_ns=ends_ns,
        )
        with self._database.begin() as connection:
            connection.execute(
                insert(TOKENS).values(
                    digest=digest_of(secret),
                    id=token.id,
                    human=human,
                    uid=uid,
                    label=label,
                    scopes=" ".join(scopes),
                    began_ns=now_ns,
                    ends_ns=ends_ns,
                    used_ns=0,
                )
            )
        return secret, token

    def find(self, secret: str, now_ns: int) -> Token | None:
        """The token with this secret, which is used now; ``None`` where it is over, or never was."""
        digest = digest_of(secret)
        with self._database.begin() as connection:
            row = connection.execute(select(TOKENS).where(TOKENS.c.digest == digest)).first()
            if row is None or not is_same(row.digest, digest) or (row.ends_ns and row.ends_ns <= now_ns):
                return None
            if now_ns - row.used_ns >= _USED_EVERY_NS:
                connection.execute(update(TOKENS).where(TOKENS.c.digest == digest).values(used_ns=now_ns))
        return _token(row)

    def of(self, human: str) -> list[Token]:
        """The tokens of a human, the newest first, those that are over too; of everybody for ``""``."""
        wanted = select(TOKENS).order_by(TOKENS.c.began_ns.desc(), TOKENS.c.id)
        if human:
            wanted = wanted.where(TOKENS.c.human == human)
        with self._database.begin() as connection:
            return [_token(row) for row in connection.execute(wanted)]

    def revoke(self, token: str) -> bool:
        """Let the token with this id open nothing any more; whether there was one."""
        with self._database.begin() as connection:
            return bool(connection.execute(delete(TOKENS).where(TOKENS.c.id == token)).rowcount)


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        human=row.human,
        uid=row.uid,
        label=row.label,
        scopes=tuple(row.scopes.split()),
        began_ns=row.began_ns,
        ends_ns=row.ends_ns,
        used_ns=row.used_ns,
    )
