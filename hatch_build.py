"""Compiles the catalogues (``.po`` → ``.mo``) when the project is built, for a wheel and for an editable install alike.

The compiled files lie beside their sources and are not committed: a reader of the repository sees every translation once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def compile_catalogues(root: Path) -> list[Path]:
    """Compile every catalogue under ``root``/src/lastro/locale and return the files written.

    A fuzzy translation is a guess of the tools, so it is left out: its reader sees English.
    """
    written = []
    for source in sorted(root.glob("src/lastro/locale/*/LC_MESSAGES/*.po")):
        with source.open("rb") as file:
            catalogue = read_po(file)
        compiled = source.with_suffix(".mo")
        with compiled.open("wb") as file:
            write_mo(file, catalogue)
        written.append(compiled)
    return written


class CatalogueHook(BuildHookInterface[BuilderConfig]):
    """Runs before hatch gathers the files. ``initialize`` is hatch's own name for that moment."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # type: ignore[explicit-override]
        """Compile all catalogues; ``version`` (standard or editable) and ``build_data`` do not matter."""
        del version, build_data
        compile_catalogues(Path(self.root))
