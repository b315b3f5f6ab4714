"""``Recorder``: exchanges go into the spool at once, and from there into repository and ledger by a thread.

    begin, end  →  spool file  →  [rotate]  →  repository (one transaction)  →  ledger  →  spool file dropped

What always holds: an exchange is in the spool, in the repository, or in both, and in the log exactly once, whatever is killed when: a spool
file goes only when all of it is committed, and nothing is committed that the ledger, folded from the log up to its end, knows. What a dead
process left is settled before the new one takes its first exchange; what had begun and not ended is then recorded as interrupted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from lastro.domain.record import Actor
from lastro.errors import LastroError, StorageFullError
from lastro.gateway.committing import Committer, Ending
from lastro.gateway.exchange import Bodies, Exchange, ExchangeBegan, ExchangeEnded
from lastro.gateway.ledger import Ledger
from lastro.gateway.spool import Spool
from lastro.gateway.spool_notes import (
    EndedNote,
    bodies_of,
    decode_ended,
    decode_note,
    encode_began,
    encode_ended,
    interrupt,
    unfinished,
)
from lastro.messages import N_, Message
from lastro.store.crypto import derive
from lastro.store.repository import Repository

_LOG: Final = logging.getLogger("lastro.gateway")
PASSING: Final = 256 << 10
"""Bodies up to so many bytes are noted in passing, on the event loop; larger ones wait in memory for the thread, which is woken at once."""
INTERVAL_S: Final = 0.5
"""How long an exchange stays in the spool, as a rule. What readers in other processes see is so much older."""
LONGEST_WAIT_S: Final = 10.0
_FULL_FILE: Final = 32 << 20
"""With so many bytes waiting there is no resting either: what comes in faster than it is kept would otherwise grow for ever."""
_REST: Final = 2.0
"""The thread rests so many times as long as it worked, so that calls are not slowed down by the recording of others."""
LONGEST_REST_S: Final = 0.5
_QUIET_S: Final = 1.0
"""Words are indexed for search once nothing was asked for so long."""
_WORDS_AT_ONCE: Final = 8
_LARGE_WAITING: Final = 8
"""With so many large bodies in memory there is no more resting."""


def spool_key(repository: Repository) -> bytes:
    """The key of this gateway's spool: whoever can open the repository can read what is on its way there."""
    return derive(repository.keyring.cache_key, bytes.fromhex(repository.id), b"lastro-gateway-spool-0")


