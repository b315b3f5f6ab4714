"""What a directory held, against a plain walk over everything that ever happened to it."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lastro.app.operations.listing import list_place
from lastro.app.operations.restore import restore
from lastro.app.requests import Restore
from lastro.app.requests.listing import ListPlace
from lastro.app.requests.servers import Status
from lastro.domain.reference import AtId, Reference
from lastro.errors import NotFoundError
from tests.console_kit import console_over
from tests.decision_kit import Office

STATUS = Status()
NAMES = ("a", "a!", "a0", "b", "caf\udce9", "d")
STEPS = st.lists(
    st.dictionaries(
        st.sampled_from([*NAMES, "d/x", "a/y"]), st.sampled_from([b"1", b"2", None]), min_size=1, max_size=4
    ),
    min_size=1,
    max_size=4,
)


def edit(office, edits):
    for path, content in edits.items():
        place = f"{office.root}/{path}"
        parent = os.path.dirname(place)
        if content is None:
            if os.path.isfile(place):
                os.unlink(place)
        elif not os.path.isdir(place) and not os.path.isfile(parent):
            office.write(path, content)


def listed(services, root, number, **asked):
    reference = Reference(server="local", path=root, at=AtId("snap", number, before=False))
    return list_place(services, ListPlace(reference=reference, **asked))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, page=st.integers(1, 3))
@example(steps=[{"a/y": b"1", "a!": b"1", "a0": b"1"}, {"a!": None}, {"a0": None}], page=1)
def test_every_page_together_is_what_a_walk_finds(tmp_path_factory, steps, page):
    office = Office.made(str(tmp_path_factory.mktemp("office")), {"a-first": b"0"})
    states = [set(os.listdir(os.fsencode(office.root)))]
    with office.desk() as desk:
        for edits in steps:
            edit(office, edits)
            before = desk.caller.call("status", STATUS).snapshots
            office.capture(desk)
            if desk.caller.call("status", STATUS).snapshots > before:
                states.append(set(os.listdir(os.fsencode(office.root))))
    with console_over(office) as kit:
        seen = set()
        for number, state in enumerate(states, 1):
            seen |= state
            wanted = sorted(seen)
            found, after = [], ""
            for _page in range(len(seen) + 1):
                reply = listed(kit.services, office.root, number, deleted=True, after=after, limit=page)
                found += reply.items
                if not reply.more:
                    break
                after = reply.items[-1].entry.path
            assert [os.fsencode(item.entry.path) for item in found] == wanted
            assert {os.fsencode(item.entry.path) for item in found if item.deleted} == seen - state
            alive = listed(kit.services, office.root, number, limit=0)
            assert [os.fsencode(item.entry.path) for item in alive.items] == sorted(state)
            assert all(0 < item.snapshot <= number for item in found)


def test_the_changes_around_an_instant(tmp_path):
    office = Office.made(str(tmp_path), {"a": b"1", "b": b"1"})
    with office.desk() as desk:
        for content in (b"2", b"3"):
            office.write("a", content)
            office.capture(desk)
    with console_over(office) as kit:
        replies = [listed(kit.services, f"{office.root}/a", number) for number in (1, 2, 3)]
        assert [(one.older, one.standing, one.newer, one.changes) for one in replies] == [
            (0, 1, 2, 3),
            (1, 2, 3, 3),
            (2, 3, 0, 3),
        ]
        other = listed(kit.services, f"{office.root}/b", 3)
        assert (other.older, other.standing, other.newer, other.changes) == (0, 1, 0, 1)
        whole = listed(kit.services, office.root, 2)
        assert (whole.older, whole.standing, whole.newer, whole.changes) == (1, 2, 3, 3)


def test_a_large_directory_is_read_a_page_at_a_time(tmp_path):
    files = {f"many/{number:05}": b"" for number in range(3000)}
    office = Office.made(str(tmp_path), files)
    with console_over(office) as kit:
        read = []
        repository = kit.services.repository
        original = repository.chunk
        repository.chunk = lambda chunk: read.append(chunk) or original(chunk)
        reply = listed(kit.services, f"{office.root}/many", 1, after="02000", limit=10)
    assert [item.entry.path for item in reply.items] == [f"{number:05}" for number in range(2001, 2011)]
    assert reply.more
    assert len(read) < 40, "of some hundred pieces, only those above and one or two leaves"


def cause(services, root, path, number):
    item = listed(services, f"{root}/{path}", number).itself
    return item.cause.kind, item.cause.apply, item.cause.proposal, item.cause.actor


def test_a_change_says_what_it_came_from(tmp_path):
    office = Office.made(str(tmp_path), {"a": b"1", "b": b"1"})
    with office.desk() as desk:
        office.write("a", b"2")
        office.capture(desk)
        reference = Reference(server="local", path=f"{office.root}/a", at=AtId("snap", 1, before=False))
        planned = restore(desk, Restore(reference=reference))
        restore(desk, Restore(reference=reference, approved=planned.plan.digest))
        number = office.propose(desk, {"b": b"proposed"})
        office.approve(desk, number)
        actor = desk.actor.name
    with console_over(office) as kit:
        root, services = office.root, kit.services
        newest = Reference(server="local", path=root, at=None)
        causes = {
            item.entry.path: (item.cause.kind, item.cause.apply, item.cause.proposal, item.cause.actor)
            for item in list_place(services, ListPlace(reference=newest)).items
        }
        assert causes == {"a": ("restore", 1, 0, actor), "b": ("proposal", 2, number, actor)}
        assert cause(services, root, "a", 1) == ("first", 0, 0, "")
        assert cause(services, root, "a", 2) == ("unknown", 0, 0, "")


def test_a_file_alone_is_itself(tmp_path):
    office = Office.made(str(tmp_path), {"a": b"1"})
    with console_over(office) as kit:
        reply = listed(kit.services, f"{office.root}/a", 1)
        assert (reply.itself.entry.size, reply.items, reply.more) == (1, (), False)
        with pytest.raises(NotFoundError):
            listed(kit.services, f"{office.root}/never", 1)
