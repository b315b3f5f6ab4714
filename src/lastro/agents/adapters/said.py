"""Reading the lines that coding tools print, without ever trusting one.

What always holds: nothing here raises, whatever the bytes are; a text is bounded and can be written as UTF-8. A line that is not understood
is ``raw``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from lastro.agents.adapters.adapter import Said

TEXT_LIMIT: Final = 16_384
"""Characters of one ``Said``; what is longer is cut."""
LINE_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of a line that are read as JSON; a longer one is ``raw``."""
_RAW_LIMIT: Final = 4096


def bounded(value: object, limit: int = TEXT_LIMIT) -> str:
    """``value`` as text for a ``Said``: text as it is, anything else as JSON."""
    if not isinstance(value, str):
        value = "" if value is None else _json(value)
    return value[:limit].encode("utf-8", "replace").decode("utf-8")


def events_of(line: bytes, understand: Callable[[Mapping[str, Any]], Iterable[Said]]) -> Iterator[Said]:
    """What ``understand`` makes of the JSON object in ``line``; ``raw`` where it holds none, or another one than expected.

    An empty line is nothing.
    """

    def read(line: bytes) -> Iterable[Said]:
        event = json.loads(line) if len(line) <= LINE_LIMIT else None
        return understand(event) if isinstance(event, dict) else (raw(line),)

    return understood(line.strip(), read)


def understood(line: bytes, read: Callable[[bytes], Iterable[Said]]) -> Iterator[Said]:
    """What ``read`` makes of ``line``; ``raw`` where it fails. An empty line is nothing."""
    try:
        yield from list(read(line)) if line.strip() else ()
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        yield raw(line)


def raw(line: bytes) -> Said:
    """A line that is not understood."""
    return Said(kind="raw", text=bounded(line[:_RAW_LIMIT].decode("utf-8", "replace")))


def said(kind: str, text: object = "", name: object = "") -> Said:
    """A bounded ``Said``; the name is one word of at most 128 characters."""
    return Said(kind=kind, text=bounded(text), name=bounded(name, 128))


def usage(tokens_in: object, tokens_out: object) -> Said:
    """Tokens that were used, as JSON in the text: ``{"in": …, "out": …}``."""
    return said("usage", {"in": _count(tokens_in), "out": _count(tokens_out)})


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else 0


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return ""
