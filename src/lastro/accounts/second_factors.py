"""Second factors of a password: codes of an authenticator application, and recovery codes for the day when that is lost.

What always holds: a code is good once; one that was used, or is older than one that was, is none; a secret that was offered and never
confirmed by a code protects nothing, and asks for nothing.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from lastro.accounts import totp
from lastro.accounts.database import RECOVERY_CODES, TOTPS, AccountsDatabase, digest_of

CODES: Final = 10
"""Recovery codes that are given at once."""
_CODE_SIZE: Final = 10
"""Bytes: 80 random bits, 16 letters."""
_OFFERED_NS: Final = 3600 * 1_000_000_000


class SecondFactors:
    """See the module."""

    def __init__(self, database: AccountsDatabase, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._database = database
        self._entropy = entropy

    def offer(self, human: str, now_ns: int) -> bytes:
        """The secret to put into an application; the same for an hour. Before ``confirm`` it is not asked for."""
        with self._database.begin() as connection:
            key = _offered(human)
            row = connection.execute(select(TOTPS).where(TOTPS.c.human == key)).first()
            if row is not None and now_ns - row.began_ns < _OFFERED_NS:
                return bytes(row.secret)
            secret = self._entropy(totp.SECRET_SIZE)
            connection.execute(delete(TOTPS).where(TOTPS.c.human == key))
            connection.execute(
                insert(TOTPS).values(human=key, secret=secret, confirmed=False, last_step=0, began_ns=now_ns)
            )
        return secret

    def confirm(self, human: str, code: str, now_ns: int) -> tuple[str, ...]:
        """Let the offered secret stand, if this is a code of it: the recovery codes, given this once; none if it is not."""
        with self._database.begin() as connection:
            offered = connection.execute(select(TOTPS).where(TOTPS.c.human == _offered(human))).first()
            step = None if offered is None else totp.step_of(offered.secret, code, now_ns)
            if offered is None or step is None:
                return ()
            connection.execute(delete(TOTPS).where(TOTPS.c.human.in_((human, _offered(human)))))
            connection.execute(
                insert(TOTPS).values(
                    human=human, secret=offered.secret, confirmed=True, last_step=step, began_ns=now_ns
                )
            )
            return self._new_codes(connection, human)

    def check(self, human: str, code: str, now_ns: int) -> bool:
        """Whether this is a code of theirs that was never used; it is used now. Recovery codes count."""
        with self._database.begin() as connection:
            row = connection.execute(select(TOTPS).where(TOTPS.c.human == human, TOTPS.c.confirmed)).first()
            if row is None:
                return False
            step = totp.step_of(row.secret, code, now_ns)
            if step is not None and step > row.last_step:
                connection.execute(update(TOTPS).where(TOTPS.c.human == human).values(last_step=step))
                return True
            used = delete(RECOVERY_CODES).where(
                RECOVERY_CODES.c.digest == _code_digest(human, code), RECOVERY_CODES.c.human == human
            )
            return bool(connection.execute(used).rowcount)

    def stands(self, human: str) -> bool:
        """Whether a code is asked for beside the password."""
        with self._database.begin() as connection:
            row = connection.execute(select(TOTPS.c.human).where(TOTPS.c.human == human, TOTPS.c.confirmed))
            return row.first() is not None

    def codes_left(self, human: str) -> int:
        """How many recovery codes were never used."""
        with self._database.begin() as connection:
            left = select(RECOVERY_CODES.c.digest).where(RECOVERY_CODES.c.human == human)
            return len(connection.execute(left).all())

    def remove(self, human: str) -> None:
        """Ask for no code any more."""
        with self._database.begin() as connection:
            connection.execute(delete(TOTPS).where(TOTPS.c.human.in_((human, _offered(human)))))
            connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.human == human))

    def _new_codes(self, connection: Connection, human: str) -> tuple[str, ...]:
        connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.human == human))
        codes = tuple(_written(self._entropy(_CODE_SIZE)) for _ in range(CODES))
        rows = [{"digest": _code_digest(human, code), "human": human} for code in codes]
        connection.execute(insert(RECOVERY_CODES), rows)
        return codes


def _offered(human: str) -> str:
    """The key of what is only offered. A name has no line end, so nobody is called so."""
    return f"{human}\n"


def _written(raw: bytes) -> str:
    text = base64.b32encode(raw).decode("ascii").lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _code_digest(human: str, code: str) -> bytes:
    plain = "".join(code.split()).replace("-", "").lower()
    return digest_of(f"recovery\n{human}\n{plain[:100]}")
