"""Keeps the catalogues in step with the sources: ``python -m tools.translations update | check | compile``.

``update`` gathers every msgid marked with ``N_``, ``_``, ``gettext`` or ``ngettext`` in the sources and in the console's templates, lays
it into each ``.po`` (new ones empty, unused ones dropped) and compiles, as ``compile`` alone does. ``check`` changes nothing and fails
when a translation is missing, is a guess (fuzzy), or has other ``{placeholders}`` than its msgid.

A ``.po`` is sorted by msgid and bears neither line numbers nor a date of its own, so a change of one sentence is a diff of one
sentence. The template (``.pot``) exists in memory only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from hatch_build import compile_catalogues

if TYPE_CHECKING:
    from collections.abc import Iterator

    from babel.messages.catalog import Message

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "lastro"
KEYWORDS: dict[str, tuple[int, ...] | None] = {"N_": None, "_": None, "gettext": None, "ngettext": (1, 2)}
WIDTH = 110


def extract(package: Path = PACKAGE) -> Catalog:
    """Return the template: every msgid in the sources under ``package``."""
    template = Catalog()
    found = extract_from_dir(
        package,
        [("**.py", "python"), ("**.html", "jinja2")],
        options_map={
            "**.html": {"silent": "false"}
        },  # a template that cannot be read is no template without texts
        keywords=KEYWORDS,
        comment_tags=["Translators:"],
    )
    for _name, _line, msgid, comments, _context in found:
        template.add(msgid, auto_comments=comments)
    return template


def read(path: Path) -> Catalog:
    """Return the catalogue in ``path``, its locale taken from the folder's name."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.parts[-3])
    catalogue.project, catalogue.version = "Lastro", "catalogue"
    catalogue.last_translator = catalogue.language_team = "Lastro contributors"
    catalogue.msgid_bugs_address = "the project's issues"
    return catalogue


def catalogues(package: Path = PACKAGE) -> list[Path]:
    """Return the sources of all catalogues, one for each language."""
    return sorted(package.glob("locale/*/LC_MESSAGES/*.po"))


def update(path: Path, template: Catalog) -> None:
    """Lay ``template`` into the catalogue in ``path``; its translations and its dates stay as they are."""
    catalogue = read(path)
    created = catalogue.creation_date
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.creation_date = created
    with path.open("wb") as file:
        write_po(file, catalogue, width=WIDTH, no_location=True, sort_output=True, ignore_obsolete=True)


def problems(catalogue: Catalog, template: Catalog) -> Iterator[str]:
    """Yield one line for everything in ``catalogue`` that would show a reader the wrong text, or English."""
    for wanted in template:
        if not wanted.id:
            continue
        message = catalogue.get(wanted.id)
        name = repr(_forms(wanted.id)[0])
        if message is None or not all(_forms(message.string)):
            yield f"no translation: {name}"
        elif message.fuzzy:
            yield f"fuzzy: {name}"
        elif not _same_placeholders(message):
            yield f"other placeholders than its msgid: {name}"
    for message in catalogue:
        if message.id and template.get(message.id) is None:
            yield f"not in the sources any more: {_forms(message.id)[0]!r}"


def _forms(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    """Return the singular and plural forms of a msgid or a translation; most have one."""
    return tuple(text) if isinstance(text, (tuple, list)) else (text or "",)


def _same_placeholders(message: Message) -> bool:
    """Tell whether each translated form fills what the msgid fills. What only one English form has, a singular may have or not."""
    sources = [_placeholders(form) for form in _forms(message.id)]
    *others, last = [_placeholders(form) for form in _forms(message.string)]
    allowed = set().union(*sources)
    return last == sources[-1] and all(sources[0] & sources[-1] <= form <= allowed for form in others)


def _placeholders(text: str) -> set[str]:
    try:
        return {name for _literal, name, _format, _conversion in Formatter().parse(text) if name is not None}
    except ValueError as error:  # a lone brace: equal to nothing but itself
        return {f"{error}: {text}"}


def main(arguments: list[str]) -> int:
    """Run one of the verbs and return the exit code."""
    if arguments == ["compile"]:
        compile_catalogues(ROOT)
        return 0
    template = extract()
    if arguments == ["update"]:
        for path in catalogues():
            update(path, template)
        compile_catalogues(ROOT)
        return 0
    if arguments == ["check"]:
        found = [
            f"{path.relative_to(ROOT)}: {line}"
            for path in catalogues()
            for line in problems(read(path), template)
        ]
        print("\n".join(found) if found else f"translations: {len(template)} msgids, all translated")
        if found:
            print(
                "`make locale` brings the catalogues up to date; the translations themselves are written by hand."
            )
        return 1 if found else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
