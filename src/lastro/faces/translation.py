"""The reader's language: what only faces know.

Below the faces a sentence is an English msgid and named parameters. What always holds: showing a sentence never raises, and a parameter
cannot steer a terminal, whatever bytes the name of a file has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Final, NamedTuple

from lastro.domain.paths import printable
from lastro.messages import fill

ENGLISH: Final = "en"
DOMAIN: Final = "lastro"
DIRECTORY: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "locale")
_VARIABLES: Final = ("LASTRO_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


class _Speech(NamedTuple):
    """One language: its name, and how a sentence and a counted sentence are said in it."""

    language: str
    one: Callable[[str], str]
    counted: Callable[[str, str, int], str]


def _english_counted(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


_ENGLISH: Final = _Speech(ENGLISH, str, _english_counted)
_process: Final[list[_Speech]] = [_ENGLISH]
"""What this process speaks where it answers no reader in particular: one language."""
_reader: Final[ContextVar[_Speech | None]] = ContextVar("reader", default=None)


def languages() -> tuple[str, ...]:
    """The languages there are, English first."""
    try:
        return (ENGLISH, *sorted(os.listdir(DIRECTORY)))
    except OSError:
        return (ENGLISH,)


def choose_language(asked: str, environment: Mapping[str, str]) -> str:
    """The language to speak: ``asked`` (``--lang``), else the first of the usual variables that is set; English where there is none."""
    text = asked or next((environment[name] for name in _VARIABLES if environment.get(name)), ENGLISH)
    return _find_language(text) or ENGLISH


def has_language(text: str) -> bool:
    """Whether there are texts in the language that ``text`` names (``pt_BR``, ``pt``, ``pt-BR.UTF-8``)."""
    return bool(_find_language(text))


def _find_language(text: str) -> str:
    wanted = text.partition(".")[0].partition("@")[0].replace("-", "_").lower()
    known = languages()
    for language in known:
        if language.lower() == wanted:
            return language
    return next((one for one in known if one.partition("_")[0] == wanted.partition("_")[0]), "")


def use_language(language: str) -> None:
    """Speak ``language`` from now on in this process; one without a catalogue is English.

    Libraries that ask the standard ``gettext`` (Click) speak it too, with the sentences of our catalogue.
    """
    _process[0] = _speech(language)
    if language == ENGLISH:
        if standard := sys.modules.get("gettext"):
            standard.textdomain("messages")
        return
    import gettext as catalogues  # noqa: PLC0415  English needs no catalogue

    os.environ["LANGUAGE"] = language
    catalogues.bindtextdomain(DOMAIN, DIRECTORY)
    catalogues.textdomain(DOMAIN)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within the context, and in threads that are given a copy of it, speak ``language``: a process that answers many readers."""
    token = _reader.set(_speech(language))
    try:
        yield
    finally:
        _reader.reset(token)


def spoken() -> str:
    """The language that is spoken here now."""
    return (_reader.get() or _process[0]).language


@cache
def _speech(language: str) -> _Speech:
    if language == ENGLISH:
        return _ENGLISH
    import gettext as catalogues  # noqa: PLC0415  English needs no catalogue

    found = catalogues.translation(DOMAIN, DIRECTORY, [language], fallback=True)
    return _Speech(language, found.gettext, found.ngettext)


def gettext(msgid: str, /, **parameters: object) -> str:
    """The sentence ``msgid`` in the reader's language, with its parameters. A string parameter is made printable first."""
    return sentence(msgid, parameters)


def ngettext(one: str, many: str, count: int, /, **parameters: object) -> str:
    """The sentence for ``count`` things; ``{count}`` in it is filled."""
    template = (_reader.get() or _process[0]).counted(one, many, count)
    return fill(template, {"count": count, **_shown(parameters)})


def sentence(msgid: str, parameters: Mapping[str, object]) -> str:
    """As ``gettext``, for a msgid and parameters that came from below."""
    speech = _reader.get() or _process[0]
    return fill(speech.one(msgid) if msgid else "", _shown(parameters))


def _shown(parameters: Mapping[str, object]) -> dict[str, object]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in parameters.items()}
