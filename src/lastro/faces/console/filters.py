"""What templates say values with: sizes, times, states. Everything is text that the template escapes.

What always holds: a string of somebody else passes ``shown`` (or a filter that calls it) on its way to a page, so that control characters,
bidirectional marks and bytes that are no text are seen as what they are.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NamedTuple

from lastro.domain.paths import from_bytes, printable
from lastro.errors import LastroError
from lastro.faces.translation import gettext as _
from lastro.faces.wording import gateway_words, instants, plain, review_words


class Clock(NamedTuple):
    """The reader's zone, and what time it is."""

    zone: tzinfo
    now_ns: int

    def at(self, time_ns: int) -> str:
        """``2026-11-20 14:05:12``."""
        return instants.clock_time(time_ns, self.zone)

    def ago(self, time_ns: int) -> str:
        """``5 min ago``."""
        return instants.age(time_ns, self.now_ns)

    def until(self, time_ns: int) -> str:
        """``23 h``: how long until then; empty once it is past."""
        return instants.duration(time_ns - self.now_ns) if time_ns > self.now_ns else ""

    def machine(self, time_ns: int) -> str:
        """``2026-11-20T17:05:12Z``, for ``<time datetime>``."""
        return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(value: object) -> str:
    """Text of somebody else with everything that is no plain text made visible. Line ends stay."""
    return "\n".join(printable(line) for line in str(value).split("\n"))


def state_word(code: str, table: Mapping[str, Any]) -> str:
    """The word for a code of one of the tables of ``wording``."""
    entry = table.get(code)
    if entry is None:
        return printable(code)
    return _(entry[0] if isinstance(entry, tuple) else entry)


def tone(code: str) -> str:
    """How a state, risk or verdict is coloured: ``good``, ``bad``, ``wait``, ``plain``. Never said by colour alone."""
    return _TONES.get(code, "plain")


_TONES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("applied", "approved", "partly_approved", "finished", "done", "passed", "connected"), "good"
    ),
    **dict.fromkeys(
        (
            "high",
            "rejected",
            "expired",
            "conflict",
            "rolled_back",
            "failed",
            "timed_out",
            "blocked",
            "interrupted",
            "unreachable",
        ),
        "bad",
    ),
    **dict.fromkeys(
        (
            "medium",
            "applying",
            "verifying",
            "queued",
            "preparing",
            "running",
            "collecting",
            "checking",
            "held",
            "connecting",
        ),
        "wait",
    ),
}

TESTS: Final[Mapping[str, Callable[[object], bool]]] = {"error": lambda value: isinstance(value, LastroError)}

FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "shown": shown,
    "word": state_word,
    "path_text": lambda path: printable(from_bytes(path)),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode("ascii").rstrip("="),
    "size": plain.size,
    "duration": instants.duration,
    "money": gateway_words.money,
    "tokens": gateway_words.tokens,
    "span": gateway_words.span,
    "tone": tone,
    "run_state": lambda code: state_word(code, review_words.RUN_STATES),
    "proposal_state": lambda code: state_word(code, review_words.PROPOSAL_STATES),
    "risk": lambda code: state_word(code, review_words.RISKS),
    "flag": lambda code: state_word(code, review_words.FLAGS),
    "cause": review_words.cause,
    "degraded": lambda code: state_word(code, review_words.DEGRADED),
    "role": lambda code: state_word(code, review_words.ROLES),
    "verdict": lambda code: state_word(code, review_words.VERDICTS),
}
