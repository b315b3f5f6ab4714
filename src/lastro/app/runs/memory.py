"""What a run may ask of its keeper, and what it is answered: the operations behind ``memory.sock``.

What always holds: an operation that is not in ``SERVED`` is refused, whatever it is; nothing here changes anything; every path in an answer
is one that the run's role may read, in the run's own project. Operations run on services whose timeline is confined
(``ConfinedTimeline``); what they read out of trees by themselves is judged here a second time, path by path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from lastro.app.caller import Bytes
from lastro.app.inside_run import not_in_a_run
from lastro.app.operation import Operation, find_operation
from lastro.app.operations import contents, difference, history
from lastro.app.operations.standing import Standing, stand
from lastro.app.requests import (
    Cat,
    Compare,
    ContentRequest,
    ContentsRequest,
    Difference,
    Entries,
    EntriesReply,
    FileDifference,
    Find,
    FindReply,
    Log,
    LogItem,
    LogReply,
    RecordedEntry,
    Where,
    WhereReply,
)
from lastro.app.requests.history import Shown
from lastro.app.runs.confined_timeline import ConfinedTimeline
from lastro.app.runs.review import list_proposals, show_proposal, show_run
from lastro.app.runs.scope import RunScope
from lastro.app.services import Services
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import LOCAL
from lastro.domain.paths import join, relative_to
from lastro.domain.reference import Reference
from lastro.errors import DeniedError, LimitError, NotFoundError
from lastro.messages import N_
from lastro.store.tree import decode_tree_entry, lookup, to_entry, walk

MOST_ITEMS: Final = 10_000
"""Lines of one answer of ``log`` and ``find``."""

MOST_ENTRIES: Final = 200_000
"""Entries of one answer."""

LONGEST_NAME: Final = 1024
"""Characters of what is looked for."""

_Guard = Callable[[RunScope, Services, Any], Any]


class RunTable:
    """The operations that a run may call (a ``Table`` of ``faces.http``), each bound to what the run may see.

    ``scope`` is asked at each call: it may not be known yet when the socket is opened.
    """

    def __init__(self, scope: Callable[[], RunScope]) -> None:
        self._scope = scope

    def find_operation(self, name: str) -> Operation[Any, Any]:
        """The operation called ``name``.

        Raises:
            DeniedError: it is not for runs, or there is none.
        """
        guard = SERVED.get(name)
        if guard is None:
            raise not_in_a_run(name)
        operation = find_operation(name)

        def run(services: Services, request: Any) -> Any:
            scope = self._scope()
            confined = dataclasses.replace(services, timeline=ConfinedTimeline(services.timeline, scope))
            return guard(scope, confined, request)

        return dataclasses.replace(operation, run=run)

    def all_operations(self) -> Iterator[Operation[Any, Any]]:
        """Every one."""
        return map(self.find_operation, SERVED)


# History ------------------------------------------------------------------------------------------------------------------------------


def _log(scope: RunScope, services: Services, request: Log) -> LogReply:
    reference = request.reference or Reference(server=LOCAL, path="", at=None)
    reply = history.log(
        services,
        msgspec.structs.replace(request, reference=_seen(scope, reference), limit=_bounded(request.limit)),
    )
    items = tuple(_item(scope, item) for item in reply.items)
    return msgspec.structs.replace(reply, items=items)


def _item(scope: RunScope, item: LogItem) -> LogItem:
    """An apply's own directory may lie above the project; its paths and a snapshot's are those that may be read."""
    return msgspec.structs.replace(
        item,
        path=item.path if scope.holds(item.path) else scope.project,
        paths=tuple(path for path in item.paths if scope.may_read(path)),
    )


def _find(scope: RunScope, services: Services, request: Find) -> FindReply:
    del scope  # the timeline has it
    if len(request.name) > LONGEST_NAME:
        raise LimitError(N_("This name is longer than {limit} characters."), limit=LONGEST_NAME)
    return history.find(services, msgspec.structs.replace(request, limit=_bounded(request.limit)))


def _where(scope: RunScope, services: Services, request: Where) -> WhereReply:
    return history.where(
        services, msgspec.structs.replace(request, reference=_seen(scope, request.reference))
    )


def _cat(scope: RunScope, services: Services, request: Cat) -> Bytes:
    reference = _seen(scope, request.reference)
    standing = stand(services, reference, last=False)
    if standing.entry.type is EntryType.HARDLINK:
        first = to_entry(standing.entry, standing.located.path).link_target or ""
        whole = join(standing.located.target.path, first)
        if not scope.may_read(whole):
            raise scope.outside(whole)
    return contents.cat(services, msgspec.structs.replace(request, reference=reference))


def _content(scope: RunScope, services: Services, request: ContentRequest) -> Bytes:
    _judge(scope, services, request)
    return contents.content(services, request)


def _contents(scope: RunScope, services: Services, request: ContentsRequest) -> Bytes:
    for item in request.items:
        _judge(scope, services, item)
    return contents.contents(services, request)


def _judge(scope: RunScope, services: Services, request: ContentRequest) -> None:
    """Refuse a path of a tree that the run may not see. One that is not there is told from one that is not shown by nothing."""
    target = services.timeline.snapshot_by_seq(request.seq).target
    path = join(target.path, request.path)
    if not scope.may_read(path):
        raise NotFoundError(N_("Nothing is recorded at {path} that this run may read."), path=path)


# Trees --------------------------------------------------------------------------------------------------------------------------------


def _entries(scope: RunScope, services: Services, request: Entries) -> EntriesReply:
    reference = _seen(scope, request.reference)
    standing = stand(services, reference, last=request.last)
    _refuse_too_many(services, standing, recursive=request.recursive)
    reply = history.entries(services, msgspec.structs.replace(request, reference=reference))
    items = tuple(
        _recorded(scope, reply, item)
        for item in reply.items
        if scope.may_list(join(reply.path, item.entry.path), item.entry.type)
    )
    shown = Shown(project=scope.project, role=scope.role)
    return msgspec.structs.replace(reply, items=items, shown=shown)


def _refuse_too_many(services: Services, standing: Standing, *, recursive: bool) -> None:
    if not recursive:
        return
    for count, _ in enumerate(walk(services.repository, standing.entry, standing.located.path), 1):
        if count > MOST_ENTRIES:
            raise LimitError(
                N_("{path} holds more than {limit} entries."),
                hint=N_("Ask for a directory in it."),
                path=standing.located.absolute,
                limit=MOST_ENTRIES,
            )


def _recorded(scope: RunScope, reply: EntriesReply, item: RecordedEntry) -> RecordedEntry:
    """The item; without content where that stands at a path that the run may not see, as a hard link's may."""
    entry = item.entry
    linked = entry.type is EntryType.HARDLINK
    place = join(reply.path, entry.link_target or "") if linked else join(reply.target, item.tree_path)
    if entry.type not in {EntryType.HARDLINK, EntryType.FILE} or scope.may_read(place):
        return item
    unread = msgspec.structs.replace(
        entry, type=EntryType.FILE, link_target=None, size=0, holes=(), digest=None
    )
    return msgspec.structs.replace(item, entry=unread, tree_path="")


