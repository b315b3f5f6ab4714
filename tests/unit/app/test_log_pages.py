"""``log`` in pages: of a file, of a directory and of everything, with the applies among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.requests import Log
from lastro.domain.paths import to_bytes
from lastro.domain.record import ApplyBody, RecordKind
from lastro.domain.reference import AtId, Reference
from lastro.domain.snapshot import Reason
from tests.proposal_kit import PROJECT, Hall

OTHER = "/srv/other"


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    """Versions of one file, with applies to it and many to another project among them."""
    made = Hall(str(tmp_path_factory.mktemp("hall")))
    made.base({"a": b"0", "d/b": b"0"})
    made.base({"x": b"0"}, target=OTHER)
    for number in range(1, 9):
        made.base({"a": str(number).encode(), "d/b": str(number // 2).encode()})
        _apply(made, PROJECT)
        for _ in range(3):
            _apply(made, OTHER)
    yield made
    made.close()


def _apply(hall, destination):
    body = ApplyBody(
        after=None,
        before=None,
        change_digest=b"",
        destination=to_bytes(destination),
        kind="restore",
        of=None,
        outcome="applied",
        paths=[b"a"],
        warnings=[],
    )
    hall.append(RecordKind.APPLY, body)


def references():
    places = [None, ""] + [f"{PROJECT}{path}" for path in ("", "/a", "/d", "/d/b")] + [OTHER]
    return st.sampled_from(
        [None if place is None else Reference(server="local", path=place, at=None) for place in places]
    )


@given(reference=references(), size=st.integers(1, 9))
def test_pages_are_the_whole_once(hall, reference, size):
    whole = hall.call("log", Log(reference=reference)).items
    assert whole
    found, before = [], 0
    while True:
        page = hall.call("log", Log(reference=reference, limit=size, before=before))
        assert len(page.items) == size or not page.more
        assert not before or page.items[0].seq < before
        found += page.items
        if not page.more:
            break
        before = page.items[-1].seq
    assert tuple(found) == whole


def test_before_and_an_instant_both_hold(hall):
    at = Reference(server="local", path=f"{PROJECT}/a", at=AtId("snap", 5, before=False))
    whole = hall.call("log", Log(reference=at)).items
    assert hall.call("log", Log(reference=at, before=10**9)).items == whole
    assert hall.call("log", Log(reference=at, before=whole[1].seq)).items == whole[2:]


def test_an_apply_is_found_behind_many_that_do_not_concern_the_path(hall):
    reference = Reference(server="local", path=PROJECT, at=None)
    page = hall.call("log", Log(reference=reference, limit=2))
    assert "apply" in {item.kind for item in page.items}
    assert Reason.RUN in {item.reason for item in page.items}
