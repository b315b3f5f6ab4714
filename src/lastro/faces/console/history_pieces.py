"""What every template of a page about history says things with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lastro.domain.paths import join, printable
from lastro.faces.console import addresses
from lastro.faces.wording import plain
from lastro.faces.wording.causes import CAUSES
from lastro.faces.wording.history_words import OPERATIONS, REASONS

WORDS: Final[Mapping[str, Any]] = {
    "causes": CAUSES,
    "operations": OPERATIONS,
    "reasons": REASONS,
    "links": addresses,
    "join": join,
    "printable": printable,
    "entry_type": plain.entry_type,
    "owner_of": plain.owner,
}
