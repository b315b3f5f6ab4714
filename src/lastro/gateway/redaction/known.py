"""Secrets that are known word for word: provider keys, and the values of files of settings that the owner names.

What always holds: a known value is found wherever it stands in a string, also inside a longer word, also as it is written inside other
text (JSON in JSON, an address, base64 at any of its three alignments). Values shorter than ``SHORTEST``, and words that every
conversation holds, are passed over: replacing them would make text unreadable; ``passed_over`` names them.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote, quote_plus

from lastro.domain.paths import to_bytes
from lastro.gateway.redaction.errors import RedactionError
from lastro.gateway.redaction.placeholders import MASK, PREFIX
from lastro.messages import N_

SHORTEST: Final = 6
"""Characters of the shortest value that is looked for."""
_SHORTEST_ENCODED: Final = 12
_LARGEST_FILE: Final = 1024 * 1024
_WORDS: Final = frozenset(
    {
        "assistant",
        "developer",
        "function",
        "system",
        "production",
        "development",
        "staging",
        "testing",
        "localhost",
        "postgres",
        "postgresql",
        "mysql",
        "sqlite",
        "redis",
        "default",
        "enabled",
        "disabled",
        "required",
        "content",
        "messages",
        "message",
        "parameters",
        "properties",
        "description",
        "arguments",
        "instructions",
        "input_text",
        "output_text",
        "tool_use",
        "tool_result",
        "tool_calls",
        "object",
        "string",
        "number",
        "integer",
        "boolean",
        "anthropic",
        "openai",
        "google",
        "password",
        "passwd",
        "secret",
        "master",
        "example",
        "changeme",
        "127.0.0.1",
        "en_us.utf-8",
        "pt_br.utf-8",
        "c.utf-8",
        "root",
        "admin",
        "https://",
        "http://",
    }
)
_LINE: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.\-]*)[ \t]*=[ \t]*(.*?)[ \t]*")


class KnownValues:
    """Looks for ``values``."""

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = tuple(
            sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        )

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they stand in ``text``."""
        for form in self._forms:
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)


class KnownFiles:
    """The values of files of ``NAME=value`` lines (``.env``), read again when a file changed. ``paths`` are absolute."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._read: dict[str, tuple[tuple[int, int, int], frozenset[str]]] = {}
        self._values: frozenset[str] = frozenset()
        self.passed_over: frozenset[str] = frozenset()
        """Names whose values are not looked for, as too short or too common."""

    def values(self) -> frozenset[str]:
        """What to look for; the same object while no file changed.

        Raises:
            RedactionError: a file cannot be read, so it is not known what must not leave.
        """
        changed = False
        for path in self._paths:
            try:
                status = os.stat(to_bytes(path))
                signature = (status.st_ino, status.st_mtime_ns, status.st_size)
                if path not in self._read or self._read[path][0] != signature:
                    self._read[path] = (signature, self._values_of(path))
                    changed = True
            except OSError as error:
                raise RedactionError(
                    N_("The file of known secrets cannot be read: {path} ({reason})"),
                    hint=N_("Let the gateway read it, or take it out of known_secrets in gateway.toml."),
                    path=path,
                    reason=error.strerror,
                ) from None
        if changed:
            self._values = frozenset(value for _, values in self._read.values() for value in values)
        return self._values

    def _values_of(self, path: str) -> frozenset[str]:
        with open(to_bytes(path), "rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
        if len(raw) > _LARGEST_FILE:
            raise RedactionError(N_("The file of known secrets is larger than 1 MiB: {path}"), path=path)
        values = set()
        for line in raw.decode("utf-8", "surrogateescape").splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                continue
            value = _unquoted(match[2])
            if is_looked_for(value):
                values.add(value)
            else:
                self.passed_over |= {match[1]}
        return frozenset(values)


def is_looked_for(value: str) -> bool:
    """Whether a known value is long and rare enough to be replaced wherever it stands."""
    return (
        len(value) >= SHORTEST and value.lower() not in _WORDS and value not in PREFIX and MASK not in value
    )


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        inner = value[1:-1]
        return inner.replace("\\n", "\n").replace('\\"', '"') if value[0] == '"' else inner
    return value.split(" #", 1)[0].rstrip()


def _forms(value: str) -> Iterator[str]:
    """``value`` as it may be written."""
    if not is_looked_for(value):
        return
    yield value
    once, readable = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    yield from (once, readable, json.dumps(once)[1:-1], json.dumps(readable)[1:-1], once.replace("/", "\\/"))
    encoded = value.encode("utf-8", "surrogateescape")
    yield from (quote(encoded, safe=""), quote_plus(encoded), quote(encoded))
    for skipped in range(3):
        # Only the characters that its bytes alone decide: the neighbours' change the first and the last.
        text = base64.b64encode(bytes(skipped) + encoded)
        whole = (skipped + len(encoded)) * 8 // 6
        core = text[(skipped * 8 + 5) // 6 : whole].decode()
        if len(core) >= _SHORTEST_ENCODED:
            yield core
            yield core.replace("+", "-").replace("/", "_")
