"""Which paths of a project are shown empty, and which read-only: a role's globs, met with the files that are there when a run starts.

What always holds: no link is followed to a mount; a path is named only if it is there in the view, for mounting over one that is not would
make it; what is denied by a name that is a link is hidden where it leads to. A path that comes into being later is not here: writing is
judged again when changes are collected. ``.git`` is not searched: what was ever committed can be read from it under other names.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from lastro.agents.jail.spec import JailSpec
from lastro.domain.paths import is_within, relative_to
from lastro.proposals.globs import glob, is_whole, literal_prefix, matches_loosely

ALWAYS_FROZEN: Final = (".lastro/policy.toml", ".lastro/roles", ".git/hooks", ".git/config")
"""What says what agents may do, and what Git would run: never written by an agent."""
MOST: Final = 256
"""Masks of one kind; each is a mount."""

_OPAQUE: Final = ("trusted.overlay.opaque", "user.overlay.opaque")


class Masks(Struct, frozen=True, kw_only=True):
    """Paths relative to the project. ``complete``: false when there were more than ``MOST`` to hide."""

    hidden_files: tuple[str, ...] = ()
    hidden_directories: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    complete: bool = True


def find_masks(spec: JailSpec, layers: Sequence[str]) -> Masks:
    """What to mask. ``layers``: the host directories that make up the view, topmost first; the last holds the most.

    Raises:
        UsageError: a glob of ``spec`` cannot be used.
    """
    view = _View(layers)
    hidden: dict[str, bool] = {}
    for path, is_link in _matching(view, spec.deny_read):
        real = view.leads_to(path) if is_link else path
        if real is not None and (kind := view.kind(real)):
            hidden[real] = kind == "directory"
    frozen: dict[str, None] = {}
    literal = [path for path in (*ALWAYS_FROZEN, *spec.frozen) if view.kind(path)]
    globs = [path for path in spec.frozen if not view.kind(path)]
    for path in (
        *literal,
        *(found for found, is_link in _matching(view, (*globs, *spec.deny_write)) if not is_link),
    ):
        if view.kind(path):
            frozen[path] = None
    names = _topmost(hidden)
    return Masks(
        hidden_files=tuple(path for path in names[:MOST] if not hidden[path]),
        hidden_directories=tuple(path for path in names[:MOST] if hidden[path]),
        frozen=tuple(path for path in _topmost(frozen)[:MOST] if not _lies_in(path, names)),
        complete=len(names) <= MOST,
    )


def _topmost(paths: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in sorted(paths):
        if not _lies_in(path, found):
            found.append(path)
    return found


def _lies_in(path: str, directories: Iterable[str]) -> bool:
    return any(path == one or path.startswith(one + "/") for one in directories)


def _matching(view: _View, patterns: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """The paths that a pattern names (not all that lies in them), and whether each is a link."""
    plain = [literal_prefix(one) for one in patterns if is_whole(one) and literal_prefix(one)]
    for path in plain:
        kind = view.kind(path)
        if kind:
            yield path, kind == "link"
    wild = [one for one in patterns if not (is_whole(one) and literal_prefix(one))]
    # Of everything that a pattern names the last name fits its last component: that is all most files are asked.
    ends = {(glob(one).components or ("*",))[-1] for one in wild}
    if not ends:
        return
    fits = re.compile("|".join(fnmatch.translate(end) for end in sorted(ends)), re.IGNORECASE).match
    for path, is_link in view.walk(lambda name: fits(name) is not None or not name.isascii()):
        if any(matches_loosely(one, path) for one in wild):
            yield path, is_link


class _View:
    """Directories over one another, as an overlay shows them."""

    def __init__(self, layers: Sequence[str]) -> None:
        self._layers = layers

    def walk(self, fits: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
        """Path, and whether it is a link: of everything whose name ``fits``, in any layer but ``.git``, also what is no longer in the view.

        Every name of a project comes by here while an agent waits.
        """
        for layer in self._layers:
            waiting = [""]
            while waiting:
                above = waiting.pop()
                try:
                    with os.scandir(f"{layer}/{above}") as entries:
                        here = list(entries)
                except OSError:
                    continue
                below = f"{above}/" if above else ""
                found = [(below + entry.name, entry.is_symlink()) for entry in here if fits(entry.name)]
                waiting += [
                    below + entry.name
                    for entry in here
                    if entry.is_dir(follow_symlinks=False) and entry.name != ".git"
                ]
                yield from found

    def kind(self, path: str) -> str:
        """``file``, ``directory``, ``link``, or empty: it is not in the view."""
        for layer in self._layers:
            found = _kind_in(layer, path)
            if found is not None:
                return found
        return ""

    def leads_to(self, path: str) -> str | None:
        """Where a link leads, relative to the project; ``None``: out of it, where there is nothing to hide."""
        for layer in self._layers:
            if os.path.islink(os.path.join(layer, path)):
                real = os.path.realpath(os.path.join(layer, path))
                for top in self._layers:
                    if is_within(real, top) and real != top:
                        return relative_to(real, top)
        return None


def _kind_in(layer: str, path: str) -> str | None:
    """As ``_View.kind`` for one layer; ``None``: it says nothing, ask the next."""
    here, opaque = layer, False
    names = path.split("/")
    for number, name in enumerate(names):
        opaque = opaque or any(_has_attribute(here, attribute) for attribute in _OPAQUE)
        here = f"{here}/{name}"
        try:
            status = os.lstat(here)
        except OSError:
            return "" if opaque else None
        if stat.S_ISLNK(status.st_mode):
            return "link" if number == len(names) - 1 else ""
        if not stat.S_ISDIR(status.st_mode):
            last = number == len(names) - 1 and not (stat.S_ISCHR(status.st_mode) and not status.st_rdev)
            return "file" if last else ""
    return "directory"


def _has_attribute(path: str, name: str) -> bool:
    try:
        return os.getxattr(path, name, follow_symlinks=False) == b"y"
    except OSError:
        return False
