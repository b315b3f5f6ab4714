"""The catalogue: everything that happened, to be filtered; a projection of the log, with the log's ``seq`` as cursor.

It pulls, like every projection: whoever asks folds what is new first. What always holds: a record is in it whole or not at all, in order,
once; deleting it, or finding one of another repository or version, means folding everything anew. The tables are the same in SQLite and
PostgreSQL; several processes may use one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from lastro.catalogue.happenings import About, Happening, Wanted, about_of, happening_of
from lastro.domain.paths import to_bytes
from lastro.store.log import NO_SEQ
from lastro.store.repository import Repository, StoredRecord

_log = logging.getLogger("lastro.catalogue")

VERSION: Final = 1
"""Of the tables and of what their rows mean; another one means folding everything anew."""
BATCH: Final = 500
"""Records that are folded in one transaction."""
_BREATH_S: Final = 0.01
"""Between two of them that nobody waits for: others have their turn."""

_metadata = MetaData()
_cursor = Table(
    "catalogue_cursor",
    _metadata,
    Column("only_row", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("repository", String, nullable=False),
    Column("seq", BigInteger, nullable=False),
)
_happenings = Table(
    "happenings",
    _metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("also", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Index("happenings_by_time", "time_ns"),
    Index("happenings_by_kind", "kind", "seq"),
    Index("happenings_by_actor", "actor", "seq"),
    Index("happenings_by_server", "server", "seq"),
    Index("happenings_by_path", "path", "seq"),
    Index("happenings_by_subject", "subject", "seq"),
    Index("happenings_by_also", "also", "seq"),
)


class Catalogue:
    """Answers from the projection. Every question first folds what is new. Safe to use from several threads."""

    def __init__(self, repository: Repository, engine: Engine) -> None:
        """``engine``: of ``database``; it belongs to the catalogue from now on."""
        self._repository = repository
        self._engine = engine
        self._lock = threading.RLock()
        self._seen = NO_SEQ
        """Up to here everything that can be read is in: damaged records are not, and will not be."""
        self._ending = threading.Event()
        self._catching_up: threading.Thread | None = None
        with self._engine.begin() as connection:
            self._make(connection)

    def close(self) -> None:
        """Close the database."""
        self._ending.set()
        if self._catching_up is not None:
            self._catching_up.join()
        with self._lock:
            self._engine.dispose()

    def refresh(self) -> int:
        """Fold every record that is not in yet; return the newest ``seq``, -1 for an empty log."""
        more = True
        while more:
            seq, more = self._fold_next()
        return seq

    def behind(self) -> int:
        """How many records may not be in yet."""
        with self._engine.begin() as connection:
            seq = _seq(connection)
        return max(0, self._repository.head()[0] - max(seq, self._seen))

    def catch_up(self) -> None:
        """Fold what is not in yet beside everything else; whoever asks meanwhile waits for it, or looks at ``behind`` first."""
        with self._lock:
            if self._ending.is_set() or (self._catching_up is not None and self._catching_up.is_alive()):
                return
            self._catching_up = threading.Thread(target=self._catch_up, name="catalogue", daemon=True)
            self._catching_up.start()

    def _catch_up(self) -> None:
        more = True
        try:
            while more and not self._ending.wait(_BREATH_S):
                more = self._fold_next()[1]
        except Exception:  # noqa: BLE001  whoever asks meets it again, and is told
            _log.exception("catalogue")

    def find(self, wanted: Wanted, *, limit: int) -> list[Happening]:
        """What happened, newest first, at most ``limit`` of it."""
        chosen = (
            select(_happenings).where(*_conditions(wanted)).order_by(_happenings.c.seq.desc()).limit(limit)
        )
        self.refresh()
        with self._lock, self._engine.begin() as connection:
            return [Happening(*row) for row in connection.execute(chosen)]

    def count(self, wanted: Wanted, *, most: int) -> int:
        """How much happened; counting ends at ``most``."""
        chosen = select(_happenings.c.seq).where(*_conditions(wanted)).limit(most).subquery()
        self.refresh()
        with self._lock, self._engine.begin() as connection:
            return int(connection.execute(select(func.count()).select_from(chosen)).scalar_one())

    # ----------------------------------------------------------------------------------------------------------------------------------

    def _make(self, connection: Connection) -> None:
        _metadata.create_all(connection)
        if not self._is_ours(connection):
            _metadata.drop_all(connection)
            _metadata.create_all(connection)
            first = {"only_row": 1, "version": VERSION, "repository": self._repository.id, "seq": -1}
            connection.execute(insert(_cursor).values(first))

    def _is_ours(self, connection: Connection) -> bool:
        try:
            with connection.begin_nested():
                row = connection.execute(select(_cursor.c.version, _cursor.c.repository)).one_or_none()
                connection.execute(select(_happenings).limit(1))
        except SQLAlchemyError:  # a table of this name with other columns
            return False
        return row is not None and tuple(row) == (VERSION, self._repository.id)

    def _fold_next(self) -> tuple[int, bool]:
        """Fold the next batch; the newest ``seq`` that is in, and whether there may be more."""
        with self._lock:
            with self._engine.begin() as connection:
                seq = _seq(connection)
            head = self._repository.head()[0]
            if head <= seq:
                return seq, False
            batch = list(islice(self._repository.records(after=seq, past_damage=True), BATCH))
            if len(batch) < BATCH:
                self._seen = head
            return (self._fold(batch) if batch else seq), len(batch) == BATCH

    def _fold(self, batch: Sequence[StoredRecord]) -> int:
        """Let records have their effect, all of these or none."""
        with self._engine.begin() as connection:
            known = _Known(connection)
            seq = _seq(connection, to_write=True)
            rows = [known.entered(happening_of(stored.record, known)) for stored in batch if stored.seq > seq]
            if rows:
                connection.execute(insert(_happenings), [row._asdict() for row in rows])
                connection.execute(update(_cursor).values(seq=rows[-1].seq))
                seq = rows[-1].seq
        return seq


class _Known:
    """What subjects are, from the table and from what is being folded right now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._abouts: dict[str, About | None] = {}

    def __call__(self, subject: str) -> About | None:
        if subject not in self._abouts:
            row = self._connection.execute(
                select(_happenings)
                .where(_happenings.c.subject == subject)
                .order_by(_happenings.c.seq)
                .limit(1)
            ).one_or_none()
            self._abouts[subject] = None if row is None else about_of(Happening(*row))
        return self._abouts[subject]

    def entered(self, row: Happening) -> Happening:
        """Take notice of a new row."""
        if row.subject and self._abouts.get(row.subject) is None:
            self._abouts[row.subject] = about_of(row)
        return row


def _seq(connection: Connection, *, to_write: bool = False) -> int:
    chosen = select(_cursor.c.seq)
    return int(connection.execute(chosen.with_for_update() if to_write else chosen).scalar_one())


def _conditions(wanted: Wanted) -> Iterable[ColumnElement[bool]]:
    columns: Any = _happenings.c
    if wanted.kinds:
        yield columns.kind.in_(sorted(wanted.kinds))
    if wanted.actor:
        yield or_(columns.actor == wanted.actor, columns.actor_kind == wanted.actor)
    if wanted.server:
        yield columns.server == wanted.server
    if wanted.project:
        path = to_bytes(wanted.project)
        below = path.rstrip(b"/")
        yield or_(columns.path == path, (columns.path >= below + b"/") & (columns.path < below + b"0"))
    if wanted.subject:
        yield or_(columns.subject == wanted.subject, columns.also == wanted.subject)
    if wanted.since_ns:
        yield columns.time_ns >= wanted.since_ns
    if wanted.until_ns:
        yield columns.time_ns <= wanted.until_ns
    if wanted.before:
        yield columns.seq < wanted.before
    if wanted.after is not None:
        yield columns.seq > wanted.after
