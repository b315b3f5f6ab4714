"""Which names are left out of a capture, as a pure function of the name.

What always holds: nothing of the user's is left out unless the user's own configuration says so; the only names that Lastro leaves out
by itself are its own staging files. (Kernel file systems and Lastro's own marked directories are seen on the disk, not in a name: see
``capture.walk``.)

A pattern of ``node.toml`` is a glob on the path relative to its root, with ``/`` between components:

=============  ==========================================================
``*.o``        without a slash: any component with such a name, at any depth
``/build``     a slash at the front or in the middle: only from the root
``build/``     a slash at the end: only directories
``a/**/b``     ``**`` as a whole component: any number of components, also none
``*`` ``?``    any characters, one character; never a ``/``
``[a-z]``      one character of a set; ``[!a-z]`` one that is not in it
=============  ==========================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from lastro.errors import ConfigError
from lastro.messages import N_

STAGING: Final = "staging"
CONFIG: Final = "config"

_STAGING_NAME: Final = re.compile(r"\.lastro-[0-9A-Za-z]+(?:-[0-9A-Za-z]+)*-[0-9]+")
_SET: Final = re.compile(r"\[(!?)(\]?[^\]]*)\]", re.DOTALL)


def is_staging_name(name: str) -> bool:
    """Whether ``name`` is one that ``apply`` gives to what it stages: ``.lastro-<apply>-N``."""
    return _STAGING_NAME.fullmatch(name) is not None


class Excludes:
    """The names left out below one root."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Compile ``patterns``.

        Raises:
            ConfigError: a pattern that can match nothing or not what it seems to: empty, with ``..``, or negated with ``!``.
        """
        compiled = [_translate(pattern) for pattern in patterns]
        self._anything = _join(
            expression for expression, directories_only in compiled if not directories_only
        )
        self._directories = _join(expression for expression, _ in compiled)

    def reason(self, path: str, *, is_directory: bool) -> str | None:
        """Why ``path`` (relative, not the root) itself is left out: ``staging``, ``config``, or ``None``. What is above it is not asked."""
        if is_staging_name(path.rpartition("/")[2]):
            return STAGING
        expression = self._directories if is_directory else self._anything
        return CONFIG if expression is not None and expression.fullmatch(path) else None

    def covering(self, path: str, *, is_directory: bool) -> tuple[str, str] | None:
        """The highest path at or above ``path`` that is left out, and why; ``None`` when none is."""
        if path == "":
            return None
        start = path.find("/")
        while start >= 0:
            reason = self.reason(path[:start], is_directory=True)
            if reason is not None:
                return path[:start], reason
            start = path.find("/", start + 1)
        reason = self.reason(path, is_directory=is_directory)
        return (path, reason) if reason is not None else None


def _join(expressions: Iterator[str]) -> re.Pattern[str] | None:
    alternatives = list(expressions)
    return re.compile("|".join(f"(?:{each})" for each in alternatives), re.DOTALL) if alternatives else None


def _translate(pattern: str) -> tuple[str, bool]:
    """A pattern as a regular expression on a whole relative path, and whether only directories are meant."""
    parts = pattern.strip("/").split("/")
    if pattern.startswith("!") or any(part in {"", ".", ".."} for part in parts):
        raise ConfigError(
            N_("The exclude pattern {pattern} can match nothing."),
            hint=N_("Write a glob on the path below the root, such as *.tmp, cache/ or /var/lib/big."),
            pattern=pattern,
        )
    anchored = "/" in pattern.rstrip("/")
    expression = "" if anchored else "(?:[^/]+/)*"
    for part in parts[:-1]:
        expression += "(?:[^/]+/)*" if part == "**" else _component(part) + "/"
    expression += "[^/]+(?:/[^/]+)*" if parts[-1] == "**" else _component(parts[-1])
    return expression, pattern.endswith("/")


def _component(part: str) -> str:
    result, position = "", 0
    while position < len(part):
        character = part[position]
        matched = _SET.match(part, position) if character == "[" else None
        if matched is not None:
            result += _set(matched[1], matched[2])
            position = matched.end()
            continue
        result += {"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character)
        position += 1
    return result


def _set(negated: str, members: str) -> str:
    """A set of characters; a range that runs backwards matches nothing instead of being an error."""
    found, position = "", 0
    while position < len(members):
        first = last = members[position]
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            last = members[position + 2]
            position += 2
        position += 1
        if first > last:
            return "[^/]" if negated else "(?!)"
        found += re.escape(first) if first == last else f"{re.escape(first)}-{re.escape(last)}"
    if not found:
        return "[^/]" if negated else "(?!)"
    return f"[^/{found}]" if negated else f"(?!/)[{found}]"
