from __future__ import annotations

import ctypes
import os
import pwd
import stat
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.entry import EntryType, Extent
from lastro.filesystem import metadata
from lastro.filesystem.metadata import (
    OWNER_LIFETIME_S,
    Owners,
    data_extents,
    entry_of,
    holes_between,
    read_entry,
    read_holes,
    read_status,
)
from tests import hard_files
from tests.capabilities import needs

BLOCK = 4096


@pytest.fixture
def here(tmp_path):
    directory = os.open(tmp_path, os.O_RDONLY)
    yield directory
    os.close(directory)


def test_owners_have_names_or_none():
    owners = Owners()
    assert owners.user(0) == pwd.getpwuid(0).pw_name
    assert owners.user(4_000_000_123) == owners.group(4_000_000_123) == ""


def test_a_name_is_asked_for_again_when_it_is_old(monkeypatch):
    asked, now = [], [1000.0]

    def getpwuid(uid):
        asked.append(uid)
        return pwd.struct_passwd((f"name-{len(asked)}", "", uid, 0, "", "", ""))

    monkeypatch.setattr(metadata.pwd, "getpwuid", getpwuid)
    owners = Owners(monotonic=lambda: now[0])
    assert [owners.user(7), owners.user(7), owners.user(8)] == ["name-1", "name-1", "name-2"]
    now[0] += OWNER_LIFETIME_S
    assert owners.user(7) == "name-3"
    assert asked == [7, 8, 7]


def test_an_entry_by_name_and_by_descriptor_is_the_same(here, tmp_path):
    hard_files.write(f"{tmp_path}/file", b"abc")
    owners = Owners()
    by_name = read_entry(here, b"file", "some/path", owners=owners)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    assert entry_of(descriptor, "some/path", owners=owners) == by_name
    os.close(descriptor)
    assert (by_name.path, by_name.size, by_name.type) == ("some/path", 3, EntryType.FILE)
    itself = read_entry(here, b"", "", owners=owners)
    assert (itself.type, itself.inode) == (EntryType.DIRECTORY, os.fstat(here).st_ino)


def test_what_is_gone_is_not_found(here):
    with pytest.raises(FileNotFoundError):
        read_entry(here, b"gone", "gone", owners=Owners())


def test_times_before_1970_and_far_away_are_exact(here, tmp_path):
    hard_files.write(f"{tmp_path}/file")
    for mtime_ns in (-1, -1_500_000_000, 0, 2**33 * 10**9 + 123_456_789):
        os.utime(tmp_path / "file", ns=(0, mtime_ns))
        kept = os.stat(tmp_path / "file").st_mtime_ns  # the file system may clamp
        assert read_entry(here, b"file", "file", owners=Owners()).mtime_ns == kept


def test_the_status_agrees_with_the_standard_library(tmp_path):
    hard_files.write(f"{tmp_path}/file", b"x" * 5000)
    os.link(tmp_path / "file", tmp_path / "link")
    os.chmod(tmp_path / "file", 0o6754)
    pinned = os.open(tmp_path / "file", os.O_PATH)
    ours, theirs = read_status(pinned), os.stat(tmp_path / "file")
    os.close(pinned)
    assert (ours.mode, ours.nlink, ours.size, ours.blocks) == (0o6754, 2, 5000, theirs.st_blocks)
    assert (ours.uid, ours.gid, ours.inode, ours.dev) == (
        theirs.st_uid,
        theirs.st_gid,
        theirs.st_ino,
        theirs.st_dev,
    )
    assert (ours.mtime_ns, ours.ctime_ns) == (theirs.st_mtime_ns, theirs.st_ctime_ns)


