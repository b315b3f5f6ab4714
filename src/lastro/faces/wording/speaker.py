"""``Speaker``: how a face says one line about what happened: its styles, its way to put parts side by side, its reader's clock.

So a command line and a page say the same sentence, and each looks like itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Protocol


class Speaker(Protocol):
    """See the module."""

    @property
    def zone(self) -> tzinfo:
        """The zone in which the reader is told times."""
        ...

    def style(self, text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
        """``text``, marked with what it is where this face marks anything inside a line."""
        ...

    def beside(self, parts: Iterable[str]) -> str:
        """``parts`` on one line, in order; the empty ones are left out."""
        ...


@dataclass(frozen=True, slots=True)
class PlainSpeaker:
    """A face that marks nothing inside a line: a page, which escapes the whole."""

    zone: tzinfo = UTC
    between: str = " · "

    def style(self, text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
        """See ``Speaker``."""
        del fg, bold, dim
        return text

    def beside(self, parts: Iterable[str]) -> str:
        """See ``Speaker``."""
        return self.between.join(filter(None, parts))
