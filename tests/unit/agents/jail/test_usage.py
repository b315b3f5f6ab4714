from __future__ import annotations

import os

import pytest

from lastro.agents.jail.usage import DiskWatch
from lastro.domain.run import EndCause


@pytest.fixture
def watch(tmp_path):
    def make(*, most_bytes=None, most_files=None, growth=False, processes=()):
        return DiskWatch(
            [str(tmp_path), str(tmp_path / "missing")],
            most_bytes=most_bytes,
            most_files=most_files,
            growth=growth,
            seen_at=[str(tmp_path)],
            processes=lambda: processes,
        )

    return make


def test_bytes_and_files_are_limits_of_their_own(tmp_path, watch):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_bytes(bytes(1 << 20))
    assert watch(most_bytes=2 << 20, most_files=2).check(100) is None
    assert watch(most_bytes=1 << 20).check(100) is EndCause.DISK
    assert watch(most_files=1).check(100) is EndCause.FILES
    assert watch().check(100) is None


def test_a_hard_link_is_a_file_and_no_bytes(tmp_path, watch):
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    os.link(tmp_path / "file", tmp_path / "again")
    assert watch(most_bytes=3 << 19).check(100) is None
    assert watch(most_files=1).check(100) is EndCause.FILES


def test_a_link_is_not_followed_and_a_hole_takes_nothing(tmp_path, watch):
    (tmp_path / "link").symlink_to("/usr")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 40)
    assert watch(most_bytes=1 << 20, most_files=2).check(100) is None


def test_of_a_copy_only_what_was_added_counts(tmp_path, watch):
    (tmp_path / "was there").write_bytes(bytes(1 << 20))
    watching = watch(most_bytes=1 << 20, most_files=1, growth=True)
    assert watching.check(100) is None
    (tmp_path / "one").touch()
    assert watching.check(200) is None
    (tmp_path / "two").touch()
    assert watching.check(300) is EndCause.FILES


def test_looking_is_not_done_all_the_time(tmp_path, watch):
    watching = watch(most_files=0)
    assert watching.check(100) is None
    (tmp_path / "one").touch()
    assert watching.check(100.1) is None
    assert watching.check(101) is EndCause.FILES
