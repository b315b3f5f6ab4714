from __future__ import annotations

import errno
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.filesystem.beneath import (
    best_opener,
    open_beneath,
    open_by_component,
    open_by_kernel,
    open_directory,
    open_parent,
    open_root,
    read_at_most,
)
from tests import hard_files
from tests.capabilities import needs


@pytest.fixture(params=[open_by_kernel, open_by_component])
def opener(request):
    needs(request.param is open_by_component or best_opener() is open_by_kernel, "Linux with openat2")
    return request.param


@pytest.fixture
def top():
    with hard_files.place() as directory:
        os.makedirs(f"{directory}/root/a/b")
        hard_files.write(f"{directory}/root/a/b/file", b"inside")
        hard_files.write(f"{directory}/outside", b"outside")
        for name, target in {"out": "..", "in": "a", "file": "a/b/file", "loop": "loop"}.items():
            os.symlink(target, f"{directory}/root/{name}")
        root = os.open(f"{directory}/root", os.O_PATH)
        yield root
        os.close(root)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def identity(descriptor):
    status = os.fstat(descriptor)
    os.close(descriptor)
    return status.st_dev, status.st_ino


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("out/outside", errno.ELOOP),
        ("in/b/file", errno.ELOOP),
        ("file", errno.ELOOP),
        ("loop", errno.ELOOP),
        ("loop/x", errno.ELOOP),
        ("..", errno.EXDEV),
        ("a/../../outside", errno.EXDEV),
        ("a/../a", errno.EXDEV),
        ("/etc/passwd", errno.EXDEV),
        ("a//b", errno.EINVAL),
        ("a/./b", errno.EINVAL),
        ("a/", errno.EINVAL),
        ("a/b/file\0", errno.EINVAL),
        ("nothing", errno.ENOENT),
        ("nothing/below", errno.ENOENT),
        ("a/b/file/below", errno.ENOTDIR),
        ("x" * 256, errno.ENAMETOOLONG),
        ("y" * 5000, errno.ENAMETOOLONG),
    ],
)
def test_what_is_refused_is_refused_alike(top, opener, path, number):
    before = descriptors()
    with pytest.raises(OSError) as caught:  # noqa: PT011  the number is what matters
        open_beneath(top, path, opener=opener)
    assert caught.value.errno == number
    assert descriptors() == before


def test_what_is_allowed_is_opened(top, opener):
    descriptor = open_beneath(top, "a/b/file", opener=opener)
    assert os.read(descriptor, 100) == b"inside"
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert identity(open_beneath(top, "", os.O_PATH, opener=opener)) == identity(os.dup(top))


def test_a_link_itself_can_be_pinned(top, opener):
    descriptor = open_beneath(top, "out", os.O_PATH, opener=opener)
    assert os.readlink("", dir_fd=descriptor) == ".."
    os.close(descriptor)


def test_magic_links_are_not_followed(opener):
    process = os.open("/proc/self", os.O_PATH)
    try:
        for path in ("exe", "root/etc", "fd/0"):
            with pytest.raises(OSError, match="symbolic links"):
                os.close(open_beneath(process, path, opener=opener))
    finally:
        os.close(process)


