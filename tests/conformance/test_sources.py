"""What every ``Source`` keeps: the same entries, the same bytes, the same refusals, for easy files and for hard ones."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
from contextlib import contextmanager

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lastro.capture.local import LocalSource
from lastro.capture.read import ATTEMPTS, BLOCK, Reading
from lastro.capture.source import Changes, FileBegin, FileData, FileEnd, FileFailed, Root, Skipped
from lastro.capture.watch import InotifyWatcher
from lastro.domain.entry import Device, Entry, EntryType, Extent
from lastro.domain.ids import EMPTY_DIGEST
from lastro.domain.paths import from_bytes, tree_order
from lastro.errors import LastroError, NotFoundError
from lastro.filesystem.marker import Marker, write_marker
from lastro.filesystem.system import System
from tests import hard_files
from tests.capabilities import needs
from tests.conformance.sources import SOURCES

pytestmark = pytest.mark.slow

NOBODY = 65534


@pytest.fixture
def top():
    with hard_files.place() as directory:
        yield directory


@pytest.fixture(params=SOURCES)
def serve(request):
    """How the implementation under test is made from a local source; a context manager."""
    return SOURCES[request.param]


class AsNobody:
    """A source of which every system call is made by a user without rights; by root such a user is borrowed for each step."""

    def __init__(self, source):
        self._source = source

    def roots(self):
        return self._source.roots()

    def list(self, root, paths=("",), *, recursive=True):
        return self._steps(self._source.list(root, paths, recursive=recursive))

    def fetch(self, root, entries):
        return self._steps(self._source.fetch(root, entries))

    def changes(self, cursor, timeout_s):
        return self._source.changes(cursor, timeout_s)

    def _steps(self, steps):
        while True:
            with nobody():
                step = next(steps, None)
            if step is None:
                return
            yield step


@contextmanager
def nobody():
    """This thread without root's rights to files (setfsuid(2))."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.setfsgid(NOBODY)
    libc.setfsuid(NOBODY)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)


def listed(source, root, paths=("",), *, recursive=True):
    return list(source.list(root, paths, recursive=recursive))


def entries(source, root, paths=("",), *, recursive=True):
    return {
        each.path: each
        for each in listed(source, root, paths, recursive=recursive)
        if isinstance(each, Entry)
    }


def skipped(source, root, paths=("",), *, recursive=True):
    return {
        (each.path, each.kind, each.detail)
        for each in listed(source, root, paths, recursive=recursive)
        if isinstance(each, Skipped)
    }


def asked(*paths):
    return [Entry(path=path, type=EntryType.FILE) for path in paths]


def fetched(source, root, wanted):
    """``{path: (content, closing event)}``, checked on the way: order, one file at a time, offsets, sizes of blocks, digests."""
    found, current, content, position, sent = {}, None, bytearray(), 0, 0
    for event in source.fetch(root, wanted):
        if isinstance(event, FileBegin):
            assert event.path not in found
            current, content, position = event.path, bytearray(), 0
        elif isinstance(event, FileData):
            assert event.path == current
            assert event.offset >= position and 0 < len(event.data) <= BLOCK
            content += bytes(event.offset - position) + event.data
            position = event.offset + len(event.data)
            sent += len(event.data)
        elif isinstance(event, FileEnd):
            assert event.path == current == event.entry.path
            content += bytes(event.entry.size - position)
            assert len(content) == event.entry.size
            assert event.entry.digest == blake3(content).digest()
            found[event.path] = (bytes(content), event)
            current = None
        else:
            found[event.path] = (None, event)
            current = None
    assert list(found) == [each.path for each in wanted]
    return found


def content_of(source, root, path):
    return fetched(source, root, asked(path))[path][0]


# Listing -----------------------------------------------------------------------------------------------------------------------------


def test_roots_are_told_as_they_are(top, serve):
    roots = (Root(path=top, excludes=("*.tmp",)), Root(path="/elsewhere"))
    with serve(LocalSource(roots)) as source:
        assert tuple(source.roots()) == roots


