from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from typing_extensions import override

from lastro.capture.source import ChangedPath, Root
from lastro.capture.watch import InotifyWatcher
from lastro.domain.paths import is_within, join
from lastro.errors import ConfigError, LastroError
from lastro.filesystem.inotify import Inotify
from lastro.filesystem.marker import MARKER_NAME, Marker, write_marker
from lastro.filesystem.system import System
from tests import hard_files

pytestmark = pytest.mark.needs("linux")


@pytest.fixture
def top():
    with hard_files.place() as directory:
        yield directory


def descriptors():
    """What is open, but for the listing itself."""
    return len(os.listdir("/proc/self/fd"))


class Reader:
    """Follows a watcher from here on; ``until`` gathers what it says until enough has been said."""

    def __init__(self, watcher):
        self.watcher = watcher
        self.cursor = watcher.changes(None, 0).cursor
        self.paths, self.recursive, self.overflow, self.roots_changed = (set(), set(), set(), False)

    def until(self, condition):
        """Returns the paths and the overflows that were said on the way."""
        self.paths, self.recursive, self.overflow, self.roots_changed = (set(), set(), set(), False)
        for _ in range(200):
            answer = self.watcher.changes(self.cursor, 0.1)
            self.cursor = answer.cursor
            self.paths |= {(each.root, each.path) for each in answer.paths}
            self.recursive |= {(each.root, each.path) for each in answer.paths if each.recursive}
            self.overflow |= set(answer.overflow)
            self.roots_changed |= answer.roots_changed
            if condition(self):
                return self.paths, self.overflow
        raise AssertionError(f"never said; only {self.paths} {self.overflow}")

    def until_path(self, root, path):
        """For what is certainly told by its own name."""
        return self.until(lambda self: (root, path) in self.paths)[0]

    def until_overflow(self, root):
        return self.until(lambda self: root in self.overflow)[1]

    def until_told(self, root, path):
        """By its own name, with all below a directory, or with the whole root."""
        return self.until(lambda self: self.tells(root, path))

    def tells(self, root, path):
        above = any(each == root and is_within(path, directory) for each, directory in self.recursive)
        return above or (root, path) in self.paths or root in self.overflow

    def sees_into(self, root, directory):
        """Whatever happens there is told. By its own name as soon as everything earlier has been told."""
        for number in range(50):
            path = join(directory, f"probe-{number}")
            os.mkdir(f"{root}/{path}")
            told = self.until_told(root, path)[0]
            os.rmdir(f"{root}/{path}")
            if (root, path) in told:
                return
        raise AssertionError(f"{directory} is not watched")


@contextmanager
def watching(*roots, **options):
    watcher = InotifyWatcher(
        [each if isinstance(each, Root) else Root(path=each) for each in roots], first_cursor=1, **options
    )
    try:
        yield watcher, Reader(watcher)
    finally:
        watcher.close()


def test_closing_leaves_no_descriptor_and_no_thread(top):
    os.makedirs(f"{top}/a/b")
    before, threads = descriptors(), threading.active_count()
    with watching(top) as (watcher, reader):
        reader.sees_into(top, "a/b")
        waiting = threading.Thread(
            target=watcher.changes, args=(reader.watcher.changes(None, 0).cursor, 60.0)
        )
        waiting.start()
    waiting.join(30)
    assert not waiting.is_alive()
    assert threading.active_count() == threads
    assert descriptors() == before
    watcher.close()
    watcher.set_roots([])  # harmless
    assert descriptors() == before


def test_a_new_directory_is_announced_with_all_below_it_and_then_watched(top):
    with watching(top) as (_, reader):
        os.makedirs(f"{top}/a/b/c")
        hard_files.write(f"{top}/a/b/c/file")
        answer = reader.watcher.changes(reader.cursor, 5)
        assert ChangedPath(root=top, path="a", recursive=True) in answer.paths
        reader.sees_into(top, "a/b/c")


class Racing(Inotify):
    """A kernel on which somebody makes a directory in each directory just before it is watched."""

    @override
    def add(self, directory):
        with suppress(FileExistsError):
            if os.fstat(directory).st_nlink == 2:  # it has none yet
                os.mkdir("made-meanwhile", dir_fd=directory)
        return super().add(directory)


