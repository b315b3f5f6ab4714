"""Inside a run: what may not be read is neither compared nor changed, whatever is there and whatever was."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.inside_run import CALLER_OPERATIONS, require_available
from lastro.app.operation import Place, all_operations
from lastro.app.operations.inside_run import OVERFLOW, limited
from lastro.app.places import find_places, places_of
from lastro.app.requests.history import Shown
from lastro.app.runs.scope import RunScope
from lastro.domain.changes import ChangeKind
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import Digest
from lastro.domain.paths import is_within, join, parent_of, tree_order
from lastro.domain.policy import Role
from lastro.errors import DeniedError
from lastro.restore.plan import plan_restore

PROJECT = "/srv/p"
NAMES = st.sampled_from(["a", "b", ".env", "keys", "src"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ROLES = st.builds(
    lambda read, deny: Role(name="r", read=read, deny_read=deny),
    st.sampled_from([("**",), ("/src",), ("/src/a/b", "/a")]),
    st.sampled_from([(), (".env",), (".env", "keys"), ("/a/b",)]),
)


@st.composite
def trees(draw):
    """A directory's entries, relative to the project, in tree order."""
    found: dict[str, Entry] = {}
    for path in draw(st.lists(PATHS, max_size=8)):
        above = parent_of(path)
        while above and found.get(above) is None:
            found[above] = directory(above)
            above = parent_of(above)
        if all(found[one].type is EntryType.DIRECTORY for one in above_of(path)):
            found.setdefault(path, file(path, draw(st.sampled_from([b"1", b"2"]))))
    return [directory(""), *sorted(found.values(), key=lambda entry: tree_order(entry.path))]


def above_of(path):
    while "/" in path:
        path = parent_of(path)
        yield path


def directory(path):
    return Entry(path=path, type=EntryType.DIRECTORY, mode=0o755)


def file(path, content, uid=0):
    return Entry(
        path=path,
        type=EntryType.FILE,
        mode=0o644,
        uid=uid,
        size=1,
        digest=Digest(content * 32),
        inode=hash(path),
    )


@given(live=trees(), then=trees(), role=ROLES)
def test_a_plan_touches_nothing_that_is_hidden(live, then, role):
    scope = RunScope(run=1, project=PROJECT, role=role)

    def visible(entry):
        return scope.may_list(join(PROJECT, entry.path), entry.type)

    hidden = {entry.path for entry in live if not visible(entry)}
    wanted = [entry for entry in then if visible(entry)]  # as the keeper answers
    seen, asked = limited(live, wanted, directory=PROJECT, shown=Shown(project=PROJECT, role=role))
    for change in plan_restore(seen, asked, keep=False).changes.changes:
        assert change.path not in hidden or change.kind is not ChangeKind.REMOVED
        if change.kind is ChangeKind.REMOVED:
            assert not any(is_within(path, change.path) for path in hidden)


@given(live=trees(), then=trees())
def test_who_may_read_everything_has_the_whole_plan(live, then):
    shown = Shown(project=PROJECT, role=Role(name="r"))
    assert limited(live, then, directory=PROJECT, shown=shown) == (live, then)


def test_an_owner_without_a_name_stays():
    shown = Shown(project=PROJECT, role=Role(name="r"))
    live, then = (
        [file("a", b"1", uid=OVERFLOW), file("b", b"1", uid=1)],
        [file("a", b"2"), file("b", b"2"), file("c", b"2")],
    )
    _seen, wanted = limited(live, then, directory=PROJECT, shown=shown)
    assert [entry.uid for entry in wanted] == [OVERFLOW, 0, 0]


def test_the_kernels_own_number():
    with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file_of_kernel:
        assert int(file_of_kernel.read()) == OVERFLOW


def test_operations_of_ones_own_process_are_named_one_by_one(tmp_path):
    inside = find_places({"LASTRO_SOCKET": "/run/lastro/memory.sock", "HOME": str(tmp_path)})
    outside = places_of(os.path.realpath(tmp_path))
    for operation in all_operations():
        if operation.place is Place.KEEPER:
            continue
        require_available(outside, operation.name)
        if operation.name in CALLER_OPERATIONS:
            require_available(inside, operation.name)
        else:
            with pytest.raises(DeniedError):
                require_available(inside, operation.name)
    assert frozenset({"diff", "restore"}) == CALLER_OPERATIONS
