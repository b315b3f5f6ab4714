"""Passkeys as approver keys: what holds, and everything that must not."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import DeniedError
from lastro.proposals.approvals import key_id_of
from lastro.proposals.passkeys import (
    Assertion,
    PasskeyKey,
    challenge_of,
    is_asserted_by,
    key_of_registration,
    pack_assertion,
    pack_key,
    unpack_key,
    verify_assertion,
)
from tests.passkey_kit import ATTESTED, EXTENDED, PRESENT, VERIFIED, Authenticator

STATEMENT = b"lastro-approval-0 something"
CHALLENGE = challenge_of(STATEMENT)


@pytest.mark.parametrize("kind", ["es256", "eddsa", "rs256"])
@pytest.mark.parametrize("host", ["localhost", "console.example.org"])
def test_what_a_passkey_signed_holds(kind, host):
    made = Authenticator(kind, host=host)
    signed = pack_assertion(made.sign(CHALLENGE))
    assert is_asserted_by(made.public_key, signed, STATEMENT)
    assert not is_asserted_by(made.public_key, signed, STATEMENT + b".")


def test_the_counter_is_what_the_authenticator_says():
    made = Authenticator()
    made.count = 7
    head = made.head()
    assert verify_assertion(made.key, made.sign(CHALLENGE, head=head), CHALLENGE) == 7


def test_extensions_are_let_be():
    made = Authenticator()
    head = made.head(flags=PRESENT | VERIFIED | EXTENDED) + b"\xa0"
    verify_assertion(made.key, made.sign(CHALLENGE, head=head), CHALLENGE)


MADE = Authenticator()
OTHER = Authenticator(seed=2)
WRONG = {
    "another challenge": MADE.sign(challenge_of(b"something else")),
    "no challenge": MADE.sign(b""),
    "nobody verified": MADE.sign(CHALLENGE, head=MADE.head(flags=PRESENT)),
    "nobody there": MADE.sign(CHALLENGE, head=MADE.head(flags=VERIFIED)),
    "another console": MADE.sign(CHALLENGE, head=MADE.head(host="elsewhere.example")),
    "another origin": MADE.sign(CHALLENGE, origin="https://elsewhere.example"),
    "an origin below": MADE.sign(CHALLENGE, origin="https://evil.localhost"),
    "an origin that only begins so": MADE.sign(CHALLENGE, origin="http://localhost.evil.example"),
    "no origin": MADE.sign(CHALLENGE, origin="null"),
    "inside another page": MADE.sign(CHALLENGE, crossOrigin=True),
    "making replayed": MADE.sign(CHALLENGE, type="webauthn.create"),
    "paying": MADE.sign(CHALLENGE, type="payment.get"),
    "said to be attested": MADE.sign(CHALLENGE, head=MADE.head(flags=PRESENT | VERIFIED | ATTESTED)),
    "attested": MADE.sign(CHALLENGE, head=MADE.registration()),
    "more than its head": MADE.sign(CHALLENGE, head=MADE.head() + b"more"),
    "extensions announced and not there": MADE.sign(
        CHALLENGE, head=MADE.head(flags=PRESENT | VERIFIED | EXTENDED)
    ),
    "shorter than its head": MADE.sign(CHALLENGE, head=MADE.head()[:36]),
    "no head": MADE.sign(CHALLENGE, head=b""),
    "no JSON": MADE.sign(CHALLENGE, client_data=b"{"),
    "no object": MADE.sign(CHALLENGE, client_data=b"[]"),
    "another key": OTHER.sign(CHALLENGE),
    "no signature": msgspec.structs.replace(MADE.sign(CHALLENGE), signature=b""),
    "another signature": msgspec.structs.replace(
        MADE.sign(CHALLENGE), signature=OTHER.sign(CHALLENGE).signature
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_hold(wrong):
    assert is_asserted_by(MADE.public_key, pack_assertion(MADE.sign(CHALLENGE)), STATEMENT)
    assert not is_asserted_by(MADE.public_key, pack_assertion(WRONG[wrong]), STATEMENT)


def test_only_the_local_console_has_no_tls():
    made = Authenticator(host="console.example.org")
    assert is_asserted_by(made.public_key, pack_assertion(made.sign(CHALLENGE)), STATEMENT)
    plain = made.sign(CHALLENGE, origin="http://console.example.org")
    assert not is_asserted_by(made.public_key, pack_assertion(plain), STATEMENT)


PACKED = pack_assertion(MADE.sign(CHALLENGE))


@given(st.data())
def test_no_byte_of_a_signature_can_be_another(data):
    packed = PACKED
    place = data.draw(st.integers(0, len(packed) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = packed[:place] + bytes([packed[place] ^ flip]) + packed[place + 1 :]
    assert not is_asserted_by(MADE.public_key, changed, STATEMENT)


@given(st.integers(0, 400))
def test_a_signature_cut_short_is_none(size):
    assert not is_asserted_by(MADE.public_key, PACKED[: min(size, len(PACKED) - 1)], STATEMENT)


@given(st.binary(max_size=200))
def test_whatever_bytes_are_a_key_or_a_signature_are_refused_and_raise_nothing(raw):
    assert not is_asserted_by(raw, pack_assertion(MADE.sign(CHALLENGE)), STATEMENT)
    assert not is_asserted_by(MADE.public_key, raw, STATEMENT)


def test_packed_otherwise_it_is_another_thing():
    unsorted = msgspec.msgpack.encode({"rp_id": "localhost", "key": MADE.spki, "credential": b"credential-1"})
    assert sorted(unsorted) == sorted(MADE.public_key) and unsorted != MADE.public_key
    with pytest.raises(DeniedError):
        unpack_key(unsorted)
    more = msgspec.msgpack.encode({**msgspec.structs.asdict(MADE.sign(CHALLENGE)), "more": 1}, order="sorted")
    assert not is_asserted_by(MADE.public_key, more, STATEMENT)


@pytest.mark.parametrize("kind", ["es384", "rs256 short"])
def test_kinds_that_are_not_known(kind):
    made = Authenticator(kind)
    with pytest.raises(DeniedError):
        key_of_registration(made.spki, made.registration(), "localhost")
    packed = pack_key(PasskeyKey(credential=b"c", key=made.spki, rp_id="localhost"))
    assert not is_asserted_by(packed, pack_assertion(made.sign(CHALLENGE)), STATEMENT)


@pytest.mark.parametrize(
    "spki",
    [
        MADE.spki + b"\x00",
        bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
        + MADE.private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
    ],
    ids=["bytes behind it", "its point written otherwise"],
)
def test_a_key_is_packed_in_its_one_form(spki):
    with pytest.raises(DeniedError):
        key_of_registration(spki, MADE.registration(), "localhost")


def test_a_point_written_otherwise_is_a_key_to_the_library():
    """So that the test above is about this, not about bytes that are no key at all."""
    point = MADE.private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    load_der_public_key(bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point)


# Making -------------------------------------------------------------------------------------------------------------------------------


def test_what_was_made_is_what_signs():
    key = key_of_registration(MADE.spki, MADE.registration(), "localhost")
    assert (key.credential, key.key, key.rp_id) == (MADE.credential, MADE.spki, "localhost")
    assert unpack_key(pack_key(key)) == key


@pytest.mark.parametrize(
    "data",
    [
        MADE.registration(flags=PRESENT | ATTESTED),
        MADE.registration(flags=VERIFIED | ATTESTED),
        MADE.registration(flags=PRESENT | VERIFIED),
        MADE.head(flags=PRESENT | VERIFIED | ATTESTED),
        MADE.registration()[:60],
        MADE.head(flags=PRESENT | VERIFIED | ATTESTED) + bytes(16) + struct.pack(">H", 0),
        MADE.head(flags=PRESENT | VERIFIED | ATTESTED) + bytes(16) + struct.pack(">H", 1024) + bytes(1024),
        b"",
    ],
    ids=[
        "not verified",
        "not there",
        "not attested",
        "no credential",
        "cut",
        "empty id",
        "too long an id",
        "none",
    ],
)
def test_what_is_no_passkey_made_here(data):
    with pytest.raises(DeniedError):
        key_of_registration(MADE.spki, data, "localhost")


def test_made_for_another_console():
    with pytest.raises(DeniedError):
        key_of_registration(MADE.spki, MADE.registration(), "console.example.org")


def test_a_signature_as_another_implementation_writes_it():
    """The bytes that are signed, written out here once more: section 6.3.3."""
    client_data = MADE.client_data(CHALLENGE)
    head = hashlib.sha256(b"localhost").digest() + b"\x05" + bytes(4)
    signature = MADE.sign(CHALLENGE, head=head, client_data=client_data).signature
    verify_assertion(
        MADE.key, Assertion(authenticator_data=head, client_data=client_data, signature=signature), CHALLENGE
    )


GOLDEN = Path(__file__).parents[2] / "golden/format/0-dev/passkeys.json"


@pytest.mark.parametrize("kind", ["es256", "eddsa", "rs256"])
def test_what_was_signed_once_holds_for_ever(kind):
    kept = json.loads(GOLDEN.read_text("ascii"))[kind]
    public_key, signature, statement = (
        bytes.fromhex(kept[name]) for name in ("public_key", "signature", "statement")
    )
    assert is_asserted_by(public_key, signature, statement)
    assert key_id_of(public_key) == kept["key_id"]
    assert pack_key(unpack_key(public_key)) == public_key
