from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.paths import from_bytes, is_within
from lastro.filesystem.mounts import (
    KERNEL_KINDS,
    NETWORK_KINDS,
    Mount,
    is_excluded_kind,
    mount_of,
    mounts_below,
    parse_mountinfo,
    read_mounts,
)

SAMPLE = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:45 / /mnt/with\040space\011tab\012line\134back rw shared:1 master:2 - fuse.sshfs me@host:/x\040y rw
32 27 0:46 /sub /srv rw shared:7 - overlay overlay rw
nonsense
33 27 x:y / /bad rw - ext4 a rw
"""


def mount(point, kind="ext4", number=1):
    return Mount(mount_id=number, parent_id=0, device=(0, number), point=point, kind=kind, source="none")


def test_the_kernels_format_is_read():
    mounts = parse_mountinfo(SAMPLE)
    assert [each.point for each in mounts] == ["/proc", "/", "/mnt/with space\ttab\nline\\back", "/srv"]
    assert [each.kind for each in mounts] == ["proc", "ext4", "fuse.sshfs", "overlay"]
    assert mounts[2].source == "me@host:/x y"
    assert (mounts[1].mount_id, mounts[1].parent_id, mounts[1].device) == (27, 1, (254, 0))


def escape(raw):
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in raw)


names = st.binary(min_size=1).filter(lambda name: b"\0" not in name)
slashed = names.map(lambda name: b"/" + name)


@given(st.lists(st.tuples(slashed, names, names, st.lists(st.just(b"shared:3"), max_size=3)), max_size=5))
def test_whatever_the_kernel_escapes_comes_back(lines):
    text = b"".join(
        b"%d 1 8:1 / %s rw %s- %s %s rw\n"
        % (number, escape(point), b"".join(tag + b" " for tag in optional), escape(kind), escape(source))
        for number, (point, kind, source, optional) in enumerate(lines)
    )
    assert [(each.mount_id, each.point, each.kind, each.source) for each in parse_mountinfo(text)] == [
        (number, from_bytes(point), from_bytes(kind), from_bytes(source))
        for number, (point, kind, source, _) in enumerate(lines)
    ]


@given(st.binary())
def test_nonsense_is_passed_over(text):
    parse_mountinfo(text)
    parse_mountinfo(b"1 2 3:4 / /x rw - " + text)


def test_what_is_left_out_and_what_is_not():
    for kind in (
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup",
        "cgroup2",
        "tmpfs",
        "nfs",
        "nfs4",
        "cifs",
        "fuse.sshfs",
        "9p",
        "ceph",
    ):
        assert is_excluded_kind(kind)
    for kind in (
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "overlay",
        "fuseblk",
        "vfat",
        "squashfs",
        "fuse.mergerfs",
        "",
    ):
        assert not is_excluded_kind(kind)
    assert not KERNEL_KINDS & NETWORK_KINDS


points = st.lists(st.sampled_from("ab"), max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(path=points, mounted=st.lists(points, max_size=6))
def test_a_path_lies_on_the_deepest_mount_and_of_equals_the_last(path, mounted):
    mounts = [mount(point, number=number) for number, point in enumerate(mounted)]
    found = mount_of(path, mounts)
    above = [each for each in mounts if is_within(path, each.point)]
    if found is None:
        assert not above
    else:
        assert found in above
        assert all((len(each.point), each.mount_id) <= (len(found.point), found.mount_id) for each in above)


def test_mounts_below_are_relative_and_strictly_below():
    mounts = [
        mount("/"),
        mount("/srv"),
        mount("/srv/a", "tmpfs"),
        mount("/srv/a", "ext4"),
        mount("/srv/b c", "proc"),
        mount("/srvx"),
    ]
    assert mounts_below("/srv", mounts) == {"a": "ext4", "b c": "proc"}
    assert mounts_below("/", mounts) == {"srv": "ext4", "srv/a": "ext4", "srv/b c": "proc", "srvx": "ext4"}


@pytest.mark.needs("linux")
def test_this_machine_has_mounts():
    mounts = read_mounts()
    assert mount_of("/proc/self", mounts).kind == "proc"
    assert read_mounts("/nonexistent/mountinfo") == ()


IN_A_NAMESPACE = """
import os, subprocess, sys
from lastro.capture.local import LocalSource
from lastro.capture.source import FileFailed, Root, Skipped
from lastro.capture.watch import InotifyWatcher
from lastro.domain.entry import Entry, EntryType

