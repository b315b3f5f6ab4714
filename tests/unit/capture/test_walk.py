from __future__ import annotations

import os
import shutil
import tracemalloc

import pytest

from lastro.capture.local import LocalSource
from lastro.capture.source import Root, Skipped
from lastro.domain.entry import Entry
from lastro.domain.paths import tree_order
from tests import hard_files


@pytest.fixture
def top():
    with hard_files.place(in_memory=True) as directory:
        yield directory


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_a_tree_of_5_000_levels_needs_few_descriptors(top):
    hard_files.nested(top, [b"d"] * 5000, file=b"file")
    before, most, count = descriptors(), 0, 0
    for each in LocalSource([Root(path=top)]).list(top):
        assert isinstance(each, Entry)
        count += 1
        if count % 500 == 0:
            most = max(most, descriptors())
    assert count == 5002
    assert most - before < 50
    assert descriptors() == before


def test_on_the_way_back_up_closed_directories_are_opened_again(top):
    here, expected = top, [""]
    for level in range(100):
        for name in ("a", "m", "z"):
            os.mkdir(f"{here}/{name}")
            expected.append("m/" * level + name)
        here += "/m"
    found = [each.path for each in LocalSource([Root(path=top)]).list(top)]
    assert found == sorted(expected, key=tree_order)


def test_a_listing_that_is_given_up_leaves_nothing_open(top):
    os.makedirs(f"{top}/a/b/c/d")
    before = descriptors()
    steps = LocalSource([Root(path=top)]).list(top)
    for _ in range(4):
        next(steps)
    assert descriptors() > before
    steps.close()
    assert descriptors() == before


def test_a_big_directory_costs_memory_for_its_names_only(top):
    here = os.open(top, os.O_RDONLY)
    for number in range(5_000):
        os.close(os.open(b"%06d" % number, os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    steps = LocalSource([Root(path=top)]).list(top)
    next(steps)
    tracemalloc.start()
    try:
        assert sum(1 for _ in steps) == 5_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000 * 250  # bytes for each name; an entry takes many times that


def test_a_directory_that_was_exchanged_before_it_was_entered_is_not_entered(top):
    os.makedirs(f"{top}/root/a/inside")
    os.makedirs(f"{top}/other/secret")
    steps = LocalSource([Root(path=f"{top}/root")]).list(f"{top}/root")
    assert [next(steps).path, next(steps).path] == ["", "a"]
    os.rename(f"{top}/root/a", f"{top}/away")
    os.rename(f"{top}/other", f"{top}/root/a")
    assert list(steps) == [Skipped(path="a", kind="unreadable", detail="changed")]


@pytest.mark.parametrize("replacement", ["link", "nothing", "file"])
def test_a_directory_that_vanished_before_it_was_entered_is_passed_over(top, replacement):
    os.makedirs(f"{top}/root/a/inside")
    os.makedirs(f"{top}/root/b")
    os.makedirs(f"{top}/other/secret")
    steps = LocalSource([Root(path=f"{top}/root")]).list(f"{top}/root")
    assert [next(steps).path, next(steps).path] == ["", "a"]
    shutil.rmtree(f"{top}/root/a")
    if replacement == "link":
        os.symlink(f"{top}/other", f"{top}/root/a")
    elif replacement == "file":
        hard_files.write(f"{top}/root/a")
    assert [each.path for each in steps] == ["b"]


def test_what_vanishes_on_the_way_is_left_out(top):
    for name in "abc":
        os.makedirs(f"{top}/{name}/below")
    steps = LocalSource([Root(path=top)]).list(top)
    assert next(steps).path == ""
    shutil.rmtree(f"{top}/b")
    assert [each.path for each in steps] == ["a", "a/below", "c", "c/below"]


def test_a_removed_branch_above_closed_directories_ends_quietly(top):
    deep = "/".join(["m"] * 60)
    os.makedirs(f"{top}/{deep}")
    os.makedirs(f"{top}/m/m/z")
    os.makedirs(f"{top}/z")
    steps = LocalSource([Root(path=top)]).list(top)
    for each in steps:
        if each.path == deep:
            break
    os.rename(f"{top}/m", f"{top}/away")
    assert [each.path for each in steps] == ["z"]
