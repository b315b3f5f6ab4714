"""Versions are read without trusting what is there."""

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.adapters import versions
from lastro.agents.adapters.versions import (
    Known,
    ask_version,
    number_of,
    package_of,
    problem_with,
    satisfies,
)


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("24.16.0", ">=24.16.0 <25 || >=26.1.0", True),
        ("24.15.9", ">=24.16.0 <25 || >=26.1.0", False),
        ("25.1.0", ">=24.16.0 <25 || >=26.1.0", False),
        ("26.1.0", ">=24.16.0 <25 || >=26.1.0", True),
        ("v20.1.2", ">=20", True),
        ("18.0.0", ">=20", False),
        ("20.5.1", "^20.1", True),
        ("21.0.0", "^20.1", False),
        ("20.5.1", "20.x", True),
        ("21.5.1", "20", False),
        ("20.1.9", "~20.1.3", True),
        ("", ">=20", True),
        ("20.0.0", "whatever", True),
        ("20.0.0", "", True),
    ],
)
def test_the_versions_that_npm_writes(version, wanted, fits):
    assert satisfies(version, wanted) is fits


@given(st.text(), st.text())
def test_no_text_is_too_strange(version, wanted):
    satisfies(version, wanted)
    problem_with("tool", version, Known(oldest=(1, 2, 3)))


def test_too_old_and_too_new_say_so():
    known = Known(oldest=(1, 2, 0))
    assert problem_with("tool", "1.2.0", known) is None
    assert problem_with("tool", "1.99.0-beta", known) is None
    assert problem_with("tool", "", known) is None
    assert "too old" in str(problem_with("tool", "1.1.9", known))
    assert "newer" in str(problem_with("tool", "2.0.0", known))


def test_the_package_of_a_program(tmp_path):
    (tmp_path / "p/bin").mkdir(parents=True)
    facts = {"name": "tool", "version": "1.2.3", "engines": {"node": ">=20"}}
    (tmp_path / "p/package.json").write_text(json.dumps(facts))
    package = package_of(str(tmp_path / "p/bin/x.js"), frozenset({"tool"}))
    assert package is not None
    assert (package.version, package.node) == ("1.2.3", ">=20")
    assert package_of(str(tmp_path / "p/bin/x.js"), frozenset({"other"})) is None
    for strange in ("[" * 100_000, "null", '{"name": "tool", "version": 7, "engines": []}', ""):
        (tmp_path / "p/package.json").write_text(strange)
        package_of(str(tmp_path / "p/bin/x.js"), frozenset({"tool"}))


def test_asking_a_program(tmp_path):
    assert ask_version(("/bin/echo", "tool 1.22.3 (x)"), os.environ) == "1.22.3"
    assert ask_version(("/bin/echo", "no number"), os.environ) == ""
    assert ask_version((str(tmp_path / "missing"), "--version"), os.environ) == ""


def test_asking_ends_even_if_something_is_left_behind(monkeypatch):
    monkeypatch.setattr(versions, "ASKING_S", 0.2)
    begun = time.monotonic()
    assert ask_version(("/bin/sh", "-c", "sleep 60 & sleep 60"), os.environ) == ""
    assert ask_version(("/bin/sh", "-c", "sleep 60 & echo 1.2.3"), os.environ) == "1.2.3"
    assert time.monotonic() - begun < 30


@given(st.text())
def test_a_number_is_a_number(text):
    number = number_of(text)
    assert number is None or all(part >= 0 for part in number)
