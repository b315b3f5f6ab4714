"""What operations that read history are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.domain.entry import Entry
from lastro.domain.policy import Role
from lastro.domain.reference import Reference
from lastro.messages import N_

_REFERENCE = parameter(
    N_("What: SERVER[:PATH][@AT], or a path of this machine."), cli="reference", metavar="REF"
)


class Log(Struct, frozen=True, kw_only=True):
    """What happened: to everything, below a directory, or to one file."""

    reference: Annotated[Reference | None, _REFERENCE] = None
    limit: Annotated[
        int, parameter(N_("Show at most this many, the newest (0: all)."), short="-n", least=0)
    ] = 0
    before: Annotated[
        int,
        parameter(
            N_("Only what is older than the record with this number (0: from the newest on)."), metavar="SEQ"
        ),
    ] = 0


class LogItem(Struct, frozen=True, kw_only=True):
    """One version of a path (``operation`` added, changed, removed), one snapshot below a directory, or one apply.

    ``kind``: ``version``, ``snapshot`` or ``apply``; ``number`` is of a snapshot or an apply accordingly.
    """

    kind: str
    number: int
    seq: int
    time_ns: int
    server: str
    path: str
    reason: str
    operation: str = ""
    size: int | None = None
    digest: str = ""
    added: int = 0
    changed: int = 0
    removed: int = 0
    paths: tuple[str, ...] = ()
    """The first few paths that changed, absolute."""
    warnings: int = 0
    torn: bool = False
    actor: str = ""


class LogReply(Struct, frozen=True, kw_only=True):
    """Newest first. ``more``: there is older; the next page is asked for with the last item's ``seq`` as ``before``."""

    items: tuple[LogItem, ...]
    path: str = ""
    more: bool = False


class Cat(Struct, frozen=True, kw_only=True):
    """The content of one file."""

    reference: Annotated[Reference, _REFERENCE]


class Find(Struct, frozen=True, kw_only=True):
    """Look for files by name in all of history."""

    name: Annotated[
        str,
        parameter(
            N_("A name, or a glob such as '*.conf'; with a slash it is matched against the whole path."),
            cli="argument",
        ),
    ]
    deleted: Annotated[bool, parameter(N_("Only what no longer exists."))] = False
    server: Annotated[str, parameter(N_("Only on this server."), metavar="SERVER")] = ""
    limit: Annotated[int, parameter(N_("Show at most this many (0: all)."), short="-n", least=0)] = 1000


class FoundItem(Struct, frozen=True, kw_only=True):
    """A path that matched: its newest version that existed, and since when it is deleted (``None``: it exists)."""

    server: str
    path: str
    type: str
    size: int
    snapshot: int
    time_ns: int
    versions: int
    deleted_ns: int | None = None


class FindReply(Struct, frozen=True, kw_only=True):
    """Sorted by server and path."""

    items: tuple[FoundItem, ...]
    more: bool = False


class Entries(Struct, frozen=True, kw_only=True):
    """The recorded entries at and below a reference. ``last``: where nothing stands at that instant, the last version that existed."""

    reference: Reference
    recursive: bool = True
    last: bool = False


class RecordedEntry(Struct, frozen=True, kw_only=True):
    """An entry and where its content is: the snapshot record ``seq`` and the path in its tree."""

    entry: Entry
    seq: int
    tree_path: str


class Shown(Struct, frozen=True, kw_only=True):
    """What a run is shown: of ``project`` (an absolute path) what ``role`` may read. The rest of it is not the run's to change."""

    project: str
    role: Role


class EntriesReply(Struct, frozen=True, kw_only=True):
    """Entries in tree order, their paths (and hard links' targets) relative to what was asked: ``""`` is that itself.

    ``path`` is the absolute path that was asked, ``target`` that of the captured root that holds it. ``last``: it does not stand any more
    at the instant that was asked; this is its last version that existed. ``shown``: not all there was, because a run asked.
    ``proposed``: what a run or an edit made, which never was there.
    """

    server: str
    target: str
    path: str
    snapshot: int
    seq: int
    time_ns: int
    last: bool
    items: tuple[RecordedEntry, ...]
    shown: Shown | None = None
    proposed: bool = False


class Where(Struct, frozen=True, kw_only=True):
    """Ask which absolute path a reference means."""

    reference: Reference


class WhereReply(Struct, frozen=True, kw_only=True):
    """An absolute path on a server, the captured root that holds it, and that root's snapshot at the reference's instant (0: none yet)."""

    server: str
    target: str
    path: str
    snapshot: int


class ContentRequest(Struct, frozen=True, kw_only=True):
    """The bytes of one recorded file."""

    seq: int
    path: str


class ContentsRequest(Struct, frozen=True, kw_only=True):
    """The bytes of many small recorded files, one after the other without holes. Their sizes say where each ends."""

    items: tuple[ContentRequest, ...]
