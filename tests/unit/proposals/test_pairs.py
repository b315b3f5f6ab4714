"""What was read a moment ago is not read again, is the same, and is not kept without end."""

from __future__ import annotations

import pytest

from lastro.errors import NotFoundError
from lastro.proposals import pairs as module
from lastro.proposals.pair import read_pair
from lastro.proposals.pairs import Pairs
from tests.proposal_kit import PROJECT, Hall


@pytest.fixture
def hall(tmp_path):
    made = Hall(str(tmp_path))
    yield made
    made.close()


@pytest.fixture
def read(monkeypatch):
    """The pairs that were really read, as ``(before, after, target)``."""
    done = []

    def counted(repository, **what):
        done.append(tuple(what.values()))
        return read_pair(repository, **what)

    monkeypatch.setattr(module, "read_pair", counted)
    return done


def two(hall, **edits):
    before = hall.base({"a": b"one\n", "below/b": b"two\n"})
    return before, hall.layer(before, {"a": b"1\n", "below/b": b"2\n", **edits})


def test_a_pair_is_read_once_and_is_what_would_be_read(hall, read):
    before, after = two(hall)
    pairs = Pairs(hall.repository)
    first = pairs.read(before=before, after=after, target=PROJECT)
    assert pairs.read(before=before, after=after, target=PROJECT) == first
    assert read == [(before, after, PROJECT)]
    assert first == read_pair(hall.repository, before=before, after=after, target=PROJECT)


def test_each_side_and_the_target_make_another_pair(hall, read):
    before, after = two(hall)
    pairs = Pairs(hall.repository)
    asked = [(before, after, PROJECT), (after, before, PROJECT), (before, after, f"{PROJECT}/below")]
    found = [pairs.read(before=one, after=other, target=target) for one, other, target in asked]
    assert read == asked
    assert [[change.path for change in pair.changes.changes] for pair in found] == [
        ["a", "below/b"],
        ["a", "below/b"],
        ["b"],
    ]
    assert found[0].changes.inverse == found[1].changes


def test_the_ones_not_asked_for_lately_are_let_go(hall, read, monkeypatch):
    asked = [two(hall, c=b"%d" % number) for number in range(3)]
    monkeypatch.setattr(module, "MOST_CHANGES", 2 * (3 + 1))  # room for two of three changes each
    pairs = Pairs(hall.repository)

    def ask(number):
        before, after = asked[number]
        return pairs.read(before=before, after=after, target=PROJECT)

    for number in (0, 1, 0, 2):  # 1 is the one not asked for lately
        ask(number)
    del read[:]
    for number in (0, 2):
        ask(number)
    assert read == []
    ask(1)
    assert len(read) == 1


def test_one_that_is_too_large_is_read_each_time_and_drives_no_other_out(hall, read, monkeypatch):
    small, large = two(hall), two(hall, c=b"3")
    monkeypatch.setattr(module, "MOST_CHANGES", 3)
    pairs = Pairs(hall.repository)
    for before, after in (small, large, large, small):
        pairs.read(before=before, after=after, target=PROJECT)
    assert [(before, after) for before, after, _target in read] == [small, large, large]


def test_what_cannot_be_read_is_not_kept(hall, read):
    pairs = Pairs(hall.repository)
    before, _ = two(hall)
    for _ in range(2):
        with pytest.raises(NotFoundError):
            pairs.read(before=before, after=10_000, target=PROJECT)
    assert len(read) == 2
