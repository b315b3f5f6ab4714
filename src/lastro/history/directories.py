"""Questions about what a directory holds and held: the last change of each name, what was deleted, and what came before and after.

What always holds: the work of an answer grows with what is asked for (a page of names), not with how many paths or versions there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from lastro.domain.ids import ApplyNumber, ServerId
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.target import Target
from lastro.history.answers import Apply, Located, Neighbours, Version
from lastro.history.projection import Projection, decode_apply
from lastro.history.rows import VERSION_COLUMNS, bounds_below, limit_of, version_of
from lastro.history.targets import target_row

_BATCH: Final = 500
_SOON: Final = 8
"""So many applies may have been recorded between a snapshot and the record of the apply that it was taken for."""


class Directories:
    """See the module. Reads the projection, and first folds what is new."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection

    def last_changes(self, target: Target, paths: Iterable[str], *, bound: int | None) -> dict[str, Version]:
        """The newest version of each path that is not after ``bound``; nothing for a path without one."""
        self._projection.refresh()
        found: dict[str, Version] = {}
        with self._projection.reading() as database:
            row_of_target = target_row(database, target)
            for path in paths:
                row = database.execute(
                    f"SELECT {VERSION_COLUMNS} FROM path JOIN version ON version.path = path.id"
                    " JOIN snapshot ON snapshot.seq = version.seq"
                    " WHERE path.target = ? AND path.path = ? AND version.seq <= ? ORDER BY version.seq DESC LIMIT 1",
                    (row_of_target, to_bytes(path), limit_of(bound)),
                ).fetchone()
                if row is not None:
                    found[path] = version_of(path, row)
        return found

    def deleted(
        self, located: Located, *, bound: int | None, after: str, until: str, limit: int
    ) -> list[Version]:
        """The newest version of each direct child of ``located`` that was gone at ``bound``, by name: names after ``after`` and, unless it
        is empty, not after ``until``.
        """
        self._projection.refresh()
        gone = (
            path for path, operation in self._children(located, bound, after, until) if operation == "removed"
        )
        paths = list(islice(gone, limit or None))
        return list(self.last_changes(located.target, paths, bound=bound).values())

    def _children(
        self, located: Located, bound: int | None, after: str, until: str
    ) -> Iterator[tuple[str, str | None]]:
        """Every path that ever stood directly in the directory, by name, with what its newest change did. What lies below one is stepped
        over.
        """
        below, end = bounds_below(located.path)
        place = below + to_bytes(after) + b"\0" if after else below
        end = below + to_bytes(until) + b"\0" if until else end
        with self._projection.reading() as database:
            row_of_target = target_row(database, located.target)
        while True:
            with self._projection.reading() as database:
                rows = database.execute(
                    "SELECT path.path, (SELECT operation FROM version WHERE version.path = path.id AND version.seq <= ?"
                    " ORDER BY version.seq DESC LIMIT 1) FROM path"
                    " WHERE target = ? AND path.path >= ? AND path.path < ? AND path.path <> x'' ORDER BY path.path LIMIT ?",
                    (limit_of(bound), row_of_target, place, end, _BATCH),
                ).fetchall()
            for raw, operation in rows:
                name, slash, _rest = raw[len(below) :].partition(b"/")
                if slash:
                    place = below + name + b"0"  # "0" is the byte after "/"
                    break
                yield from_bytes(raw), operation
                place = raw + b"\0"
            else:
                if len(rows) < _BATCH:
                    return

    def neighbours(self, located: Located, seq: int) -> Neighbours:
        """The changes at or below ``located`` that come right before and after what stood at ``seq``, and how many there are in all."""
        self._projection.refresh()
        low, high = bounds_below(located.path)
        with self._projection.reading() as database:
            row_of_target = target_row(database, located.target)
            if located.path:
                changes = (
                    "SELECT DISTINCT version.seq AS seq FROM path JOIN version ON version.path = path.id"
                    " WHERE path.target = ? AND (path.path = ? OR (path.path >= ? AND path.path < ?))"
                )
                place: tuple[object, ...] = (row_of_target, to_bytes(located.path), low, high)
            else:
                changes = "SELECT seq FROM snapshot WHERE target = ? AND added + changed + removed > 0"
                place = (row_of_target,)
            standing, newer, count = database.execute(
                f"WITH changes AS MATERIALIZED ({changes}) SELECT (SELECT max(seq) FROM changes WHERE seq <= ?),"
                " (SELECT min(seq) FROM changes WHERE seq > ?), (SELECT count(*) FROM changes)",
                (*place, seq, seq),
            ).fetchone()
            older = database.execute(
                f"SELECT max(seq) FROM ({changes}) WHERE seq < ?",
                (*place, seq if standing is None else standing),
            ).fetchone()[0]
            numbers = [
                0
                if one is None
                else database.execute("SELECT number FROM snapshot WHERE seq = ?", (one,)).fetchone()[0]
                for one in (standing, older, newer)
            ]
        return Neighbours(standing=numbers[0], older=numbers[1], newer=numbers[2], count=count)

    def apply_of(self, seq: int) -> Apply | None:
        """The apply that snapshot record ``seq`` was taken after, so that what it changed is what the apply changed."""
        self._projection.refresh()
        with self._projection.reading() as database:
            rows = database.execute(
                "SELECT number, seq, server, time_ns, actor, body FROM apply WHERE seq > ? ORDER BY seq LIMIT ?",
                (seq, _SOON),
            ).fetchall()
        for number, of, server, time_ns, actor, raw in rows:
            body = decode_apply(raw)
            if body.after == seq:
                return Apply(
                    number=ApplyNumber(number),
                    seq=of,
                    server=ServerId(server),
                    time_ns=time_ns,
                    actor=actor,
                    body=body,
                )
        return None
