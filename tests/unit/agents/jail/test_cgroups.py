"""Version 2 on a tree of plain files, for kernels where version 1 holds the controllers; the real thing is in ``test_jail``."""

from __future__ import annotations

import subprocess

import pytest

from lastro.agents.jail.cgroups import MEMORY, PROCESSES, PROCESSORS, GroupPlace, find_place, make_group
from lastro.domain.policy import RunLimits


@pytest.fixture
def host(tmp_path):
    """``mountinfo`` and ``cgroup`` of a process in a session below a slice that hands controllers down."""
    top = tmp_path / "fs"
    slice_ = top / "user.slice/app.slice"
    (slice_ / "session.scope").mkdir(parents=True)
    for directory in (top, top / "user.slice", slice_, slice_ / "session.scope"):
        (directory / "cgroup.subtree_control").write_text(
            "cpu memory pids\n" if directory == slice_ else "\n"
        )
        (directory / "cgroup.procs").write_text("")
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(f"41 31 0:38 / {top} rw,relatime - cgroup2 cgroup2 rw\n")
    (proc / "cgroup").write_text("0::/user.slice/app.slice/session.scope\n")
    return proc, slice_


def test_the_nearest_group_that_hands_controllers_down_is_found(host):
    proc, slice_ = host
    place = find_place(str(proc))
    assert place.kind == "v2"
    assert set(place.directories) == {MEMORY, PROCESSES, PROCESSORS}
    assert set(place.directories.values()) == {str(slice_)}


def test_a_container_sees_its_part_of_the_hierarchy(host):
    proc, slice_ = host
    (proc / "mountinfo").write_text(f"41 31 0:38 /docker/abc {slice_} rw - cgroup2 cgroup2 rw\n")
    (proc / "cgroup").write_text("0::/docker/abc\n")
    assert set(find_place(str(proc)).directories.values()) == {str(slice_)}


def test_nowhere_is_nowhere(tmp_path):
    assert find_place(str(tmp_path / "missing")) == GroupPlace()
    (tmp_path / "mountinfo").write_text("")
    (tmp_path / "cgroup").write_text("")
    assert find_place(str(tmp_path)) == GroupPlace()


def test_version_1_has_a_directory_for_each_controller(tmp_path):
    for name in ("memory", "pids"):
        (tmp_path / name / "own").mkdir(parents=True)
    (tmp_path / "mountinfo").write_text(
        f"1 2 0:1 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n2 2 0:2 / {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
    )
    (tmp_path / "cgroup").write_text("4:memory:/own\n3:pids:/own\n0::/\n")
    place = find_place(str(tmp_path))
    assert place == GroupPlace(
        kind="v1", directories={MEMORY: f"{tmp_path}/memory/own", PROCESSES: f"{tmp_path}/pids/own"}
    )


def test_limits_are_written_and_what_could_not_be_is_not_believed(host):
    proc, slice_ = host
    place = find_place(str(proc))
    limits = RunLimits(memory=1 << 20, processes=7, processors=1.5)
    group = make_group(place, "run/../1", limits)
    (directory,) = set(group.directories.values())
    assert directory.startswith(f"{slice_}/lastro-run____1-")
    written = {path.name: path.read_text() for path in slice_.glob("lastro-*/*")}
    assert written["memory.max"] == str(1 << 20)
    assert written["memory.swap.max"] == "0"
    assert written["pids.max"] == "9"
    assert written["cpu.max"] == "150000 100000"
    assert group.limited == {MEMORY, PROCESSES, PROCESSORS}
    assert make_group(place, "run-2", RunLimits(memory=None, processes=None)).limited == frozenset()
    missing = GroupPlace(kind="v2", directories={MEMORY: "/proc/no-such-place"})
    assert make_group(missing, "run-3", limits).limited == frozenset()


def test_groups_of_dead_supervisors_are_removed_and_others_stay(host):
    proc, slice_ = host
    child = subprocess.Popen(["true"])
    child.wait()
    (slice_ / f"lastro-run-1-{child.pid}-0").mkdir()
    (slice_ / "lastro-run-2-1-0").mkdir()
    (slice_ / "other").mkdir()
    make_group(find_place(str(proc)), "run-9", RunLimits())
    assert not (slice_ / f"lastro-run-1-{child.pid}-0").exists()
    assert (slice_ / "lastro-run-2-1-0").exists()
    assert (slice_ / "other").exists()
