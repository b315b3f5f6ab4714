"""Hypothesis strategies for the nouns of the domain: names, paths, entries, whole trees, change sets, references.

The alphabets are small on purpose: two trees drawn apart share most of their paths, and names that sort differently as bytes, as
text and as paths (``a``, ``a-b``, ``a/b``) meet all the time. What always holds of a drawn tree: it is a dict path → entry in tree
order, its root is a directory, everything lies in a directory, and a hard link names the first member of its group and has the
group's attributes.
"""

from __future__ import annotations

from blake3 import blake3
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.changes import ChangeSet, diff
from lastro.domain.entry import Device, Entry, EntryType, Extent, Xattr
from lastro.domain.ids import Digest
from lastro.domain.paths import from_bytes, join, parent_of, to_bytes, tree_order
from lastro.domain.reference import ID_KINDS, AtId, AtNow, AtTime, Reference

CONTENTS = {
    Digest(blake3(content).digest()): content for content in (b"", b"x", b"one\n", b"two\n", bytes(5000))
}
"""What drawn files hold, by digest."""

NAMES = [b"a", b"b", b"a-b", b"a.b", b"A", b"a b", b"0", b"\xff", b"\xc3\xa9", b"c@2d"]

any_name = st.binary(min_size=1, max_size=12).map(
    lambda raw: from_bytes(raw.replace(b"/", b"_").replace(b"\0", b"0"))
)
"""Any name a file system can hold, but ``.`` and ``..``."""
any_name = any_name.filter(lambda name: name not in {".", ".."})
names = st.one_of(st.sampled_from(NAMES).map(from_bytes), any_name)
few_names = st.sampled_from(NAMES[:5]).map(from_bytes)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
"""Relative paths; not the root."""
absolute_paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))
any_text = st.binary(max_size=20).map(lambda raw: from_bytes(raw.replace(b"\0", b"0")))
"""Any byte-faithful string: the target of a symlink, the name of a user."""

instants_ns = st.integers(-(1 << 63), (1 << 63) - 1)
modes = st.sampled_from([0o644, 0o600, 0o755, 0o4755, 0o7777, 0])
xattrs = st.dictionaries(any_name, st.binary(max_size=8), max_size=2).map(
    lambda pairs: tuple(Xattr(name, pairs[name]) for name in sorted(pairs, key=to_bytes))
)
digests = st.sampled_from(sorted(CONTENTS))


@st.composite
def holes(draw, size):
    """Extents in a file of ``size`` bytes, sorted and not touching."""
    if size < 2:
        return ()
    marks = sorted(draw(st.lists(st.integers(0, size), max_size=4, unique=True)))
    return tuple(Extent(a, b - a) for a, b in zip(marks[::2], marks[1::2], strict=False))


@st.composite
def entries(draw, path=paths, kinds=st.sampled_from(EntryType), *, stored=True):  # noqa: B008  strategies are values
    """An entry of any type. ``stored``: every file has its digest. The leader of a hard link is the path before it, ``leader``."""
    kind = draw(kinds)
    file = kind is EntryType.FILE
    digest = draw(digests if stored else st.none() | digests) if file else None
    size = draw(st.integers(0, 1 << 44)) if file and digest is None else len(CONTENTS.get(digest, b""))
    target = {EntryType.SYMLINK: draw(any_text) or "x", EntryType.HARDLINK: "leader"}.get(kind)
    special = kind in {EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE}
    return Entry(
        path=draw(path),
        type=kind,
        mode=0o777 if kind is EntryType.SYMLINK else draw(modes),
        uid=draw(st.sampled_from([0, 1000])),
        gid=draw(st.sampled_from([0, 1000])),
        user=draw(any_text),
        group=draw(any_text),
        mtime_ns=draw(instants_ns),
        ctime_ns=draw(instants_ns),
        btime_ns=draw(st.none() | instants_ns),
        size=size,
        link_target=target,
        rdev=Device(draw(st.integers(0, 3)), draw(st.integers(0, 3))) if special else None,
        xattrs=draw(xattrs),
        flags=draw(st.sampled_from([0, 0x10, 0x40])),
        holes=draw(holes(size)) if file else (),
        digest=digest,
        torn=draw(st.booleans()) if file else False,
    )


FORMS = tuple(
    {
        "mode": (0o644, 0o755, 0o4711)[number % 3],
        "uid": number % 2,
        "user": "root" if number % 2 == 0 else "\udcff",
        "mtime_ns": 1_000 * number,
        "ctime_ns": 7 * number,
        "xattrs": (Xattr("user.note", bytes([number])),) if number == 3 else (),
        "flags": 0x40 if number == 4 else 0,
    }
    for number in range(6)
)
"""Attributes, in as many forms as entries of a tree come in."""

