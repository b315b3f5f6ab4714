"""Every lock pins one version with its hashes, and names no place to fetch it from (docs/adr/0002)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME, DEVELOPMENT, BUILD = LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-build.lock",
)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[^\s;]+)(?: ; [^\\]+)?")


def requirements(lock: str) -> list[str]:
    """The logical lines of a lock, comments left out, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text("utf-8"), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def pins(lock: str) -> dict[str, str]:
    matches = [PIN.match(line) for line in requirements(lock)]
    return {match["name"]: match["version"] for match in matches if match}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_and_hashed(lock):
    lines = requirements(lock)
    assert lines
    for line in lines:
        requirement, *hashes = re.split(r"\s+(?=--hash)", line.strip())
        assert PIN.fullmatch(requirement.strip()), line
        assert hashes, f"no hash: {requirement}"
        assert all(HASH.fullmatch(word.strip()) for word in hashes), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_an_address_or_a_place(lock):
    text = (ROOT / lock).read_text("utf-8")
    assert not re.search(r"://|index-url|find-links|trusted-host|(?:^|\s)-[if]\s|(?:^|\s)/|@", text)


@pytest.mark.parametrize("lock", [DEVELOPMENT, BUILD])
def test_the_locks_agree(lock):
    """Tools are installed over the runtime: a package in two locks has the same version in both."""
    runtime, other = pins(RUNTIME), pins(lock)
    assert {name: other[name] for name in runtime.keys() & other} == {
        name: runtime[name] for name in runtime.keys() & other
    }


def test_the_development_lock_holds_the_whole_runtime():
    assert pins(RUNTIME).keys() <= pins(DEVELOPMENT).keys()
