"""What operations that list and pack directories are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.domain.entry import Entry
from lastro.domain.reference import Reference
from lastro.messages import N_

_REFERENCE = parameter(
    N_("What: SERVER[:PATH][@AT], or a path of this machine."), cli="reference", metavar="REF"
)


class ListPlace(Struct, frozen=True, kw_only=True):
    """What a directory held at an instant; of anything else, that itself."""

    reference: Annotated[Reference, _REFERENCE]
    deleted: Annotated[bool, parameter(N_("Also what had been deleted by then."))] = False
    after: Annotated[str, parameter(N_("Only names after this one, in their order."), metavar="NAME")] = ""
    limit: Annotated[int, parameter(N_("Show at most this many (0: all)."), short="-n", least=0)] = 1000


class Cause(Struct, frozen=True, kw_only=True):
    """What a change came from. ``kind``: ``restore``, ``undo`` or ``proposal`` (an apply of Lastro's), ``first`` (it was there when Lastro
    began to look), else ``unknown``: somebody or something on the server, which Lastro only saw the result of. Numbers are 0, and ``actor``
    is empty, where there is none.
    """

    kind: str
    apply: int = 0
    proposal: int = 0
    run: int = 0
    actor: str = ""


class ListedEntry(Struct, frozen=True, kw_only=True):
    """A name in a directory. ``snapshot``, ``changed_ns``: of its last change (0: not known). ``deleted``: that change took it away, and
    ``entry`` is what had stood there, as far as history knows it.
    """

    entry: Entry
    snapshot: int = 0
    changed_ns: int = 0
    cause: Cause | None = None
    deleted: bool = False


class Listing(Struct, frozen=True, kw_only=True):
    """What stood at a place, and the first names in it, by their bytes. ``more``: there are others after the last one.

    ``path`` is absolute, ``target`` that of the captured root that holds it; ``itself.entry.path`` is ``""``, that of an item its name.
    ``standing``: the snapshot whose change stood then; ``older``, ``newer``: those of the changes before and after it (0: none);
    ``changes``: how many there are.
    """

    server: str
    target: str
    path: str
    snapshot: int
    seq: int
    time_ns: int
    itself: ListedEntry
    items: tuple[ListedEntry, ...] = ()
    more: bool = False
    standing: int = 0
    older: int = 0
    newer: int = 0
    changes: int = 0


class Causes(Struct, frozen=True, kw_only=True):
    """What the changes that snapshot records brought came from. ``seqs``: of the records."""

    seqs: tuple[int, ...]


class CausesReply(Struct, frozen=True, kw_only=True):
    """In the order that was asked."""

    causes: tuple[Cause, ...]


class Tar(Struct, frozen=True, kw_only=True):
    """A directory as it was, as one stream."""

    reference: Annotated[Reference, _REFERENCE]
