"""Trees for laws: entries of every type, and whole listings as ``{path: Entry}``."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from lastro.domain.entry import Device, Entry, EntryType, Extent, Xattr
from lastro.domain.paths import from_bytes, join, parent_of, tree_order
from lastro.store.tree import to_tree_entry

# few names, so that trees meet; some not UTF-8, some that sort differently as text
names = st.sampled_from(
    [b"a", b"b", b"c", b"a.b", b"\xff\x01", "é".encode(), b"z" * 200, b"\xf0\x9f\x98\x80", b"\x01"]
).map(from_bytes)
whole = st.integers(0, (1 << 63) - 1)
small = st.integers(0, 3)
digests = st.binary(min_size=32, max_size=32)
text = st.binary(max_size=6).map(from_bytes)


def plain(path, kind=EntryType.FILE, **fields):
    return Entry(path=path, type=kind, **fields)


full_entries = st.builds(
    Entry,
    path=st.just("name"),
    type=st.sampled_from(list(EntryType)),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, (1 << 32) - 1),
    gid=st.integers(0, (1 << 32) - 1),
    user=text,
    group=text,
    mtime_ns=st.integers(-(1 << 62), (1 << 62)),
    ctime_ns=whole,
    btime_ns=st.none() | whole,
    size=whole,
    link_target=st.none() | text,
    rdev=st.none() | st.builds(Device, small, small),
    xattrs=st.lists(st.builds(Xattr, text, st.binary(max_size=8)), max_size=3).map(tuple),
    flags=st.integers(0, (1 << 32) - 1),
    holes=st.lists(st.builds(Extent, whole, whole), max_size=3).map(tuple),
    digest=st.none() | digests,
    torn=st.booleans(),
)


@st.composite
def listings(draw):
    """A root directory and what it holds, ``{path: Entry}``."""
    found = {"": plain("", EntryType.DIRECTORY, mode=0o755)}
    directories = [""]
    for _ in range(draw(st.integers(0, 14))):
        path = join(draw(st.sampled_from(directories)), draw(names))
        if path in found:
            continue
        kind = draw(st.sampled_from([EntryType.FILE, EntryType.FILE, EntryType.DIRECTORY, EntryType.SYMLINK]))
        digest = bytes([draw(small)]) * 32 if kind is EntryType.FILE else None
        found[path] = plain(path, kind, mode=draw(small), mtime_ns=draw(small), digest=digest)
        if kind is EntryType.DIRECTORY:
            directories.append(path)
    return found


def in_order(listing):
    return [listing[path] for path in sorted(listing, key=tree_order)]


def as_edits(listing):
    return {path: to_tree_entry(entry) for path, entry in listing.items()}


def without(listing, path):
    """The listing after ``path`` and all below it is gone."""
    return {key: entry for key, entry in listing.items() if key != path and not key.startswith(f"{path}/")}


def edited(listing, edits):
    """What ``update`` promises, on a listing. Raises ``KeyError`` where it raises ``ConflictError``."""
    result = dict(listing)
    for path in sorted(edits, key=tree_order):
        entry = edits[path]
        if entry is None:
            result = without(result, path)
        else:
            if path and result[parent_of(path)].type is not EntryType.DIRECTORY:
                raise KeyError(path)
            if entry.type is not EntryType.DIRECTORY:
                result = without(result, path)
            result[path] = msgspec.structs.replace(entry, path=path)
    return result
