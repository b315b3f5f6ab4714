"""A diff of two texts costs little, whatever is in them."""

from __future__ import annotations

import os
import time

import pytest

from lastro.app.operations.capture import capture
from lastro.app.operations.difference import difference
from lastro.app.operations.repository import init
from lastro.app.places import places_of
from lastro.app.requests import Capture, Diff, Init
from lastro.app.wiring import open_desk
from lastro.domain.ids import LOCAL
from lastro.domain.reference import AtId, Reference


def lines(numbers):
    return "".join(f"{number}\n" for number in numbers)


THIRDS = lines(number * 7 + number % 3 for number in range(40_000))


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (lines(range(40_000)), lines([-1, *range(1, 40_000)]), True),
        (lines(range(0, 280_000, 7)), THIRDS, False),
        (lines(range(3_000)), lines(range(5_000, 8_000)), True),
    ],
    ids=["few of many", "many of many", "another text"],
)
def test_a_diff_is_shown_unless_it_would_take_long(tmp_path, old, new, shown):
    root = os.path.realpath(tmp_path / "root")
    os.mkdir(root)
    reference = Reference(server=LOCAL, path=root, at=None)
    with open_desk(places_of(os.path.realpath(tmp_path / "home"))) as desk:
        init(desk, Init())
        for content in (old, new):
            with open(f"{root}/file", "w", encoding="utf-8") as file:
                file.write(content)
            capture(desk, Capture(references=(reference,)))
        one, two = (
            Reference(server=LOCAL, path=root, at=AtId("snap", number, before=False)) for number in (1, 2)
        )
        started = time.monotonic()
        (found,) = difference(desk, Diff(before=one, after=two)).files
        assert time.monotonic() - started < 15
    assert (bool(found.patch), found.binary) == (shown, not shown)
