"""Operations that give contents: ``cat``, and the steps ``content`` and ``contents``."""

from __future__ import annotations

from lastro.app.caller import Bytes
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.standing import Standing, entry_in, stand
from lastro.app.requests import Cat, ContentRequest, ContentsRequest
from lastro.app.services import Services
from lastro.domain.entry import EntryType
from lastro.domain.paths import join
from lastro.errors import LimitError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.store.content import read_content
from lastro.store.tree import TreeEntry, decode_tree_entry, lookup, to_entry


def cat(services: Services, request: Cat) -> Bytes:
    """The content of one file at an instant."""
    standing = stand(services, request.reference, last=False)
    path, entry = standing.located.path, standing.entry
    if entry.type is EntryType.HARDLINK:
        path, entry = _leader(services, standing, entry)
    return content(
        services, ContentRequest(seq=standing.snapshot.seq, path=path), expect=standing.located.absolute
    )


def content(services: Services, request: ContentRequest, *, expect: str = "") -> Bytes:
    """The bytes of a recorded file, by snapshot record and path in its tree."""
    snapshot = services.timeline.snapshot_by_seq(request.seq)
    entry = lookup(services.repository, decode_tree_entry(snapshot.root), request.path)
    shown = expect or join(snapshot.target.path, request.path)
    if entry is None:
        raise NotFoundError(N_("{path} was not there in snap-{number}."), path=shown, number=snapshot.number)
    if entry.type is not EntryType.FILE:
        raise UsageError(
            N_("{path} is not a file."),
            hint=N_("List a directory's history with 'lastro log {path}'."),
            path=shown,
        )
    if entry.digest is None:
        raise NotFoundError(
            N_("The content of {path} could not be read when snap-{number} was taken."),
            hint=N_("See 'lastro log {path}' for other versions."),
            path=shown,
            number=snapshot.number,
        )
    return Bytes(size=entry.size, digest=entry.digest, blocks=read_content(services.repository, entry))


def contents(services: Services, request: ContentsRequest) -> Bytes:
    """The bytes of small recorded files, one after the other.

    Raises:
        LimitError: together they are larger than ``CONTENTS_LIMIT``.
    """
    pieces: list[tuple[int, bytes]] = []
    size = 0
    for item in request.items:
        one = content(services, item)
        size += one.size
        if size > CONTENTS_LIMIT:
            raise LimitError(
                N_("Files of more than {limit} bytes were asked for at once."), limit=CONTENTS_LIMIT
            )
        whole = bytearray(one.size)
        for offset, data in one.blocks:
            whole[offset : offset + len(data)] = data
        pieces.append((size - one.size, bytes(whole)))
    return Bytes(size=size, digest=b"", blocks=iter(pieces))


CONTENTS_LIMIT = 4 * 1024 * 1024
"""Bytes of one ``contents`` reply."""


def _leader(services: Services, standing: Standing, link: TreeEntry) -> tuple[str, TreeEntry]:
    path = to_entry(link, standing.located.path).link_target or ""
    entry = entry_in(services, standing.snapshot, path)
    if entry is None:
        raise NotFoundError(
            N_("{path} is a hard link to {target}, which was not captured."),
            path=standing.located.absolute,
            target=path,
        )
    return path, entry


OPERATIONS = (
    Operation(
        name="cat",
        request=Cat,
        reply=Bytes,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=cat,
        summary=N_("The content of a file as it was."),
    ),
    Operation(
        name="contents",
        request=ContentsRequest,
        reply=Bytes,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=contents,
        summary=N_("The bytes of many small recorded files."),
        internal=True,
    ),
    Operation(
        name="content",
        request=ContentRequest,
        reply=Bytes,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=content,
        summary=N_("The bytes of one recorded file."),
        internal=True,
    ),
)
