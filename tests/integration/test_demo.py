"""The tour is a test: it plays every scene with real processes, ends well, and leaves nothing behind."""

from __future__ import annotations

import os

import pytest

from tests.integration.commands import Home

pytestmark = pytest.mark.system


@pytest.mark.parametrize("language", ["en", "pt_BR"])
def test_the_tour_ends_well_and_leaves_nothing(tmp_path, language):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    answer = Home(str(tmp_path / "unused"), {"TMPDIR": str(scratch)}).run("demo", "--lang", language)
    assert answer.code == 0, answer.err
    assert "apply-3" in answer.out
    assert os.listdir(scratch) == []
    assert not os.path.exists(tmp_path / "unused")
