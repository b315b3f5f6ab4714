"""Recorded exchanges, found again: by words, by who asked and who answered, by when. Reads the ledger and the repository alone."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct

from lastro.gateway.exchange import Bodies, Exchange
from lastro.gateway.exchange_records import RecordedExchange, read_bodies
from lastro.gateway.ledger import Ledger, decode_exchange
from lastro.store.repository import Repository

_AROUND: Final = 60
_WORD: Final = re.compile(r"\S+")


class Only(Struct, frozen=True, kw_only=True):
    """Which exchanges: everything that is set must hold. Text is a glob; ``key`` is a key's id or name; instants are UTC, nanoseconds."""

    provider: str = ""
    model: str = ""
    """The provider's own name for it, or ``PROVIDER/MODEL``."""
    key: str = ""
    role: str = ""
    run: str = ""
    route: str = ""
    kind: str = ""
    outcome: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    """The first instant that is not meant."""


class Hit(Struct, frozen=True, kw_only=True):
    """One exchange that was found. ``excerpt``: some words around those that were looked for, else its first ones."""

    seq: int
    exchange: Exchange
    excerpt: str


class Page(Struct, frozen=True, kw_only=True):
    """Some exchanges, newest first. ``before``: what to ask the next page with; ``None``: there are no more."""

    hits: tuple[Hit, ...]
    before: int | None = None


class Shown(Struct, frozen=True, kw_only=True):
    """One exchange, whole. ``bodies``: ``None`` where they were not recorded, or lost in a crash (``recorded.bodies_lost``)."""

    recorded: RecordedExchange
    bodies: Bodies | None


def search(
    ledger: Ledger, words: str = "", *, only: Only | None = None, limit: int = 20, before: int | None = None
) -> Page:
    """The newest exchanges whose text holds all of ``words`` (beginnings of words, whatever their case), newest first, at most ``limit``.

    What was said before in the same conversation is found where it was said first. As of the last ``Ledger.refresh``; words that nobody
    has indexed yet are indexed now.
    """
    while ledger.index_words():
        pass
    condition, values = where(only or Only())
    looked_for = [match[0] for match in _WORD.finditer(words) if re.search(r"\w", match[0])]
    match_condition, match_values = _matching(ledger, looked_for)
    sql = (
        "SELECT exchange.seq, exchange.exchange, words.text FROM exchange JOIN words ON words.rowid = exchange.seq"  # noqa: S608  constants below
        f" WHERE exchange.seq < ? AND {condition}{match_condition} ORDER BY exchange.seq DESC LIMIT ?"
    )
    with ledger.reading() as database:
        rows = database.execute(
            sql, [2**62 if before is None else before, *values, *match_values, limit + 1]
        ).fetchall()
    hits = tuple(
        Hit(seq=seq, exchange=decode_exchange(raw), excerpt=_excerpt(text, looked_for))
        for seq, raw, text in rows[:limit]
    )
    return Page(hits=hits, before=hits[-1].seq if len(rows) > limit and hits else None)


def show(repository: Repository, ledger: Ledger, exchange: str) -> Shown:
    """The exchange with this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, or more than one.
        DamagedError: what is stored of it is not what was written.
    """
    recorded = ledger.find(exchange)
    return Shown(recorded=recorded, bodies=read_bodies(repository, recorded))


def where(only: Only) -> tuple[str, list[Any]]:
    """``only`` as a condition on the table ``exchange``, and its values."""
    conditions, values = ["1"], list[Any]()
    for column in ("provider", "role", "run", "route", "kind", "outcome"):
        if wanted := getattr(only, column):
            conditions.append(f"exchange.{column} GLOB ?")
            values.append(wanted)
    if only.model:
        conditions.append(
            "(exchange.model GLOB ? OR (exchange.provider != '' AND exchange.provider || '/' || exchange.model GLOB ?))"
        )
        values += [only.model, only.model]
    if only.key:
        conditions.append("(exchange.key = ? OR exchange.key_name GLOB ?)")
        values += [only.key, only.key]
    if only.since_ns is not None:
        conditions.append("exchange.time_ns >= ?")
        values.append(only.since_ns)
    if only.until_ns is not None:
        conditions.append("exchange.time_ns < ?")
        values.append(only.until_ns)
    return " AND ".join(conditions), values


def _matching(ledger: Ledger, words: list[str]) -> tuple[str, list[Any]]:
    if not words:
        return "", []
    if ledger.full_text:
        quoted = " ".join('"' + word.replace('"', '""') + '"*' for word in words)
        return " AND words MATCH ?", [quoted]
    escaped = [re.sub(r"([\\%_])", r"\\\1", word) for word in words]
    return r" AND words.text LIKE ? ESCAPE '\'" * len(words), [f"%{word}%" for word in escaped]


def _excerpt(text: str, words: list[str]) -> str:
    """One line of ``text`` around the first of ``words`` that stands in it as it was typed."""
    lowered = text.lower()
    places = [place for word in words if (place := lowered.find(word.lower())) >= 0]
    start = max(0, min(places, default=0) - _AROUND)
    piece = " ".join(text[start : start + 3 * _AROUND].split())
    return ("… " if start else "") + piece + (" …" if start + 3 * _AROUND < len(text) else "")


__all__ = ["Hit", "Only", "Page", "Shown", "search", "show", "where"]
