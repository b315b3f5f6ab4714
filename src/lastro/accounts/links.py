"""One-time links: the first owner's, somebody's at this machine's terminal, an invited human's.

What always holds: a link is good once and for its time; who redeems it at the same moment as somebody else gets nothing.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from lastro.accounts.database import LINKS, AccountsDatabase, digest_of, is_same, new_secret
from lastro.accounts.nouns import LINK_NS, Link, LinkPurpose


class Links:
    """See the module."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def make(
        self,
        purpose: LinkPurpose,
        human: str,
        *,
        uid: int,
        now_ns: int,
        roles: tuple[str, ...] = (),
        lasts_ns: int = LINK_NS,
    ) -> str:
        """The secret of a new link. A new setup link ends the earlier ones; links that are over are swept out."""
        secret = new_secret()
        with self._database.begin() as connection:
            connection.execute(delete(LINKS).where(LINKS.c.ends_ns <= now_ns))
            if purpose is LinkPurpose.SETUP:
                connection.execute(delete(LINKS).where(LINKS.c.purpose == purpose.value))
            connection.execute(
                insert(LINKS).values(
                    digest=digest_of(secret),
                    purpose=purpose.value,
                    human=human,
                    uid=uid,
                    roles=" ".join(roles),
                    ends_ns=now_ns + lasts_ns,
                )
            )
        return secret

    def look(self, secret: str, now_ns: int) -> Link | None:
        """What the link with this secret is for, without using it; ``None`` where it is over, used, or never was."""
        digest = digest_of(secret)
        with self._database.begin() as connection:
            row = connection.execute(
                select(LINKS).where(LINKS.c.digest == digest, LINKS.c.ends_ns > now_ns)
            ).first()
        if row is None or not is_same(row.digest, digest):
            return None
        return Link(
            purpose=LinkPurpose(row.purpose), human=row.human, uid=row.uid, roles=tuple(row.roles.split())
        )

    def redeem(self, secret: str, now_ns: int) -> Link | None:
        """As ``look``, and the link is used."""
        found = self.look(secret, now_ns)
        with self._database.begin() as connection:
            used = connection.execute(delete(LINKS).where(LINKS.c.digest == digest_of(secret))).rowcount
        return found if used else None
