"""Three-way merge of texts, line by line. Pure.

What always holds: nothing is decided that somebody could have meant otherwise. Changes of the two sides that touch are a conflict, also
when they are only next to each other, unless both say the same; and where lines repeat, so that one cannot know *which* of them a side
changed, its change covers them all (``line_diff.careful_edits``). So what ``git merge-file`` calls a conflict is one here too (the tests
hold it to that), and now and then something is a conflict that git merges by taking one of several possible places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from lastro.proposals.hunks import is_text
from lastro.proposals.line_diff import Edit, careful_edits, split_lines


class MergeConflict(Struct, frozen=True, kw_only=True):
    """A stretch that both sides changed, each in its own way: what it was, and what it is now. ``line``: its first in ``base``, from 1."""

    line: int
    base: bytes
    ours: bytes
    theirs: bytes


class Merged(Struct, frozen=True, kw_only=True):
    """The outcome. ``content`` is ``None`` when it cannot be merged; then ``conflicts`` says where, or is empty for what is no text."""

    content: bytes | None
    conflicts: tuple[MergeConflict, ...] = ()


class _Piece(NamedTuple):
    """A stretch of the result: lines that are clear, or a conflict."""

    lines: Sequence[bytes]
    conflict: MergeConflict | None = None


class _Cluster(NamedTuple):
    """Edits of both sides that touch, and the lines of ``base`` they cover."""

    start: int
    end: int
    ours: list[Edit]
    theirs: list[Edit]


def merge(base: bytes, ours: bytes, theirs: bytes) -> Merged:
    """What both made of ``base``: ``ours`` and ``theirs`` may be swapped, the content is the same."""
    if ours in (theirs, base):
        return Merged(content=theirs)
    if theirs == base:
        return Merged(content=ours)
    if not all(map(is_text, (base, ours, theirs))):
        return Merged(content=None)
    pieces = _pieces(base, ours, theirs)
    conflicts = tuple(piece.conflict for piece in pieces if piece.conflict is not None)
    if conflicts:
        return Merged(content=None, conflicts=conflicts)
    return Merged(content=b"".join(line for piece in pieces for line in piece.lines))


def conflict_text(
    base: bytes,
    ours: bytes,
    theirs: bytes,
    *,
    ours_name: str = "present",
    base_name: str = "before",
    theirs_name: str = "proposed",
) -> bytes | None:
    """The merge with ``<<<<<<<``, ``|||||||``, ``=======`` and ``>>>>>>>`` around what is in conflict, for whoever resolves it.

    ``None``: one of them is no text. A line that ends none gets its line end before a marker.
    """
    if not all(map(is_text, (base, ours, theirs))):
        return None
    names = (ours_name, base_name, theirs_name)
    return b"".join(_written(piece, names) for piece in _pieces(base, ours, theirs))


def _pieces(base: bytes, ours: bytes, theirs: bytes) -> list[_Piece]:
    old, mine, other = split_lines(base), split_lines(ours), split_lines(theirs)
    found = []
    place, shift, other_shift = 0, 0, 0
    for cluster in _clusters(careful_edits(old, mine), careful_edits(old, other)):
        found.append(_Piece(old[place : cluster.start]))
        end = cluster.end + shift + _growth(cluster.ours)
        other_end = cluster.end + other_shift + _growth(cluster.theirs)
        my_lines = mine[cluster.start + shift : end]
        other_lines = other[cluster.start + other_shift : other_end]
        if not cluster.theirs or my_lines == other_lines:
            found.append(_Piece(my_lines))
        elif not cluster.ours:
            found.append(_Piece(other_lines))
        else:
            conflict = MergeConflict(
                line=cluster.start + 1,
                base=b"".join(old[cluster.start : cluster.end]),
                ours=b"".join(my_lines),
                theirs=b"".join(other_lines),
            )
            found.append(_Piece((), conflict))
        place, shift, other_shift = cluster.end, end - cluster.end, other_end - cluster.end
    return [*found, _Piece(old[place:])]


def _growth(edits: Sequence[Edit]) -> int:
    return sum((edit.after_end - edit.after_start) - (edit.before_end - edit.before_start) for edit in edits)


def _clusters(ours: Sequence[Edit], theirs: Sequence[Edit]) -> Iterator[_Cluster]:
    """All edits in order, those that touch together."""
    both = sorted([(edit, True) for edit in ours] + [(edit, False) for edit in theirs])
    cluster: _Cluster | None = None
    for edit, is_ours in both:
        if cluster is None or edit.before_start > cluster.end:
            if cluster is not None:
                yield cluster
            cluster = _Cluster(edit.before_start, edit.before_end, [], [])
        cluster = cluster._replace(end=max(cluster.end, edit.before_end))
        (cluster.ours if is_ours else cluster.theirs).append(edit)
    if cluster is not None:
        yield cluster


_MARK: Final = 7


def _written(piece: _Piece, names: tuple[str, str, str]) -> bytes:
    if piece.conflict is None:
        return b"".join(piece.lines)
    conflict = piece.conflict
    ours, base, theirs = (name.encode("utf-8", "surrogateescape") for name in names)
    return b"".join(
        [
            b"<" * _MARK + b" " + ours + b"\n" + _ended(conflict.ours),
            b"|" * _MARK + b" " + base + b"\n" + _ended(conflict.base),
            b"=" * _MARK + b"\n" + _ended(conflict.theirs),
            b">" * _MARK + b" " + theirs + b"\n",
        ]
    )


def _ended(content: bytes) -> bytes:
    return content + b"\n" if content and not content.endswith(b"\n") else content
