"""Law 7: the order of history is evidence. Whoever removes, changes or reorders a record is found out, even with all the keys but one."""

from __future__ import annotations

import msgspec
import pytest

from lastro.domain.record import SIGNATURE_CONTEXT, decode_record, encode_record, record_id
from lastro.errors import DamagedError
from lastro.store.check import check, check_backend
from lastro.store.crypto import HEADER_SIZE, ObjectCipher, decode_header, frame_size
from lastro.store.journal import CommitHead
from lastro.store.keys import new_keyring
from tests.store_kit import Kit, entropy, server_draft


@pytest.fixture
def kit():
    """Six records: three of the beginning, then one commit each."""
    kit = Kit()
    with kit.create() as repository:
        for number in range(3):
            repository.append(server_draft(f"n{number}"))
        kit.keyring = repository.keyring
        kit.head = repository.head()
    return kit


def rewrite(kit, change):
    """Give ``change`` the records of the journal, as lists by commit, and seal what it makes of them."""
    (name,) = kit.backend.names("journal")
    raw = kit.backend.objects[name]
    cipher: ObjectCipher = kit.keyring.cipher(decode_header(raw[:HEADER_SIZE], name), name)
    position, contents = HEADER_SIZE, []
    while position < len(raw):
        size = frame_size(cipher.length_at(len(contents), raw[position : position + 16]))
        contents.append(cipher.open(len(contents), raw[position : position + size]))
        position += size
    commits = [msgspec.msgpack.decode(content[4:], type=CommitHead).records for content in contents[1:]]
    frames = [cipher.seal(0, contents[0])]
    for records in change(commits):
        head = msgspec.msgpack.encode(CommitHead(chunks=[], records=records))
        frames.append(cipher.seal(len(frames), len(head).to_bytes(4, "big") + head))
    kit.backend.objects[name] = raw[:HEADER_SIZE] + b"".join(frames)


def codes(kit, **options):
    return {item.code for item in check_backend(kit.backend, kit.secret, clock=kit.clock, **options)}


def altered(record, **fields):
    raw, signature = record
    return encode_record(msgspec.structs.replace(decode_record(raw), **fields)), signature


def test_nothing_changed_is_nothing_found(kit):
    rewrite(kit, lambda commits: commits)
    assert codes(kit) == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: [c[0], c[1], c[3]], "record_missing"),
        (lambda c: [c[0][1:], c[1], c[2], c[3]], "record_missing"),
        (lambda c: [c[0], c[1], [altered(c[2][0], seq=3)], c[3]], "record_twice"),
        (lambda c: [c[0], c[1], [altered(c[2][0], time_ns=1)], c[3]], "record_signature"),
        (lambda c: [c[0], c[1], [altered(c[3][0], seq=4)], [altered(c[2][0], seq=5)]], "record_signature"),
        (lambda c: [c[0], c[1], [(c[2][0][0], c[3][0][1])], c[3]], "record_signature"),
        (lambda c: [c[0], c[1], c[2], c[2], c[3]], None),  # the same record once more changes nothing
    ],
)
def test_a_removed_changed_or_reordered_record_is_found(kit, change, expected):
    rewrite(kit, change)
    if expected is None:
        assert codes(kit) == set()
        return
    assert expected in codes(kit)
    with kit.open() as repository:
        assert repository.damage()
        if expected != "record_twice":
            with pytest.raises(DamagedError):
                list(repository.records())
        assert len(list(repository.records(past_damage=True))) < 6 or expected == "record_twice"


def resigned(kit, record, **fields):
    """A record changed by somebody who has the signing key as well."""
    raw, _ = altered(record, **fields)
    return raw, kit.keyring.sign(SIGNATURE_CONTEXT + record_id(raw))


def test_even_the_signing_key_cannot_change_one_record_alone(kit):
    rewrite(kit, lambda c: [c[0], c[1], [resigned(kit, c[2][0], time_ns=1)], c[3]])
    assert "record_chain" in codes(kit)


def test_records_cut_from_the_end_contradict_a_witness(kit):
    rewrite(kit, lambda c: c[:3])
    assert codes(kit) == set()
    with kit.open() as repository:
        assert {item.code for item in check(repository, witness=kit.head)} == {"witness_contradicted"}


def test_a_history_rewritten_to_its_end_contradicts_a_witness(kit):
    rewrite(kit, lambda c: [*c[:3], [resigned(kit, c[3][0], time_ns=1)]])
    assert codes(kit) == set()
    with kit.open() as repository:
        assert {item.code for item in check(repository, witness=kit.head)} == {"witness_contradicted"}


def test_a_later_journal_segment_is_a_witness_too(kit):
    with kit.open(writable=True) as repository:
        repository.append(server_draft("later"))
    older, newer = kit.backend.names("journal")
    later = kit.backend.objects.pop(newer)
    rewrite(kit, lambda c: [*c[:3], [resigned(kit, c[3][0], time_ns=1)]])
    kit.backend.objects[newer] = later
    assert "record_replaced" in codes(kit)
    kit.backend.objects[older] = kit.backend.objects[older][:-400]
    assert {"object_short", "record_missing"} <= codes(kit)
    del kit.backend.objects[older]
    assert {"object_missing", "record_missing"} <= codes(kit)


def test_a_log_of_another_repository_is_foreign(kit):
    other = Kit(seed=5)
    with other.create() as repository:
        records = [(record.raw, record.signature) for record in repository.records()]
    rewrite(kit, lambda _: [records])
    assert codes(kit) >= {"record_signature", "record_foreign"}
    assert new_keyring(repository.id, entropy(1)).public_key != kit.keyring.public_key
