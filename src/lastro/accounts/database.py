"""``AccountsDatabase``: where everything about signing in lies (``data/accounts.db``, 0600), by SQLAlchemy Core.

What always holds: what opens something is random and kept as its digest alone, so that whoever reads the file signs in nowhere with it
(the one exception is the shared secret of a TOTP, which is one factor of two); every change is one transaction; time is an argument.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from blake3 import blake3
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

from lastro.catalogue.database import is_foreign, open_file, open_memory
from lastro.errors import FormatError
from lastro.messages import N_

SECRET_SIZE: Final = 32
"""Bytes of what opens something."""
_LONGEST_SECRET: Final = 200
_CONTEXT: Final = b"lastro-secret-0"

METADATA: Final = MetaData()
SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("human", String, nullable=False),
    Column("uid", Integer, nullable=False),
    Column("means", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("roles", String, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("seen_ns", BigInteger, nullable=False),
    Column("ends_ns", BigInteger, nullable=False),
    Column("stepped_up_ns", BigInteger, nullable=False),
    Column("address", String, nullable=False),
    Column("browser", String, nullable=False),
    Index("sessions_by_human", "human"),
)
TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("human", String, nullable=False),
    Column("uid", Integer, nullable=False),
    Column("label", String, nullable=False),
    Column("scopes", String, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("ends_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger, nullable=False),
    Index("tokens_by_human", "human"),
)
LINKS: Final = Table(
    "links",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("human", String, nullable=False),
    Column("uid", Integer, nullable=False),
    Column("roles", String, nullable=False),
    Column("ends_ns", BigInteger, nullable=False),
)
TOTPS: Final = Table(
    "totps",
    METADATA,
    Column("human", String, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
)
RECOVERY_CODES: Final = Table(
    "recovery_codes",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("human", String, nullable=False),
    Index("recovery_codes_by_human", "human"),
)
PASSKEYS: Final = Table(
    "passkeys",
    METADATA,
    Column("credential", LargeBinary, primary_key=True),
    Column("human", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("label", String, nullable=False),
    Column("transports", String, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("used_ns", BigInteger, nullable=False),
    Index("passkeys_by_human", "human"),
)
ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("level_ns", BigInteger, nullable=False),
    Column("time_ns", BigInteger, nullable=False),
)
PREFERENCES: Final = Table(
    "preferences",
    METADATA,
    Column("human", String, primary_key=True),
    Column("chosen", LargeBinary, nullable=False),
)
ENROLMENTS: Final = Table(
    "enrolments",
    METADATA,
    Column("key_id", String, primary_key=True),
    Column("human", String, nullable=False),
    Column("asked", LargeBinary, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
)
STEPS: Final = Table(
    "first_run",
    METADATA,
    Column("step", String, primary_key=True),
    Column("time_ns", BigInteger, nullable=False),
)


class AccountsDatabase:
    """See the module. From any thread, and any process of the keeper's own user."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        METADATA.create_all(engine)

    def begin(self) -> AbstractContextManager[Connection]:
        """A transaction: all of it, or nothing."""
        return self._engine.begin()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


def open_accounts_file(path: str, *, set_aside: Callable[[str], None] = lambda _: None) -> AccountsDatabase:
    """The database in the file ``path``, made if it is missing. ``set_aside`` hears where an unreadable one was moved.

    Raises:
        FormatError: another version wrote it; second factors are not begun anew for that.
        UnreachableError: it cannot be used now.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    engine = open_file(path, set_aside=set_aside)
    if is_foreign(engine, METADATA):
        engine.dispose()
        raise FormatError(
            N_("{path} was written by another version of Lastro."),
            hint=N_(
                "Install that version. If you move the file away, second factors and tokens are gone with it."
            ),
            path=path,
        )
    return AccountsDatabase(engine)


def open_accounts_memory() -> AccountsDatabase:
    """A database that is gone with this process."""
    return AccountsDatabase(open_memory())


def new_secret() -> str:
    """256 random bits, as text that stands in a link and a cookie unchanged."""
    return secrets.token_urlsafe(SECRET_SIZE)


def digest_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return blake3(_CONTEXT + secret[:_LONGEST_SECRET].encode("utf-8", "surrogatepass")).digest()


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two digests are equal, in a time that says nothing of where they differ."""
    return hmac.compare_digest(one, other)
