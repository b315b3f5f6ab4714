"""What to know about a change before saying yes, and how closely to look at all of them. Pure.

What always holds: a flag is a fact about the change, never an opinion of whoever made it; nothing an agent writes (a comment that says
"generated", an ignore file) takes a flag away or makes a risk lower; and adding a change, a flag, a failed check or a missing limit never
makes it lower either.

    high    a path outside the role; what runs later by itself; a possible secret; a special file; a link that leads out; a name that
            shows as something else; a failed check; a run that could write outside its view
    medium  what runs later by habit; an executable; binary, large or generated content; a base that is not certain; a removal; a
            change of owner; a check that timed out or was skipped; a run that could read more, or reach the network; many changes
    low     everything else
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, printable
from lastro.domain.policy import Enforcement
from lastro.domain.proposal import ChangeNote, Flag, Risk
from lastro.domain.run import CheckResult, CheckVerdict
from lastro.proposals.executed_later import (
    executed_later,
    holds_executed_later,
    lenient_names,
    runs_by_itself,
)

__all__ = ["LARGE", "MANY", "executed_later", "flags_of", "holds_secret", "risk_of"]

LARGE: Final = 1024 * 1024
"""Bytes; larger content is not shown line by line, nor searched."""

MANY: Final = 200
"""Changed paths; more than that nobody reads one by one."""

_EXECUTE: Final = 0o111
_OTHERS_RIGHTS: Final = 0o6000
_SPECIAL: Final = frozenset(
    {EntryType.FIFO, EntryType.SOCKET, EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE}
)


def flags_of(change: Change, *, after_text: Callable[[], bytes | None], may_write: bool) -> tuple[Flag, ...]:
    """The flags of one change, in the order in which ``Flag`` names them.

    ``after_text``: the content as proposed, asked for only if it is needed; ``None`` when it is no file or was not read.
    """
    found = set(_of_the_path(change))
    if not may_write:
        found.add(Flag.OUTSIDE_ROLE)
    if change.after is not None:
        found |= set(_of_the_entry(change.after))
        if change.after.type is EntryType.FILE and _content_changes(change):
            found |= set(_of_the_content(change.after, after_text))
    return tuple(flag for flag in Flag if flag in found)


def holds_secret(content: bytes) -> bool:
    """Whether something in ``content`` looks like a secret: the detectors of the gateway's redaction, known forms and telling names."""
    # Their expressions take 15 ms to compile, which an agent that is to start need not wait for.
    from lastro.gateway.redaction.contexts import find_in_context  # noqa: PLC0415  as above
    from lastro.gateway.redaction.patterns import find_patterns  # noqa: PLC0415  as above
    from lastro.gateway.redaction.private_keys import find_private_keys  # noqa: PLC0415  as above

    text = content.decode("utf-8", "replace")
    return any(True for find in (find_patterns, find_private_keys, find_in_context) for _ in find(text))


def risk_of(
    changes: Sequence[Change],
    notes: Sequence[ChangeNote],
    *,
    checks: Sequence[CheckResult],
    outside: Collection[str] | Collection[bytes],
    degraded: Collection[str],
) -> Risk:
    """How closely to look, by the table at the head. ``outside``: changed paths that the role may not write; ``degraded``: codes of
    ``Enforcement`` that could not be enforced.
    """
    flags = {flag for note in notes for flag in note.flags}
    verdicts = {check.verdict for check in checks}
    if (
        outside
        or flags & _HIGH
        or any(_acts_by_itself(note) for note in notes)
        or CheckVerdict.FAILED in verdicts
        or Enforcement.FILESYSTEM.value in degraded
    ):
        return Risk.HIGH
    if (
        flags & _MEDIUM
        or verdicts & _UNSURE
        or _OPEN & set(degraded)
        or len(changes) > MANY
        or any(change.after is None or {"uid", "gid"} & set(change.fields) for change in changes)
    ):
        return Risk.MEDIUM
    return Risk.LOW


_HIGH: Final = frozenset({Flag.OUTSIDE_ROLE, Flag.SECRET, Flag.SPECIAL, Flag.LEADS_OUT, Flag.ODD_NAME})
_MEDIUM: Final = frozenset(Flag) - _HIGH
_UNSURE: Final = frozenset({CheckVerdict.TIMED_OUT, CheckVerdict.SKIPPED})
_OPEN: Final = frozenset({Enforcement.READING.value, Enforcement.NETWORK.value})


def _acts_by_itself(note: ChangeNote) -> bool:
    path = from_bytes(note.path)
    return Flag.EXECUTED_LATER in note.flags and (runs_by_itself(path) or not executed_later(path))


