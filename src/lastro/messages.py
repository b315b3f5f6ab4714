"""Sentences for people, before anybody has translated them.

Below the faces a sentence is an English msgid and named parameters; only a face knows the reader's language. This module is
the floor of the house: it imports nothing of Lastro, so that every package can mark its sentences. What always holds: filling a
sentence never raises. A message is often shown when something has failed already, and a parameter that is missing or
a translation that is wrong must not hide that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def N_(text: str, /) -> str:  # noqa: N802  gettext's own name for it, known to every tool
    """Mark ``text`` as a msgid for the catalogues and return it as it is."""
    return text


class _Gaps(dict[str, object]):
    """Parameters in which a missing name stands for its own placeholder."""

    def __missing__(self, name: str) -> str:
        return "{" + name + "}"


def fill(template: str, parameters: Mapping[str, object]) -> str:
    """Return ``template`` with its ``{placeholders}`` filled; as it is when it cannot be filled."""
    try:
        return template.format_map(_Gaps(parameters))
    except Exception:  # noqa: BLE001  a parameter may be anything, and its own __format__ may fail in any way
        return template


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One sentence: ``msgid`` in English with ``{named}`` placeholders, and what fills them."""

    msgid: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    def render(self, translate: Callable[[str], str] | None = None) -> str:
        """Return the sentence in the language of ``translate`` (msgid → text), in English without one. Never raises."""
        return fill(self.msgid if translate is None else translate(self.msgid), self.parameters)

    @override
    def __str__(self) -> str:
        return self.render()
