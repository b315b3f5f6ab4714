"""Transcripts: what a person types, and what they see. Each file is played in a scratch home by the real command line.

    $ echo one > README.md      a line for the shell; it stands in the directory work/ of the scratch place
    > text                      a line of standard output
    ! text                      a line of standard error
    ? 2                         its exit code, when it is not 0
    # text                      a remark

``[..]`` stands for anything within a line; a line that is ``[...]`` for any number of lines. The scratch place itself reads ``@PLACE@``.
``LASTRO_UPDATE_TRANSCRIPTS=1`` writes what was seen into the files, with wildcards for times and ids; read what differs before keeping it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.glob("*.txt"))
UPDATE = os.environ.get("LASTRO_UPDATE_TRANSCRIPTS") == "1"


@dataclass
class Step:
    """One line for the shell, and what is expected of it."""

    line: int
    command: str
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    code: int = 0


def read_steps(text):
    """The steps of a transcript."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        sign, rest = line[:1], line[2:]
        if sign == "$":
            steps.append(Step(number, rest))
        elif sign == ">":
            steps[-1].out.append(rest)
        elif sign == "!":
            steps[-1].err.append(rest)
        elif sign == "?":
            steps[-1].code = int(rest)
        elif line.strip() and sign != "#":
            raise ValueError(f"line {number}: {line!r}")
    return steps


def matches(expected, seen):
    """Whether the lines ``seen`` are as ``expected``."""
    if not expected:
        return not seen
    first, *rest = expected
    if first == "[...]":
        return any(matches(rest, seen[start:]) for start in range(len(seen) + 1))
    pattern = ".*".join(map(re.escape, first.split("[..]")))
    return bool(seen) and re.fullmatch(pattern, seen[0]) is not None and matches(rest, seen[1:])


@dataclass
class Place:
    """A scratch place with a command ``lastro`` in it."""

    path: Path

    def __post_init__(self):
        for name in ("bin", "work"):
            (self.path / name).mkdir()
        shim = self.path / "bin" / "lastro"
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m lastro "$@"\n', "utf-8")
        shim.chmod(0o755)

    def play(self, command):
        """Run one line; gives its exit code and the lines of its two streams."""
        environment = {
            "PATH": f"{self.path}/bin:{os.environ['PATH']}",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HOME": str(self.path),
            "LASTRO_HOME": str(self.path / "home"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        done = subprocess.run(
            ["bash", "-c", command.replace("@PLACE@", str(self.path))],
            cwd=self.path / "work",
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        return done.returncode, self._lines(done.stdout), self._lines(done.stderr)

    def _lines(self, raw):
        return raw.decode("utf-8", "backslashreplace").replace(str(self.path), "@PLACE@").splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_transcript(file, tmp_path):
    text = file.read_text("utf-8")
    place = Place(tmp_path)
    seen = [(step, place.play(step.command)) for step in read_steps(text)]
    if UPDATE:
        file.write_text(rewritten(text, seen), "utf-8")
        return
    for step, (code, out, err) in seen:
        shown = "\n".join(
            [f"$ {step.command}", *(f"> {line}" for line in out), *(f"! {line}" for line in err), f"? {code}"]
        )
        where = f"{file.name}:{step.line}\n{shown}"
        assert code == step.code, where
        assert matches(step.out, out), where
        assert matches(step.err, err), where


VARIES = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[..]"),
    (r"\(?(just now|agora mesmo|há \d+ \w+|\d+ (s|min|h) ago)\)?", "[..]"),
    (r"\b[0-9a-f]{32,64}\b", "[..]"),
    (r"\d+(\.\d)? [kMGT]B\b", "[..]"),
    (r'"(time_ns|mtime_ns|ctime_ns|btime_ns|duration_ns)":\d+', r'"\1":[..]'),
    (r"\b\d+ chunks\b", "[..] chunks"),  # where a directory is cut depends on the repository's key
    (r'"b64":"[^"]*"', '"b64":"[..]"'),
    (r'"(stored|bytes|free)":\d+', r'"\1":[..]'),
    (r"\[\.\.\](  ?\[\.\.\])+", "[..]"),
    (r"\[\.\.\] +", "[..] "),
)


def rewritten(text, seen):
    """The transcript with what was seen, and its remarks."""
    answers = {step.line: (code, out, err) for step, (code, out, err) in seen}
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1] in {">", "!", "?"}:
            continue
        lines.append(line)
        if number in answers:
            code, out, err = answers[number]
            lines += [f"> {vague(one)}".rstrip() for one in out] + [f"! {vague(one)}".rstrip() for one in err]
            lines += [f"? {code}"] if code else []
    return "\n".join(lines) + "\n"


def vague(line):
    for pattern, instead in VARIES:
        line = re.sub(pattern, instead, line)
    return line


# The player itself


@pytest.mark.parametrize(
    ("expected", "seen", "same"),
    [
        ([], [], True),
        (["a"], [], False),
        ([], ["a"], False),
        (["a[..]c"], ["abbc"], True),
        (["a[..]c"], ["abb"], False),
        (["[...]", "z"], ["x", "y", "z"], True),
        (["[...]", "z"], ["x", "y"], False),
        (["a.c"], ["abc"], False),
    ],
)
def test_matching(expected, seen, same):
    assert matches(expected, seen) is same


def test_what_is_written_back_is_what_is_read():
    text = "# remark\n$ x\n> old\n\n$ y\n"
    steps = read_steps(text)
    new = rewritten(text, [(steps[0], (2, ["a", ""], ["2026-11-20 07:17:58 done"])), (steps[1], (0, [], []))])
    assert new == "# remark\n$ x\n> a\n>\n! [..] done\n? 2\n\n$ y\n"
    assert read_steps(new)[0].out == ["a", ""]
