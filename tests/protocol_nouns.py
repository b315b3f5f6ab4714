"""Hypothesis strategies for what travels, and a pair of sessions without a network, for the tests of the protocol."""

from __future__ import annotations

from blake3 import blake3
from hypothesis import strategies as st

from lastro.domain.entry import Device, Entry, EntryType, Extent, Xattr
from lastro.domain.paths import from_bytes, tree_order
from lastro.domain.telemetry import DiskUse, Sample
from lastro.protocol.limits import KIB, Limits
from lastro.protocol.messages import CAPABILITIES, SUBPROTOCOL, Hello

SMALL = Limits(
    message_bytes=128 * KIB,
    part_bytes=64 * KIB,
    opened_bytes=96 * KIB,
    window_bytes=256 * KIB,
    parallel_commands=6,
    open_transfers=3,
    command_paths=16,
    part_items=7,
    path_bytes=4096,
    path_depth=64,
    entry_bytes=32 * KIB,
)
"""The least a peer may publish, more or less: what is bounded shows with little data."""


def hello_of(limits=SMALL, **fields):
    told = {
        "protocol": (SUBPROTOCOL,),
        "node_id": "NODE",
        "name": "web-01",
        "os": "Linux",
        "version": "0.1.0",
        "capabilities": CAPABILITIES,
        "limits": limits,
        "heartbeat_interval_s": 5.0,
        "roots_fingerprint": "00",
        "cursor": 7,
    }
    return Hello(**{**told, **fields})


def sample_of(*, cpu=100, free=50 * 10**9, total=10**11, memory=4 * 10**9, paths=("/srv",), time_ns=0):
    return Sample(
        time_ns=time_ns,
        cpu=cpu,
        load=420,
        processors=4,
        memory_total=8 * 10**9,
        memory_used=memory,
        own_cpu=3,
        own_memory=40_000_000,
        disks=tuple(DiskUse(path=path, total=total, free=free) for path in paths),
    )


def digest_of(content):
    return blake3(content).digest()


name_bytes = st.one_of(
    st.sampled_from(
        [b"a", b"b", b"a-b", b"A", b"\xff", b"caf\xc3\xa9", b'"', b"\\", b"\n", b"{[", b"x" * 255]
    ),
    st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"0")),
).filter(lambda name: name not in {b".", b".."})
names = name_bytes.map(from_bytes)
paths = st.lists(name_bytes, min_size=1, max_size=5).map(lambda parts: from_bytes(b"/".join(parts)))
roots = st.sampled_from(["/", "/srv", "/srv/web site", "/srv/\udcff"])
anything = st.binary(max_size=20).map(lambda raw: from_bytes(raw.replace(b"\0", b"0")))
signed = st.integers(-(1 << 63), (1 << 63) - 1)
unsigned32 = st.integers(0, (1 << 32) - 1)
unsigned64 = st.integers(0, (1 << 64) - 1)
kinds = st.sampled_from(list(EntryType))
xattrs = st.dictionaries(names, st.binary(max_size=40), max_size=3).map(
    lambda pairs: tuple(
        Xattr(name, pairs[name])
        for name in sorted(pairs, key=lambda name: name.encode("utf-8", "surrogateescape"))
    )
)


@st.composite
def entries(draw, path=paths, kind=kinds):
    """Any entry that an honest node may send."""
    where, what = draw(path), draw(kind)
    if what is EntryType.HARDLINK and tree_order(where) <= tree_order("a"):
        what = EntryType.SYMLINK
    file = what is EntryType.FILE
    size = draw(st.integers(0, 1 << 42)) if file else 0
    target = {EntryType.SYMLINK: draw(anything) or "x", EntryType.HARDLINK: "a"}.get(what)
    if what is EntryType.HARDLINK and tree_order("a") >= tree_order(where):
        what, target = EntryType.SYMLINK, "x"
    return Entry(
        path=where,
        type=what,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(unsigned32),
        gid=draw(unsigned32),
        user=draw(anything),
        group=draw(anything),
        mtime_ns=draw(signed),
        ctime_ns=draw(signed),
        btime_ns=draw(st.none() | signed),
        size=size,
        link_target=target,
        rdev=Device(draw(unsigned32), draw(unsigned32))
        if what in {EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE}
        else None,
        xattrs=draw(xattrs),
        flags=draw(unsigned32),
        holes=draw(_holes(size)) if file else (),
        digest=draw(st.none() | st.binary(min_size=32, max_size=32)) if file else None,
        torn=draw(st.booleans()) if file else False,
        dev=draw(unsigned64),
        inode=draw(unsigned64),
        nlink=draw(unsigned32),
    )


def _holes(size):
    marks = st.lists(st.integers(0, size), max_size=6, unique=True).map(sorted)
    return marks.map(
        lambda at: tuple(Extent(a, b - a) for a, b in zip(at[::2], at[1::2], strict=False) if b > a)
    )


def plain_entry(path, kind=EntryType.FILE, **fields):
    return Entry(**{"path": path, "type": kind, "mode": 0o644, "user": "root", "group": "root", **fields})
