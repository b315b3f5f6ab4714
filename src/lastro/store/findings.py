"""What ``check`` can find: one table of codes, how grave each is, and its sentence.

What always holds: a code is stable, for scripts and tests; the sentence is for people and may change.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from lastro.domain.ids import ChunkId
from lastro.messages import N_, Message


class Severity(StrEnum):
    """``damage``: something acknowledged cannot be read or proved. ``note``: worth knowing, nothing is lost."""

    DAMAGE = "damage"
    NOTE = "note"


class AffectedPath(Struct, frozen=True, order=True):
    """A path that cannot be read whole in the snapshot of record ``seq``. ``path`` is byte-faithful, relative to the target."""

    seq: int
    path: str


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong. ``code`` is one of ``SENTENCES``; ``object`` names the pack, segment or slot concerned (may be empty).

    ``affected`` holds at most ``AFFECTED_AT_MOST`` paths; ``affected_count`` is how many there are.
    """

    code: str
    severity: Severity
    object: str
    message: Message
    chunks: tuple[ChunkId, ...] = ()
    affected: tuple[AffectedPath, ...] = ()
    affected_count: int = 0


AFFECTED_AT_MOST: Final = 1000

SENTENCES: Final[dict[str, str]] = {
    "format_damaged": N_("{object} is damaged: nothing can be read without it."),
    "format_unknown": N_("The repository needs a newer version of Lastro."),
    "format_missing": N_("There is no repository here: {object} is missing."),
    "key_wrong": N_("The secret does not open this repository."),
    "key_damaged": N_("The key slot {object} is damaged: its secret no longer opens the repository."),
    "key_missing": N_("No undamaged key slot is left."),
    "signing_key_damaged": N_("{object} is damaged or missing: nothing new can be signed."),
    "object_damaged": N_("{object} is damaged at byte {offset}: what it held cannot be read."),
    "object_missing": N_("{object} is missing."),
    "object_short": N_("{object} ends at byte {offset}, before its acknowledged end."),
    "object_unreadable": N_("{object} cannot be read from its disk."),
    "object_foreign": N_("{object} is no object of this repository."),
    "pack_damaged": N_("The pack {object} is damaged."),
    "pack_missing": N_("The pack {object} is missing."),
    "pack_unlisted": N_(
        "The pack {object} is in no index: an interrupted capture left it. Its chunks are found all the same."
    ),
    "index_wrong": N_("The index and the directory of the pack {object} disagree."),
    "record_missing": N_("Record {seq} is missing from the log."),
    "record_replaced": N_("Record {seq} is not the one that the journal names: history was rewritten."),
    "record_signature": N_("Record {seq} in {object} does not bear the repository's signature."),
    "record_chain": N_("Record {seq} in {object} does not follow the record before it."),
    "record_twice": N_("Another record {seq} lies in {object}."),
    "record_foreign": N_("Record 0 does not belong to this repository."),
    "witness_contradicted": N_(
        "The log no longer holds record {seq} as it was witnessed: history was rewritten or cut short."
    ),
    "root_damaged": N_("The root of the snapshot in record {seq} cannot be read."),
    "chunk_missing": N_("{count} chunks that snapshots need are not in the repository."),
    "chunk_damaged": N_("{count} chunks in {object} are damaged."),
}
"""The sentence of each code."""

_NOTES: Final = frozenset({"pack_unlisted"})


def finding(
    code: str,
    object_name: str = "",
    *,
    chunks: tuple[ChunkId, ...] = (),
    affected: tuple[AffectedPath, ...] = (),
    **parameters: object,
) -> Finding:
    """The finding of that code."""
    return Finding(
        code=code,
        severity=Severity.NOTE if code in _NOTES else Severity.DAMAGE,
        object=object_name,
        message=Message(
            msgid=SENTENCES[code], parameters={"object": object_name, "count": len(chunks), **parameters}
        ),
        chunks=chunks,
        affected=affected[:AFFECTED_AT_MOST],
        affected_count=len(affected),
    )