top = sys.argv[1]
def mount(kind, name, *options):
    os.makedirs(f"{top}/{name}", exist_ok=True)
    subprocess.run(["mount", "-t", kind, *options, kind, f"{top}/{name}"], check=True)

os.makedirs(f"{top}/d/bound/deep")
mount("tmpfs", "d/memory")
mount("proc", "proc")
open(f"{top}/d/memory/file", "w").close()
os.makedirs(f"{top}/d/memory/inner")
subprocess.run(["mount", "--bind", f"{top}/d/bound", f"{top}/d/memory/inner"], check=True)
os.makedirs(f"{top}/twice")
subprocess.run(["mount", "--bind", f"{top}/d/bound", f"{top}/twice"], check=True)

def look(source, root, *paths):
    found = list(source.list(root, paths or ("",)))
    return ({each.path for each in found if isinstance(each, Entry)},
            {(each.path, each.detail) for each in found if isinstance(each, Skipped)})

source = LocalSource([Root(path=top), Root(path=f"{top}/d/memory")])
entries, skipped = look(source, top)
assert entries == {"", "d", "d/bound", "d/bound/deep", "d/memory", "proc", "twice", "twice/deep"}, entries
assert skipped == {("d/memory", "tmpfs"), ("proc", "proc")}, skipped
assert look(source, top, "proc/self", "d/memory/file") == (set(), {("proc", "proc"), ("d/memory", "tmpfs")})
event, = source.fetch(top, [Entry(path="proc/version", type=EntryType.FILE)])
assert event == FileFailed(path="proc/version", kind="unreadable", detail="proc"), event

# A root that is named is captured whatever it lies on.
entries, skipped = look(source, f"{top}/d/memory")
assert entries == {"", "file", "inner", "inner/deep"} and not skipped, (entries, skipped)

# A mount that comes while a listing is under way is seen all the same.
steps = source.list(top)
assert next(steps).path == ""
mount("tmpfs", "d/late")
open(f"{top}/d/late/file", "w").close()
rest = list(steps)
assert "d/late/file" not in {each.path for each in rest}
assert ("d/late", "tmpfs") in {(each.path, each.detail) for each in rest if isinstance(each, Skipped)}

# The watcher notices mounts too.
watcher = InotifyWatcher([Root(path=top)], first_cursor=1, check_interval_s=3600)
def told(cursor, wanted):
    seen = set()
    while wanted not in seen:
        answer = watcher.changes(cursor, 5)
        assert answer.cursor != cursor, f"nothing told of {wanted}"
        cursor = answer.cursor
        seen |= {(each.path, each.recursive) for each in answer.paths}
    return cursor, seen
cursor = watcher.changes(None, 0).cursor
os.makedirs(f"{top}/plain")
cursor, _ = told(cursor, ("plain", True))
subprocess.run(["mount", "--bind", f"{top}/d/bound", f"{top}/plain"], check=True)
cursor, _ = told(cursor, ("plain", True))
os.mkdir(f"{top}/plain/new")
cursor, _ = told(cursor, ("plain/new", True))
subprocess.run(["umount", f"{top}/plain"], check=True)
cursor, _ = told(cursor, ("plain", True))
os.mkdir(f"{top}/plain/under")
cursor, seen = told(cursor, ("plain/under", True))
os.mkdir(f"{top}/d/memory/unseen")
os.mkdir(f"{top}/end")
cursor, seen = told(cursor, ("end", True))
assert not any(path.startswith("d/memory") for path, _ in seen), seen
watcher.close()
print("all is well")
"""


@pytest.mark.system
@pytest.mark.needs("mount namespaces")
def test_mounts_below_a_root_are_left_out_and_a_root_on_one_is_not(tmp_path):
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        "-c",
        IN_A_NAMESPACE,
        str(tmp_path),
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=os.environ | {"LC_ALL": "C"}
    )
    assert (result.returncode, result.stdout) == (0, "all is well\n"), result.stderr