def test_a_listing_is_in_tree_order_and_says_what_everything_is(top, serve):
    os.makedirs(f"{top}/b/c")
    hard_files.write(f"{top}/b/c/file", b"12345")
    hard_files.write(f"{top}/b.txt")
    os.mkdir(f"{top}/empty")
    os.symlink("b/c", f"{top}/link")
    os.mkfifo(f"{top}/fifo", 0o640)
    hard_files.unix_socket(f"{top}/socket")
    os.chmod(f"{top}/b.txt", 0o4751)
    os.utime(f"{top}/b/c/file", ns=(5, 1_234_567_890_123_456_789))
    with serve(LocalSource([Root(path=top)])) as source:
        found = listed(source, top)
    assert [(each.path, each.type.value) for each in found] == [
        ("", "dir"),
        ("b", "dir"),
        ("b/c", "dir"),
        ("b/c/file", "file"),
        ("b.txt", "file"),
        ("empty", "dir"),
        ("fifo", "fifo"),
        ("link", "symlink"),
        ("socket", "socket"),
    ]
    by_path = {each.path: each for each in found}
    assert by_path["b.txt"].mode == 0o4751
    assert by_path["link"].link_target == "b/c"
    file, status = by_path["b/c/file"], os.lstat(f"{top}/b/c/file")
    assert (file.size, file.mtime_ns, file.ctime_ns) == (5, 1_234_567_890_123_456_789, status.st_ctime_ns)
    assert (file.dev, file.inode, file.nlink) == (status.st_dev, status.st_ino, 1)
    assert (file.uid, file.gid) == (os.getuid(), os.getgid())
    assert file.btime_ns is None or 0 < file.btime_ns <= status.st_ctime_ns
    assert file.digest is None and file.holes == () and file.rdev is None
    assert by_path["b"].size == 0


def test_a_listing_of_the_direct_children_stops_there(top, serve):
    os.makedirs(f"{top}/a/b/c")
    hard_files.write(f"{top}/a/file")
    with serve(LocalSource([Root(path=top)])) as source:
        assert list(entries(source, top, recursive=False)) == ["", "a"]
        assert list(entries(source, top, ["a"], recursive=False)) == ["a", "a/b", "a/file"]
        assert list(entries(source, top, ["a/file"], recursive=False)) == ["a/file"]
        assert list(entries(source, top, ["a/b"])) == ["a/b", "a/b/c"]


@pytest.mark.parametrize(
    ("paths", "recursive", "answer"),
    [
        (["z", "a", "a"], True, ["a", "a/b", "a/b/c", "a/b/c/file", "a/x", "z"]),
        (["a/b", "a"], True, ["a", "a/b", "a/b/c", "a/b/c/file", "a/x"]),
        (["a", "a/b"], False, ["a", "a/b", "a/b/c", "a/x"]),
        (["a/b/c", "a"], False, ["a", "a/b", "a/b/c", "a/b/c/file", "a/x"]),
        (["", "a/b"], False, ["", "a", "a/b", "a/b/c", "z"]),
        (["missing", "a/missing", "z/below-a-file", "a/x"], True, ["a/x"]),
        ([], True, []),
    ],
)
def test_asked_paths_are_answered_in_tree_order_and_once(top, serve, paths, recursive, answer):
    os.makedirs(f"{top}/a/b/c")
    for path in ("a/b/c/file", "a/x", "z"):
        hard_files.write(f"{top}/{path}")
    with serve(LocalSource([Root(path=top)])) as source:
        assert [each.path for each in listed(source, top, paths, recursive=recursive)] == answer


@pytest.mark.needs("names of any bytes")
def test_no_byte_of_a_name_is_lost(top, serve):
    names = [from_bytes(name) for name in hard_files.NAMES]
    for name in names:
        os.mkdir(os.fsencode(top) + b"/" + name.encode("utf-8", "surrogateescape"))
        hard_files.write(f"{top}/{name}/{name}", name.encode("utf-8", "surrogateescape"))
    expected = sorted(["", *names, *(f"{name}/{name}" for name in names)], key=tree_order)
    with serve(LocalSource([Root(path=top)])) as source:
        assert list(entries(source, top)) == expected
        for name in names:
            path = f"{name}/{name}"
            assert content_of(source, top, path) == name.encode("utf-8", "surrogateescape")
            assert list(entries(source, top, [path])) == [path]


