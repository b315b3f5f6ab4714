"""The one glob language of policies, checks and leases, over byte-faithful relative paths. Pure.

It is that of ``.gitignore`` without negation, so one sentence explains it: *a pattern names things, and whatever lies in a thing that it
names belongs to it*.

=================  ==================================================================================================
``*`` ``?``        any characters, one character; never a ``/``
``[a-z]``          one character of a set; ``[!a-z]`` one that is not in it
``a/**/b``         ``**`` as a whole component: any number of components, also none
``*.pem``          without a slash at the front or in the middle: a thing of that name at any depth
``/a``, ``a/b``    a slash at the front or in the middle: from the top of the project
``a/b/**``         the same as ``a/b``: the thing itself, and all in it
``**``             everything, the top itself too
=================  ==================================================================================================

What always holds: asking costs at most time proportional to pattern times path, whatever stands in them; ``may_overlap`` and ``covers``
never err towards danger (the first may say yes, the second no, when they do not know). A backslash is an ordinary character; a set takes
one in. ``matches_loosely`` is for what must not be read or written: it also holds for names that some file system takes for the same.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from lastro.domain.paths import is_faithful
from lastro.errors import UsageError
from lastro.messages import N_
from lastro.proposals.glob_components import (
    ANY_DEPTH,
    WILD,
    FitsName,
    all_covered,
    components_of,
    fits_name,
    literally,
    meet,
)

LONGEST: Final = 1024
"""Characters of a pattern."""


class Glob:
    """One pattern, ready to be asked. Made by ``glob``, which refuses what is none."""

    __slots__ = ("_head", "_segments", "components")

    def __init__(self, pattern: str) -> None:
        self.components = components_of(pattern)
        """As they are matched from the top: an unanchored pattern begins with ``**``; none: everything."""
        self._head, self._segments = _segments(self.components)

    def matches(self, path: str) -> bool:
        """Whether the relative ``path`` (``""``: the top) is named by the pattern, or lies in something that is."""
        if not self.components:
            return True
        names = path.split("/") if path else []
        if not _fits(self._head, names, 0):
            return False
        at = len(self._head)
        # Leftmost is best: nothing is asked of what comes after the last segment.
        for segment in self._segments:
            while not _fits(segment, names, at):
                at += 1
                if at >= len(names):
                    return False
            at += len(segment)
        return True

    def leads_to(self, path: str) -> bool:
        """Whether the pattern may name something below the directory ``path``, so that this directory has to be there for it."""
        return not path or meet(self.components, tuple(map(literally, path.split("/"))))


def matches(pattern: str, path: str) -> bool:
    """Whether the relative ``path`` is, or lies in, what ``pattern`` names.

    Raises:
        UsageError: the pattern cannot be used.
    """
    return glob(pattern).matches(path)


def matches_loosely(pattern: str, path: str) -> bool:
    """As ``matches``, also for a path that some file system takes for one that matches (``fold``).

    Raises:
        UsageError: the pattern cannot be used.
    """
    if glob(pattern).matches(path):
        return True
    folded = fold(path)
    return (folded != path or fold(pattern) != pattern) and _folded(pattern).matches(folded)


def first_match(patterns: Iterable[str], path: str, *, loose: bool = False) -> str | None:
    """The first of ``patterns`` that matches ``path``, ``loose``: loosely; ``None`` if none does.

    Raises:
        UsageError: one of them cannot be used.
    """
    return _ready(tuple(patterns)).first(path, loose=loose)


class _Patterns:
    """Several patterns, asked together: most are the name of a thing at any depth, and few paths have such a name."""

    __slots__ = ("_anywhere", "_literal", "_others", "_patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        both = {pattern: (glob(pattern).components, _folded(pattern).components) for pattern in patterns}
        named = {
            pattern: {components[1] for components in pair}
            for pattern, pair in both.items()
            if all(len(components) == 2 and components[0] == ANY_DEPTH for components in pair)
        }
        names = {name for found in named.values() for name in found}
        self._literal = frozenset(name for name in names if not WILD.search(name))
        wild = sorted(names - self._literal)
        self._anywhere = re.compile("|".join(map(fnmatch.translate, wild))) if wild else None
        self._others = tuple(pattern for pattern in patterns if pattern not in named)

    def first(self, path: str, *, loose: bool) -> str | None:
        fits = matches_loosely if loose else matches
        folded = fold(path) if loose else path
        asked = self._patterns
        if not self._may_name(path) and (folded == path or not self._may_name(folded)):
            asked = self._others
        return next((pattern for pattern in asked if fits(pattern, path)), None)

    def _may_name(self, path: str) -> bool:
        """Whether something in ``path`` has a name that one of the patterns has for a thing at any depth."""
        names = path.split("/")
        if not self._literal.isdisjoint(names):
            return True
        return self._anywhere is not None and any(map(self._anywhere.match, names))


@lru_cache(maxsize=1024)
def _ready(patterns: tuple[str, ...]) -> _Patterns:
    return _Patterns(patterns)


def may_overlap(one: str, other: str) -> bool:
    """Whether some path may be matched by both patterns. No is certain; yes may be said of two sets that have no name in common."""
    return meet(glob(one).components, glob(other).components)


def covers(wide: str, narrow: str) -> bool:
    """Whether every path that ``narrow`` matches is matched by ``wide`` too. Yes is certain; no means that it is not obvious."""
    return all_covered(glob(wide).components, glob(narrow).components)


def literal_prefix(pattern: str) -> str:
    """The deepest path without wildcards that is, or holds, everything the pattern matches; ``""`` when that is the whole project."""
    names = []
    for component in glob(pattern).components:
        if WILD.search(component):
            break
        names.append(component)
    return "/".join(names)


def is_whole(pattern: str) -> bool:
    """Whether the pattern is its literal prefix, with all that lies in it: what a mount or Landlock can express."""
    return not any(WILD.search(component) for component in glob(pattern).components)


@lru_cache(maxsize=4096)
def glob(pattern: str) -> Glob:
    """The pattern, compiled once.

    Raises:
        UsageError: it can match nothing, or not what it seems to.
    """
    problem = problem_with(pattern)
    if problem:
        raise UsageError(
            N_("The pattern {pattern} cannot be used: {problem}"),
            hint=N_("Write a path below the project with * ? [abc] and **, such as src/** or *.pem."),
            pattern=pattern,
            problem=problem,
        )
    return Glob(pattern)


@lru_cache(maxsize=4096)
def _folded(pattern: str) -> Glob:
    return Glob(fold(pattern))


def problem_with(pattern: str) -> str:
    """Why the pattern cannot be used, in English; empty if it can."""
    if not pattern or not pattern.strip("/"):
        return "it is empty; ** means everything"
    if len(pattern) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if pattern.startswith("!"):
        return "patterns cannot be negated; write a deny list"
    if not is_faithful(pattern):
        return "no path could look like that"
    parts = pattern.removeprefix("/").removesuffix("/").split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "its parts must not be empty, . or .."
    return ""


def fold(text: str) -> str:
    r"""One writing for all names that a case-insensitive or normalising file system may take for the same (``.ENV``, ``.e\u200dnv``)."""
    if text.isascii():
        return text.lower()
    visible = "".join(one for one in text if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", visible).casefold())


def _segments(
    components: Sequence[str],
) -> tuple[tuple[FitsName, ...], tuple[tuple[FitsName, ...], ...]]:
    """What has to stand at the very top, and then the runs of components that stand somewhere below one another."""
    runs: list[list[FitsName]] = [[]]
    for component in components:
        if component == ANY_DEPTH:
            runs.append([])
        else:
            runs[-1].append(fits_name(component))
    return tuple(runs[0]), tuple(map(tuple, runs[1:]))


def _fits(segment: Sequence[FitsName], names: Sequence[str], at: int) -> bool:
    return len(names) - at >= len(segment) and all(
        fits(names[at + number]) for number, fits in enumerate(segment)
    )
