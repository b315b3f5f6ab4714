"""``LocalDestination`` on what only a real file system has: holes, ACLs, capabilities, mounts, long paths, other users."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from lastro.apply.destination import OutcomeKind
from lastro.apply.intent import Intent, Phase, write_intent
from lastro.apply.local import LocalDestination
from lastro.apply.plan import Plan
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Device, Entry, EntryType, Extent, Xattr
from lastro.errors import ConflictError, UsageError
from tests.capabilities import is_root, needs
from tests.conformance.trees import Stored, directory, file, hard_link, symlink, tree
from tests.faults.destinations import Home, recovered, small_scene
from tests.faults.injection import FailingSystem, UnsyncedSystem
from tests.faults.scratch import scratch_directory

SPARSE = bytes(1 << 20) + b"data" + bytes(1 << 20)


@pytest.fixture
def home(tmp_path):
    return Home(str(tmp_path))


def apply(home, wanted, apply_id="x", **options):
    return home.destination(**options).apply(apply_id, home.changes_to(wanted), Stored(wanted))


def test_holes_stay_holes(home):
    home.fill(tree())
    assert apply(home, tree(file("sparse", SPARSE), data=(SPARSE,))).kind is OutcomeKind.APPLIED
    entry = home.destination().read(["sparse"])["sparse"]
    needs(
        os.stat(os.path.join(home.place, "sparse")).st_blocks * 512 < len(SPARSE), "a file system with holes"
    )
    assert sum(hole.length for hole in entry.holes) > len(SPARSE) // 2
    assert entry.holes[0].offset == 0
    assert isinstance(entry.holes[0], Extent)


def test_a_path_longer_than_the_system_takes_at_once(home):
    home.fill(tree())
    path = "/".join("long" * 50 for _ in range(30))
    wanted = tree(
        *(directory(path[: 200 + 201 * depth]) for depth in range(30)),
        file(f"{path}/end", b"deep"),
        data=(b"deep",),
    )
    assert apply(home, wanted).kind is OutcomeKind.APPLIED
    assert home.is_in(wanted)
    assert apply(home, tree(), "y").kind is OutcomeKind.APPLIED
    assert os.listdir(home.place) == []


@pytest.mark.needs("user xattrs")
def test_an_acl_comes_back_with_its_mode(home):
    home.fill(tree())
    acl = bytes.fromhex("02000000") + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, bits, who in [
            (1, 6, 2**32 - 1),
            (2, 6, 1234),
            (4, 4, 2**32 - 1),
            (16, 6, 2**32 - 1),
            (32, 0, 2**32 - 1),
        ]
    )
    wanted = tree(
        file("f", b"", mode=0o660, xattrs=(Xattr("system.posix_acl_access", acl),)),
        directory("d", mode=0o755, xattrs=(Xattr("system.posix_acl_default", acl),)),
        file("d/plain", b"", mode=0o644),
        data=(b"",),
    )
    outcome = apply(home, wanted)
    needs(not outcome.notes, "a file system with ACLs")
    assert home.is_in(wanted), home.differences(wanted)
    plain = tree(
        file("f", b"", mode=0o640), directory("d"), file("d/plain", b""), file("d/other", b""), data=(b"",)
    )
    assert apply(home, plain, "y").kind is OutcomeKind.APPLIED
    assert home.is_in(plain), home.differences(plain)


@pytest.mark.needs("root")
def test_capabilities_setuid_and_devices(home):
    home.fill(tree())
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    wanted = tree(
        file("ping", b"#!", mode=0o755, uid=1234, xattrs=(Xattr("security.capability", capability),)),
        file("sudo", b"#!", mode=0o6755, uid=1234, gid=1234),
        Entry(path="null", type=EntryType.CHARACTER_DEVICE, mode=0o666, rdev=Device(1, 3)),
        Entry(path="disk", type=EntryType.BLOCK_DEVICE, mode=0o660, gid=6, rdev=Device(7, 255)),
        data=(b"#!",),
    )
    assert apply(home, wanted).notes == ()
    assert home.is_in(wanted), home.differences(wanted)


def test_what_stands_in_place_is_exchanged_and_keeps_no_trace(home):
    first, second = small_scene()
    home.fill(first)
    inode = os.stat(os.path.join(home.place, "d/changed")).st_ino
    assert apply(home, second).kind is OutcomeKind.APPLIED
    assert os.stat(os.path.join(home.place, "d/changed")).st_ino != inode
    assert home.staging_left() == []


def test_only_attributes_keep_the_inode_and_set_the_time(home):
    home.fill(tree(file("f", b"same", mode=0o600), data=(b"same",)))
    inode = os.stat(os.path.join(home.place, "f")).st_ino
    assert (
        apply(home, tree(file("f", b"same", mode=0o640, mtime_ns=1_234_567_891))).kind is OutcomeKind.APPLIED
    )
    status = os.stat(os.path.join(home.place, "f"))
    assert (status.st_ino, stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (inode, 0o640, 1_234_567_891)


def test_a_new_destination_is_made_and_undone_with_all_it_held(tmp_path):
    home = Home(str(tmp_path))
    home.place = str(tmp_path / "not" / "yet" / "there")
    wanted = tree(directory("d"), file("d/f", b"x"), data=(b"x",))
    changes = ChangeSet(tuple(Change(path=entry.path, before=None, after=entry) for entry in wanted.entries))
    assert home.destination().read(["", "d"]) == {"": None, "d": None}
    assert list(home.destination().walk("")) == []
    assert home.destination().apply("x", changes, Stored(wanted)).applied == ("", "d", "d/f")
    assert home.is_in(wanted)
    assert home.destination().apply("y", changes.inverse, Stored()).kind is OutcomeKind.APPLIED
    assert not os.path.exists(home.place)
    assert home.pending() == []


def test_a_new_destination_that_fails_is_not_left_behind(tmp_path):
    home = Home(str(tmp_path))
    home.place = str(tmp_path / "not" / "yet")
    changes = ChangeSet((Change(path="f", before=None, after=file("f", b"x")),))
    bad = Stored(tree(data=(b"x",)))
    bad.contents[file("", b"x").digest] = b"y"
    with pytest.raises(Exception, match="not what was recorded"):
        home.destination().apply("x", changes, bad)
    assert not os.path.exists(str(tmp_path / "not"))
    lie = ChangeSet((Change(path="f", before=file("f", b"x"), after=None),))
    assert home.destination().apply("y", lie, Stored()).kind is OutcomeKind.CONFLICT
    assert not os.path.exists(str(tmp_path / "not"))
    assert home.pending() == []


def test_an_intent_of_another_directory_at_the_same_path_is_not_carried_out(home):
    first, second = small_scene()
    home.fill(first)
    changes = home.changes_to(second)
    for moment in range(100):
        with pytest.raises(Exception, match="could not be changed"):
            home.destination(FailingSystem(moment, 5, inner=UnsyncedSystem())).apply(
                "x", changes, Stored(second)
            )
        if home.pending():
            break
    os.rename(home.place, home.place + ".away")
    os.mkdir(home.place)
    with pytest.raises(ConflictError) as caught:
        recovered(home)
    assert caught.value.hint
    os.rmdir(home.place)
    os.rename(home.place + ".away", home.place)
    assert recovered(home)
    assert home.is_in(second)


@pytest.mark.parametrize("apply_id", ["", "a/b", "..", "-a", "a--b", "é"])
def test_an_id_that_is_no_name_is_refused(home, apply_id):
    home.fill(tree())
    with pytest.raises(UsageError):
        home.destination().apply(apply_id, ChangeSet(), Stored())


def test_a_link_in_the_way_to_the_destination_is_its_users_affair(tmp_path):
    home = Home(str(tmp_path))
    home.fill(tree(file("f", b"x"), data=(b"x",)))
    os.symlink(home.place, tmp_path / "link")
    through = LocalDestination(str(tmp_path / "link"), intents=home.intents, system=UnsyncedSystem())
    assert through.read(["f"])["f"] is not None


@pytest.mark.system
@pytest.mark.needs("mount namespaces")
def test_a_mounted_file_is_written_in_place_and_said(tmp_path):
    program = """