@pytest.mark.needs("root")
def test_only_files_and_directories_are_ever_opened(here, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    hard_files.unix_socket(f"{tmp_path}/socket")
    os.mknod(tmp_path / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.symlink("fifo", tmp_path / "symlink")
    hard_files.write(f"{tmp_path}/zz-file")
    libc = ctypes.CDLL(None)
    queue = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(queue, os.fsencode(tmp_path), 0x20)  # IN_OPEN
    for name in sorted(os.listdir(tmp_path)):
        read_entry(here, os.fsencode(name), name, owners=Owners())
    events = os.read(queue, 65536)
    os.close(queue)
    opened = set()
    while events:
        _, _, _, length = struct.unpack_from("iIII", events)
        opened.add(events[16 : 16 + length].rstrip(b"\0"))
        events = events[16 + length :]
    assert opened - {b""} == {b"zz-file"}


@pytest.mark.needs("another user", "user xattrs")
def test_an_attribute_that_cannot_be_read_does_not_cost_the_entry():
    with hard_files.place() as top:
        hard_files.write(f"{top}/file", b"abc")
        os.setxattr(f"{top}/file", "user.secret", b"1")
        os.chmod(f"{top}/file", 0o600)
        directory = os.open(top, os.O_RDONLY)
        libc = ctypes.CDLL(None)
        libc.setfsuid(65534)
        try:
            entry = read_entry(directory, b"file", "file", owners=Owners())
        finally:
            libc.setfsuid(0)
            os.close(directory)
    assert (entry.size, entry.mode, entry.xattrs, entry.flags) == (3, 0o600, (), 0)


def test_flags_that_no_user_sets_are_not_taken(here, tmp_path):
    hard_files.write(f"{tmp_path}/file", b"abc")  # on ext4 its flags say "extents"
    assert read_entry(here, b"file", "file", owners=Owners()).flags == 0


extents = st.lists(st.integers(0, 30), unique=True, max_size=12).map(
    lambda starts: [Extent(start * 10, 10) for start in sorted(starts)]
)


@given(extents=extents, tail=st.integers(0, 25))
def test_holes_and_data_cover_a_file_exactly_once(extents, tail):
    size = (extents[-1].offset + extents[-1].length if extents else 0) + tail
    holes = list(holes_between(iter(extents), size))
    covered = [0] * size
    for each in [*extents, *holes]:
        for position in range(each.offset, each.offset + each.length):
            covered[position] += 1
    assert covered == [1] * size
    assert all(hole.length > 0 for hole in holes)
    assert all(left.offset + left.length < right.offset for left, right in pairwise(holes))


@given(blocks=st.sets(st.integers(0, 20), max_size=8), size=st.integers(0, 22 * BLOCK))
def test_all_data_lies_in_the_extents_of_a_sparse_file(tmp_path_factory, blocks, size):
    path = tmp_path_factory.mktemp("sparse") / "file"
    with open(path, "wb") as file:
        for block in blocks:
            file.seek(block * BLOCK)
            file.write(bytes([block + 1]) * BLOCK)
        file.truncate(size)
    descriptor = os.open(path, os.O_RDONLY)
    content, found = path.read_bytes(), list(data_extents(descriptor, size))
    holes = read_holes(descriptor, size)
    os.close(descriptor)
    assert found == sorted(found, key=lambda extent: extent.offset)
    assert all(
        extent.offset >= 0 and extent.offset + extent.length <= size and extent.length for extent in found
    )
    assert all(not any(content[hole.offset : hole.offset + hole.length]) for hole in holes)
    assert sum(each.length for each in [*found, *holes]) == size


def test_of_too_many_holes_the_biggest_are_kept_in_order(tmp_path, monkeypatch):
    with open(tmp_path / "file", "wb") as file:
        for offset in (BLOCK, 10 * BLOCK, 12 * BLOCK, 20 * BLOCK, 22 * BLOCK):
            file.seek(offset)
            file.write(b"x" * BLOCK)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    everything = read_holes(descriptor, 23 * BLOCK)
    needs(len(everything) == 5, "a file system with holes of 4 KiB")
    monkeypatch.setattr(metadata, "MAXIMUM_HOLES", 2)
    assert read_holes(descriptor, 23 * BLOCK) == (Extent(2 * BLOCK, 8 * BLOCK), Extent(13 * BLOCK, 7 * BLOCK))
    os.close(descriptor)
