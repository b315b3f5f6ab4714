"""Law 8: restore, then the difference is empty, for everything the target can hold; and every undo brings back exactly what was."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from lastro.app.operations.capture import capture
from lastro.app.operations.repository import init
from lastro.app.operations.restore import restore, undo
from lastro.app.places import places_of
from lastro.app.requests import Capture, Init, Restore, Undo
from lastro.app.wiring import open_desk
from lastro.domain.ids import LOCAL
from lastro.domain.reference import AtId, Reference

NAMES = (b"a", b"b", b"c.d", b"caf\xe9", b"x y@2d")
LEAVES = st.one_of(
    st.tuples(st.just("file"), st.binary(max_size=30), st.sampled_from([0o644, 0o600, 0o755, 0o4755])),
    st.tuples(st.just("link"), st.sampled_from([b"a", b"../b", b"/nowhere", b"x y@2d"]), st.just(0)),
    st.tuples(st.just("fifo"), st.just(b""), st.sampled_from([0o644, 0o600])),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(
        st.just("dir"),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
        st.sampled_from([0o755, 0o700]),
    ),
    max_leaves=8,
).filter(lambda tree: tree[0] == "dir")


def make(path: bytes, tree) -> None:
    kind, content, mode = tree
    if kind == "dir":
        os.mkdir(path)
        for name, inner in content.items():
            make(os.path.join(path, name), inner)
        os.chmod(path, mode)
    elif kind == "file":
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
    elif kind == "link":
        os.symlink(content, path)
    else:
        os.mkfifo(path, mode)
        os.chmod(path, mode)


def look(path: bytes):
    """The tree at ``path``, in the same words as ``make``'s."""
    status = os.lstat(path)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return "dir", {name: look(os.path.join(path, name)) for name in sorted(os.listdir(path))}, mode
    if stat.S_ISLNK(status.st_mode):
        return "link", os.readlink(path), 0
    if stat.S_ISFIFO(status.st_mode):
        return "fifo", b"", mode
    with open(path, "rb") as file:
        return "file", file.read(), mode


@given(TREES, TREES)
@settings(max_examples=25, deadline=None)
def test_restore_brings_back_everything_and_undo_brings_back_what_was_there(then, now):
    scratch = os.path.realpath(tempfile.mkdtemp(prefix="lastro-law-"))
    try:
        os.mkdir(f"{scratch}/place")
        root = f"{scratch}/place/root"
        make(os.fsencode(root), then)
        with open_desk(places_of(f"{scratch}/home")) as desk:
            init(desk, Init())
            reference = Reference(server=LOCAL, path=root, at=None)
            taken = capture(desk, Capture(references=(reference,))).snapshots[0].snapshot
            recorded = look(os.fsencode(root))
            shutil.rmtree(root)
            make(os.fsencode(root), now)
            changed = look(os.fsencode(root))

            then_reference = Reference(server=LOCAL, path=root, at=AtId("snap", taken, before=False))
            plan = restore(desk, Restore(reference=then_reference, plan=True)).plan
            restore(desk, Restore(reference=then_reference, approved=plan.digest))
            assert look(os.fsencode(root)) == recorded
            assert not restore(desk, Restore(reference=then_reference, plan=True)).plan.changes.changes
            if not plan.changes.changes:
                return
            for expected in (changed, recorded, changed):
                plan = undo(desk, Undo(plan=True)).plan
                undo(desk, Undo(approved=plan.digest))
                assert look(os.fsencode(root)) == expected
    finally:
        shutil.rmtree(scratch)