def _compare(scope: RunScope, services: Services, request: Compare) -> Difference:
    before, after = _seen(scope, request.before), _seen(scope, request.after)
    reply = difference.compare(services, msgspec.structs.replace(request, before=before, after=after))
    roots = {
        side.path: services.timeline.locate(LOCAL, side.path).target.path
        for side in (reply.before, reply.after)
    }
    files = tuple(
        _without_links(scope, file, roots[reply.before.path], roots[reply.after.path])
        for file in reply.files
        if _shown(scope, file, reply)
    )
    return msgspec.structs.replace(reply, files=files)


def _shown(scope: RunScope, file: FileDifference, reply: Difference) -> bool:
    sides = (
        (join(reply.before.path, file.path), file.before),
        (join(reply.after.path, file.path), file.after),
    )
    return all(entry is None or scope.may_list(path, entry.type) for path, entry in sides)


def _without_links(scope: RunScope, file: FileDifference, before: str, after: str) -> FileDifference:
    return msgspec.structs.replace(
        file, before=_without_link(scope, file.before, before), after=_without_link(scope, file.after, after)
    )


def _without_link(scope: RunScope, entry: Entry | None, root: str) -> Entry | None:
    """The entry; without the name of the file that a hard link shares its content with, if the run may not see that."""
    if entry is None or entry.type is not EntryType.HARDLINK:
        return entry
    if scope.may_read(join(root, entry.link_target or "")):
        return entry
    return msgspec.structs.replace(entry, link_target="")


# Both ---------------------------------------------------------------------------------------------------------------------------------


def _seen(scope: RunScope, reference: Reference) -> Reference:
    """The reference with an absolute path in the project: a relative one, or none, is seen from there.

    Raises:
        DeniedError: it is of another server, or outside.
    """
    if reference.server != LOCAL:
        raise DeniedError(
            N_("A run sees nothing of other servers."),
            hint=N_(
                "Inside a run only the history of its own project can be asked. For a file of it write ./{name}"
            ),
            name=reference.server,
        )
    path = scope.absolute(reference.path)
    if not scope.holds(path):
        raise scope.outside(path)
    return msgspec.structs.replace(reference, path=path)


def _bounded(limit: int) -> int:
    return min(limit, MOST_ITEMS) if limit > 0 else MOST_ITEMS


SERVED: Final[Mapping[str, _Guard]] = {
    "log": _log,
    "find": _find,
    "where": _where,
    "cat": _cat,
    "content": _content,
    "contents": _contents,
    "entries": _entries,
    "compare": _compare,
    "runs.show": show_run,
    "proposal.list": list_proposals,
    "proposal.show": show_proposal,
}
"""Every operation that a run may call, and what keeps it to what the run may see. All of them only read."""


def recorded_text(services: Services, seq: int, path: str, *, limit: int) -> str | None:
    """The text of the file at the absolute ``path`` in the snapshot of record ``seq``; ``None``: there is none, or it is no text of at most
    ``limit`` bytes.
    """
    snapshot = services.timeline.snapshot_by_seq(seq)
    try:
        tree_path = relative_to(path, snapshot.target.path)
    except ValueError:
        return None
    entry = lookup(services.repository, decode_tree_entry(snapshot.root), tree_path)
    if entry is None or entry.type is not EntryType.FILE or entry.digest is None or entry.size > limit:
        return None
    reply = contents.content(services, ContentRequest(seq=seq, path=tree_path))
    content = bytearray(reply.size)
    for offset, data in reply.blocks:
        content[offset : offset + len(data)] = data
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None