def test_what_appears_while_a_directory_is_about_to_be_watched_is_watched_too(top):
    class Once(Racing):
        left = 3

        @override
        def add(self, directory):
            self.left -= 1
            return super().add(directory) if self.left >= 0 else Inotify.add(self, directory)

    os.mkdir(f"{top}/a")
    with watching(top, queue=Once) as (_, reader):
        reader.sees_into(top, "a/made-meanwhile/made-meanwhile")


def test_names_are_bytes(top):
    with watching(top) as (_, reader):
        for name in hard_files.NAMES:
            path = os.fsencode(top) + b"/" + name
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            reader.until_path(top, name.decode("utf-8", "surrogateescape"))


def test_a_link_out_of_the_root_is_not_followed(top):
    os.makedirs(f"{top}/outside/below")
    os.mkdir(f"{top}/root")
    os.symlink("../outside", f"{top}/root/link")
    os.symlink("../outside", f"{top}/root/later-a-directory")
    with watching(f"{top}/root") as (_, reader):
        os.mkdir(f"{top}/outside/new")
        os.mkdir(f"{top}/outside/below/new")
        os.mkdir(f"{top}/root/end")
        assert reader.until_path(f"{top}/root", "end") == {(f"{top}/root", ""), (f"{top}/root", "end")}


def test_what_is_left_out_is_not_told(top):
    for name in ("cache", "ours", "theirs", "node_modules"):
        os.makedirs(f"{top}/{name}/below")
    for owner, instance in {"ours": "me", "theirs": "them"}.items():
        write_marker(f"{top}/{owner}", Marker(instance=instance, kind="data"), system=System())
    root = Root(path=top, excludes=("cache/", "*.tmp"))
    with watching(root, honoured_markers=frozenset({"me"})) as (_, reader):
        for path in (
            "cache/x",
            "cache/below/x",
            "ours/x",
            "ours/below/x",
            "y.tmp",
            ".lastro-7-0",
            "node_modules/x",
            "theirs/x",
        ):
            os.mkdir(f"{top}/{path}")
        os.mkdir(f"{top}/end")
        said = {path for _, path in reader.until_path(top, "end")}
        assert said == {"", "node_modules", "node_modules/x", "theirs", "theirs/x", "end"}


def test_a_marker_that_comes_or_goes_is_noticed(top):
    os.makedirs(f"{top}/d/below")
    with watching(top, honoured_markers=frozenset({"me"})) as (_, reader):
        write_marker(f"{top}/d", Marker(instance="me", kind="data"), system=System())
        reader.until_path(top, "d")
        os.mkdir(f"{top}/first")
        reader.until_path(top, "first")
        os.mkdir(f"{top}/d/below/unseen")
        os.mkdir(f"{top}/second")
        assert (top, "d/below/unseen") not in reader.until_path(top, "second")


def test_a_directory_that_loses_its_marker_is_watched_after_the_next_look(top):
    """Nothing tells when a marker goes, because its directory is not watched; renaming the directory is one way to have it looked at."""
    os.makedirs(f"{top}/d/below")
    write_marker(f"{top}/d", Marker(instance="me", kind="data"), system=System())
    with watching(top, honoured_markers=frozenset({"me"})) as (_, reader):
        os.unlink(f"{top}/d/{MARKER_NAME}")
        os.rename(f"{top}/d", f"{top}/e")
        reader.until_path(top, "e")
        reader.sees_into(top, "e/below")


def test_roots_can_be_changed_while_watching(top):
    one, two = f"{top}/one", f"{top}/two"
    os.makedirs(f"{one}/d")
    os.makedirs(f"{two}/d")
    with watching(one) as (watcher, reader):
        watcher.set_roots([Root(path=two)])
        reader.until(lambda self: self.roots_changed and two in self.overflow)
        os.mkdir(f"{one}/d/unseen")
        os.mkdir(f"{two}/d/seen")
        assert {root for root, _ in reader.until_path(two, "d/seen")} == {two}
        # Other excludes: the same root by other rules.
        watcher.set_roots([Root(path=two, excludes=("d",))])
        reader.until_overflow(two)
        os.mkdir(f"{two}/d/unseen")
        os.mkdir(f"{two}/end")
        assert (two, "d/unseen") not in reader.until_path(two, "end")
        with pytest.raises(ConfigError):
            watcher.set_roots([Root(path=two, excludes=("",))])
        watcher.set_roots([])
        assert reader.until(lambda self: self.roots_changed) == (set(), set())


