"""What waits to be told, in a database (``state/notices.db``), by SQLAlchemy Core.

    waiting ──► sent | dropped (it was decided, or is over) | failed (its channel took it for three days not)

What always holds: every change is one transaction; a channel is given a key once, however often it is put in; what is known of durable
events up to a ``seq`` is here when that ``seq`` is. Working state: losing it loses what waited, and nothing that is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
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
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)

from lastro.app.encoding import decode, encode
from lastro.app.notifying.nouns import Channel, Digest, Notice
from lastro.domain.telemetry import DAY_NS, HOUR_NS, SECOND

FIRST_RETRY_NS: Final = 30 * SECOND
LONGEST_RETRY_NS: Final = HOUR_NS
GIVEN_UP_NS: Final = 3 * DAY_NS
KEPT_NS: Final = 30 * DAY_NS
DAILY_HOUR: Final = 7
"""When a daily digest is sent, by this machine's clock."""
MOST_WAITING: Final = 5000
"""Notices that wait for one channel; the oldest that are not urgent go first."""

METADATA: Final = MetaData()
_notices = Table(
    "notices",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("channel", String, nullable=False),
    Column("key", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("state", String, nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("due_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("notice", LargeBinary, nullable=False),
    UniqueConstraint("channel", "key"),
    Index("notices_due", "channel", "state", "due_ns"),
)
_cursor = Table(
    "cursor",
    METADATA,
    Column("only_row", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)


class Waiting(Struct, frozen=True, kw_only=True):
    """A notice that is due for a channel."""

    number: int
    attempts: int
    notice: Notice


class ChannelWork(Struct, frozen=True, kw_only=True):
    """How it goes with a channel: what waits, when something arrived last, when the last attempt failed that nothing followed."""

    waiting: int = 0
    sent_ns: int = 0
    failed_ns: int = 0


def due_ns(notice: Notice, digest: Digest, now_ns: int) -> int:
    """When a channel with this ``digest`` is told: at once what is urgent, else with the next digest."""
    if notice.urgent or digest is Digest.AT_ONCE:
        return now_ns + notice.wait_ns
    if digest is Digest.HOURLY:
        return (now_ns // HOUR_NS + 1) * HOUR_NS
    here = datetime.fromtimestamp(now_ns // SECOND).astimezone()
    morning = here.replace(hour=DAILY_HOUR, minute=0, second=0, microsecond=0)
    if morning <= here:
        morning += timedelta(days=1)
    return int(morning.timestamp()) * SECOND


def retry_ns(attempts: int) -> int:
    """How long to wait after the failed attempt number ``attempts`` (1, 2, ...)."""
    longest: int = min(LONGEST_RETRY_NS, FIRST_RETRY_NS << min(attempts - 1, 16))
    return longest


class Outbox:
    """See the module. Safe from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        METADATA.create_all(engine)

    @property
    def engine(self) -> Engine:
        """The database, for what lies beside."""
        return self._engine

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # What comes in --------------------------------------------------------------------------------------------------------------------

    def put(
        self, notices: Iterable[Notice], channels: Sequence[Channel], now_ns: int, *, seq: int | None = None
    ) -> None:
        """Take in what shall be told, and that everything up to ``seq`` is in."""
        with self._lock, self._engine.begin() as connection:
            for notice in notices:
                for channel in channels:
                    if channel.wants(notice):
                        _put(connection, notice, channel, now_ns)
            if seq is not None:
                _advance(connection, seq)

    def seq(self) -> int | None:
        """Up to which ``seq`` events are in; ``None`` in the beginning."""
        with self._lock, self._engine.begin() as connection:
            found: int | None = connection.execute(select(_cursor.c.seq)).scalar()
            return found

    # What goes out --------------------------------------------------------------------------------------------------------------------

    def due(self, channel: str, now_ns: int) -> list[Waiting]:
        """What is to be told through ``channel`` by now, oldest first."""
        query = (
            select(_notices)
            .where(_notices.c.channel == channel, _notices.c.state == "waiting", _notices.c.due_ns <= now_ns)
            .order_by(_notices.c.number)
            .limit(500)
        )
        with self._lock, self._engine.begin() as connection:
            return [
                Waiting(number=row.number, attempts=row.attempts, notice=decode(row.notice, Notice))
                for row in connection.execute(query)
            ]

    def ended(self, numbers: Collection[int], state: str, now_ns: int) -> None:
        """These were ``sent``, ``dropped`` or ``failed``."""
        self._set(numbers, state=state, ended_ns=now_ns)

    def put_off(self, waiting: Sequence[Waiting], now_ns: int) -> None:
        """An attempt failed: try these again later, or no more once they are too old."""
        for each in waiting:
            if each.notice.time_ns < now_ns - GIVEN_UP_NS and each.attempts:
                self.ended([each.number], "failed", now_ns)
                continue
            attempts = each.attempts + 1
            self._set([each.number], attempts=attempts, due_ns=now_ns + retry_ns(attempts), ended_ns=now_ns)

    def was_sent(self, channel: str, key: str) -> bool:
        """Whether ``channel`` was told of ``key``."""
        query = select(_notices.c.number).where(
            _notices.c.channel == channel, _notices.c.key == key, _notices.c.state == "sent"
        )
        with self._lock, self._engine.begin() as connection:
            return connection.execute(query).first() is not None

    def latest(self, prefix: str) -> Notice | None:
        """The newest notice whose key begins with ``prefix``, whatever became of it."""
        query = (
            select(_notices.c.notice)
            .where(func.substr(_notices.c.key, 1, len(prefix)) == prefix)
            .order_by(_notices.c.time_ns.desc(), _notices.c.number.desc())
            .limit(1)
        )
        with self._lock, self._engine.begin() as connection:
            found = connection.execute(query).scalar()
        return decode(found, Notice) if found is not None else None

    def work(self, channel: str) -> ChannelWork:
        """How it goes with a channel."""
        states = select(
            _notices.c.state,
            func.count(),
            func.max(_notices.c.ended_ns),
            func.max(_notices.c.attempts),
        ).where(_notices.c.channel == channel)
        with self._lock, self._engine.begin() as connection:
            rows = {row[0]: row[1:] for row in connection.execute(states.group_by(_notices.c.state))}
        waiting, sent, failed = (rows.get(state, (0, 0, 0)) for state in ("waiting", "sent", "failed"))
        sent_ns, failed_ns = sent[1], max(waiting[1] if waiting[2] else 0, failed[1])
        return ChannelWork(
            waiting=waiting[0], sent_ns=sent_ns, failed_ns=failed_ns if failed_ns > sent_ns else 0
        )

    def forget(self, channel: str) -> None:
        """The channel is gone, and what waited for it."""
        with self._lock, self._engine.begin() as connection:
            connection.execute(delete(_notices).where(_notices.c.channel == channel))

    def thin(self, now_ns: int) -> None:
        """Forget what ended long ago. Its keys go with it: nothing that old is told again."""
        with self._lock, self._engine.begin() as connection:
            connection.execute(
                delete(_notices).where(_notices.c.state != "waiting", _notices.c.time_ns < now_ns - KEPT_NS)
            )

    def _set(self, numbers: Collection[int], **values: Any) -> None:
        with self._lock, self._engine.begin() as connection:
            connection.execute(update(_notices).where(_notices.c.number.in_(numbers)).values(**values))


def _put(connection: Connection, notice: Notice, channel: Channel, now_ns: int) -> None:
    known = select(_notices.c.number).where(_notices.c.channel == channel.name, _notices.c.key == notice.key)
    if connection.execute(known).first() is not None:
        return
    connection.execute(
        insert(_notices).values(
            channel=channel.name,
            key=notice.key,
            kind=notice.kind.value,
            urgent=notice.urgent,
            state="waiting",
            time_ns=notice.time_ns,
            due_ns=due_ns(notice, channel.digest, now_ns),
            notice=encode(notice),
        )
    )
    waiting = (_notices.c.channel == channel.name) & (_notices.c.state == "waiting")
    count = connection.execute(select(func.count()).select_from(_notices).where(waiting)).scalar() or 0
    if count > MOST_WAITING:
        oldest = (
            select(_notices.c.number).where(waiting).order_by(_notices.c.urgent, _notices.c.number).limit(1)
        )
        connection.execute(
            update(_notices)
            .where(_notices.c.number == oldest.scalar_subquery())
            .values(state="dropped", ended_ns=now_ns)
        )


def _advance(connection: Connection, seq: int) -> None:
    if not connection.execute(update(_cursor).values(seq=seq)).rowcount:
        connection.execute(insert(_cursor).values(only_row=1, seq=seq))
