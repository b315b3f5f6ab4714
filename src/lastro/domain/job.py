"""A job: long work of Lastro's own that nobody's terminal waits for. Nouns and the table of its states.

    queued ──► running ──► done | failed | cancelled
      │           └──► interrupted   (its worker is gone, and doing it again could do it twice)
      │           └──► queued        (its worker is gone, and never began it, or doing it twice is doing it once)
      └──► cancelled

A job carries out one operation for somebody who asked through the console or the API. A secret never stands in a job.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from lastro.domain.progress import Progress
from lastro.domain.record import Actor


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Its worker died in the middle. What it did stands in the history; whoever wants the rest asks again."""


_S = JobState
JOB_TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = {
    _S.QUEUED: frozenset({_S.RUNNING, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.DONE, _S.FAILED, _S.CANCELLED, _S.INTERRUPTED, _S.QUEUED}),
    _S.DONE: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.INTERRUPTED: frozenset(),
}
FINAL_JOB_STATES: Final = frozenset(state for state, following in JOB_TRANSITIONS.items() if not following)


class JobOrder(Struct, frozen=True, kw_only=True):
    """What is asked for. ``request``: JSON of the operation's request. ``key``: whoever asks twice with the same one gets one job (empty:
    none); it is not given back.

    ``repeatable``: doing it again after its worker died in the middle is doing it once. ``subject``: what it is about, for people
    (``proposal-9``, ``web-01:/etc``). ``place``: who carries it out, ``keeper`` or ``runner`` (the process with a user's rights).
    """

    operation: str
    request: bytes
    asker: Actor
    place: str
    subject: str = ""
    key: str = ""
    repeatable: bool = False


class JobStep(Struct, frozen=True, kw_only=True):
    """A part of a job that has a name: it is over when ``ended_ns`` is set. ``name`` is a code that a face makes a word of."""

    number: int
    name: str
    began_ns: int
    ended_ns: int = 0


class JobLine(Struct, frozen=True, kw_only=True):
    """A line of a job's log: an event that happened in it (JSON of ``app.events.Event``). ``number`` counts from 1."""

    number: int
    time_ns: int
    event: bytes


class Job(Struct, frozen=True, kw_only=True):
    """A job. ``reply``: JSON of the operation's reply once it is done; ``failure``: JSON of ``app.failure.Failure`` once it failed.

    ``progress`` is the latest there was. ``attempts``: how often a worker began it. ``ticket``: what its worker shows to act for its asker;
    known to that worker alone, and empty for everybody else.
    """

    number: int
    order: JobOrder
    state: JobState
    asked_ns: int
    began_ns: int = 0
    ended_ns: int = 0
    seen_ns: int = 0
    """When its worker was last heard of."""
    worker: str = ""
    attempts: int = 0
    cancelling: bool = False
    progress: Progress | None = None
    reply: bytes = b""
    failure: bytes = b""
    ticket: str = ""
    steps: tuple[JobStep, ...] = ()


class JobOutcome(Struct, frozen=True, kw_only=True):
    """How a job ended: exactly one of both, or neither when it was cancelled."""

    reply: bytes = b""
    failure: bytes = b""
