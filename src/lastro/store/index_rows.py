"""What stands in the index, row by row, and the error for a row that cannot be right."""

from __future__ import annotations

from msgspec import Struct


class CacheDamagedError(Exception):
    """The cache says something that cannot be; make it anew."""


class Location(Struct, frozen=True, array_like=True):
    """Where a chunk lies: ``length`` bytes from ``start`` in the content of frame ``ordinal``, ``size`` bytes at
    ``offset`` of the object.
    """

    object: str
    ordinal: int
    offset: int
    size: int
    start: int
    length: int


class IndexedObject(Struct, frozen=True, array_like=True):
    """What the index took from an object. ``scanned`` bytes and ``ordinal`` frames of it were read; ``closed``: it has no more to say.

    ``last_seq`` is the highest record found in it, -1 when there is none.
    """

    name: str
    size: int
    scanned: int
    ordinal: int
    last_seq: int
    closed: bool


class IndexedRecord(Struct, frozen=True, array_like=True):
    """A record as the index keeps it. ``flaw``: empty, or what is wrong with it (``signature``, ``chain``); ``object``: where it lies."""

    seq: int
    raw: bytes
    signature: bytes
    flaw: str
    object: str


class KnownDamage(Struct, frozen=True, array_like=True, order=True):
    """Something acknowledged that could not be read when the index was made."""

    object: str
    offset: int
    code: str
