"""The log: records made, signed and chained, and the chain verified.

What always holds: ``seq`` counts from 0 without a gap, each record names the id of the one before, and each id is
signed by the repository's key; so removing, changing or reordering a record is detectable. See ``docs/format.md``
(Record).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from lastro.domain.clock import Clock
from lastro.domain.ids import RecordId
from lastro.domain.record import (
    CLOCK_JUMP_NS,
    NO_RECORD,
    SIGNATURE_CONTEXT,
    Record,
    decode_record,
    encode_body,
    encode_record,
    record_id,
)
from lastro.errors import LimitError
from lastro.messages import N_
from lastro.store.crypto import HEADER_SIZE, PREFIX_SIZE, ObjectCipher, damaged, frame_size
from lastro.store.draft import RecordDraft
from lastro.store.keys import Keyring

RECORD_LIMIT: Final = 16 << 20
FIRST_SEQ: Final = 0
NO_SEQ: Final = -1


class StoredRecord(Struct, frozen=True, kw_only=True):
    """A record with its place in the log. ``raw`` are its canonical bytes, ``id`` their BLAKE3, ``signature`` Ed25519."""

    seq: int
    id: RecordId
    record: Record
    raw: bytes
    signature: bytes


class JumpWatch:
    """Tells whether the wall clock jumped between two records. ``newest_ns`` is the time of the newest record written
    before this process.
    """

    def __init__(self, clock: Clock, newest_ns: int | None) -> None:
        self._clock = clock
        self._newest_ns = newest_ns
        self._before: tuple[int, int] | None = None

    def read(self) -> tuple[int, bool]:
        """The wall clock now in nanoseconds, and whether it jumped since the record before (``domain.record.CLOCK_JUMP_NS``)."""
        wall, monotonic = self._clock.wall_ns(), self._clock.monotonic_ns()
        if self._before is None:
            jumped = self._newest_ns is not None and wall < self._newest_ns
        else:
            jumped = abs((wall - self._before[0]) - (monotonic - self._before[1])) > CLOCK_JUMP_NS
        self._before = (wall, monotonic)
        return wall, jumped


def make_records(
    drafts: Sequence[RecordDraft],
    *,
    head: tuple[int, RecordId],
    counters: Mapping[str, int],
    watch: JumpWatch,
    keyring: Keyring,
) -> list[StoredRecord]:
    """The next records of a log whose newest is ``head``. ``counters``: the highest number of each kind so far.

    Raises:
        LimitError: a record is larger than 16 MiB.
    """
    made = []
    numbers = Counter(counters)
    for draft in drafts:
        numbers[draft.kind] += 1
        time_ns, jumped = watch.read()
        record = Record(
            actor=draft.actor,
            body=encode_body(draft.body(numbers) if callable(draft.body) else draft.body),
            clock_jump=jumped,
            kind=draft.kind,
            number=numbers[draft.kind],
            previous=head[1],
            seq=head[0] + 1,
            server=draft.server,
            target=draft.target,
            time_ns=time_ns,
        )
        raw = encode_record(record)
        if len(raw) > RECORD_LIMIT:
            raise LimitError(
                N_("A record of {size} bytes is larger than {limit}."), size=len(raw), limit=RECORD_LIMIT
            )
        identity = record_id(raw)
        signature = keyring.sign(SIGNATURE_CONTEXT + identity)
        made.append(StoredRecord(seq=record.seq, id=identity, record=record, raw=raw, signature=signature))
        head = (record.seq, identity)
    return made


def read_stored(raw: bytes, signature: bytes) -> StoredRecord:
    """A record from its canonical bytes.

    Raises:
        msgspec.DecodeError: these are not the bytes of a record.
    """
    record = decode_record(raw)
    return StoredRecord(seq=record.seq, id=record_id(raw), record=record, raw=raw, signature=signature)


def is_signed(record: StoredRecord, public_key: bytes) -> bool:
    """Whether the repository's key (``public_key``: 32 raw bytes) signed it."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(record.signature, SIGNATURE_CONTEXT + record.id)
    except InvalidSignature:
        return False
    return True


def follows(record: StoredRecord, previous: StoredRecord | None) -> bool:
    """Whether ``record`` comes right after ``previous`` (``None``: it is the first)."""
    if previous is None:
        return record.seq == FIRST_SEQ and record.record.previous == NO_RECORD
    return record.seq == previous.seq + 1 and record.record.previous == previous.id


def encode_log(records: Iterable[StoredRecord]) -> bytes:
    """The content of a log segment's one frame."""
    return msgspec.msgpack.encode([(record.raw, record.signature) for record in records])


def decode_log(content: bytes, name: str) -> list[tuple[bytes, bytes]]:
    """The inverse of ``encode_log``: ``(raw, signature)`` each."""
    try:
        return msgspec.msgpack.decode(content, type=list[tuple[bytes, bytes]])
    except msgspec.DecodeError:
        raise damaged(name) from None


def whole_frames(cipher: ObjectCipher, raw: bytes) -> Iterator[bytes]:
    """The contents of all frames of an object that was put whole (index and log segments); ``raw`` is the whole object.

    Raises:
        DamagedError: a frame is damaged, or the object does not end with one.
    """
    position, ordinal = HEADER_SIZE, 0
    while position < len(raw):
        length = cipher.length_at(ordinal, raw[position : position + PREFIX_SIZE])
        if length is None:
            raise damaged(cipher.name)
        size = frame_size(length)
        yield cipher.open(ordinal, raw[position : position + size])
        position, ordinal = position + size, ordinal + 1
