"""Exchanges as records of the gateway's repository, and back (``docs/format.md``, Exchange).

What always holds: bodies are stored byte for byte, cut small by content, so that the requests of one conversation, each of which repeats
the ones before, share what they have in common; a record names everything it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from lastro.chunking.chunker import ChunkerParameters
from lastro.domain.entry import EntryType
from lastro.domain.record import Actor, ExchangeBody, Record, RecordKind, decode_body
from lastro.errors import DamagedError
from lastro.gateway.exchange import Bodies, Exchange, ExchangeBegan, ExchangeEnded
from lastro.messages import N_
from lastro.store.content import ContentWriter, read_content
from lastro.store.repository import RecordDraft, Repository, StoredRecord, Transaction
from lastro.store.tree_entry import TreeEntry, decode_tree_entry, encode_tree_entry

MINIMUM: Final = 1 << 10
AVERAGE: Final = 4 << 10
MAXIMUM: Final = 32 << 10
WHOLE_BELOW: Final = 2 << 10
"""Far below those of files: a step of a conversation adds one or two KiB to a body of hundreds."""

_ENCODER: Final = msgspec.msgpack.Encoder(order="sorted")
_NAMES: Final = ("answer", "request", "sent")


class RecordedExchange(Struct, frozen=True, kw_only=True):
    """An exchange as its record holds it. ``files``: the tree entries of its bodies by name, empty where none were recorded."""

    seq: int
    exchange: Exchange
    files: dict[str, TreeEntry]
    sent_path: str
    content_type: str
    bodies_lost: bool

    @property
    def began(self) -> ExchangeBegan:
        """The first half."""
        return self.exchange.began

    @property
    def ended(self) -> ExchangeEnded:
        """The second half: what is recorded has ended, if only by being interrupted."""
        assert self.exchange.ended is not None
        return self.exchange.ended


def draft_exchange(
    transaction: Transaction, exchange: Exchange, bodies: Bodies | None, *, bodies_lost: bool, actor: Actor
) -> RecordDraft:
    """The record of an ended exchange, its bodies put into ``transaction``.

    Raises:
        StorageFullError: no room.
    """
    parameters = ChunkerParameters(
        minimum=MINIMUM,
        average=AVERAGE,
        maximum=MAXIMUM,
        whole_below=WHOLE_BELOW,
        seed=transaction.chunker.seed,
    )
    files = (
        []
        if bodies is None
        else [_write(transaction, parameters, name, getattr(bodies, name)) for name in _NAMES]
    )
    body = ExchangeBody(
        began=msgspec.Raw(_ENCODER.encode(exchange.began)),
        bodies=files,
        bodies_lost=bodies_lost,
        content_type="" if bodies is None else bodies.content_type,
        ended=msgspec.Raw(_ENCODER.encode(exchange.ended)),
        sent_path="" if bodies is None else bodies.sent_path,
    )
    return RecordDraft(kind=RecordKind.EXCHANGE, actor=actor, body=body)


def _write(transaction: Transaction, parameters: ChunkerParameters, name: str, data: bytes) -> bytes:
    writer = ContentWriter(transaction, parameters)
    writer.write(0, data)
    written = writer.finish()
    return encode_tree_entry(
        TreeEntry(
            content=written.content,
            digest=written.digest,
            name=name.encode(),
            size=written.size,
            type=EntryType.FILE,
        )
    )


def read_exchange(stored: StoredRecord) -> RecordedExchange:
    """The exchange that a record of kind ``exchange`` holds.

    Raises:
        DamagedError: it holds none.
    """
    record: Record = stored.record
    try:
        body = decode_body(record, ExchangeBody)
        exchange = Exchange(
            began=msgspec.msgpack.decode(body.began, type=ExchangeBegan),
            ended=msgspec.msgpack.decode(body.ended, type=ExchangeEnded),
        )
        files = [decode_tree_entry(raw) for raw in body.bodies]
    except msgspec.DecodeError as error:
        raise DamagedError(
            N_("Record {seq} is no exchange that this version can read."),
            hint=N_("It may be of a later version of Lastro; nothing was changed."),
            seq=stored.seq,
        ) from error
    return RecordedExchange(
        seq=stored.seq,
        exchange=exchange,
        files={entry.name.decode(): entry for entry in files},
        sent_path=body.sent_path,
        content_type=body.content_type,
        bodies_lost=body.bodies_lost,
    )


def read_bodies(repository: Repository, recorded: RecordedExchange) -> Bodies | None:
    """What was sent and received; ``None`` where it was not recorded.

    Raises:
        DamagedError: a chunk is not what was written.
        NotFoundError: a chunk is not in the repository.
    """
    if not recorded.files:
        return None
    parts = {
        name: b"".join(data for _, data in read_content(repository, entry))
        for name, entry in recorded.files.items()
    }
    return Bodies(
        request=parts["request"],
        sent=parts["sent"],
        sent_path=recorded.sent_path,
        answer=parts["answer"],
        content_type=recorded.content_type,
    )


def decrypted_exchanges(
    repository: Repository, after_seq: int = -1
) -> Iterator[tuple[RecordedExchange, Bodies | None]]:
    """Every exchange recorded after the record ``after_seq``, in order, with its bodies: for a keeper that keeps them under its own keys.

    Raises:
        DamagedError: a record or a body is not what was written.
    """
    for stored in repository.records(after=after_seq):
        if stored.record.kind == RecordKind.EXCHANGE:
            recorded = read_exchange(stored)
            yield recorded, read_bodies(repository, recorded)