def test_roots_may_overlap(top):
    os.makedirs(f"{top}/a/b")
    with watching(top, f"{top}/a") as (watcher, reader):
        os.mkdir(f"{top}/a/b/new")
        expected = {(top, "a/b/new"), (f"{top}/a", "b/new")}
        reader.until(lambda self: expected <= self.paths)
        watcher.set_roots([Root(path=top)])  # the other still needs the watch that both shared
        reader.sees_into(top, "a/b")


def test_directories_that_change_places_are_both_watched_after(top):
    os.makedirs(f"{top}/a/x")
    os.makedirs(f"{top}/b/y")
    with watching(top) as (_, reader):
        here = os.open(top, os.O_RDONLY)
        System().exchange(here, b"a", here, b"b")
        os.close(here)
        reader.until(lambda self: {(top, "a"), (top, "b")} <= self.paths)
        for path in ("a/y", "b/x"):
            reader.sees_into(top, path)


def test_a_directory_that_moved_out_is_forgotten(top):
    os.makedirs(f"{top}/root/a/below")
    os.mkdir(f"{top}/outside")
    root = f"{top}/root"
    with watching(root) as (_, reader):
        os.rename(f"{root}/a", f"{top}/outside/a")
        reader.until_path(root, "a")
        os.mkdir(f"{top}/outside/a/below/unseen")
        os.mkdir(f"{root}/end")
        assert {path for _, path in reader.until_path(root, "end")} <= {"", "a", "end"}


# Roots that come and go ----------------------------------------------------------------------------------------------------------------


def test_a_root_that_goes_and_comes_back_is_told_each_time(top):
    root = f"{top}/root"
    with watching(root, check_interval_s=0.02) as (_, reader):
        os.makedirs(f"{root}/d")
        reader.until_overflow(root)
        reader.sees_into(root, "d")
        shutil.rmtree(root)
        reader.until_overflow(root)
        os.makedirs(f"{root}/e")
        reader.until_overflow(root)
        reader.sees_into(root, "e")


def test_renaming_a_directory_above_a_root_is_noticed(top):
    root = f"{top}/above/root"
    os.makedirs(root)
    with watching(root, check_interval_s=0.02) as (_, reader):
        os.rename(f"{top}/above", f"{top}/elsewhere")
        reader.until_overflow(root)
        os.mkdir(f"{top}/elsewhere/root/unseen")
        os.makedirs(f"{root}/d")
        reader.until_overflow(root)
        reader.sees_into(root, "d")
        assert (root, "unseen") not in reader.paths


def test_a_root_that_becomes_a_link_is_no_longer_watched(top):
    root = f"{top}/root"
    os.makedirs(root)
    os.makedirs(f"{top}/outside")
    with watching(root, check_interval_s=0.02) as (_, reader):
        os.rmdir(root)
        os.symlink("outside", root)
        reader.until_overflow(root)
        os.mkdir(f"{top}/outside/unseen")
        os.unlink(root)
        os.mkdir(root)
        reader.until_overflow(root)
        reader.sees_into(root, "")
        assert (root, "unseen") not in reader.paths


# Running out ---------------------------------------------------------------------------------------------------------------------------


def test_a_root_for_which_watches_run_out_is_listed_again_from_time_to_time_and_that_is_said(top):
    big, small = f"{top}/big", f"{top}/small"
    for name in "abcdefgh":
        os.makedirs(f"{big}/{name}")
    os.makedirs(f"{small}/d")
    notices = []
    with watching(small, big, maximum_watches=5, rescan_interval_s=0.02, notify=notices.append) as (
        watcher,
        reader,
    ):
        assert [(notice.code, notice.root) for notice in notices] == [("not_watched", big)]
        assert "max_user_watches" in str(notices[0].message)
        for _ in range(3):
            assert small not in reader.until_overflow(big)
        reader.sees_into(small, "d")
        # When there is room it is watched again.
        for name in "abcdefgh":
            os.rmdir(f"{big}/{name}")
        watcher.set_roots([Root(path=small), Root(path=big)])
        reader.sees_into(big, "")


def test_watches_that_run_out_later_degrade_the_root_too(top):
    notices = []
    with watching(top, maximum_watches=3, rescan_interval_s=0.02, notify=notices.append) as (_, reader):
        os.makedirs(f"{top}/a/b/c/d")
        reader.until_overflow(top)
        assert [(notice.code, notice.root) for notice in notices] == [("not_watched", top)]
        for _ in range(3):
            reader.until_overflow(top)


