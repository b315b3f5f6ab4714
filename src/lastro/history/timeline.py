"""Questions about history: which snapshot stands at an instant, which versions a path has, what is there and what was deleted."""

from __future__ import annotations

import sqlite3
from itertools import islice

from lastro.domain.ids import ApplyNumber, ServerId, SnapshotNumber
from lastro.domain.paths import from_bytes, join, to_bytes
from lastro.domain.reference import At, AtId, AtNow, AtTime
from lastro.domain.snapshot import Snapshot
from lastro.domain.target import Target, TargetKind
from lastro.errors import NotFoundError
from lastro.history.answers import Apply, Found, Located, TimelineSnapshot, Version
from lastro.history.projection import decode_apply
from lastro.history.rows import (
    SNAPSHOT_COLUMNS,
    VERSION_COLUMNS,
    bounds_below,
    limit_of,
    matches,
    snapshot_of,
    timeline_snapshot_of,
    version_of,
)
from lastro.history.targets import Targets, target_row
from lastro.messages import N_

_WHOLE = "CAST((CASE target.path WHEN x'2f' THEN x'' ELSE target.path END) || x'2f' || path.path AS BLOB)"
"""SQL: the absolute path."""


class Timeline(Targets):
    """Reads the projection. Every question first folds what is new, so that an acknowledged snapshot is seen at once."""

    # Snapshots ------------------------------------------------------------------------------------------------------------------------

    def bound(self, at: At | None) -> int | None:
        """The highest ``seq`` that belongs to the instant; ``None``: everything recorded.

        ``@TIME`` is the highest ``seq`` whose time is not later, whatever the clock did in between.

        Raises:
            NotFoundError: there is no such snapshot or apply.
        """
        self._projection.refresh()
        match at:
            case None | AtNow():
                return None
            case AtTime(time_ns):
                with self._projection.reading() as database:
                    row = database.execute(
                        "SELECT max(seq) FROM record WHERE time_ns <= ?", (time_ns,)
                    ).fetchone()
                return -1 if row[0] is None else int(row[0])
            case AtId("snap", number, before):
                seq = self.snapshot(SnapshotNumber(number)).seq
                return seq - 1 if before else seq
            case AtId(_, number, before):
                apply = self.apply(ApplyNumber(number))
                state = apply.body.before if before else apply.body.after
                if state is None:
                    return apply.seq - 1 if before else apply.seq
                return state

    def snapshot(self, number: SnapshotNumber) -> Snapshot:
        """The snapshot with this number.

        Raises:
            NotFoundError: there is none.
        """
        found = self._snapshots("WHERE snapshot.number = ?", (number,))
        if not found:
            raise NotFoundError(
                N_("There is no snapshot snap-{number}."), hint=N_("See 'lastro log'."), number=number
            )
        return found[0]

    def snapshot_by_seq(self, seq: int) -> Snapshot:
        """The snapshot whose record is ``seq``.

        Raises:
            NotFoundError: that record is not a snapshot.
        """
        self._projection.refresh()
        found = self._snapshots("WHERE snapshot.seq = ?", (seq,))
        if not found:
            raise NotFoundError(N_("Record {seq} is not a snapshot."), seq=seq)
        return found[0]

    def snapshot_at(self, target: Target, bound: int | None) -> Snapshot | None:
        """The newest snapshot of ``target`` that is not after ``bound``."""
        self._projection.refresh()
        found = self._snapshots(
            "WHERE target.server = ? AND target.kind = ? AND target.path = ? AND snapshot.seq <= ? ORDER BY snapshot.seq DESC LIMIT 1",
            (target.server, target.kind.value, to_bytes(target.path), limit_of(bound)),
        )
        return found[0] if found else None

    def snapshot_for(self, located: Located, at: At | None) -> Snapshot | None:
        """The snapshot that holds what was at ``located`` at that instant.

        What a run made in its own view is meant only where it is asked for by its own number; at any instant, the live one stands.

        Raises:
            NotFoundError: there is no such snapshot or apply.
        """
        if isinstance(at, AtId) and at.kind == "snap" and not at.before:
            named = self.snapshot(SnapshotNumber(at.number))
            of_run = named.target.kind is TargetKind.RUN
            if of_run and (named.target.server, named.target.path) == (
                located.target.server,
                located.target.path,
            ):
                return named
        return self.snapshot_at(located.target, self.bound(at))

    def count_snapshots(self, target: Target | None = None) -> int:
        """How many snapshots there are, of one target or of all."""
        self._projection.refresh()
        with self._projection.reading() as database:
            if target is None:
                counted = database.execute(
                    "SELECT count(*) FROM snapshot JOIN target ON target.id = snapshot.target WHERE target.kind <> 'run'"
                )
                return int(counted.fetchone()[0])
            row = target_row(database, target)
            return (
                0
                if row is None
                else int(
                    database.execute("SELECT count(*) FROM snapshot WHERE target = ?", (row,)).fetchone()[0]
                )
            )

    def timeline(
        self, located: Located | None, *, bound: int | None = None, limit: int = 0, sample: int = 3
    ) -> list[TimelineSnapshot]:
        """Snapshots that changed something at or below a path (or anywhere), newest first, each with counts and a few of its paths."""
        self._projection.refresh()
        with self._projection.reading() as database:
            if located is None or located.path == "":
                target = None if located is None else target_row(database, located.target)
                rows = database.execute(
                    f"SELECT {SNAPSHOT_COLUMNS}, added, changed, removed FROM snapshot JOIN target ON target.id = snapshot.target"
                    " WHERE target.kind <> 'run' AND snapshot.seq <= ? AND (? IS NULL OR snapshot.target = ?)"
                    " AND added + changed + removed + warnings > 0 ORDER BY snapshot.seq DESC LIMIT ?",
                    (limit_of(bound), target, target, limit or -1),
                ).fetchall()
            else:
                low, high = bounds_below(located.path)
                rows = database.execute(
                    f"SELECT {SNAPSHOT_COLUMNS}, sum(operation = 'added'), sum(operation = 'changed'), sum(operation = 'removed')"
                    " FROM path JOIN version ON version.path = path.id JOIN snapshot ON snapshot.seq = version.seq"
                    " JOIN target ON target.id = snapshot.target"
                    " WHERE path.target = ? AND (path.path = ? OR (path.path >= ? AND path.path < ?)) AND version.seq <= ?"
                    " GROUP BY version.seq ORDER BY version.seq DESC LIMIT ?",
                    (
                        target_row(database, located.target),
                        to_bytes(located.path),
                        low,
                        high,
                        limit_of(bound),
                        limit or -1,
                    ),
                ).fetchall()
            below = located.path if located else ""
            return [timeline_snapshot_of(row, self._sample(database, row[1], below, sample)) for row in rows]

    def changes_of(self, seq: int, *, sample: int = 3) -> TimelineSnapshot:
        """One snapshot with the changes it brought.

        Raises:
            NotFoundError: record ``seq`` is not a snapshot.
        """
        self._projection.refresh()
        with self._projection.reading() as database:
            row = database.execute(
                f"SELECT {SNAPSHOT_COLUMNS}, added, changed, removed FROM snapshot JOIN target ON target.id = snapshot.target"
                " WHERE snapshot.seq = ?",
                (seq,),
            ).fetchone()
            if row is None:
                raise NotFoundError(N_("Record {seq} is not a snapshot."), seq=seq)
            return timeline_snapshot_of(row, self._sample(database, seq, "", sample))

    # Paths ----------------------------------------------------------------------------------------------------------------------------

    def versions(self, located: Located, *, bound: int | None = None, limit: int = 0) -> list[Version]:
        """The versions of exactly one path, newest first."""
        self._projection.refresh()
        with self._projection.reading() as database:
            rows = database.execute(
                f"SELECT {VERSION_COLUMNS} FROM path JOIN version ON version.path = path.id"
                " JOIN snapshot ON snapshot.seq = version.seq"
                " WHERE path.target = ? AND path.path = ? AND version.seq <= ? ORDER BY version.seq DESC LIMIT ?",
                (
                    target_row(database, located.target),
                    to_bytes(located.path),
                    limit_of(bound),
                    limit or -1,
                ),
            ).fetchall()
        return [version_of(located.path, row) for row in rows]

    def find(
        self,
        name: str,
        *,
        server: ServerId | None = None,
        deleted: bool = False,
        limit: int = 0,
        below: str = "",
    ) -> list[Found]:
        """Paths whose name (or whole path, if ``name`` holds a slash) matches the glob, by server and path. ``below``: only at and below
        this absolute path; the others are not even looked at.
        """
        self._projection.refresh()
        raw = to_bytes(name)
        whole = b"/" in raw
        with self._projection.reading() as database:
            database.create_function("matches", 2, matches, deterministic=True)
            rows = database.execute(
                "SELECT path.id, path.path, target.server, target.kind, target.path FROM path JOIN target ON target.id = path.target"
                " WHERE path.path <> x'' AND (? IS NULL OR target.server = ?)"
                f" AND (? = x'' OR ({_WHOLE} >= ? AND {_WHOLE} < ?) OR {_WHOLE} = ?)"
                f" AND matches(?, CASE ? WHEN 1 THEN {_WHOLE} ELSE path.name END)"
                " ORDER BY target.server, target.path, path.path",
                (server, server, to_bytes(below), *bounds_below(below), to_bytes(below), raw, int(whole)),
            )
            found = (
                item
                for row in rows.fetchall()
                if (item := self._found(database, row)) and (item.deleted_ns is not None or not deleted)
            )
            return list(islice(found, limit or None))

    # Applies --------------------------------------------------------------------------------------------------------------------------

    def apply(self, number: ApplyNumber | None) -> Apply:
        """The apply with this number, or the last one.

        Raises:
            NotFoundError: there is none.
        """
        found = (
            self.applies(limit=1)
            if number is None
            else [apply for apply in self.applies() if apply.number == number]
        )
        if not found:
            if number is None:
                raise NotFoundError(
                    N_("Nothing has been restored yet, so there is nothing to undo."),
                    hint=N_("See 'lastro restore --help'."),
                )
            raise NotFoundError(
                N_("There is no apply-{number}."), hint=N_("See 'lastro log'."), number=number
            )
        return found[0]

    def applies(self, *, limit: int = 0, bound: int | None = None) -> list[Apply]:
        """Applies that are not after ``bound``, newest first."""
        self._projection.refresh()
        with self._projection.reading() as database:
            rows = database.execute(
                "SELECT number, seq, server, time_ns, actor, body FROM apply WHERE seq <= ? ORDER BY seq DESC LIMIT ?",
                (limit_of(bound), limit or -1),
            ).fetchall()
        return [
            Apply(
                number=ApplyNumber(row[0]),
                seq=row[1],
                server=ServerId(row[2]),
                time_ns=row[3],
                actor=row[4],
                body=decode_apply(row[5]),
            )
            for row in rows
        ]

    # ----------------------------------------------------------------------------------------------------------------------------------

    def _snapshots(self, where: str, arguments: tuple[object, ...]) -> list[Snapshot]:
        with self._projection.reading() as database:
            rows = database.execute(
                "SELECT snapshot.number, snapshot.seq, target.server, target.kind, target.path, snapshot.time_ns, snapshot.body"
                f" FROM snapshot JOIN target ON target.id = snapshot.target {where}",
                arguments,
            ).fetchall()
        return [snapshot_of(row) for row in rows]

    def _sample(self, database: sqlite3.Connection, seq: int, below: str, count: int) -> tuple[str, ...]:
        low, high = bounds_below(below)
        rows = database.execute(
            "SELECT target.path, path.path FROM version JOIN path ON path.id = version.path JOIN target ON target.id = path.target"
            " WHERE version.seq = ? AND path.path <> x'' AND (path.path = ? OR (path.path >= ? AND path.path < ?))"
            " ORDER BY version.type = 'dir', path.path LIMIT ?",
            (seq, to_bytes(below), low, high, count),
        ).fetchall()
        return tuple(join(from_bytes(row[0]), from_bytes(row[1])) for row in rows)

    def _found(self, database: sqlite3.Connection, row: tuple[int, bytes, str, str, bytes]) -> Found | None:
        identity, raw_path, server, kind, target_path = row
        versions = database.execute(
            f"SELECT {VERSION_COLUMNS} FROM version JOIN snapshot ON snapshot.seq = version.seq"
            " WHERE version.path = ? ORDER BY version.seq DESC",
            (identity,),
        ).fetchall()
        path = from_bytes(raw_path)
        versions = [version_of(path, version) for version in versions]
        newest = next((version for version in versions if version.operation != "removed"), None)
        if newest is None:
            return None
        deleted_ns = versions[0].time_ns if versions[0].operation == "removed" else None
        return Found(
            target=Target(ServerId(server), TargetKind(kind), from_bytes(target_path)),
            path=path,
            version=newest,
            versions=len(versions),
            deleted_ns=deleted_ns,
        )