import os, subprocess, sys
sys.path[:0] = %r
from tests.faults.destinations import Home
from tests.conformance.trees import *
home = Home(sys.argv[1])
home.fill(tree(file("f", b"old"), data=(b"old",)))
under = os.path.join(sys.argv[1], "under")
open(under, "wb").write(b"old"); os.utime(under, ns=(7, 7))
subprocess.run(["mount", "--bind", under, os.path.join(home.place, "f")], check=True)
wanted = tree(file("f", b"new and longer", mode=0o600), data=(b"new and longer",))
outcome = home.destination().apply("x", home.changes_to(wanted), Stored(wanted))
assert [(n.path, n.kind.value, n.detail) for n in outcome.notes] == [("f", "in_place", "mount")], outcome
assert open(under, "rb").read() == b"new and longer"
assert home.is_in(wanted), home.differences(wanted)
outcome = home.destination().apply("y", home.changes_to(tree()), Stored())
print(outcome.kind.value if outcome.kind.value != "applied" else outcome)
""" % [os.path.abspath("src"), os.path.abspath(".")]
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "may not be changed" in done.stderr, (
        done.stderr
    )  # the mount point itself cannot be removed, and nothing was
    assert (tmp_path / "place" / "f").read_bytes() == b"old"


@pytest.mark.system
@pytest.mark.needs("another user", "an interpreter that others may run")
def test_without_root_what_is_not_permitted_is_noted():
    program = """
