"""The options that every command takes, wherever they stand: read before anything else, because help and errors depend on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_QUIET: Final = re.compile(r"-[a-z]*q[a-z]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for one call of the command line. ``home`` and ``language`` are empty when not given."""

    json: bool = False
    language: str = ""
    home: str = ""
    quiet: bool = False
    color: bool = True
    debug: bool = False


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line, without judging the rest of it. What follows ``--`` is not looked at."""
    words = list(_until_dashes(arguments))
    return Settings(
        json="--json" in words,
        language=_value(words, "--lang"),
        home=_value(words, "--home"),
        quiet="--quiet" in words or any(_QUIET.match(word) for word in words),
        color="--no-color" not in words and not environment.get("NO_COLOR"),
        debug="--debug" in words or environment.get("LASTRO_DEBUG") == "1",
    )


def _until_dashes(arguments: Sequence[str]) -> Iterator[str]:
    for word in arguments:
        if word == "--":
            return
        yield word


def _value(words: Sequence[str], option: str) -> str:
    """The value of an option, ``--option VALUE`` or ``--option=VALUE``; the last one counts."""
    value = ""
    for position, word in enumerate(words):
        if word == option and position + 1 < len(words):
            value = words[position + 1]
        elif word.startswith(f"{option}="):
            value = word[len(option) + 1 :]
    return value