class Recorder:
    """See ``collaborators.Recorder``. Owns ``spool`` and closes it; ``repository`` and ``ledger`` belong to the caller.

    ``report`` is told, from any thread, what goes wrong and what a crash left; if it fails, the log is told instead. When the constructor
    returns, everything that an earlier process left is in the repository and in the ledger.

    Raises:
        StorageFullError: what an earlier process left cannot be committed.
        DamagedError: the repository is.
    """

    def __init__(
        self,
        repository: Repository,
        ledger: Ledger,
        spool: Spool,
        *,
        actor: Actor,
        report: Callable[[Message], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._committer = Committer(repository, ledger, actor)
        self._ledger = ledger
        self._spool = spool
        self._report = report
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._open: dict[str, tuple[ExchangeBegan, str]] = {}  # with the file that holds its beginning
        self._large: dict[str, Bodies] = {}
        self._unspooled: list[Ending] = []
        self._ended_here = self._unsynced = False
        self._ended_s = -_QUIET_S
        self._failure: LastroError | None = None
        self._wake = threading.Event()
        self._asked = 0
        self._done = 0
        self._told = threading.Condition()
        self._closing = False
        self._settle()
        self._thread = threading.Thread(target=self._run, name="lastro-recorder", daemon=True)
        self._thread.start()

    # the event loop

    def begin(self, began: ExchangeBegan) -> None:
        """See ``collaborators.Recorder``."""
        failure = self._failure
        if failure is not None:
            raise _cannot_record(failure)
        with self._lock:
            self._open[began.id] = began, self._spool.append(encode_began(began))
            self._unsynced = True

    def end(self, ended: ExchangeEnded, bodies: Bodies | None) -> None:
        """See ``collaborators.Recorder``."""
        began, _ = self._open.get(ended.id, (None, ""))
        if began is None:
            self._say(Message(msgid=_NEVER_BEGAN, parameters={"exchange": ended.id}))
            return
        exchange = Exchange(began=began, ended=ended)
        large = bodies is not None and _is_large(bodies)
        note = encode_ended(exchange, bodies, elsewhere=large)
        problem: LastroError | None = None
        with self._lock:
            if large and bodies is not None:
                self._large[ended.id] = bodies
            try:
                self._spool.append(note)
            except LastroError as error:
                problem = error
                self._large.pop(ended.id, None)
                self._unspooled.append(Ending(exchange=exchange, bodies=bodies))
            del self._open[ended.id]
            self._ended_s = time.monotonic()
            self._ended_here = self._unsynced = True
            full = self._spool.size > _FULL_FILE
        if problem is not None:
            self._tell(problem)
        if large or full or problem is not None:
            self._wake.set()

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Commit everything that has ended; whether it is done (``failure`` says why not). Blocks: not for the event loop."""
        with self._told:
            self._asked += 1
            ticket = self._asked
            self._wake.set()
            return self._told.wait_for(lambda: self._done >= ticket, timeout_s) and self._failure is None

    @property
    def failure(self) -> LastroError | None:
        """Why nothing can be committed at present; ``None`` while all is well."""
        return self._failure

    def close(self) -> None:
        """Commit everything and let go of the spool. Twice is once. What still runs stays in the spool, for the next start to settle."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self._failure is None and not self._open and not self._unspooled:
            self._spool.rotate(None)
            for name in self._spool.sealed():
                self._spool.drop(name)
        self._spool.close()

    # the thread

    def _run(self) -> None:
        wait = self._interval_s
        while not self._closing:
            self._wake.wait(wait)
            self._wake.clear()
            is_well = self._attempt()
            wait = self._interval_s if is_well else min(2 * wait, LONGEST_WAIT_S)
            if is_well:
                self._index()
        self._attempt()

    def _index(self) -> None:
        """Index words for search while nothing is asked; what is left over, whoever searches first does."""
        try:
            while self._is_quiet() and self._ledger.index_words(_WORDS_AT_ONCE):
                pass
        except Exception as error:  # noqa: BLE001  search does it again, and says what is wrong
            _LOG.warning("words are not indexed: %s", type(error).__name__)

    def _is_quiet(self) -> bool:
        """Whether nobody asks, and nobody has for a while."""
        return not (self._open or self._closing) and time.monotonic() - self._ended_s > _QUIET_S

    def _attempt(self) -> bool:
        """Commit what there is; whether that went well. A failure is told, and stands until it does."""
        asked, failure = self._asked, None
        try:
            self._cycle()
        except LastroError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  whatever it is: a recorder that dies in silence would let calls go on unaccounted
            failure = _failed(error)
        with self._told:
            self._failure = failure
            self._done = max(self._done, asked)
            self._told.notify_all()
        if failure is not None:
            self._tell(failure)
        return failure is None

    def _cycle(self) -> None:
        self._rotate()
        names = self._spool.sealed()
        self._carry(names)
        self._sync()
        for name in names:
            self._commit_file(name)
        self._commit_unspooled()

    def _rotate(self) -> None:
        """Seal the current file if an exchange ended in it."""
        if not self._ended_here:
            return
        following = None
        with suppress(
            StorageFullError
        ):  # the file is then made when it is needed; sealing one must not need room
            following = self._spool.prepare()
        with self._lock:
            self._spool.rotate(following)
            self._ended_here = False

    def _carry(self, names: list[str]) -> None:
        """Note anew what still runs and was noted in a file that is about to go."""
        with self._lock:
            running = [began for began, name in self._open.values() if name in names]
        for began in running:
            with self._lock:
                if began.id in self._open:
                    self._open[began.id] = began, self._spool.append(encode_began(began))
                    self._unsynced = True

    def _sync(self) -> None:
        """Make durable what runs. Before any file goes: what was noted anew must not have been durable there alone."""
        with self._lock:
            if not self._unsynced:
                return
            descriptor = self._spool.duplicate()
            self._unsynced = False
        try:
            self._spool.sync(descriptor)
        except BaseException:
            self._unsynced = True
            raise

    def _commit_file(self, name: str) -> None:
        large: list[str] = []
        with self._spool.reading(name) as frames:
            self._committer.commit(self._endings(frames, large), self._resting())
        self._done_with(name, frames.damaged)
        with self._lock:
            for exchange in large:
                self._large.pop(exchange, None)

    def _endings(self, frames: Iterable[bytes], large: list[str]) -> Iterator[Ending]:
        """What ended, one at a time; ``large`` takes the ids of those whose bodies are in memory."""
        for frame in frames:
            note = decode_ended(frame)
            if note is None:
                continue
            if note.bodies_elsewhere:
                large.append(note.exchange.began.id)
            yield self._ending(note)

    def _ending(self, note: EndedNote) -> Ending:
        if not note.bodies_elsewhere:
            return Ending(exchange=note.exchange, bodies=bodies_of(note))
        bodies = self._large.get(note.exchange.began.id)
        return Ending(exchange=note.exchange, bodies=bodies, bodies_lost=bodies is None)

    def _commit_unspooled(self) -> None:
        """Ends that the spool would not take."""
        waiting = list(self._unspooled)
        self._committer.commit(waiting, self._resting())
        with self._lock:
            del self._unspooled[: len(waiting)]

    def _resting(self) -> Callable[[], None]:
        """What to do after each batch: rest, unless somebody waits or too much does."""
        started_s = time.perf_counter()

        def rest() -> None:
            nonlocal started_s
            hurries = len(self._large) >= _LARGE_WAITING or self._spool.size > _FULL_FILE
            if not (self._closing or hurries or self._asked != self._done):
                time.sleep(min((time.perf_counter() - started_s) * _REST, LONGEST_REST_S))
            started_s = time.perf_counter()

        return rest

    # what an earlier process left

    def _settle(self) -> None:
        """Commit all that is in the spool; what began and never ended was interrupted."""
        self._ledger.refresh(words=False)
        contents = {name: self._spool.read(name) for name in self._spool.sealed()}
        found = [decode_note(frame) for content in contents.values() for frame in content.frames]
        notes = [note for note in found if note is not None]
        endings = [self._ending(note) for note in notes if isinstance(note, EndedNote)]
        self._committer.commit(endings, lambda: None)
        left = [item for item in unfinished(notes) if not self._ledger.knows(item.id)]
        self._committer.commit([Ending(exchange=interrupt(began)) for began in left], lambda: None)
        for name, content in contents.items():
            self._done_with(name, content.damaged)
        if left:
            self._say(Message(msgid=_INTERRUPTED, parameters={"count": len(left)}))

    def _done_with(self, name: str, damaged: Sequence[int]) -> None:
        """Everything that could be read in this file is committed."""
        if not damaged:
            self._spool.drop(name)
            return
        kept = self._spool.set_aside(name)
        self._say(Message(msgid=_DAMAGED, parameters={"path": kept, "count": len(damaged)}))

    def _tell(self, error: LastroError) -> None:
        self._say(Message(msgid=_NOT_RECORDED, parameters={"reason": str(error)}))

    def _say(self, message: Message) -> None:
        try:
            self._report(message)
        except Exception:  # noqa: BLE001  it is logged
            # Whoever listened is gone; that must stop neither an answer nor the recording.
            _LOG.exception("%s", message)


_NEVER_BEGAN: Final = N_("The exchange {exchange} ended without having begun; it was not recorded.")
_INTERRUPTED: Final = N_(
    "{count} exchanges were running when the gateway was killed. What was reserved for them counts as spent."
)
_DAMAGED: Final = N_(
    "What was being recorded when the gateway stopped is damaged in {count} places; what could be read is kept, the file lies in {path}."
)
_NOT_RECORDED: Final = N_("Exchanges cannot be recorded at present, and no new ones are answered: {reason}")


def _is_large(bodies: Bodies) -> bool:
    """Whether noting them takes longer than a call may be held up. What ``sent`` shares with ``request`` is noted once."""
    return len(bodies.request) + len(bodies.answer) > PASSING or len(bodies.sent) > PASSING


def _failed(error: Exception) -> StorageFullError:
    return StorageFullError(N_("It failed unexpectedly: {reason}"), reason=f"{type(error).__name__}: {error}")


def _cannot_record(failure: LastroError) -> StorageFullError:
    return StorageFullError(
        N_("The gateway cannot record exchanges: {reason}"),
        hint=N_(
            "Nothing is asked of a provider that cannot be accounted for. The gateway tries again by itself."
        ),
        reason=str(failure),
    )
