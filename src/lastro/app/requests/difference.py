"""What operations that compare are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.domain.entry import Entry
from lastro.domain.reference import Reference
from lastro.messages import N_


class Diff(Struct, frozen=True, kw_only=True):
    """What differs between two states, or between a recorded state and now."""

    before: Annotated[Reference, parameter(N_("The older state."), cli="reference", metavar="REF")]
    after: Annotated[
        Reference | None, parameter(N_("The newer state; live if not given."), cli="reference", metavar="REF")
    ] = None
    names: Annotated[bool, parameter(N_("Only names, no content."))] = False


class Compare(Struct, frozen=True, kw_only=True):
    """What differs between two recorded states."""

    before: Reference
    after: Reference
    names: bool = False


class SideOfDiff(Struct, frozen=True, kw_only=True):
    """One side of a difference: the snapshot that stood at that instant. ``live``: it was taken just now, to compare with."""

    server: str
    path: str
    snapshot: int
    time_ns: int
    live: bool = False


class FileDifference(Struct, frozen=True, kw_only=True):
    """One path that differs. ``patch`` is a unified diff when both sides are text of at most 1 MiB, else empty and ``binary`` is set."""

    path: str
    kind: str
    fields: tuple[str, ...]
    before: Entry | None
    after: Entry | None
    patch: str = ""
    binary: bool = False


class Difference(Struct, frozen=True, kw_only=True):
    """All differences, in tree order."""

    before: SideOfDiff
    after: SideOfDiff
    files: tuple[FileDifference, ...]
