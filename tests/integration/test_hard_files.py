"""Every hard file goes the whole way: disk → node → TLS → keeper → repository → restore, and comes back as it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from blake3 import blake3

from lastro.domain.paths import from_bytes
from tests.hard_files import NAMES, SPARSE_DIGEST, SPARSE_SIZE, place, sparse, unix_socket, write
from tests.integration.commands import Home, wait_until

pytestmark = pytest.mark.system


def everything(root):
    """What ``lstat`` and reading tell of every path below ``root``, by raw relative path."""
    found = {}
    for parent, directories, names in os.walk(os.fsencode(root)):
        for name in [*directories, *names]:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            content = b""
            if stat.S_ISREG(kind) and status.st_size < 1_000_000:
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(kind):
                content = os.readlink(path)
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            }
            times = 0 if stat.S_ISLNK(kind) else status.st_mtime_ns
            found[os.path.relpath(path, os.fsencode(root))] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                times,
                content,
                xattrs,
            )
    return found


def make_hard_files(root):
    for name in NAMES:
        write(os.path.join(root, from_bytes(name)), b"content of " + name)
    write(f"{root}/empty")
    write(f"{root}/mail@2d", b"a name that ends like a time")
    os.symlink("loop-b", f"{root}/loop-a")
    os.symlink("loop-a", f"{root}/loop-b")
    os.symlink("/etc/hostname", f"{root}/out-of-the-root")
    os.symlink("/", f"{root}/out-to-everything")
    os.mkfifo(f"{root}/fifo", 0o640)
    os.mkdir(f"{root}/empty directory", 0o700)
    write(f"{root}/setuid", b"#!/bin/true\n")
    os.chmod(f"{root}/setuid", 0o4755)
    os.utime(f"{root}/setuid", ns=(0, 1_234_567_890_123_456_789))
    os.setxattr(f"{root}/empty", b"user.note", b"\0\xff")
    os.chown(f"{root}/mail@2d", 12345, 54321)
    os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(f"{root}/null", 0o666)
    write(f"{root}/linked one", b"linked")
    os.link(f"{root}/linked one", f"{root}/linked two")


@pytest.mark.needs("root", "names of any bytes")
def test_hard_files_come_back_as_they_were(tmp_path):
    with place() as scratch:
        root, back = f"{scratch}/root", f"{scratch}/back"
        os.mkdir(root)
        make_hard_files(root)
        sparse(f"{root}/sparse")
        unix_socket(f"{root}/socket")
        home = Home(os.path.realpath(tmp_path / "home"))
        with home.serving("up", root) as up:
            ready = up.wait_event("ready")
            assert ready["bytes"] > SPARSE_SIZE
            restored = home.run("restore", root, "--to", back, "--yes", "--json")
            notes = restored.reply["notes"]
            assert [(note["path"].endswith("socket"), note["kind"]) for note in notes] == [(True, "skipped")]
            assert restored.code == 3
            assert home.run("cat", f"{root}/mail@2d", "--at", "snap-1").out == "a name that ends like a time"
            status = home.ask("status")
            assert status["bytes"] < 20_000_000, "holes are not stored"
        expected = everything(root)
        del expected[b"socket"]
        assert everything(f"{back}/root") == expected
        one, two = os.lstat(f"{back}/root/linked one"), os.lstat(f"{back}/root/linked two")
        assert one.st_ino == two.st_ino
        assert os.lstat(f"{back}/root/sparse").st_blocks * 512 < 1_000_000
        hasher = blake3()
        with open(f"{back}/root/sparse", "rb") as file:
            while block := file.read(1 << 24):
                hasher.update(block)
        assert hasher.hexdigest() == SPARSE_DIGEST
        assert home.ask("repo", "check", "--read-data")["sound"]


@pytest.mark.needs("root", "setpriv", "an interpreter that others may run")
def test_without_root_what_cannot_be_read_is_said_and_the_rest_is_kept():
    with place() as scratch:
        root, home = f"{scratch}/root", Home(f"{scratch}/home")
        os.mkdir(root)
        write(f"{root}/mine", b"mine")
        write(f"{root}/secret", b"secret")
        os.chmod(f"{root}/secret", 0)
        os.mkdir(f"{root}/closed", 0)
        os.chmod(scratch, 0o777)
        for path in (root, f"{root}/mine"):
            os.chown(path, 65534, 65534)
        unprivileged = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            sys.executable,
            "-m",
            "lastro",
        ]

        def lastro(*arguments):
            done = subprocess.run(
                [*unprivileged, *arguments],
                env={**home.surroundings, "HOME": scratch},
                capture_output=True,
                check=False,
            )
            return done.returncode, done.stdout.decode() + done.stderr.decode()

        assert lastro("init")[0] == 0
        code, said = lastro("capture", root)
        assert code == 3
        assert "secret" in said
        assert "closed" in said
        assert lastro("cat", f"{root}/mine") == (0, "mine")
        code, said = lastro("cat", f"{root}/secret")
        assert code == 1
        assert "could not be read" in said
        os.unlink(f"{root}/mine")
        code, said = lastro("restore", f"{root}/mine", "--yes")
        assert code == 0, said
        with open(f"{root}/mine", "rb") as file:
            assert file.read() == b"mine"


@pytest.mark.slow
def test_a_directory_of_20_000_entries_and_a_change_in_it(tmp_path):
    with place(in_memory=True) as scratch:
        root = f"{scratch}/root"
        os.makedirs(f"{root}/many")
        for number in range(20_000):
            write(f"{root}/many/{number:05d}", b"%d" % number)
        home = Home(os.path.realpath(tmp_path / "home"))
        with home.serving("up", root) as up:
            assert up.wait_event("ready")["files"] == 20_000
            before = home.ask("repo", "stats")["bytes"]
            write(f"{root}/many/12345", b"changed")
            wait_until(lambda: len(home.versions(f"{root}/many/12345")) == 2)
            grown = home.ask("repo", "stats")["bytes"] - before
            assert grown < 200_000, "one change rewrites kilobytes, not the directory"