class Refusing(Inotify):
    """A kernel that gives two watches."""

    given = 0

    @override
    def add(self, directory):
        if self.given == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.given += 1
        return super().add(directory)


def test_a_kernel_that_gives_no_more_watches_degrades_the_root(top):
    os.makedirs(f"{top}/a/b/c")
    notices = []
    with watching(top, queue=Refusing, rescan_interval_s=0.02, notify=notices.append) as (_, reader):
        assert [notice.code for notice in notices] == ["not_watched"]
        reader.until_overflow(top)


class Late(Inotify):
    """A reader so late that the kernel has dropped events meanwhile."""

    may_read = threading.Event()

    @override
    def read(self):
        self.may_read.wait()
        return super().read()


def test_a_queue_that_ran_over_means_all_roots_and_watching_goes_on(top):
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        limit = int(file.read())
    one, two = f"{top}/one", f"{top}/two"
    os.mkdir(one)
    os.makedirs(f"{two}/d")
    Late.may_read.set()
    with watching(one, two, queue=Late) as (_, reader):
        Late.may_read.clear()
        for number in range(limit + 1):  # an event each: the same twice in a row would be one
            os.chmod(f"{two}/d" if number % 2 else two, 0o755)
        os.makedirs(f"{one}/dropped/below")
        Late.may_read.set()
        reader.until(lambda self: {one, two} <= self.overflow)
        reader.sees_into(one, "dropped/below")


def test_an_overflow_without_a_new_queue_degrades_everything(top):
    os.mkdir(f"{top}/d")

    class Overflowing(Inotify):
        made = 0

        def __init__(self):
            type(self).made += 1
            if self.made > 1:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            super().__init__()

        @override
        def read(self):
            for event in super().read():
                yield (type(event)(-1, 0x4000, b"") if event.name == b"overflow" else event)

    notices = []
    with watching(top, queue=Overflowing, rescan_interval_s=0.02, notify=notices.append) as (_, reader):
        os.mkdir(f"{top}/overflow")
        for _ in range(3):
            reader.until_overflow(top)
        assert [notice.code for notice in notices] == ["not_watched"]


def test_without_an_inotify_instance_there_is_a_clear_error(top):
    before, threads = descriptors(), threading.active_count()

    def none_left():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with (
        pytest.raises(LastroError, match="no more inotify instances") as caught,
        watching(top, queue=none_left),
    ):
        pass
    assert "max_user_instances" in caught.value.hint_text
    assert (descriptors(), threading.active_count()) == (before, threads)


def test_a_mistake_of_ours_does_not_make_the_feed_fall_silent(top):
    class Broken(Inotify):
        @override
        def read(self):
            for event in super().read():
                if event.name == b"break":
                    raise ZeroDivisionError
                yield event

    notices = []
    with watching(top, queue=Broken, rescan_interval_s=0.02, notify=notices.append) as (watcher, reader):
        os.mkdir(f"{top}/break")
        for _ in range(3):
            reader.until_overflow(top)
        assert [notice.code for notice in notices] == ["watch_lost"]
        watcher.set_roots(
            [Root(path=f"{top}/break")]
        )  # must not wait for a thread that no longer takes orders
        reader.until_overflow(f"{top}/break")


def test_a_feed_too_small_for_a_burst_says_so(top):
    with watching(top, maximum_remembered=10) as (_, reader):
        for number in range(100):
            os.mkdir(f"{top}/{number}")
        reader.until_overflow(top)


@pytest.mark.needs("an interpreter that others may run")
def test_directories_that_cannot_be_read_are_passed_over(top):
    os.makedirs(f"{top}/locked/below")
    os.mkdir(f"{top}/open")
    script = f"""
import os, sys
from lastro.capture.source import Root
from lastro.capture.watch import InotifyWatcher
watcher = InotifyWatcher([Root(path={top!r})], first_cursor=1)
cursor = watcher.changes(None, 0).cursor
os.mkdir({top + "/open/new"!r})
print([each.path for each in watcher.changes(cursor, 10).paths])
watcher.close()
"""
    os.chmod(f"{top}/locked", 0)
    os.chmod(f"{top}/open", 0o777)
    user = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    result = subprocess.run(
        [*user, sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.stdout, result.stderr) == ("['open', 'open/new']\n", "")
