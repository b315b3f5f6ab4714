"""Attributes are set on the inode that was looked at, or not at all."""

from __future__ import annotations

import os

import pytest

from lastro.apply.attributes import pinned_as, set_attributes, set_flags
from lastro.domain.entry import EntryType
from lastro.filesystem.metadata import Owners
from lastro.filesystem.system import System
from tests.conformance.trees import directory, file


@pytest.fixture
def place(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("name", [b"file", b"link"])
def test_what_is_of_another_kind_is_not_touched(place, tmp_path, name):
    with pytest.raises(OSError, match="symbolic links"), pinned_as(place, name, EntryType.DIRECTORY):
        pass
    for wanted in (directory("p", mode=0o711), file("p", b"", mode=0o611)):
        before = [os.stat(tmp_path / "file"), os.lstat(tmp_path / "link"), os.stat(tmp_path / "directory")]
        for call in (
            lambda wanted=wanted: set_attributes(System(), place, b"link", wanted, owners=Owners()),
        ):
            with pytest.raises(OSError, match="symbolic links"):
                call()
        with pytest.raises(OSError, match="symbolic links"):
            set_flags(System(), place, b"link", wanted)
        assert [
            os.stat(tmp_path / "file"),
            os.lstat(tmp_path / "link"),
            os.stat(tmp_path / "directory"),
        ] == before


def test_a_mode_by_name_is_never_set_through_a_link(place, tmp_path):
    before = os.stat(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        System().set_mode_at(place, b"link", 0o777)
    assert os.stat(tmp_path / "file") == before
    System().set_mode_at(place, b"file", 0o604)
    assert os.stat(tmp_path / "file").st_mode & 0o7777 == 0o604


def test_setting_what_is_there_already_calls_nothing(place):
    class Untouchable(System):
        def __getattribute__(self, name):
            raise AssertionError(name)

    status = os.stat("file", dir_fd=place)
    same = file(
        "p",
        b"x",
        mode=status.st_mode & 0o7777,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
    )
    assert set_attributes(Untouchable(), place, b"file", same, owners=Owners()) == []