def _of_the_path(change: Change) -> Iterator[Flag]:
    stands_for = change.after is not None and change.after.type not in {EntryType.FILE, EntryType.DIRECTORY}
    if executed_later(change.path) or (stands_for and holds_executed_later(change.path)):
        yield Flag.EXECUTED_LATER
    if (
        printable(change.path) != change.path
        or _is_disguised(change.path)
        or _looks_like_another(change.path)
    ):
        yield Flag.ODD_NAME
    if _GENERATED_PATH.fullmatch("/" + "/".join(lenient_names(change.path))):
        yield Flag.GENERATED


def _is_disguised(path: str) -> bool:
    """Whether a name is another one to some file system, and that one is listed: it would run there, or only looks as if it did."""
    return (
        not path.isascii()
        and executed_later(path)
        and not executed_later(path.encode("ascii", "ignore").decode())
    )


def _looks_like_another(path: str) -> bool:
    """Whether a reader takes it for another name: blanks at an end of a component, or in one word with Latin letters some that are drawn
    like them (a Cyrillic a), or Latin ones of another width.
    """
    if any(name != name.strip() for name in path.split("/")):
        return True
    return not path.isascii() and any(map(_is_disguised_word, _WORD.findall(path)))


def _is_disguised_word(word: str) -> bool:
    return any(unicodedata.decomposition(letter).startswith(("<wide>", "<font>")) for letter in word) or (
        not _ALIKE.isdisjoint(word) and any(letter.isascii() for letter in word)
    )


_WORD: Final = re.compile(r"[^\W\d_]+")
_ALIKE: Final = frozenset(
    # Cyrillic
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0458\u0455\u04bb\u0501\u051b"
    "\u051d\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c\u041e\u0420\u0405"
    "\u0422\u0425\u0423"
    # Greek
    "\u03b1\u03bf\u03bd\u03c1\u03c5\u03b9\u03ba\u0391\u0392\u0395\u0396\u0397\u0399"
    "\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
)
"""Letters that most fonts draw as they draw a Latin one."""


def _of_the_entry(after: Entry) -> Iterator[Flag]:
    is_file = after.type in {EntryType.FILE, EntryType.HARDLINK}
    if is_file and after.mode & _EXECUTE:
        yield Flag.EXECUTABLE
    runs_as_another = is_file and (after.mode & _OTHERS_RIGHTS or _has_capabilities(after))
    if after.type in _SPECIAL or runs_as_another:
        yield Flag.SPECIAL
    if after.type is EntryType.SYMLINK and _leads_out(after):
        yield Flag.LEADS_OUT
    if after.size > LARGE:
        yield Flag.LARGE


def _has_capabilities(after: Entry) -> bool:
    return any(xattr.name == "security.capability" for xattr in after.xattrs)


def _leads_out(link: Entry) -> bool:
    """Whether the target, taken literally, is absolute or above the top. Other links on the way are changes of their own."""
    target = link.link_target or ""
    if target.startswith("/"):
        return True
    depth = link.path.count("/")
    for name in target.split("/"):
        if name == "..":
            depth -= 1
        elif name not in {"", "."}:
            depth += 1
        if depth < 0:
            return True
    return False


def _content_changes(change: Change) -> bool:
    before, after = change.before, change.after
    same = before is not None and after is not None and before.digest == after.digest
    return not (same and before is not None and before.type is EntryType.FILE)


def _of_the_content(after: Entry, after_text: Callable[[], bytes | None]) -> Iterator[Flag]:
    content = after_text() if after.size <= LARGE else None
    if content is None:
        return
    if b"\0" in content:
        yield Flag.BINARY
    if _GENERATED_CONTENT.search(content[:_HEAD]):
        yield Flag.GENERATED
    if holds_secret(content):
        yield Flag.SECRET


_HEAD: Final = 2048
_GENERATED_CONTENT: Final = re.compile(
    rb"@generated\b|\bgenerated\b[^\n]{0,80}\bDO NOT (?:EDIT|MODIFY)\b", re.IGNORECASE
)
_GENERATED_PATH: Final = re.compile(
    r".*/(?:node_modules|__pycache__|\.next|\.nuxt|\.tox|\.venv|dist)/.*"
    r"|.*/(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|poetry\.lock|pdm\.lock|uv\.lock|pipfile\.lock"
    r"|cargo\.lock|composer\.lock|gemfile\.lock|go\.sum|flake\.lock|[^/]*\.(?:min\.js|min\.css|map|pyc|pb\.go|snap)|[^/]*_pb2(?:_grpc)?\.pyi?)",
    re.DOTALL,
)
