"""How servers are, in words: levels, findings, shares. The same for every face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.app.requests.health import Finding, Level
from lastro.app.requests.sentence import Sentence
from lastro.faces.translation import gettext as _
from lastro.faces.translation import sentence
from lastro.faces.wording.instants import duration
from lastro.messages import N_

LEVELS: Final[Mapping[str, tuple[str, str]]] = {
    Level.GOOD: (N_("well"), "green"),
    Level.WARNING: (N_("look at it"), "yellow"),
    Level.BAD: (N_("not well"), "red"),
    Level.UNKNOWN: (N_("not known"), "yellow"),
}
LINKS: Final[Mapping[str, tuple[str, str | None]]] = {
    "connected": (N_("connected"), "green"),
    "connecting": (N_("connecting"), "yellow"),
    "unreachable": (N_("unreachable"), "red"),
    "none": (N_("no node"), None),
    "unknown": (N_("not known while no keeper runs"), None),
}
"""State of the link to a node → word, colour of a terminal."""

_SAID_BY_LIST: Final = frozenset(
    {"no_node", "no_keeper", "connecting", "unreachable", "trouble", "not_captured"}
)


def level(code: str) -> str:
    """The word for a level."""
    return _(LEVELS[code][0]) if code in LEVELS else code


def said(what: Sentence) -> str:
    """A finding's sentence; ``length_ns`` in it becomes a length of time in words."""
    parameters: dict[str, object] = dict(what.parameters)
    length = what.parameters.get("length_ns", "")
    if length.isascii() and length.isdigit():
        parameters["length"] = duration(int(length))
    return sentence(what.msgid, parameters)


def adds_to_list(finding: Finding) -> bool:
    """Whether it says more than the line of its server and its roots in a list says anyway."""
    return finding.said.code not in _SAID_BY_LIST


def share(thousandths: int) -> str:
    """``12.5 %``."""
    return _("{number} %", number=f"{thousandths / 10:.1f}")


def thousandths(number: int) -> str:
    """``0.42``."""
    return f"{number / 1000:.2f}"
