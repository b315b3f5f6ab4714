"""The directory of a run: who looks after it, and whether anybody does."""

from __future__ import annotations

import os
import threading

import pytest

from lastro.agents.supervision_places import held, is_held, is_left, make_run_directory, run_places
from lastro.errors import LockedError


@pytest.fixture
def places(tmp_path):
    return make_run_directory(str(tmp_path), 1)


def test_whoever_only_looks_makes_nothing(tmp_path):
    nowhere = run_places(str(tmp_path), 7)
    assert not is_held(nowhere)
    assert not is_left(nowhere)
    made = make_run_directory(str(tmp_path), 1)
    assert not is_held(made)
    assert os.listdir(made.directory) == ["home"]


def test_a_run_is_left_when_it_had_begun_and_nobody_holds_it(places):
    assert not is_left(places)  # its supervisor has only made the directory
    with open(places.standing, "wb"):
        pass
    with held(places):
        assert not is_left(places)
    assert is_left(places)


def test_whoever_only_looks_keeps_no_supervisor_out(places):
    with open(places.standing, "wb"):
        pass
    over = threading.Event()

    def look():
        while not over.is_set():
            is_left(places)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(10):
            with held(places), pytest.raises(LockedError), held(places):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()
