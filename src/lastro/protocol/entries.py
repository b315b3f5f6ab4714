"""Paths and entries as they travel, and the way to and from the nouns of ``domain`` (``docs/protocol.md``, Paths and Entry).

What always holds: no byte of a name is lost, and nothing that comes out of ``entry_from_wire`` can leave its root or means two things.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final

from blake3 import blake3
from msgspec import Meta, Struct
from msgspec.structs import replace

from lastro.domain.entry import Device, Entry, EntryType, Extent, Xattr
from lastro.domain.ids import Digest
from lastro.domain.paths import check_relative, from_bytes, join, name_of, to_bytes, tree_order
from lastro.errors import LimitError, ProtocolError
from lastro.messages import N_
from lastro.protocol.codec import encode_canonical
from lastro.protocol.limits import Limits


class PathBytes(Struct, frozen=True):
    """A string of bytes that is not valid UTF-8, in base64."""

    b64: bytes


WirePath = str | PathBytes
"""A path, or any other string of bytes that the file system knows: a JSON string when it is valid UTF-8, else ``{"b64": ...}``."""

Unsigned32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
Unsigned63 = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Unsigned64 = Annotated[
    int, Meta(ge=0)
]  # the upper bound is checked by hand: msgspec's bounds end at 2**63 - 1
Signed64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
DigestText = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_LARGEST_64: Final = (1 << 64) - 1


class WireXattr(Struct, frozen=True, kw_only=True):
    """One extended attribute; ``value`` in base64."""

    name: WirePath
    value: bytes


class WireEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="item", tag="entry"):
    """An entry as it travels. ``docs/protocol.md``, Entry."""

    name: WirePath
    """Last component of ``path``; for the root itself that of ``watch_root``."""
    path: WirePath
    """Absolute on the server: ``watch_root`` and ``rel_path`` together."""
    watch_root: WirePath
    rel_path: WirePath
    """Relative to ``watch_root``; empty for the root itself."""
    type: EntryType
    size: Unsigned63
    mode: Annotated[int, Meta(ge=0, le=0o7777)]
    uid: Unsigned32
    gid: Unsigned32
    user: WirePath
    group: WirePath
    mtime_ns: Signed64
    ctime_ns: Signed64
    btime_ns: Signed64 | None = None
    inode: Unsigned64
    dev: Unsigned64
    nlink: Unsigned63
    link_target: WirePath | None = None
    """Of a symlink as it is written; of a hard link the ``rel_path`` of its group's first member."""
    rdev: tuple[Unsigned32, Unsigned32] | None = None
    """Major and minor number of a device."""
    xattrs: tuple[WireXattr, ...] = ()
    """Sorted by the bytes of their names."""
    flags: Unsigned32 = 0
    holes: tuple[tuple[Unsigned63, Unsigned63], ...] = ()
    """``[offset, length]`` each, sorted, not touching."""
    digest: DigestText | None = None
    """BLAKE3-256 of the logical content, in hex; known once the content has been read."""
    torn: bool = False


class WireSkipped(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="item", tag="skipped"):
    """A path that a listing does not descend into, or cannot read. ``docs/protocol.md``, Skipped."""

    kind: Annotated[str, Meta(pattern="^(excluded|unreadable)$")]
    rel_path: WirePath
    detail: Annotated[str, Meta(max_length=64)] = ""


