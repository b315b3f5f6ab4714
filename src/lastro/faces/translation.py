"""The reader's language: what only faces know.

Below the faces a sentence is an English msgid and named parameters. What always holds: showing a sentence never raises, and a parameter
cannot steer a terminal, whatever bytes the name of a file has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

from lastro.domain.paths import printable
from lastro.messages import fill

ENGLISH: Final = "en"
DOMAIN: Final = "lastro"
DIRECTORY: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "locale")
_VARIABLES: Final = ("LASTRO_LANG", "LC_ALL", "LC_MESSAGES", "LANG")

_translate: Callable[[str], str] = str
_translate_counted: Callable[[str, str, int], str] | None = None


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
    global _translate, _translate_counted
    _translate, _translate_counted = str, None
    if language == ENGLISH:
        if standard := sys.modules.get("gettext"):
            standard.textdomain("messages")
        return
    import gettext as catalogues  # noqa: PLC0415  English needs no catalogue

    found = catalogues.translation(DOMAIN, DIRECTORY, [language], fallback=True)
    _translate, _translate_counted = found.gettext, found.ngettext
    os.environ["LANGUAGE"] = language
    catalogues.bindtextdomain(DOMAIN, DIRECTORY)
    catalogues.textdomain(DOMAIN)


def gettext(msgid: str, /, **parameters: object) -> str:
    """The sentence ``msgid`` in the reader's language, with its parameters. A string parameter is made printable first."""
    return sentence(msgid, parameters)


def ngettext(one: str, many: str, count: int, /, **parameters: object) -> str:
    """The sentence for ``count`` things; ``{count}`` in it is filled."""
    choose = _translate_counted or _english_counted
    template = choose(one, many, count)
    return fill(template, {"count": count, **_shown(parameters)})


def _english_counted(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def sentence(msgid: str, parameters: Mapping[str, object]) -> str:
    """As ``gettext``, for a msgid and parameters that came from below."""
    return fill(_translate(msgid) if msgid else "", _shown(parameters))


def _shown(parameters: Mapping[str, object]) -> dict[str, object]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in parameters.items()}
