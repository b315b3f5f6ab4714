"""Checks on what an agent made, before a human looks: its form, secrets in it, and the project's own tests.

What always holds: checks run on the merged view in a jail without network, over a layer of their own that is thrown away, so nothing they
write is proposed; what is checked with is named by the project as it was *before* the run; nothing an agent wrote is run or imported
outside a jail. In this process text is only parsed, bounded in size and number.
"""

from __future__ import annotations

import ast
import json
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import Final

from lastro.agents.collecting import Texts
from lastro.agents.jail.spec import JailedProcess
from lastro.domain.changes import Change
from lastro.domain.entry import EntryType
from lastro.domain.paths import from_bytes, name_of, printable
from lastro.domain.proposal import ChangeNote, Flag
from lastro.domain.run import CheckResult, CheckVerdict, EndCause
from lastro.proposals.checks_file import ProjectCheck

LONGEST_OUTPUT: Final = 16 * 1024
"""Characters of a check's output that are kept: its end."""
MOST_FILES: Final = 2000
MOST_SECONDS: Final = 20.0
"""For the form of all files together; one file takes at most a few seconds."""
DEEPEST_KEY: Final = 64
"""Parts of a dotted key of TOML. Python's parser takes a time that grows with their square, so that one line could take an hour."""
MOST_FINDINGS: Final = 50
SYNTAX: Final = "syntax"
SECRETS: Final = "secrets"

StartCheck = Callable[[ProjectCheck], JailedProcess]
"""Starts a check in its jail.

Raises:
    LastroError: it cannot be started.
"""


def built_in_checks(
    changes: Sequence[Change], notes: Iterable[ChangeNote], texts: Texts
) -> tuple[CheckResult, ...]:
    """What needs no program of the project: parsing by file type, and what the secret scan found."""
    syntax = _syntax(changes, texts)
    return (*(() if syntax is None else (syntax,)), _secrets(notes))


def project_checks(
    checks: Iterable[ProjectCheck], changes: Sequence[Change], start: StartCheck, cut: Event
) -> Iterator[CheckResult]:
    """Run the project's checks, those whose paths changed, one after the other. Once ``cut`` is set the rest is skipped."""
    for check in checks:
        if not check.concerns(change.path for change in changes):
            continue
        yield skipped(check) if cut.is_set() else _run(check, start, cut)


def skipped(check: ProjectCheck) -> CheckResult:
    """The result of a check that was not run."""
    return CheckResult(name=check.name, command=_shown(check.command), verdict=CheckVerdict.SKIPPED)


def _run(check: ProjectCheck, start: StartCheck, cut: Event) -> CheckResult:
    began = monotonic()
    process = start(check)
    output = bytearray()
    try:
        while (piece := process.read(0.1)) is None or piece[0] != "end":
            if piece is not None:
                output += piece[1]
                del output[: -4 * LONGEST_OUTPUT]
            if cut.is_set():
                process.stop(EndCause.CANCELLED)
    except BaseException:
        process.stop(EndCause.CANCELLED)
        process.wait()
        raise
    end = process.wait()
    if cut.is_set() and end.cause is EndCause.CANCELLED:
        return skipped(check)
    passed = end.cause is EndCause.EXITED and end.status == 0
    verdict = CheckVerdict.PASSED if passed else CheckVerdict.FAILED
    if end.cause is EndCause.WALL:
        verdict = CheckVerdict.TIMED_OUT
    return CheckResult(
        name=check.name,
        command=_shown(check.command),
        verdict=verdict,
        duration_ns=int((monotonic() - began) * 1e9),
        output=bytes(output).decode("utf-8", "replace")[-LONGEST_OUTPUT:],
    )


def _shown(command: Sequence[str]) -> str:
    return " ".join(map(printable, command))


def _secrets(notes: Iterable[ChangeNote]) -> CheckResult:
    found = [printable(from_bytes(note.path)) for note in notes if Flag.SECRET in note.flags]
    return CheckResult(
        name=SECRETS,
        command="",
        verdict=CheckVerdict.FAILED if found else CheckVerdict.PASSED,
        output="\n".join(_some(found)),
    )


# Well-formedness ------------------------------------------------------------------------------------------------------------------------


def _syntax(changes: Sequence[Change], texts: Texts) -> CheckResult | None:
    """``None``: nothing changed whose form is known."""
    began, found, looked, all_seen = monotonic(), list[str](), 0, True
    for change in changes:
        after = change.after
        parse = _parser_of(change.path)
        if (
            parse is None
            or after is None
            or after.type is not EntryType.FILE
            or "digest" not in _differs(change)
        ):
            continue
        if looked >= MOST_FILES or monotonic() - began > MOST_SECONDS:
            all_seen = False
            break
        looked += 1
        text = texts(after)
        if text is not None and (problem := _problem(parse, text)):
            found.append(f"{printable(change.path)}: {printable(problem)}")
    if not looked:
        return None
    return CheckResult(
        name=SYNTAX,
        command="",
        verdict=_verdict_on(found, all_seen=all_seen),
        duration_ns=int((monotonic() - began) * 1e9),
        output="\n".join(_some(found)),
    )


def _verdict_on(found: Sequence[str], *, all_seen: bool) -> CheckVerdict:
    if found:
        return CheckVerdict.FAILED
    return CheckVerdict.PASSED if all_seen else CheckVerdict.TIMED_OUT


def _differs(change: Change) -> tuple[str, ...]:
    return ("digest",) if change.before is None else change.fields


def _some(found: Sequence[str]) -> Sequence[str]:
    more = len(found) - MOST_FINDINGS
    return [*found[:MOST_FINDINGS], f"+{more}"] if more > 0 else found


def _problem(parse: Callable[[bytes], object], text: bytes) -> str:
    """Why ``text`` is not well formed, in the parser's own words; empty when it is, or when the parser's limits do not let it say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(RecursionError, MemoryError):  # deeper than it goes: nothing was found out
            try:
                parse(text)
            except SyntaxError as error:
                return f"{error.lineno or 0}: {error.msg}"
            except ValueError as error:
                return str(error)[:200]
    return ""


def _parse_toml(text: bytes) -> None:
    if any(part.count(b".") > DEEPEST_KEY for line in text.splitlines() for part in line.split(b"=")):
        return  # a value with as many dots is not told apart: nothing was found out either way
    tomllib.loads(text.decode())


def _parser_of(path: str) -> Callable[[bytes], object] | None:
    name = name_of(path)
    if name.startswith("tsconfig") or "/.vscode/" in f"/{path}":
        return None  # JSON with comments
    return _PARSERS.get(name.rpartition(".")[2])


_PARSERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    "py": ast.parse,
    "json": json.loads,
    "toml": _parse_toml,
}
