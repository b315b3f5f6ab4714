"""The vigil: until when each watched root is known to be well, and telling when that is too long ago (a dead man's switch).

    root      looked at, good           looked at, too old                     good again
    well      the good time grows       told ``capture_missing``: missing      -
    missing   -                         nothing                                told ``capture_good``: well

Silence is the alarm here: it does not take a failure to be told, only a success that does not come. What always holds: what is known of a
root outlives the keeper (``state/notices.db``), so that a keeper that was away, and comes back, tells what it finds; a root that is
missing is told once; a root that is watched no longer is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    LargeBinary,
    String,
    Table,
    delete,
    insert,
    select,
)

from lastro.app.events import Event
from lastro.app.notifying.outbox import METADATA
from lastro.domain.ids import ServerId
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.telemetry import DAY_NS, SECOND, missing_after_ns

LOOK_EVERY_S: Final = 10.0
PAUSE_NS: Final = 300 * SECOND
"""A root that was not well for so long had a pause, which is remembered as part of its rhythm."""
REMEMBERED_NS: Final = 14 * DAY_NS
FIRST_NS: Final = DAY_NS
"""How long the first capture of a root may take."""
_WRITE_EVERY_NS: Final = 60 * SECOND
_MOST_PAUSES: Final = 64

_roots = Table(
    "roots",
    METADATA,
    Column("server", String, primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("good_ns", BigInteger, nullable=False),
    Column("missing_ns", BigInteger, nullable=False, default=0),
    Column("never", Boolean, nullable=False),
    Column("pauses", LargeBinary, nullable=False),
)


class Watched(Struct, frozen=True, kw_only=True):
    """What is known of a root. ``good_ns``: until when it is known to be well; ``missing_ns``: since when it was told that it is not, or 0.

    ``pauses``: ``(when it ended, how long it was)`` of the last two weeks. ``never``: it was not well yet, and ``good_ns`` is when it was
    first seen; a first capture may take long.
    """

    good_ns: int
    missing_ns: int = 0
    pauses: tuple[tuple[int, int], ...] = ()
    never: bool = False

    def limit_ns(self, configured_ns: int) -> int:
        """How old ``good_ns`` may become."""
        limit = missing_after_ns([length for _, length in self.pauses], configured_ns)
        return max(limit, FIRST_NS) if self.never else limit

    def found_good(self, good_ns: int) -> Watched:
        """The same, once it is known to be well until ``good_ns``."""
        if not good_ns or (good_ns <= self.good_ns and not self.never):
            return self
        pauses = self.pauses
        if not self.never and good_ns - self.good_ns > PAUSE_NS:
            pauses = (*pauses, (good_ns, good_ns - self.good_ns))
        kept = tuple(pause for pause in pauses if pause[0] > good_ns - REMEMBERED_NS)[-_MOST_PAUSES:]
        return Watched(good_ns=good_ns, missing_ns=self.missing_ns, pauses=kept)


Known = tuple[ServerId, str]


class Vigil:
    """See the module. ``tell`` takes an event and returns when it is where it outlives this process: what was told is written after it."""

    def __init__(
        self,
        engine: Engine,
        *,
        tell: Callable[[str, Event], None],
        configured_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self._engine = engine
        self._tell = tell
        self._configured_ns = configured_ns
        self._lock = threading.Lock()
        METADATA.create_all(engine)
        self._roots: dict[Known, Watched] = self._read()
        self._written = dict(self._roots)
        self._written_ns = 0

    def root(self, server: ServerId, path: str) -> Watched | None:
        """What is known of a root."""
        with self._lock:
            return self._roots.get((server, path))

    def roots(self, server: ServerId) -> dict[str, Watched]:
        """Every root of a server that is watched, as far as is known."""
        with self._lock:
            return {path: watched for (each, path), watched in self._roots.items() if each == server}

    def limit_ns(self, watched: Watched) -> int:
        """How old the newest good capture of a root may become."""
        return watched.limit_ns(self._configured_ns())

    def knows(self, server: ServerId) -> bool:
        """Whether any root of this server was ever seen."""
        with self._lock:
            return any(each == server for each, _ in self._roots)

    def saw(self, server: ServerId, good: Mapping[str, int], now_ns: int) -> None:
        """The watched roots of a server are exactly these, and well until then (0: nobody knows)."""
        with self._lock:
            for known in [known for known in self._roots if known[0] == server and known[1] not in good]:
                del self._roots[known]
            for path, good_ns in good.items():
                before = self._roots.get((server, path)) or Watched(good_ns=now_ns, never=True)
                self._roots[server, path] = before.found_good(min(good_ns, now_ns))

    def look(self, names: Mapping[ServerId, str], now_ns: int) -> None:
        """Tell what is too old, and what is good again; then write down what is known. ``names``: the servers that there are."""
        configured = self._configured_ns()
        with self._lock:
            self._roots = {known: watched for known, watched in self._roots.items() if known[0] in names}
            known = list(self._roots.items())
        for (server, path), watched in known:
            after = self._judged(names[server], path, watched, configured, now_ns)
            if after is not watched:
                with self._lock:
                    newest = self._roots.get((server, path))
                    if newest is not None:
                        self._roots[server, path] = msgspec.structs.replace(
                            newest, missing_ns=after.missing_ns
                        )
        self.write(now_ns)

    def _judged(self, server: str, path: str, watched: Watched, configured_ns: int, now_ns: int) -> Watched:
        late = now_ns - watched.good_ns > watched.limit_ns(configured_ns)
        if late == bool(watched.missing_ns):
            return watched
        # The same trouble has the same key, whichever keeper of this repository tells of it.
        since = watched.good_ns if late else watched.missing_ns
        event = Event(
            kind="capture_missing" if late else "capture_good",
            time_ns=now_ns,
            parameters={"server": server, "path": path, "since_ns": since, "length_ns": now_ns - since},
        )
        self._tell(f"{server}:{path}:{since}", event)
        return msgspec.structs.replace(watched, missing_ns=since if late else 0)

    def _read(self) -> dict[Known, Watched]:
        with self._engine.begin() as connection:
            return {
                (ServerId(row.server), from_bytes(row.path)): Watched(
                    good_ns=row.good_ns,
                    missing_ns=row.missing_ns,
                    never=row.never,
                    pauses=msgspec.json.decode(row.pauses, type=tuple[tuple[int, int], ...]),
                )
                for row in connection.execute(select(_roots))
            }

    def write(self, now_ns: int, *, at_once: bool = False) -> None:
        """Write what changed: what was told at once, that all is still well at most once a minute, or ``at_once``."""
        with self._lock:
            roots = dict(self._roots)
        recent = now_ns - self._written_ns < _WRITE_EVERY_NS and not at_once
        if roots == self._written or (recent and _told(roots) == _told(self._written)):
            return
        self._written_ns = now_ns
        with self._engine.begin() as connection:
            for known in [
                known for known in {*self._written, *roots} if self._written.get(known) != roots.get(known)
            ]:
                server, path = known
                connection.execute(
                    delete(_roots).where(_roots.c.server == server, _roots.c.path == to_bytes(path))
                )
                if known in roots:
                    watched = roots[known]
                    connection.execute(
                        insert(_roots).values(
                            server=server,
                            path=to_bytes(path),
                            good_ns=watched.good_ns,
                            missing_ns=watched.missing_ns,
                            never=watched.never,
                            pauses=msgspec.json.encode(watched.pauses),
                        )
                    )
        self._written = roots


def _told(roots: Mapping[Known, Watched]) -> dict[Known, tuple[int, int]]:
    return {known: (watched.missing_ns, len(watched.pauses)) for known, watched in roots.items()}
