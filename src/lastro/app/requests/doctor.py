"""What ``doctor`` answers: how fit this machine and this installation are."""

from __future__ import annotations

from msgspec import Struct

from lastro.app.requests.sentence import Sentence


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. ``state``: ``good``, ``warning`` or ``bad``; ``said.hint`` is what to do about it."""

    topic: str
    state: str
    said: Sentence


class Diagnosis(Struct, frozen=True, kw_only=True):
    """Everything that was looked at, by topic. ``good`` when nothing is bad."""

    good: bool
    findings: tuple[Finding, ...]
