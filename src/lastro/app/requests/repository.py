"""What operations of the repository itself are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.messages import N_


class Init(Struct, frozen=True, kw_only=True):
    """Make a repository."""


class Initialized(Struct, frozen=True, kw_only=True):
    """A new repository: where it is, and where the two ways to open it lie."""

    repository: str
    path: str
    key_file: str
    recovery_kit: str


class Check(Struct, frozen=True, kw_only=True):
    """Try whether the repository is sound."""

    read_data: Annotated[bool, parameter(N_("Read and verify every byte, not only the structure."))] = False


class CheckFinding(Struct, frozen=True, kw_only=True):
    """One thing that is not sound. ``code`` names the kind; the lists say what is affected."""

    code: str
    object: str
    detail: str = ""
    paths: tuple[str, ...] = ()
    snapshots: tuple[int, ...] = ()


class CheckReply(Struct, frozen=True, kw_only=True):
    """What was looked at, and what was found."""

    sound: bool
    records: int
    packs: int
    chunks: int
    bytes: int
    findings: tuple[CheckFinding, ...] = ()


class RepositoryStatistics(Struct, frozen=True, kw_only=True):
    """Sizes of the repository on disk."""

    repository: str
    path: str
    bytes: int
    packs: int
    chunks: int
    records: int
    snapshots: int
