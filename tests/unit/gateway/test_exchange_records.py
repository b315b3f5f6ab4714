"""Exchanges in the repository: every field and byte comes back, a conversation's repeated bytes are stored once, damage is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.record import Actor, RecordKind
from lastro.errors import DamagedError
from lastro.gateway.exchange import Bodies, Exchange
from lastro.gateway.exchange_records import decrypted_exchanges, draft_exchange, read_bodies, read_exchange
from lastro.store.backends.memory import MemoryBackend
from lastro.store.check import Severity, check
from lastro.store.repository import RecordDraft
from tests.exchange_kit import ACTOR, any_bodies, any_exchange, begin, bodies, conversation, finish
from tests.store_kit import Kit, server_draft


def record(repository, exchange, found, *, lost=False):
    with repository.begin() as made:
        return made.commit(draft_exchange(made, exchange, found, bodies_lost=lost, actor=ACTOR))[0]


def exchange_of(number=1, **fields):
    return Exchange(began=begin(number), ended=finish(number, **fields))


@given(any_exchange(1), st.none() | any_bodies)
def test_an_exchange_comes_back_whole(exchange, found):
    with Kit().create() as repository:
        stored = record(repository, exchange, found)
        recorded = read_exchange(stored)
        assert (recorded.exchange, recorded.bodies_lost) == (exchange, False)
        assert read_bodies(repository, recorded) == found
        assert stored.record.kind == RecordKind.EXCHANGE


@given(any_exchange(1))
def test_its_fields_stand_sorted_all_the_way_down(exchange):
    def look(value):
        if isinstance(value, dict):
            assert list(value) == sorted(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(item)

    with Kit().create() as repository:
        look(msgspec.msgpack.decode(record(repository, exchange, bodies()).raw))


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 40_000, 300_000, 6_000_000])
def test_bodies_of_any_size_come_back(size):
    raw = bytes(range(256)) * (size // 256) + bytes(size % 256)
    found = Bodies(request=raw, sent=raw + b"x", sent_path="/", answer=raw[::-1], content_type="t")
    with Kit().create() as repository:
        assert read_bodies(repository, read_exchange(record(repository, exchange_of(), found))) == found
        assert list(check(repository, read_data=True)) == []


def test_successive_requests_share_what_they_repeat():
    """100 steps that grow to 200 KB, each sent twice (another model name): what is new is some 2 KB a step."""
    kit = Kit(backend=MemoryBackend())
    with kit.create() as repository:
        before, raw = size_of(kit.backend), 0
        for number, found in enumerate(conversation(100)):
            record(repository, exchange_of(number), found)
            raw += len(found.request) + len(found.sent) + len(found.answer)
        grown = size_of(kit.backend) - before
    assert len(found.request) > 190_000
    assert raw > 20_000_000
    assert grown < raw / 25, (
        grown,
        raw,
    )  # 37 times less was measured; 150 times where a batch is compressed together


def size_of(backend):
    return sum(map(len, backend.objects.values()))


def test_a_keeper_gets_every_exchange_in_order():
    with Kit().create() as repository:
        stored = [record(repository, exchange_of(number), bodies(f"ask {number}")) for number in range(3)]
        repository.append(server_draft())
        found = list(decrypted_exchanges(repository))
        assert [recorded.seq for recorded, _ in found] == [item.seq for item in stored]
        assert [each.request for _, each in found] == [bodies(f"ask {number}").request for number in range(3)]
        later = list(decrypted_exchanges(repository, stored[1].seq))
        assert [recorded.seq for recorded, _ in later] == [stored[2].seq]


def test_a_record_of_another_shape_is_damage_and_no_crash():
    class Odd(msgspec.Struct):
        began: int = 1

    with Kit().create() as repository:
        stored = repository.append(RecordDraft(kind=RecordKind.EXCHANGE, actor=ACTOR, body=Odd()))
        with pytest.raises(DamagedError):
            read_exchange(stored)
        assert [item.code for item in check(repository)] == ["root_damaged"]


def test_check_names_the_body_that_a_damaged_pack_takes_with_it():
    kit = Kit()
    with kit.create() as repository:
        raw = b"".join(number.to_bytes(4, "big") * 40 for number in range(60_000))
        stored = record(repository, exchange_of(), Bodies(request=raw, sent=b"s", sent_path="/", answer=b"a"))
    packs = [name for name in kit.backend.objects if name.startswith("data/")]
    assert packs
    for name in packs:
        kit.backend.objects[name] = bytes(len(kit.backend.objects[name]))
    with kit.open() as repository:
        found = [item for item in check(repository, read_data=True) if item.severity is Severity.DAMAGE]
        affected = {(path.seq, path.path) for item in found for path in item.affected}
        assert (stored.seq, "request") in affected


def test_the_body_of_a_record_is_the_same_bytes_for_ever():
    kit = Kit()
    with kit.create() as repository:
        stored = record(repository, exchange_of(), bodies())
        raw = bytes(stored.record.body)
    golden = Path(__file__).parents[2] / "golden" / "format" / "0-dev" / "exchange-body"
    assert raw == golden.read_bytes()
    assert stored.record.actor == Actor(kind="gateway")
