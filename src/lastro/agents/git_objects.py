"""What a Git repository holds, read as plain files of a ``Source``: its refs, and the objects that another repository lacks.

No Git runs here, and nothing but names and bytes is taken from the repository: its configuration, hooks, alternates and links mean
nothing. Everything is bounded, because an agent wrote it. gitrepository-layout(5), git-pack-refs(1), git-check-ref-format(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lastro.agents.layer_walk import GIT
from lastro.capture.source import FetchEvent, FileData, FileEnd, Source
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes

MOST_REFS: Final = 2000
MOST_OBJECTS: Final = 200_000
MOST_BYTES: Final = 2 * 1024**3
_LONGEST_REFS_FILE: Final = 4 * 1024 * 1024
_ID: Final = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\Z")
_REF: Final = re.compile(r"refs/(?:heads|tags)(?:/[A-Za-z0-9_+=@%][A-Za-z0-9_.+=@%,-]*)+\Z")
"""Fewer names than Git allows: none that needs quoting anywhere."""
_LOOSE: Final = re.compile(r"\.git/objects/[0-9a-f]{2}/(?:[0-9a-f]{38}|[0-9a-f]{62})\Z")
_PACK: Final = re.compile(r"\.git/objects/pack/pack-[0-9a-f]{40,64}\.pack\Z")
PACKED: Final = f"{GIT}/packed-refs"
OBJECTS: Final = f"{GIT}/objects"


def read_refs(source: Source, project: str) -> Mapping[str, str]:
    """Branches and tags → object ids. Symbolic refs are left out: where they lead is there under its own name.

    At most ``MOST_REFS``, and only those with plain names.
    """
    refs: dict[str, str] = {}
    loose: dict[str, Entry] = {}
    for item in source.list(project, (f"{GIT}/refs", PACKED), recursive=True):
        if not isinstance(item, Entry) or item.type not in {EntryType.FILE, EntryType.HARDLINK}:
            continue
        if item.path == PACKED:
            refs |= _packed(_content(source, project, item, _LONGEST_REFS_FILE))
        elif is_ref(item.path[len(GIT) + 1 :]) and len(loose) < MOST_REFS:
            loose[item.path] = item
    for path, entry in loose.items():
        found = _ID.match(_content(source, project, entry, 128).strip())
        if found is not None:
            refs[path[len(GIT) + 1 :]] = found[0].decode()
    return dict(list(refs.items())[:MOST_REFS])


def is_ref(name: str) -> bool:
    """Whether ``name`` is a branch or a tag that comes over."""
    return (
        _REF.match(name) is not None
        and ".." not in name
        and "@{" not in name
        and not any(part.endswith((".lock", ".")) for part in name.split("/"))
        and len(name) < 200
    )


def _packed(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in content.split(b"\n"):
        identity, _, name = line.partition(b" ")
        if _ID.match(identity) and is_ref(from_bytes(name)) and len(found) < MOST_REFS:
            found[from_bytes(name)] = identity.decode()
    return found


def objects(source: Source, project: str) -> Sequence[Entry]:
    """The files of loose objects and packs, at most ``MOST_OBJECTS`` and ``MOST_BYTES`` together."""
    found: list[Entry] = []
    size = 0
    for item in source.list(project, (OBJECTS,), recursive=True):
        if isinstance(item, Entry) and item.type is EntryType.FILE and is_object(item.path):
            size += item.size
            if len(found) >= MOST_OBJECTS or size > MOST_BYTES:
                break
            found.append(item)
    return found


def is_object(path: str) -> bool:
    """Whether a path of a project is that of an object of its repository, or of a pack of them."""
    return _LOOSE.match(path) is not None or is_pack(path)


def is_pack(path: str) -> bool:
    """Whether it is a pack."""
    return _PACK.match(path) is not None


def blocks(source: Source, project: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
    """The contents of ``entries``, no file longer than it was listed: an agent's file may claim less than it holds."""
    sizes = {entry.path: entry.size for entry in entries}
    for event in source.fetch(project, entries):
        if isinstance(event, FileData) and event.offset + len(event.data) > sizes[event.path]:
            continue
        yield event


def _content(source: Source, project: str, entry: Entry, most: int) -> bytes:
    """The bytes of a small file; none of one that is larger, or cannot be read."""
    if entry.size > most:
        return b""
    content = bytearray()
    whole = False
    for event in blocks(source, project, [entry]):
        if isinstance(event, FileData):
            content += bytes(event.offset - len(content)) + event.data
        whole = isinstance(event, FileEnd)
    return bytes(content) if whole else b""