def wire_path(path: str) -> WirePath:
    """``path`` as it travels."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return PathBytes(to_bytes(path))
    return path


def path_from_wire(path: WirePath) -> str:
    """The inverse of ``wire_path``: byte-faithful, without any check of its meaning."""
    return path if isinstance(path, str) else from_bytes(path.b64)


def relative_from_wire(path: WirePath, limits: Limits) -> str:
    """A relative path that cannot leave its root.

    Raises:
        LimitError: too long or too deep.
        ProtocolError: it is absolute, or has empty, ``.`` or ``..`` components, or a NUL.
    """
    text = path_from_wire(path)
    _check_length(text, limits)
    return check_relative(text)


def absolute_from_wire(path: WirePath, limits: Limits) -> str:
    """An absolute path in its one normal form.

    Raises:
        LimitError: too long or too deep.
        ProtocolError: it is relative, or not normal.
    """
    text = path_from_wire(path)
    _check_length(text, limits)
    if not text.startswith("/"):
        raise ProtocolError(N_("The peer sent an impossible absolute path: {path}"), path=ascii(text))
    check_relative(text[1:])
    return text


def entry_to_wire(entry: Entry, root: str) -> WireEntry:
    """``entry`` below the absolute path ``root`` as it travels."""
    path = join(root, entry.path)
    return WireEntry(
        name=wire_path(name_of(path)),
        path=wire_path(path),
        watch_root=wire_path(root),
        rel_path=wire_path(entry.path),
        type=entry.type,
        size=entry.size,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        user=wire_path(entry.user),
        group=wire_path(entry.group),
        mtime_ns=entry.mtime_ns,
        ctime_ns=entry.ctime_ns,
        btime_ns=entry.btime_ns,
        inode=entry.inode,
        dev=entry.dev,
        nlink=entry.nlink,
        link_target=None if entry.link_target is None else wire_path(entry.link_target),
        rdev=None if entry.rdev is None else (entry.rdev.major, entry.rdev.minor),
        xattrs=tuple(WireXattr(name=wire_path(each.name), value=each.value) for each in entry.xattrs),
        flags=entry.flags,
        holes=tuple((hole.offset, hole.length) for hole in entry.holes),
        digest=None if entry.digest is None else entry.digest.hex(),
        torn=entry.torn,
    )


def fit_entry(entry: Entry, root: str, limits: Limits) -> WireEntry | None:
    """``entry_to_wire`` for a peer with ``limits``: an entry that is too large travels without its holes, or not at all (``None``)."""
    wire = entry_to_wire(entry, root)
    if _fits(wire, limits):
        return wire
    wire = replace(wire, holes=())
    return wire if _fits(wire, limits) else None


def _fits(wire: WireEntry, limits: Limits) -> bool:
    return wire.size <= limits.file_bytes and len(encode_canonical(wire)) <= limits.entry_bytes


def entry_from_wire(wire: WireEntry, root: str, limits: Limits) -> Entry:
    """The entry a peer sent, checked: below ``root``, its names agreeing with each other, its fields those of its type.

    Raises:
        LimitError: larger than published.
        ProtocolError: anything else that no honest peer sends.
    """
    path = relative_from_wire(wire.rel_path, limits)
    absolute = join(root, path)
    named = (path_from_wire(wire.watch_root), path_from_wire(wire.path), path_from_wire(wire.name))
    if named != (root, absolute, name_of(absolute)):
        raise _contradiction(path, "path")
    if wire.inode > _LARGEST_64 or wire.dev > _LARGEST_64:
        raise _contradiction(path, "inode")
    xattrs = tuple(Xattr(path_from_wire(each.name), each.value) for each in wire.xattrs)
    entry = Entry(
        path=path,
        type=wire.type,
        mode=wire.mode,
        uid=wire.uid,
        gid=wire.gid,
        user=path_from_wire(wire.user),
        group=path_from_wire(wire.group),
        mtime_ns=wire.mtime_ns,
        ctime_ns=wire.ctime_ns,
        btime_ns=wire.btime_ns,
        size=wire.size,
        link_target=None if wire.link_target is None else path_from_wire(wire.link_target),
        rdev=None if wire.rdev is None else Device(*wire.rdev),
        xattrs=xattrs,
        flags=wire.flags,
        holes=tuple(Extent(*hole) for hole in wire.holes),
        digest=None if wire.digest is None else Digest(bytes.fromhex(wire.digest)),
        torn=wire.torn,
        dev=wire.dev,
        inode=wire.inode,
        nlink=wire.nlink,
    )
    _check_fields(entry, limits)
    return entry


_LINKS: Final = frozenset({EntryType.SYMLINK, EntryType.HARDLINK})
_DEVICES: Final = frozenset({EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE})


def _check_fields(entry: Entry, limits: Limits) -> None:
    """Every field belongs to the entry's type, and is in its one order."""
    is_file = entry.type is EntryType.FILE
    if entry.size > limits.file_bytes:
        raise LimitError(N_("The peer sent a file that is too large: {path}"), path=ascii(entry.path))
    if not is_file and (entry.size or entry.holes or entry.digest or entry.torn):
        raise _contradiction(entry.path, "size")
    if (entry.link_target is not None) != (entry.type in _LINKS):
        raise _contradiction(entry.path, "link_target")
    if (entry.rdev is not None) != (entry.type in _DEVICES):
        raise _contradiction(entry.path, "rdev")
    if entry.link_target is not None:
        _check_target(entry, entry.link_target, limits)
    names = [to_bytes(xattr.name) for xattr in entry.xattrs]
    if any(not name or b"\0" in name for name in names) or any(a >= b for a, b in pairwise(names)):
        raise _contradiction(entry.path, "xattrs")
    if "\0" in entry.user or "\0" in entry.group:
        raise _contradiction(entry.path, "user")
    end = -1
    for hole in entry.holes:
        if hole.length == 0 or hole.offset <= end or hole.offset + hole.length > entry.size:
            raise _contradiction(entry.path, "holes")
        end = hole.offset + hole.length


def _check_target(entry: Entry, target: str, limits: Limits) -> None:
    _check_length(target, limits)
    if not target or "\0" in target:
        raise _contradiction(entry.path, "link_target")
    if entry.type is EntryType.HARDLINK and tree_order(check_relative(target)) >= tree_order(entry.path):
        raise _contradiction(entry.path, "link_target")


def _check_length(path: str, limits: Limits) -> None:
    if len(path) > limits.path_bytes or len(to_bytes(path)) > limits.path_bytes:
        raise LimitError(N_("The peer sent a path that is too long ({length} characters)."), length=len(path))
    if path.count("/") >= limits.path_depth:
        raise LimitError(
            N_("The peer sent a path that is too deep ({depth} components)."), depth=path.count("/") + 1
        )


def _contradiction(path: str, field: str) -> ProtocolError:
    return ProtocolError(
        N_("The peer sent an entry that contradicts itself in {field}: {path}"), field=field, path=ascii(path)
    )


def roots_fingerprint(roots: Sequence[tuple[str, Sequence[str]]]) -> str:
    """One short word for (path, excludes) of every watched root, whatever their order: changes when a dump has to be made again.

    BLAKE3-256 over the sorted roots, each as its path and its excludes in order, every string followed by a NUL and every root by one more.
    The first 32 hex digits.
    """
    lines = sorted(b"".join(to_bytes(text) + b"\0" for text in (path, *excludes)) for path, excludes in roots)
    return blake3(b"".join(line + b"\0" for line in lines)).hexdigest()[:32]