def test_links_are_listed_and_never_followed(top, serve):
    os.makedirs(f"{top}/root/real")
    os.mkdir(f"{top}/outside")
    hard_files.write(f"{top}/outside/secret", b"secret")
    for name, target in {
        "loop": "loop",
        "up": "..",
        "out": "../outside",
        "absolute": f"{top}/outside",
        "in": "real",
    }.items():
        os.symlink(target, f"{top}/root/{name}")
    root = f"{top}/root"
    with serve(LocalSource([Root(path=root)])) as source:
        found = entries(source, root)
        assert list(found) == ["", "absolute", "in", "loop", "out", "real", "up"]
        assert found["out"].link_target == "../outside"
        assert listed(source, root, ["out/secret", "absolute/secret", "in/x", "up/outside"]) == []
        for path in ("out/secret", "absolute/secret", "up/outside/secret", "out", "loop"):
            content, event = fetched(source, root, asked(path))[path]
            assert content is None and event.kind == "vanished"


def test_later_members_of_a_hard_link_group_name_the_first(top, serve):
    os.makedirs(f"{top}/b/c")
    hard_files.write(f"{top}/b/second", b"shared")
    for path in ("a", "b.third", "b/c/deep"):
        os.link(f"{top}/b/second", f"{top}/{path}")
    os.symlink("x", f"{top}/symlink")
    os.link(f"{top}/symlink", f"{top}/symlink-too", follow_symlinks=False)
    with serve(LocalSource([Root(path=top)])) as source:
        whole = entries(source, top)
        assert whole["a"].type is EntryType.FILE and whole["a"].nlink == 4
        for path in ("b/second", "b/c/deep", "b.third"):
            assert (whole[path].type, whole[path].link_target) == (EntryType.HARDLINK, "a")
            assert (whole[path].mode, whole[path].inode) == (whole["a"].mode, whole["a"].inode)
        assert whole["symlink-too"].type is EntryType.SYMLINK
        part = entries(source, top, ["b"])
        assert (part["b/second"].type, part["b/second"].nlink) == (EntryType.FILE, 4)
        assert content_of(source, top, "b/second") == b"shared"


