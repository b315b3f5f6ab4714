"""What an agent may do to files, as data: for hypothesis, and for every layer in the same way."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from hypothesis import strategies as st

NAMES = [b"a", b"b", b"d", b"e", b"not-utf-8-\xff", b"new\nline"]
PATHS = [
    *NAMES,
    *(b"d/" + name for name in NAMES),
    *(b"d/e/" + name for name in NAMES),
    *(b"e/" + name for name in NAMES[:3]),
]

_paths = st.sampled_from(PATHS)
_data = st.binary(max_size=12) | st.just(b"x" * 5000)
_modes = st.sampled_from([0o600, 0o644, 0o755, 0o700, 0o4755, 0o400])

OPERATIONS = st.one_of(
    st.tuples(st.just("write"), _paths, _data),
    st.tuples(st.just("append"), _paths, _data),
    st.tuples(st.just("truncate"), _paths, st.integers(0, 9000)),
    st.tuples(st.just("unlink"), _paths),
    st.tuples(st.just("mkdir"), _paths),
    st.tuples(st.just("rmdir"), _paths),
    st.tuples(st.just("remove"), _paths),
    st.tuples(st.just("rename"), _paths, _paths),
    st.tuples(st.just("move"), _paths, _paths),
    st.tuples(st.just("chmod"), _paths, _modes),
    st.tuples(st.just("symlink"), _paths, st.sampled_from([b"a", b"/etc/passwd", b"../..", b"\xff"])),
    st.tuples(st.just("link"), _paths, _paths),
    st.tuples(st.just("replace"), _paths, _data),
    st.tuples(st.just("xattr"), _paths, _data),
    st.tuples(st.just("touch"), _paths, st.integers(0, 2**40)),
    st.tuples(st.just("fifo"), _paths),
    st.tuples(st.just("sparse"), _paths, st.integers(1, 30)),
)
WORK = st.lists(OPERATIONS, max_size=25)


def perform(root: str | bytes, work, *, parted: frozenset[bytes] = frozenset()) -> None:
    """Do ``work`` below ``root``. What fails, as on any file system, fails. ``parted``: paths whose bytes and attributes are left alone."""
    top = os.fsencode(root)
    for operation, path, *arguments in work:
        if path in parted and operation in {
            "write",
            "append",
            "truncate",
            "chmod",
            "xattr",
            "touch",
            "link",
            "sparse",
        }:
            continue
        with suppress(OSError):
            _DO[operation](os.path.join(top, path), *_absolute(top, operation, arguments))


def _absolute(top, operation, arguments):
    return [os.path.join(top, arguments[0])] if operation in {"rename", "move", "link"} else arguments


def _write(path, data):
    with open(_no_follow(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(data)


def _append(path, data):
    with open(_no_follow(path, os.O_WRONLY | os.O_APPEND), "ab") as file:
        file.write(data)


def _truncate(path, size):
    descriptor = _no_follow(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _no_follow(path, flags):
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        for name in os.listdir(path):
            _remove(os.path.join(path, name))
        os.rmdir(path)
    else:
        os.unlink(path)


def _copy(source, target):
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    elif os.path.isdir(source):
        os.mkdir(target)
        for name in os.listdir(source):
            _copy(os.path.join(source, name), os.path.join(target, name))
    elif os.path.isfile(source):
        with open(source, "rb") as file:
            _write(target, file.read())
        os.chmod(target, os.stat(source).st_mode & 0o7777)


def _move(source, target):
    """As mv does where rename(2) says EXDEV: copy, then remove."""
    if target.startswith(source + b"/") or os.path.lexists(target):
        return
    _copy(source, target)
    _remove(source)


def _replace(path, data):
    """As editors do: a new file, renamed over the old one; a directory is replaced by a file, and a file by a directory."""
    if os.path.isdir(path) and not os.path.islink(path):
        _remove(path)
        _write(path, data)
    elif data:
        _write(path + b"~", data)
        os.rename(path + b"~", path)
    else:
        os.unlink(path)
        os.mkdir(path)


def _chmod(path, mode):
    if not os.path.islink(path):
        os.chmod(path, mode if not os.path.isdir(path) else mode | 0o700)


def _sparse(path, blocks):
    with open(_no_follow(path, os.O_WRONLY | os.O_CREAT), "wb") as file:
        file.seek(blocks * 65536)
        file.write(b"end")


_DO: dict[str, Callable[..., object]] = {
    "write": _write,
    "append": _append,
    "truncate": _truncate,
    "unlink": os.unlink,
    "mkdir": lambda path: os.mkdir(path, 0o755),
    "rmdir": os.rmdir,
    "remove": _remove,
    "rename": os.rename,
    "move": _move,
    "chmod": _chmod,
    "symlink": lambda path, target: os.symlink(target, path),
    "link": lambda path, new: os.link(path, new, follow_symlinks=False),
    "replace": _replace,
    "xattr": lambda path, value: os.setxattr(path, "user.lastro-test", value, follow_symlinks=False),
    "touch": lambda path, ns: os.utime(path, ns=(ns, ns), follow_symlinks=False),
    "fifo": os.mkfifo,
    "sparse": _sparse,
}


def make_project(root: str) -> None:
    """A project with something of everything, a hard-link group (``b`` and ``d/e/a``) and a repository among it."""
    top = os.fsencode(root)
    os.makedirs(os.path.join(top, b"d/e/d"))
    os.makedirs(os.path.join(top, b".git/refs/heads"))
    for path, data in {
        b"a": b"one\ntwo\n",
        b"b": b"linked",
        b"d/a": b"x" * 5000,
        b"d/not-utf-8-\xff": b"bytes",
        b"d/e/b": b"",
        b"d/e/d/deep": b"deep",
        b".git/HEAD": b"ref: refs/heads/main\n",
    }.items():
        _write(os.path.join(top, path), data)
    os.link(os.path.join(top, b"b"), os.path.join(top, b"d/e/a"))
    os.symlink(b"d/a", os.path.join(top, b"d/b"))
    os.chmod(os.path.join(top, b"d/a"), 0o755)
    os.chmod(os.path.join(top, b"d"), 0o2775)
    with suppress(OSError):
        os.setxattr(os.path.join(top, b"d/a"), "user.was", b"there")
        os.setxattr(os.path.join(top, b"d"), "user.was", b"there")


LINKED = frozenset({b"b", b"d/e/a"})
"""The names of one file of ``make_project``: an overlay parts them when one is written, a plain file system does not."""
