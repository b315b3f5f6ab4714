"""Events: what happens while it happens. Durable ones carry the log's ``seq`` as id and can be replayed; progress is latest-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened. ``kind`` and ``parameters`` are codes and values; a face makes the sentence.

    Kinds: ``snapshot``, ``apply``, ``server``, ``run``, ``proposal``, ``decision`` (durable: ``seq`` is set), ``run_step``, ``connected``,
    ``disconnected``, ``overflow``, ``root_missing``, ``roots_changed``, ``capture_missing``, ``capture_good``, ``problem``, ``progress``,
    ``ready``, ``signed_in``.
    """

    kind: str
    time_ns: int
    seq: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
