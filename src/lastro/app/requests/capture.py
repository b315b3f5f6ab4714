"""What operations of captures are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.domain.reference import Reference
from lastro.domain.snapshot import SnapshotWarning, Statistics
from lastro.messages import N_


class Capture(Struct, frozen=True, kw_only=True):
    """Take a snapshot of paths of this machine now, or of a server through its node."""

    references: Annotated[
        tuple[Reference, ...], parameter(N_("Paths or servers to capture."), cli="reference", metavar="REF")
    ] = ()


class CapturePlace(Struct, frozen=True, kw_only=True):
    """Ask where a capture of this absolute path of this machine would go."""

    path: str


class CapturePlaceReply(Struct, frozen=True, kw_only=True):
    """The captured root that holds the path; empty when none does."""

    root: str


class CaptureOffered(Struct, frozen=True, kw_only=True):
    """Capture ``root`` from the source that the caller offers as ``offer``: all of it, or only ``paths`` below it.

    ``recursive``: with everything below them. ``touched``: make a target that holds nothing but these paths.
    """

    offer: str
    root: str
    paths: tuple[str, ...] | None = None
    recursive: bool = False
    reason: str = "request"
    touched: bool = False


class CaptureServer(Struct, frozen=True, kw_only=True):
    """Capture a server's watched roots (or one path of it) through its node, now."""

    server: str
    path: str = ""


class Captured(Struct, frozen=True, kw_only=True):
    """One snapshot taken, or the one that still stands because nothing had changed."""

    snapshot: int
    seq: int
    server: str
    path: str
    time_ns: int
    unchanged: bool
    statistics: Statistics
    warnings: tuple[SnapshotWarning, ...] = ()


class CaptureReply(Struct, frozen=True, kw_only=True):
    """All snapshots that one request took."""

    snapshots: tuple[Captured, ...]