@pytest.mark.parametrize("length", [1, 99, 199, 200, 249])
def test_paths_longer_than_the_kernel_takes_are_walked(opener, length):
    with hard_files.place(in_memory=True) as directory:
        path = hard_files.nested(directory, [b"d" * length] * (9000 // (length + 1)), file=b"file")
        root, before = os.open(directory, os.O_PATH), descriptors()
        descriptor = open_beneath(root, path, opener=opener)
        assert os.read(descriptor, 2) == b"x"
        os.close(descriptor)
        parent, name = open_parent(root, path, opener=opener)
        assert name == b"file"
        assert os.stat(name, dir_fd=parent).st_size == 1
        os.close(parent)
        assert descriptors() == before
        os.close(root)


def test_parents(top, opener):
    for path, name in {"": b"", "a": b"a", "a/b/\udcff": b"\xff"}.items():
        parent, found = open_parent(top, path, opener=opener)
        assert found == name
        assert identity(parent) == identity(open_beneath(top, path.rpartition("/")[0], opener=opener))


names = st.sampled_from(("a", "b", "file", "out", "in", "loop", "..", ".", "", "nothing", "\udcff"))


@given(
    path=st.lists(names, max_size=5).map("/".join),
    flags=st.sampled_from((os.O_RDONLY, os.O_PATH, os.O_DIRECTORY)),
)
def test_both_ways_agree_on_every_path(path, flags):
    needs(best_opener() is open_by_kernel, "Linux with openat2")

    def outcome(root, opener):
        try:
            return identity(open_beneath(root, path, flags, opener=opener))
        except OSError as error:
            return error.errno

    with hard_files.place(in_memory=True) as directory:
        os.makedirs(f"{directory}/a/b/a")
        hard_files.write(f"{directory}/a/file")
        for name, target in {"out": "..", "in": "a", "a/out": "../..", "loop": "loop"}.items():
            os.symlink(target, f"{directory}/{name}")
        root = os.open(directory, os.O_PATH)
        answers = [outcome(root, opener) for opener in (open_by_kernel, open_by_component)]
        os.close(root)
    # A link in the way of O_DIRECTORY has two true names.
    assert answers[0] == answers[1] or set(answers) == {errno.ELOOP, errno.ENOTDIR}


def test_nobody_who_swaps_directories_for_links_leads_us_out(top, opener):
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            os.rename("a", "a-away", src_dir_fd=top, dst_dir_fd=top)
            os.symlink("..", "a", dir_fd=top)
            os.unlink("a", dir_fd=top)
            os.rename("a-away", "a", src_dir_fd=top, dst_dir_fd=top)

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        for _ in range(2000):
            for path in ("a/outside", "a/root/a/b/file"):
                with pytest.raises(OSError):  # noqa: PT011  any refusal will do
                    os.close(open_beneath(top, path, opener=opener))
    finally:
        stop.set()
        attacker.join()


def test_a_root_is_a_real_absolute_path(tmp_path):
    os.mkdir(tmp_path / "real")
    os.mkdir(tmp_path / "real/below")
    os.symlink("real", tmp_path / "link")
    hard_files.write(f"{tmp_path}/file")
    assert identity(open_root(f"{tmp_path}/real")) == identity(os.open(tmp_path / "real", os.O_PATH))
    assert identity(open_root("/")) == identity(os.open("/", os.O_PATH))
    for path, number in {
        f"{tmp_path}/link": errno.ELOOP,
        f"{tmp_path}/link/below": errno.ELOOP,
        f"{tmp_path}/file": errno.ENOTDIR,
        f"{tmp_path}/gone": errno.ENOENT,
        f"{tmp_path}/real/": errno.EINVAL,
        f"{tmp_path}//real": errno.EINVAL,
        f"/{tmp_path}/real": errno.EXDEV,
        f"{tmp_path}/real/../real": errno.EXDEV,
        "relative": errno.EINVAL,
        "": errno.EINVAL,
    }.items():
        with pytest.raises(OSError) as caught:  # noqa: PT011  the number is what matters
            os.close(open_root(path))
        assert caught.value.errno in {number, errno.ENOTDIR if number == errno.ELOOP else number}


def test_only_directories_are_opened_as_such(top):
    os.close(open_directory(top, "a/b"))
    with pytest.raises(NotADirectoryError):
        open_directory(top, "a/b/file")


def test_only_the_beginning_of_an_ordinary_file_is_read():
    with hard_files.place() as directory:
        root = os.path.realpath(directory)
        hard_files.write(f"{root}/file", b"0123456789")
        os.mkdir(f"{root}/directory")
        os.mkfifo(f"{root}/pipe")
        os.symlink("file", f"{root}/link")
        assert read_at_most(root, "file", 4) == b"0123"
        assert read_at_most(root, "file", 99) == b"0123456789"
        assert read_at_most(root, "directory", 4) is None
        assert read_at_most(root, "pipe", 4) is None  # and it does not wait
        for name in ("link", "nothing", "directory/../file"):
            with pytest.raises(OSError):  # noqa: PT011  which one is the kernel's
                read_at_most(root, name, 4)
