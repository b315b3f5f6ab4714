"""Patterns taken apart into their components, and components against components. Pure; ``globs`` says what they mean.

What always holds: neither comparison errs towards danger. ``meet`` may say yes, and ``all_covered`` no, when they do not know.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

ANY_DEPTH: Final = "**"
WILD: Final = re.compile(r"[*?\[]")

FitsName = Callable[[str], bool]


def components_of(pattern: str) -> tuple[str, ...]:
    """See ``Glob.components``. Neighbouring ``**`` are one; those at the end say nothing."""
    anchored = "/" in pattern.removesuffix("/")
    parts = pattern.removeprefix("/").removesuffix("/").split("/")
    found: list[str] = [] if anchored else [ANY_DEPTH]
    for part in parts:
        if part != ANY_DEPTH or found[-1:] != [ANY_DEPTH]:
            found.append(part)
    while found[-1:] == [ANY_DEPTH]:
        found.pop()
    return tuple(found)


@lru_cache(maxsize=4096)
def fits_name(component: str) -> FitsName:
    """Whether one name fits one component. ``fnmatch`` makes expressions that never go back over a ``*`` that was settled."""
    if not WILD.search(component):
        return component.__eq__
    if not component.strip("*"):
        return _any_name
    expression = re.compile(fnmatch.translate(component))
    return lambda name: expression.match(name) is not None


def _any_name(name: str) -> bool:
    return bool(name)


def literally(name: str) -> str:
    """``name`` as a component that matches nothing else."""
    return WILD.sub(lambda found: f"[{found[0]}]", name)


def meet(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one thing that ``one`` names may be, hold, or lie in one that ``other`` names: whether either can be walked to its end."""
    seen = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        here, there = waiting.pop()
        if here == len(one) or there == len(other):
            return True
        for step in _steps(one[here], other[there], here, there):
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return False


def _steps(left: str, right: str, here: int, there: int) -> Iterable[tuple[int, int]]:
    if left == ANY_DEPTH:
        yield here + 1, there
        yield here, there + 1
    elif right == ANY_DEPTH:
        yield here, there + 1
        yield here + 1, there
    elif _names_meet(left, right):
        yield here + 1, there + 1


def _names_meet(left: str, right: str) -> bool:
    """Whether some name may fit both components."""
    plain_left, plain_right = _plain(left), _plain(right)
    if plain_left is not None:
        return fits_name(right)(plain_left)
    if plain_right is not None:
        return fits_name(left)(plain_right)
    starts, ends = (_ends(left), _ends(right))
    return all(
        one.startswith(other) or other.startswith(one) for one, other in [(starts[0], ends[0])]
    ) and all(one.endswith(other) or other.endswith(one) for one, other in [(starts[1], ends[1])])


def _plain(component: str) -> str | None:
    """The only name that fits the component; ``None`` if there are several."""
    name = re.sub(r"\[([*?\[])\]", "\0\\1", component)
    if WILD.search(re.sub("\0.", "", name)):
        return None
    return name.replace("\0", "")


def _ends(component: str) -> tuple[str, str]:
    """What every name that fits begins and ends with, as far as it is plain."""
    if "[" in component:
        # A set may hold what looks like another wildcard; what stands before it is all that is sure.
        return component[: _first(component)], ""
    return component[: _first(component)], component[max(component.rfind("*"), component.rfind("?")) + 1 :]


def _first(component: str) -> int:
    found = WILD.search(component)
    return found.start() if found else len(component)


def all_covered(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """See ``covers``. A ``**`` of ``narrow`` stands for names that nobody knows: only a ``**`` of ``wide`` takes them all in."""
    seen = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        here, there = waiting.pop()
        if here == len(wide):
            return True
        steps: list[tuple[int, int]] = []
        if wide[here] == ANY_DEPTH:
            steps.append((here + 1, there))
            if there < len(narrow):
                steps.append((here, there + 1))
        elif there < len(narrow) and narrow[there] != ANY_DEPTH and _name_covers(wide[here], narrow[there]):
            steps.append((here + 1, there + 1))
        for step in steps:
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return False


def _name_covers(wide: str, narrow: str) -> bool:
    """Whether every name that fits ``narrow`` surely fits ``wide``."""
    if wide == narrow or not wide.strip("*"):
        return True
    plain = _plain(narrow)
    return plain is not None and fits_name(wide)(plain)
