"""A target: what a snapshot is of. Its id is (server, kind, path or name), so a rebuilt server keeps its history."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from lastro.domain.ids import ServerId


class TargetKind(StrEnum):
    """What kind of thing is captured."""

    FILES = "files"
    """A watched root: a directory with all below it."""
    TOUCHED = "touched"
    """Only the paths that an apply touched, below a directory that is in no watched root."""
    RUN = "run"
    """What a run made of a directory, in its own view: never was there live, unless it was applied."""


class Target(Struct, frozen=True, order=True):
    """What a snapshot is of. ``path`` is absolute on its server, byte-faithful."""

    server: ServerId
    kind: TargetKind
    path: str