import json, sys
sys.path[:0] = %r
from tests.faults.destinations import Home
from tests.conformance.trees import *
home = Home(sys.argv[1])
start = tree(directory("closed", mode=0o555), file("closed/f", b"old", mode=0o444), data=(b"old",), root=root_entry())
home.fill(start)
wanted = tree(
    directory("closed", mode=0o555),
    file("closed/f", b"new", mode=0o000),
    file("closed/g", b"new", mode=0o200),
    file("roots", b"new", uid=0, gid=0, mode=0o4755),
    Entry(path="null", type=EntryType.CHARACTER_DEVICE, mode=0o666, rdev=Device(1, 3), **owner()),
    directory("shut", mode=0o000),
    file("labelled", b"new", xattrs=(Xattr("trusted.x", b"1"), Xattr("user.y", b"2")), flags=16),
    data=(b"new",),
)
outcome = home.destination().apply("x", home.changes_to(wanted), Stored(wanted))
print(json.dumps([outcome.kind.value, sorted([n.path, n.kind.value, n.detail] for n in outcome.notes), outcome.applied,
                  sorted(home.staging_left())]))
""" % [os.path.abspath("src"), os.path.abspath(".")]
    with scratch_directory() as scratch:
        os.chmod(scratch, 0o777)
        command = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            sys.executable,
            "-c",
            program,
        ]
        work = os.path.join(scratch, "work")
        os.mkdir(work)
        os.chown(work, 65534, 65534)
        done = subprocess.run([*command, work], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        kind, notes, applied, left = json.loads(done.stdout)
        assert kind == "applied"
        assert notes == [
            ["labelled", "not_permitted", "flags"],
            ["labelled", "not_permitted", "trusted.x"],
            ["null", "not_permitted", "char"],
            ["roots", "not_permitted", "gid"],
            ["roots", "not_permitted", "mode"],
            ["roots", "not_permitted", "uid"],
        ]
        assert "null" not in applied
        assert left == []
        place = os.path.join(work, "place")
        assert stat.S_IMODE(os.stat(os.path.join(place, "closed")).st_mode) == 0o555
        assert stat.S_IMODE(os.stat(os.path.join(place, "closed", "f")).st_mode) == 0
        assert stat.S_IMODE(os.stat(os.path.join(place, "shut")).st_mode) == 0
        assert stat.S_IMODE(os.stat(os.path.join(place, "roots")).st_mode) == 0o755
        with open(os.path.join(place, "closed", "f"), "rb") as file_:
            assert file_.read() == b"new"


def test_a_hard_link_to_a_file_that_stays_is_a_link_to_it(home):
    kept = file("kept", b"kept")
    home.fill(tree(kept, data=(b"kept",)))
    wanted = tree(kept, hard_link(kept, "second"), symlink("third", "kept"), data=(b"kept",))
    assert apply(home, wanted).applied == ("second", "third")
    assert os.stat(os.path.join(home.place, "kept")).st_nlink == 2
    assert home.is_in(wanted)


@pytest.mark.needs("root")
def test_an_immutable_file_keeps_its_lock_under_its_other_names():
    with scratch_directory() as scratch:
        home = Home(scratch)
        kept = file("a", b"kept", flags=0x10)
        home.fill(tree(kept, hard_link(kept, "b"), data=(b"kept",)))
        alone = tree(kept, data=(b"kept",))
        assert apply(home, alone).kind is OutcomeKind.APPLIED
        assert home.is_in(alone), home.differences(alone)


REFUSED = """
import tempfile
from lastro.apply.local import LocalDestination
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType
from lastro.errors import LastroError

added = Entry(path="lastro-test", type=EntryType.DIRECTORY, mode=0o755)
with tempfile.TemporaryDirectory() as intents:
    try:
        LocalDestination("/usr", intents=intents).apply("x", ChangeSet((Change(path=added.path, before=None, after=added),)), None)
    except LastroError as error:
        print(error)
"""


@pytest.mark.needs("setpriv", "an interpreter that others may run")
def test_a_directory_of_somebody_else_is_refused_whole():
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if is_root() else []
    done = subprocess.run(
        [*nobody, sys.executable, "-c", REFUSED], capture_output=True, text=True, check=False, timeout=30
    )
    assert "may not be changed" in done.stdout, done
    assert not os.path.lexists("/usr/lastro-test")


def test_the_intents_of_others_are_left_alone(home):
    home.fill(tree())
    other = LocalDestination(home.place + ".other", intents=home.intents, system=UnsyncedSystem())
    theirs = Intent(
        apply_id="apply-7",
        destination="/elsewhere",
        inode=2,
        phase=Phase.STAGING,
        changes=ChangeSet(),
        plan=Plan(),
    )
    write_intent(home.intents, theirs, system=UnsyncedSystem())
    assert recovered(home) == []
    assert other.recover() == []
    assert home.pending() == ["apply-7"]
