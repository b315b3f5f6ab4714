"""Who should be the keeper, said by two files."""

from __future__ import annotations

import os
import threading

import pytest

from lastro.app.handing_over import is_wanted, mark_passing, mark_staying, wanting, was_passing
from lastro.app.places import places_of
from lastro.errors import LockedError


@pytest.fixture
def places(tmp_path):
    return places_of(str(tmp_path), environment={})


def test_a_keeper_is_wanted_as_long_as_somebody_wants_it(places):
    assert not is_wanted(places)
    with wanting(places):
        assert is_wanted(places)
        with pytest.raises(LockedError), wanting(places):
            pass
        assert is_wanted(places)
    assert not is_wanted(places)


def test_whoever_only_looks_keeps_nobody_out(places):
    over = threading.Event()

    def look():
        while not over.is_set():
            is_wanted(places)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with wanting(places):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_the_last_keeper_is_remembered(places):
    assert not was_passing(places)
    os.makedirs(places.state)
    mark_passing(places)
    mark_passing(places)
    assert was_passing(places)
    mark_staying(places)
    mark_staying(places)
    assert not was_passing(places)
