"""Reads one JSON object key by key, so that nothing of a request is dropped unseen.

What always holds: a key is either taken by somebody or left over, and whoever reads says what becomes of the left ones. A value of a
wrong type is ``MalformedError``, whose text says which and what it should be. ``null`` is as good as not there.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from typing_extensions import TypeIs

from lastro.gateway.dialects.codec import InexpressibleError, MalformedError
from lastro.gateway.dialects.neutral import Dialect
from lastro.messages import N_


class Fields:
    """One JSON object at the path ``where``, and which of its keys nobody has taken yet."""

    def __init__(self, value: object, where: str = "") -> None:
        if not _is_object(value):
            raise wrong(where or "the body", "an object")
        self.where = where
        self._left = dict(value)

    def path(self, key: str) -> str:
        """Where the value of ``key`` stands in the request."""
        return f"{self.where}.{key}" if self.where else key

    def take(self, key: str) -> object:
        """The value of any type; ``None`` if it is not there."""
        return self._left.pop(key, None)

    def text(self, key: str) -> str:
        """A string; empty if it is not there."""
        value = self.take(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise wrong(self.path(key), "a string")
        return value

    def needed_text(self, key: str) -> str:
        """A string that must be there, though it may be empty."""
        if not isinstance(self._left.get(key), str):
            raise wrong(self.path(key), "a string")
        return self.text(key)

    def integer(self, key: str) -> int | None:
        """A whole number."""
        value = self.take(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise wrong(self.path(key), "a whole number")
        return value

    def number(self, key: str) -> float | None:
        """A number."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong(self.path(key), "a number")
        return float(value)

    def boolean(self, key: str) -> bool | None:
        """True or false."""
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.path(key), "true or false")
        return value

    def items(self, key: str) -> list[object]:
        """A list; empty if it is not there."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong(self.path(key), "a list")
        return value

    def inner(self, key: str) -> Fields | None:
        """An object."""
        value = self.take(key)
        return None if value is None else Fields(value, self.path(key))

    def inners(self, key: str) -> Iterator[Fields]:
        """The objects of a list."""
        for number, item in enumerate(self.items(key)):
            yield Fields(item, f"{self.path(key)}.{number}")

    def json(self, key: str) -> str:
        """Any value as JSON text; empty if it is not there."""
        value = self.take(key)
        return "" if value is None else msgspec.json.encode(value).decode()

    def left(self) -> list[str]:
        """Paths of what nobody took."""
        return [self.path(key) for key, value in self._left.items() if value is not None]


def read_object(body: bytes) -> Fields:
    """The request's body.

    Raises:
        MalformedError: it is no JSON object.
    """
    try:
        return Fields(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(
            N_("This is not JSON: {detail}"),
            detail=str(error),
            hint=N_("Check what was sent, and send it again"),
        ) from error


def json_object(text: str) -> msgspec.Raw | None:
    """Arguments of a call as JSON to be put into other JSON; ``None`` where they are no object."""
    if not text.strip():
        return msgspec.Raw(b"{}")
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return msgspec.Raw(text.encode()) if isinstance(value, dict) else None


def wrong(path: str, expected: str) -> MalformedError:
    """The error for a value of another type than it should have."""
    return MalformedError(
        N_("{path} should be {expected}"),
        path=path,
        expected=expected,
        hint=N_("Check what was sent, and send it again"),
    )


def inexpressible(what: str, dialect: Dialect) -> InexpressibleError:
    """The error for a part of the conversation, at the path ``what``, that only ``dialect`` has words for."""
    return InexpressibleError(
        N_("{what} can only be said in the dialect {dialect}"),
        what=what,
        dialect=dialect.value,
        hint=N_("Ask a model whose provider speaks that dialect, or leave it out"),
    )


def unspeakable(what: str, dialect: Dialect) -> InexpressibleError:
    """The error for a part of the conversation, at the path ``what``, that ``dialect`` has no words for."""
    return InexpressibleError(
        N_("{what} cannot be said in the dialect {dialect}"),
        what=what,
        dialect=dialect.value,
        hint=N_("Ask a model whose provider speaks another dialect, or leave it out"),
    )


def _is_object(value: object) -> TypeIs[dict[str, object]]:
    return isinstance(value, dict)