_KINDS = st.sampled_from([*[EntryType.FILE] * 4, *[EntryType.HARDLINK] * 4, *EntryType])


def _specifications(most, kinds=_KINDS):
    name = few_names
    path = st.lists(name, min_size=1, max_size=3).map("/".join)
    return st.lists(st.tuples(path, kinds, st.integers(0, 5)), max_size=most)


def tree_of(specifications, *, stored=True):
    """The tree of ``(path, type, form)``; the last word on a path counts, and a path that holds another is a directory. A ``HARDLINK``
    names some file before it, by its form. Not ``stored``: files of form 5 have no digest.
    """
    wanted = {"": (EntryType.DIRECTORY, 0)}
    wanted |= {path: (kind, form) for path, kind, form in specifications}
    for path in list(wanted):
        above = parent_of(path)
        while path and wanted.get(above, (None, 0))[0] is not EntryType.DIRECTORY:
            wanted[above] = (EntryType.DIRECTORY, wanted.get(above, (None, 0))[1])
            above = parent_of(above)
    tree = {}
    for path in sorted(wanted, key=tree_order):
        kind, form = wanted[path]
        files = [entry for entry in tree.values() if entry.type is EntryType.FILE]
        if kind is EntryType.HARDLINK and files:
            tree[path] = as_link(files[form % len(files)], path)
        else:
            tree[path] = _entry(path, EntryType.FILE if kind is EntryType.HARDLINK else kind, form, stored)
    return tree


def _entry(path, kind, form, stored):
    file = kind is EntryType.FILE
    digest = sorted(CONTENTS)[form % len(CONTENTS)]
    size = len(CONTENTS[digest]) if file else 0
    return Entry(
        path=path,
        type=kind,
        **FORMS[form] | ({"mode": 0o777} if kind is EntryType.SYMLINK else {}),
        size=size,
        link_target="to\udcff" + str(form) if kind is EntryType.SYMLINK else None,
        rdev=Device(form, 0) if kind in {EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE} else None,
        holes=(Extent(0, 4096),) if size >= 4096 else (),
        digest=digest if file and (stored or form != 5) else None,
        torn=file and form == 4,
    )


def trees(*, stored=True, most=8):
    """A tree as a snapshot records it: a dict path → entry in tree order, with ``""`` as its root. Not ``stored``: some content is not."""
    return _specifications(most).map(lambda drawn: tree_of(drawn, stored=stored))


def tree_pairs(*, stored=True, most=5):
    """Two states of one place, with some of it as it was."""
    return st.tuples(_specifications(most), _specifications(most), _specifications(most)).map(
        lambda drawn: (
            tree_of(drawn[0] + drawn[1], stored=stored),
            tree_of(drawn[0] + drawn[2], stored=stored),
        )
    )


def as_link(leader, path):
    """``path`` as a later member of the hard-link group of ``leader``."""
    return replace(
        leader,
        path=path,
        type=EntryType.HARDLINK,
        link_target=leader.path,
        size=0,
        holes=(),
        digest=None,
        torn=False,
    )


def as_live(tree):
    """A recorded tree as a file system holds it: every member of a hard-link group is the file itself, told by device and inode."""
    members = {}
    for path, entry in tree.items():
        leader = entry.link_target if entry.type is EntryType.HARDLINK else path
        members.setdefault(leader or "", []).append(path)
    live = {}
    for inode, (leader, group) in enumerate(members.items(), start=2):
        for path in group:
            live[path] = replace(tree[leader], path=path, dev=1, inode=inode, nlink=len(group))
    return {path: live[path] for path in tree}


def moved(tree, top):
    """A tree as a part of another place, below ``top``."""
    return {
        join(top, path): replace(
            entry,
            path=join(top, path),
            link_target=join(top, entry.link_target)
            if entry.type is EntryType.HARDLINK and entry.link_target is not None
            else entry.link_target,
        )
        for path, entry in tree.items()
    }


change_sets = tree_pairs().map(lambda pair: ChangeSet(tuple(diff(pair[0].values(), pair[1].values()))))

server_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
instants = st.one_of(
    st.builds(AtTime, st.integers(0, 1 << 61)),
    st.just(AtNow()),
    st.builds(AtId, st.sampled_from(ID_KINDS), st.integers(1, 10**9), st.booleans()),
)
references = st.builds(
    Reference,
    server=server_names,
    path=st.one_of(st.just(""), paths, absolute_paths),
    at=st.none() | instants,
)
