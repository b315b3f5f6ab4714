"""Languages, each in its own words: whoever cannot read this page finds theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.faces.translation import languages

NAMES: Final[Mapping[str, str]] = {"en": "English", "pt_BR": "Português (Brasil)"}


def named_languages() -> tuple[tuple[str, str], ...]:
    """Code and name of each language that there are texts in; the code where it has no name here."""
    return tuple((code, NAMES.get(code, code)) for code in languages())
