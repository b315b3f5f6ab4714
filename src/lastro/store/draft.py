"""``RecordDraft``: what is asked to be recorded. Apart from the log, because operations are named where there is no store."""

from __future__ import annotations

from msgspec import Struct

from lastro.domain.record import Actor, RecordTarget


class RecordDraft(Struct, frozen=True, kw_only=True):
    """A record before the log gives it its place, time and signature. ``body`` is encoded with its fields as they stand (sorted)."""

    kind: str
    actor: Actor
    body: Struct
    server: str = ""
    target: RecordTarget | None = None