@pytest.mark.needs("root")
def test_devices_are_listed_with_their_numbers_and_not_opened(top, serve):
    os.mknod(f"{top}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(f"{top}/block", stat.S_IFBLK | 0o600, os.makedev(250, 77))
    with serve(LocalSource([Root(path=top)])) as source:
        found = entries(source, top)
        assert (found["null"].type, found["null"].rdev) == (EntryType.CHARACTER_DEVICE, Device(1, 3))
        assert (found["block"].type, found["block"].rdev) == (EntryType.BLOCK_DEVICE, Device(250, 77))
        _, event = fetched(source, top, asked("null"))["null"]
        assert event == FileFailed(path="null", kind="vanished", detail="not_a_file")


@pytest.mark.needs("user xattrs")
def test_extended_attributes_are_listed_in_order(top, serve):
    os.mkdir(f"{top}/directory")
    hard_files.write(f"{top}/file")
    for path in ("file", "directory"):
        os.setxattr(f"{top}/{path}", "user.zeta", b"\0binary\xff")
        os.setxattr(f"{top}/{path}", b"user.not-utf-8-\xff", b"")
    with serve(LocalSource([Root(path=top)])) as source:
        found = entries(source, top)
    for path in ("file", "directory"):
        assert [(each.name, each.value) for each in found[path].xattrs] == [
            ("user.not-utf-8-\udcff", b""),
            ("user.zeta", b"\0binary\xff"),
        ]


@pytest.mark.needs("root", "user xattrs")
def test_capabilities_and_the_attributes_of_links_are_listed(top, serve):
    capability = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service, permitted
    hard_files.write(f"{top}/file")
    os.setxattr(f"{top}/file", "security.capability", capability)
    os.symlink("nowhere", f"{top}/link")
    os.mkfifo(f"{top}/fifo")
    for path in ("link", "fifo"):
        os.setxattr(f"{top}/{path}", "trusted.note", path.encode(), follow_symlinks=False)
    with serve(LocalSource([Root(path=top)])) as source:
        found = entries(source, top)
    assert {each.name: each.value[:8] for each in found["file"].xattrs} == {
        "security.capability": capability[:8]
    }
    for path in ("link", "fifo"):
        assert {each.name: each.value for each in found[path].xattrs} == {"trusted.note": path.encode()}


@pytest.mark.needs("acl")
def test_access_control_lists_are_listed(top, serve):
    os.mkdir(f"{top}/directory")
    subprocess.run(["setfacl", "-m", "u:12345:rwx,d:g:54321:rx", f"{top}/directory"], check=True)
    with serve(LocalSource([Root(path=top)])) as source:
        names = [each.name for each in entries(source, top)["directory"].xattrs]
    assert names == ["system.posix_acl_access", "system.posix_acl_default"]


@pytest.mark.needs("root")
def test_inode_flags_are_listed(top, serve):
    os.mkdir(f"{top}/directory")
    hard_files.write(f"{top}/file", b"kept")
    hard_files.set_flags(f"{top}/file", hard_files.IMMUTABLE)
    hard_files.set_flags(f"{top}/directory", hard_files.NODUMP)
    with serve(LocalSource([Root(path=top)])) as source:
        found = entries(source, top)
        assert (found["file"].flags, found["directory"].flags) == (hard_files.IMMUTABLE, hard_files.NODUMP)
        assert content_of(source, top, "file") == b"kept"


def test_a_path_longer_than_the_kernel_takes_is_listed_and_read(top, serve):
    path = hard_files.nested(top, [b"d" * 250] * 17, file=b"file")
    assert len(path) > 4096
    with serve(LocalSource([Root(path=top)])) as source:
        assert path in entries(source, top)
        assert list(entries(source, top, [path])) == [path]
        assert content_of(source, top, path) == b"x"


def test_a_directory_of_20_000_entries(serve):
    with hard_files.place(in_memory=True) as top:
        here = os.open(top, os.O_RDONLY)
        for number in range(20_000):
            os.close(os.open(b"%d" % number, os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
        with serve(LocalSource([Root(path=top)])) as source:
            found = [each.path for each in source.list(top)]
    assert found == ["", *sorted(map(str, range(20_000)))]


# What is left out --------------------------------------------------------------------------------------------------------------------


def test_what_the_configuration_excludes_is_reported_and_not_listed(top, serve):
    for directory in ("keep/cache", "build/x", "node_modules", ".git"):
        os.makedirs(f"{top}/{directory}")
    for path in ("keep/a.tmp", "keep/cache/b", "build/x/y", "cache"):
        hard_files.write(f"{top}/{path}")
    root = Root(path=top, excludes=("*.tmp", "cache/", "/build"))
    with serve(LocalSource([root])) as source:
        assert list(entries(source, top)) == ["", ".git", "cache", "keep", "node_modules"]
        reasons = {
            ("keep/a.tmp", "excluded", "config"),
            ("keep/cache", "excluded", "config"),
            ("build", "excluded", "config"),
        }
        assert skipped(source, top) == reasons
        assert skipped(source, top, ["build/x/y"]) == {("build", "excluded", "config")}
        assert entries(source, top, ["build/x", "keep/cache/b"]) == {}
        for path in ("build/x/y", "keep/a.tmp"):
            content, event = fetched(source, top, asked(path))[path]
            assert content is None and isinstance(event, FileFailed)


def test_staging_files_are_reported_and_not_listed(top, serve):
    hard_files.write(f"{top}/.lastro-apply-7-12")
    hard_files.write(f"{top}/.lastro-notes")
    with serve(LocalSource([Root(path=top)])) as source:
        assert list(entries(source, top)) == ["", ".lastro-notes"]
        assert skipped(source, top) == {(".lastro-apply-7-12", "excluded", "staging")}


def test_a_marked_directory_is_left_out_only_for_an_id_that_is_known(top, serve):
    notices = []
    for name in ("ours", "theirs", "nonsense"):
        os.mkdir(f"{top}/{name}")
        hard_files.write(f"{top}/{name}/key", b"key")
    write_marker(f"{top}/ours", Marker(instance="me", kind="data"), system=System())
    write_marker(f"{top}/theirs", Marker(instance="them", kind="data"), system=System())
    hard_files.write(f"{top}/nonsense/.lastro-directory", b"{}")
    local = LocalSource([Root(path=top)], honoured_markers=frozenset({"me", ""}), notify=notices.append)
    with serve(local) as source:
        assert list(entries(source, top)) == [
            "",
            "nonsense",
            "nonsense/.lastro-directory",
            "nonsense/key",
            "ours",
            "theirs",
            "theirs/.lastro-directory",
            "theirs/key",
        ]
        assert skipped(source, top) == {("ours", "excluded", "marked")}
        assert skipped(source, top, ["ours/key"]) == {("ours", "excluded", "marked")}
        content, event = fetched(source, top, asked("ours/key"))["ours/key"]
        assert content is None and event.detail == "marked"
        assert content_of(source, top, "theirs/key") == b"key"
    assert {(notice.code, notice.path) for notice in notices} == {
        ("foreign_marker", "theirs"),
        ("foreign_marker", "nonsense"),
    }


def test_what_cannot_be_read_is_said(top, serve):
    hard_files.write(f"{top}/file", b"secret")
    os.makedirs(f"{top}/directory/below")
    os.makedirs(f"{top}/blind/below")
    os.chmod(f"{top}/file", 0o000)
    os.chmod(f"{top}/directory", 0o000)
    os.chmod(f"{top}/blind", 0o444)  # its names may be read, nothing about them
    with nobody(), pytest.raises(PermissionError):
        os.close(os.open(f"{top}/file", os.O_RDONLY))  # otherwise this test proves nothing
    with serve(AsNobody(LocalSource([Root(path=top)]))) as source:
        assert list(entries(source, top)) == ["", "blind", "directory", "file"]
        assert skipped(source, top) == {
            ("blind/below", "unreadable", "EACCES"),
            ("directory", "unreadable", "EACCES"),
        }
        assert skipped(source, top, ["directory/below"]) == {("directory/below", "unreadable", "EACCES")}
        content, event = fetched(source, top, asked("file"))["file"]
        assert content is None and (event.kind, event.detail) == ("unreadable", "EACCES")
        _, event = fetched(source, top, asked("directory/below"))["directory/below"]
        assert (event.kind, event.detail) == ("unreadable", "EACCES")


@pytest.mark.parametrize("path", ["..", "a/../..", "/etc/passwd", "a//b", "./a", "a/", "nul\0byte"])
def test_a_path_that_could_leave_the_root_is_refused(top, serve, path):
    hard_files.write(f"{top}/a")
    with serve(LocalSource([Root(path=top)])) as source:
        with pytest.raises(LastroError):
            listed(source, top, [path])
        with pytest.raises(LastroError):
            list(source.fetch(top, asked(path)))


def test_what_is_no_root_is_not_found(top, serve):
    os.mkdir(f"{top}/real")
    os.symlink("real", f"{top}/link")
    hard_files.write(f"{top}/file")
    roots = [Root(path=f"{top}/{name}") for name in ("real", "gone", "link", "link/x", "file")]
    with serve(LocalSource(roots)) as source:
        assert list(entries(source, f"{top}/real")) == [""]
        for name in ("gone", "link", "link/x", "file", "never-named"):
            with pytest.raises(NotFoundError):
                listed(source, f"{top}/{name}")


# Reading -----------------------------------------------------------------------------------------------------------------------------


def test_files_are_fetched_in_the_order_asked_and_each_ends(top, serve):
    os.mkdir(f"{top}/d")
    contents = {"z": b"z", "d/big": os.urandom(3 * BLOCK + 17), "a": b"", "d/exact": bytes(BLOCK)}
    for path, content in contents.items():
        hard_files.write(f"{top}/{path}", content)
    with serve(LocalSource([Root(path=top)])) as source:
        found = fetched(source, top, asked("z", "gone", "d/big", "d", "a", "d/exact", "gone/below"))
        assert list(fetched(source, top, [])) == []
    assert {path: content for path, (content, _) in found.items() if content is not None} == contents
    failures = {
        path: (event.kind, event.detail) for path, (content, event) in found.items() if content is None
    }
    assert failures == {
        "gone": ("vanished", "ENOENT"),
        "d": ("vanished", "not_a_file"),
        "gone/below": ("vanished", "ENOENT"),
    }
    end = found["a"][1].entry
    assert (end.digest, end.size, end.torn) == (EMPTY_DIGEST, 0, False)


def test_the_entry_at_the_end_is_the_one_of_the_listing_with_a_digest(top, serve):
    hard_files.write(f"{top}/file", b"content")
    with serve(LocalSource([Root(path=top)])) as source:
        before = entries(source, top)["file"]
        entry = fetched(source, top, [before])["file"][1].entry
    names = [name for name in Entry.__struct_fields__ if name != "digest"]
    assert [getattr(entry, name) for name in names] == [getattr(before, name) for name in names]


def test_holes_are_listed_and_not_sent(top, serve):
    hard_files.sparse(f"{top}/sparse")
    needs(os.stat(f"{top}/sparse").st_blocks < 1024, "a file system with holes")
    with serve(LocalSource([Root(path=top)])) as source:
        entry = entries(source, top)["sparse"]
        events = list(source.fetch(top, [entry]))
    assert entry.size == hard_files.SPARSE_SIZE
    assert sum(hole.length for hole in entry.holes) > hard_files.SPARSE_SIZE - 1024 * 1024
    assert entry.holes[0] == Extent(0, hard_files.SPARSE_SIZE // 2)
    assert isinstance(events[-1], FileEnd)
    assert events[-1].entry.digest.hex() == hard_files.SPARSE_DIGEST
    assert events[-1].entry.holes == entry.holes
    data = [event for event in events if isinstance(event, FileData)]
    assert sum(len(event.data) for event in data) < 1024 * 1024
    assert b"middle" in data[0].data and data[-1].data.endswith(b"end")


@pytest.mark.parametrize("size", [100, 3 * BLOCK])
def test_a_file_that_comes_to_rest_is_read_again(top, serve, size):
    path = hard_files.write(f"{top}/file", b"-" * size)
    final = b"+" * (size + 1)
    writers = [final]

    def read(descriptor, count, offset):
        data = os.pread(descriptor, count, offset)
        if writers:
            hard_files.write(path, writers.pop())
        return data

    pauses = []
    local = LocalSource([Root(path=top)], reading=Reading(read=read, pause=pauses.append))
    with serve(local) as source:
        events = list(source.fetch(top, asked("file")))
    assert len(pauses) == 1
    begins = [number for number, event in enumerate(events) if isinstance(event, FileBegin)]
    assert len(begins) == (1 if size <= BLOCK else 2)
    last = events[begins[-1] :]
    assert b"".join(event.data for event in last if isinstance(event, FileData)) == final
    assert last[-1].entry.digest == blake3(final).digest() and not last[-1].entry.torn


@pytest.mark.parametrize("size", [100, 3 * BLOCK])
def test_a_file_that_never_rests_is_marked_torn(top, serve, size):
    path = hard_files.write(f"{top}/file", b"-" * size)
    writes = []

    def read(descriptor, count, offset):
        data = os.pread(descriptor, count, offset)
        writes.append(offset)
        with open(path, "ab") as file:
            file.write(b"+")
        return data

    pauses = []
    local = LocalSource([Root(path=top)], reading=Reading(read=read, pause=pauses.append))
    with serve(local) as source:
        events = list(source.fetch(top, asked("file")))
    assert len(pauses) == ATTEMPTS - 1 and pauses == sorted(pauses)
    end = events[-1]
    assert isinstance(end, FileEnd) and end.entry.torn
    begin = max(number for number, event in enumerate(events) if isinstance(event, FileBegin))
    content = b"".join(event.data for event in events[begin:] if isinstance(event, FileData))
    assert len(content) == end.entry.size >= size
    assert end.entry.digest == blake3(content).digest()


def test_a_hole_at_the_end_is_part_of_the_file(top, serve):
    for name, size in {"all-hole": 5 * BLOCK, "tail": 3 * BLOCK, "small": 100_000}.items():
        with open(f"{top}/{name}", "wb") as file:
            file.write(b"" if name == "all-hole" else b"head")
            file.truncate(size)
    with serve(LocalSource([Root(path=top)])) as source:
        found = fetched(source, top, asked("all-hole", "tail", "small"))
    assert {path: content for path, (content, _) in found.items()} == {
        "all-hole": bytes(5 * BLOCK),
        "tail": b"head".ljust(3 * BLOCK, b"\0"),
        "small": b"head".ljust(100_000, b"\0"),
    }
    assert not any(event.entry.torn for _, event in found.values())


def test_a_file_cut_off_while_it_is_read_keeps_size_and_content_together(top, serve):
    path = hard_files.write(f"{top}/file", b"+" * (3 * BLOCK))

    def read(descriptor, count, offset):
        data = os.pread(descriptor, count, offset)
        os.truncate(path, BLOCK)
        return data

    def pause(_):
        hard_files.write(path, b"+" * (3 * BLOCK))

    local = LocalSource([Root(path=top)], reading=Reading(read=read, pause=pause))
    with serve(local) as source:
        content, event = fetched_last(source, top, "file")
    assert event.entry.torn
    assert content == b"+" * BLOCK
    assert (event.entry.size, event.entry.digest) == (BLOCK, blake3(content).digest())


def fetched_last(source, root, path):
    content, position = bytearray(), 0
    for event in source.fetch(root, asked(path)):
        if isinstance(event, FileBegin):
            content, position = bytearray(), 0
        elif isinstance(event, FileData):
            content += bytes(event.offset - position) + event.data
            position = event.offset + len(event.data)
    return bytes(content + bytes(event.entry.size - position)), event


def test_an_error_in_the_middle_ends_the_file_and_not_the_fetch(top, serve):
    hard_files.write(f"{top}/bad", bytes(3 * BLOCK))
    hard_files.write(f"{top}/good", b"good")

    def read(descriptor, count, offset):
        if offset:
            raise OSError(5, "Input/output error")
        return os.pread(descriptor, count, offset)

    with serve(LocalSource([Root(path=top)], reading=Reading(read=read))) as source:
        found = fetched(source, top, asked("bad", "good"))
    assert (found["bad"][1].kind, found["bad"][1].detail) == ("unreadable", "EIO")
    assert found["good"][0] == b"good"


def test_a_fresh_file_is_racy_and_an_old_one_is_not(top, serve):
    hard_files.write(f"{top}/file")
    ctime_ns = os.stat(f"{top}/file").st_ctime_ns
    for age_ns, racy in [(0, True), (49_999_999, True), (50_000_001, False), (-1, True)]:
        reading = Reading(wall_ns=lambda age_ns=age_ns: ctime_ns + age_ns)
        with serve(LocalSource([Root(path=top)], reading=reading)) as source:
            assert fetched(source, top, asked("file"))["file"][1].racy is racy


@pytest.mark.parametrize("level", [0, 1])
def test_a_directory_replaced_by_a_link_between_listing_and_fetching_does_not_lead_out(top, serve, level):
    os.makedirs(f"{top}/root/a/b")
    os.makedirs(f"{top}/outside/b")
    hard_files.write(f"{top}/root/a/b/file", b"inside")
    for path in ("outside/b/file", "outside/file"):
        hard_files.write(f"{top}/{path}", b"outside")
    root = f"{top}/root"
    with serve(LocalSource([Root(path=root)])) as source:
        wanted = [each for each in listed(source, root) if each.type is EntryType.FILE]
        victim = f"{root}/a" if level == 0 else f"{root}/a/b"
        os.rename(victim, f"{top}/moved")
        os.symlink(f"{top}/outside", victim)
        content, event = fetched(source, root, wanted)["a/b/file"]
    assert content is None and event.kind == "vanished"


def test_a_file_replaced_by_a_fifo_is_not_waited_for(top, serve):
    hard_files.write(f"{top}/file")
    with serve(LocalSource([Root(path=top)])) as source:
        wanted = [entries(source, top)["file"]]
        os.unlink(f"{top}/file")
        os.mkfifo(f"{top}/file")
        _, event = fetched(source, top, wanted)["file"]
    assert event == FileFailed(path="file", kind="vanished", detail="not_a_file")


def test_reading_leaves_access_times_alone(top, serve):
    os.mkdir(f"{top}/d")
    hard_files.write(f"{top}/d/file", b"content")
    for path in ("d/file", "d"):
        os.utime(f"{top}/{path}", ns=(1, 2))
    with serve(LocalSource([Root(path=top)])) as source:
        wanted = [each for each in listed(source, top) if each.type is EntryType.FILE]
        fetched(source, top, wanted)
    assert [os.stat(f"{top}/{path}").st_atime_ns for path in ("d/file", "d")] == [1, 1]


names = st.binary(min_size=1, max_size=6).filter(
    lambda name: not {0, 47} & set(name) and name not in {b".", b".."}
)
trees = st.recursive(
    st.binary(max_size=40), lambda below: st.dictionaries(names, below, max_size=5), max_leaves=12
).filter(lambda tree: isinstance(tree, dict))


def plant(directory, tree, prefix=""):
    """Make a tree of dictionaries and bytes on the disk; returns ``{path: content, None for a directory}``."""
    made = {}
    for name, below in tree.items():
        path = os.path.join(directory, name)
        relative = prefix + from_bytes(name)
        if isinstance(below, dict):
            os.mkdir(path)
            made |= {relative: None} | plant(path, below, relative + "/")
        else:
            with open(path, "wb") as file:
                file.write(below)
            made[relative] = below
    return made


@pytest.mark.needs("names of any bytes")
@pytest.mark.parametrize("kind", SOURCES)
@given(tree=trees)
def test_any_tree_is_listed_whole_and_read_back(kind, tree):
    with hard_files.place(in_memory=True) as top:
        made = plant(os.fsencode(top), tree)
        with SOURCES[kind](LocalSource([Root(path=top)])) as source:
            found = listed(source, top)
            paths = [each.path for each in found]
            assert paths == sorted(["", *made], key=tree_order)
            wanted = [each for each in found if each.type is EntryType.FILE]
            read = {path: content for path, (content, _) in fetched(source, top, wanted).items()}
            assert read == {path: content for path, content in made.items() if content is not None}


# Changes -----------------------------------------------------------------------------------------------------------------------------


_PATIENCE = 20


def test_without_a_feed_everything_is_to_be_listed_again(top, serve):
    waited = []
    with serve(LocalSource([Root(path=top)], sleep=waited.append)) as source:
        first = source.changes(None, 0.0)
        again = source.changes(first.cursor, 0.5)
        for _ in range(_PATIENCE):
            if again.overflow:
                break
            again = source.changes(again.cursor, 0.5)  # that the roots are to be asked for may come first
    assert top in again.overflow
    assert again.cursor > first.cursor


def collect(source, cursor, wanted, *, tries=200):
    """All changes after ``cursor`` until ``wanted`` paths are among them."""
    seen = set()
    for _ in range(tries):
        answer = source.changes(cursor, 0.1)
        assert isinstance(answer, Changes)
        cursor = answer.cursor
        seen |= {(each.root, each.path) for each in answer.paths}
        if wanted <= seen:
            return cursor, seen
    raise AssertionError(f"never told: {wanted - seen}")


def test_changes_are_told_after_the_cursor_and_only_then(top, serve):
    os.mkdir(f"{top}/d")
    watcher = InotifyWatcher([Root(path=top)], first_cursor=1000)
    try:
        with serve(LocalSource([Root(path=top)], watcher=watcher)) as source:
            cursor = source.changes(None, 0.0).cursor
            os.mkdir(f"{top}/d/one")  # one event, so that nothing of it comes late
            after_one, seen = collect(source, cursor, {(top, "d/one"), (top, "d")})
            assert {path for _, path in seen} == {"d/one", "d"}
            os.mkdir(f"{top}/two")
            _, seen = collect(source, after_one, {(top, "two")})
            assert {path for _, path in seen} == {"two", ""}
            # Another reader, with its own cursor, is told of both.
            collect(source, cursor, {(top, "d/one"), (top, "two")})
    finally:
        watcher.close()


def test_removing_and_moving_is_told(top, serve):
    shutil.copy("/etc/hostname" if os.path.exists("/etc/hostname") else __file__, f"{top}/old")
    os.makedirs(f"{top}/d/e")
    watcher = InotifyWatcher([Root(path=top)], first_cursor=1)
    try:
        with serve(LocalSource([Root(path=top)], watcher=watcher)) as source:
            cursor = source.changes(None, 0.0).cursor
            os.rename(f"{top}/old", f"{top}/d/e/new")
            cursor, _ = collect(source, cursor, {(top, "old"), (top, "d/e/new"), (top, "d/e"), (top, "")})
            os.unlink(f"{top}/d/e/new")
            os.rename(f"{top}/d", f"{top}/moved")
            collect(source, cursor, {(top, "d"), (top, "moved"), (top, "d/e/new")})
    finally:
        watcher.close()
