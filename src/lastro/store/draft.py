"""``RecordDraft``: what is asked to be recorded. Apart from the log, because operations are named where there is no store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from lastro.domain.record import Actor, RecordTarget


class RecordDraft(Struct, frozen=True, kw_only=True):
    """A record before the log gives it its place, time and signature. ``body`` is encoded with its fields as they stand (sorted).

    A ``body`` that is a function is made when the record is: of the highest number that the log has given of each kind by then. So a record
    can name another one of the same commit.
    """

    kind: str
    actor: Actor
    body: Struct | Callable[[Mapping[str, int]], Struct]
    server: str = ""
    target: RecordTarget | None = None
