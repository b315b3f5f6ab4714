"""``TableReader``: one table of a configuration file as a noun, and every complaint about it in the words of the file.

A complaint names the file and line, the place, what is wrong there and what to do; for a name that is not known, the nearest that is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, NoReturn, TypeVar

import msgspec
from msgspec import Struct

from lastro.errors import ConfigError
from lastro.gateway.configuration_file import NAME_PATTERN, Place, line_of
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import KeySource, ProviderKind, ToolSupport
from lastro.gateway.route import Match, Origin, RouteModel, TaskKind
from lastro.gateway.settings import Anonymous, Scope
from lastro.messages import N_

_CHOICES: Final[Mapping[str, type[StrEnum]]] = {
    "kinds": TaskKind,
    "offline_kinds": TaskKind,
    "dialects": Dialect,
    "kind": ProviderKind,
    "origin": Origin,
    "anonymous": Anonymous,
    "scope": Scope,
    "tools": ToolSupport,
}
_NESTED: Final[Mapping[str, type[Struct]]] = {"key": KeySource, "match": Match, "models": RouteModel}
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name, as HTTP allows it (RFC 9110, 5.1)."""

_TableT = TypeVar("_TableT", bound=Struct)


class TableReader:
    """Reads tables of one text of the file ``path``. Every method raises ConfigError for what is impossible.

    What a subclass for another file says of it: ``choices`` and ``nested`` are what keys of enums and of tables hold, ``page`` is its page
    of the documentation.
    """

    choices: ClassVar[Mapping[str, type[StrEnum]]] = _CHOICES
    nested: ClassVar[Mapping[str, type[Struct]]] = _NESTED
    page: ClassVar[str] = "docs/reference/gateway.toml.md"

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text

    def tables(self, raw: Mapping[str, Any], key: str, place: Place = ()) -> list[tuple[str, object]]:
        """The tables below ``[key.NAME]``."""
        tables = raw.get(key, {})
        if not isinstance(tables, dict):
            self.wrong((*place, key), "expected tables with names")
        return list(tables.items())

    def table(self, raw: object, kind: type[_TableT], place: Place) -> _TableT:
        """One table, with nothing in it that ``kind`` does not know."""
        if not isinstance(raw, dict):
            self.wrong(place, "expected a table")
        self.check_names(raw, kind, place)
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            self._explain(str(error), place)

    def check_names(self, raw: Mapping[str, Any], kind: type[Struct], place: Place) -> None:
        """Refuse keys that ``kind`` does not know."""
        for name in raw:
            if name not in kind.__struct_fields__:
                self.unknown((*place, name), name, kind.__struct_fields__, what="key")

    def _explain(self, complaint: str, place: Place) -> NoReturn:
        """What msgspec complained of, in the words of the file."""
        reason, _, inner = complaint.partition(" - at `$")
        for key, position in re.findall(r"\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]", inner):
            place = (*place, key or int(position))
        named = [part for part in place if isinstance(part, str)]
        if unknown := re.match(r"Object contains unknown field `(.*)`", reason):
            kind = self.nested.get(named[-1]) if named else None
            self.unknown((*place, unknown[1]), unknown[1], kind.__struct_fields__ if kind else (), what="key")
        if value := re.match(r"Invalid enum value '(.*)'", reason):
            self.unknown(place, value[1], self.choices.get(named[-1] if named else "", ()))
        if missing := re.match(r"Object missing required field `(.*)`", reason):
            self.wrong(place, f"{missing[1]} is missing")
        words = re.sub(
            r"`(\w+)`", lambda found: _WORDS.get(found[1], found[0]), reason.replace(" | ", "` or `")
        )
        self.wrong(place, words[:1].lower() + words[1:])

    def check_absolute(self, path: str, place: Place) -> None:
        """Refuse what is no absolute path."""
        if not path.startswith("/") or "\0" in path:
            self.wrong(place, "expected an absolute path, from the first slash on")

    def check_name(self, name: str, place: Place) -> None:
        """Refuse what is no name for a provider or a route."""
        if not re.fullmatch(NAME_PATTERN, name):
            self.wrong(place, "expected a name of small letters, digits, - and _, at most 63 of them")

    def unknown(self, place: Place, name: str, known: Iterable[str], *, what: str = "value") -> NoReturn:
        """Refuse a name that is not among ``known``, and say the nearest that is."""
        known = [str(one) for one in known]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if near:
            hint = N_("Did you mean {near}?")
        elif what == "provider":
            hint = N_("Add it with lastro gateway providers add, or take one of: {known}")
        else:
            hint = N_("These are known: {known}")
        self.refuse(
            place,
            N_("{where}: {key}: unknown {what}: {name}"),
            hint,
            what=what,
            name=name,
            near=near[0] if near else "",
            known=", ".join(known[:40]),
        )

    def wrong(self, place: Place, reason: str) -> NoReturn:
        """Refuse a value; ``reason`` says in English what was expected."""
        self.refuse(
            place,
            N_("{where}: {key}: {reason}"),
            N_("Correct the file; {page} lists what may stand in it."),
            reason=reason,
            page=self.page,
        )

    def refuse(self, place: Place, msgid: str, hint: str, **parameters: object) -> NoReturn:
        """Refuse with a sentence of its own: ``{where}`` is file and line, ``{key}`` the place."""
        line = line_of(self._text, place)
        raise ConfigError(
            msgid,
            hint=hint,
            where=f"{self._path}:{line}" if line else self._path,
            path=self._path,
            line=line,
            key=_shown(place),
            **parameters,
        )


def _shown(place: Place) -> str:
    """A place as people read it: ``providers.x.models[0]``."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"')
    return text or "the file"
