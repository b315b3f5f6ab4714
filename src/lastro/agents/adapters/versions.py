"""Which version of a coding tool is there, and whether its adapter knows it.

What always holds: a program in the project is never started to ask for its version, for an agent may have written it; asking is bounded in
time and in what is read.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from lastro.domain.paths import to_bytes
from lastro.messages import N_, Message

ASKING_S: Final = 20.0
_READ: Final = 256 * 1024
_UP: Final = 4
_NUMBER: Final = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?")
_BOUND: Final = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*v?(\d+(?:\.\d+){0,2})")

Version = tuple[int, int, int]


class Package(Struct, frozen=True, kw_only=True):
    """What the ``package.json`` beside a program says. ``node``: the versions of Node.js that it needs."""

    version: str
    node: str = ""


class Known(Struct, frozen=True, kw_only=True):
    """The versions that an adapter was written for: from ``oldest`` on, of the same major version."""

    oldest: Version


def number_of(text: str) -> Version | None:
    """The first version number in ``text``, ``None``: there is none."""
    found = _NUMBER.search(text)
    if found is None:
        return None
    major, minor, patch = (int(part or 0) for part in found.groups())
    return major, minor, patch


def problem_with(name: str, version: str, known: Known) -> Message | None:
    """Why this version of ``name`` will not do; ``None``: it will, or nobody can tell."""
    number = number_of(version)
    if number is None:
        return None
    oldest = ".".join(map(str, known.oldest))
    if number < known.oldest:
        return Message(
            msgid=N_("{tool} {version} is too old: {oldest} or newer is needed."),
            parameters={"tool": name, "version": version, "oldest": oldest},
        )
    if number[0] > known.oldest[0]:
        return Message(
            msgid=N_(
                "{tool} {version} is newer than what this version of Lastro knows how to start ({oldest} and on)."
            ),
            parameters={"tool": name, "version": version, "oldest": oldest},
        )
    return None


def package_of(program: str, names: frozenset[str]) -> Package | None:
    """What the npm package that holds ``program`` (a real path) says of itself; ``None``: it lies in no package called one of ``names``."""
    folder = program
    for _ in range(_UP):
        folder = folder.rpartition("/")[0]
        if not folder:
            return None
        try:
            with open(to_bytes(f"{folder}/package.json"), "rb") as file:
                said = json.loads(file.read(_READ))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(said, dict) and said.get("name") in names:
            return Package(
                version=_text(said.get("version")), node=_text(_table(said, "engines").get("node"))
            )
    return None


def ask_version(command: tuple[str, ...], environment: Mapping[str, str]) -> str:
    """The version number that ``command`` prints, ``""``: it does not, or not in time."""
    with tempfile.TemporaryFile() as said:  # no pipe: whoever still holds one keeps its reader waiting
        try:
            asked = subprocess.Popen(
                command,
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return ""
        try:
            asked.wait(ASKING_S)
        except subprocess.TimeoutExpired:
            os.killpg(asked.pid, signal.SIGKILL)
            asked.wait()
            return ""
        said.seek(0)
        number = number_of(os.fsdecode(said.read(_READ)))
    return ".".join(map(str, number)) if number is not None else ""


def satisfies(version: str, wanted: str) -> bool:
    """Whether ``version`` is one of those that ``wanted`` allows, as npm writes it (``>=24.16.0 <25 || >=26.1.0``).

    What cannot be read allows everything: the tool itself will say.
    """
    number = number_of(version)
    if number is None or not wanted.strip():
        return True
    alternatives = [_BOUND.findall(alternative) for alternative in wanted.split("||")]
    if not all(alternatives):
        return True
    return any(all(_holds(number, sign, bound) for sign, bound in bounds) for bounds in alternatives)


def _holds(number: Version, sign: str, bound: str) -> bool:
    limit = number_of(bound) or (0, 0, 0)
    length = bound.count(".") + 1
    return {
        ">=": number >= limit,
        "<=": number <= limit,
        ">": number > limit,
        "<": number < limit,
        "^": number >= limit and number[0] == limit[0],
        "~": number >= limit and number[:2] == limit[:2],
    }.get(sign, number[:length] == limit[:length])


def _table(value: dict[str, Any], key: str) -> dict[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
