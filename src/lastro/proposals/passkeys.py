"""Passkeys as approver keys: WebAuthn signatures (W3C Web Authentication Level 2) that the log keeps, checked with ``cryptography`` alone.

What always holds: a signature holds only for the statement whose digest was its challenge, made by this credential, for the console of the
name it was made for, by a human who was there and proved it (UP and UV). A browser gives the public key as SubjectPublicKeyInfo, so nothing
here reads CBOR. Keys and signatures are canonical msgpack; the same thing packed otherwise is refused. Format: ``docs/format.md``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from msgspec import Struct

from lastro.errors import DeniedError
from lastro.messages import N_

WEBAUTHN: Final = "webauthn"

COSE_ALGORITHMS: Final = (-7, -8, -257)
"""What a browser is asked for, the best known first (ES256, EdDSA, RS256; RFC 9053, RFC 8812)."""

_LONGEST: Final = 16 * 1024
"""Bytes of a packed key or signature."""
_HEAD: Final = 37
"""Authenticator data: SHA-256 of the relying party's id (32), flags (1), signature counter (4, big-endian)."""
_PRESENT, _VERIFIED, _ATTESTED, _EXTENDED = 0x01, 0x04, 0x40, 0x80
_CREDENTIAL_AT: Final = _HEAD + 16 + 2
_SHORTEST_RSA, _LONGEST_RSA = 2048, 8192

_Packed = TypeVar("_Packed", bound=Struct)


class PasskeyKey(Struct, frozen=True, kw_only=True):
    """A passkey's public half. ``credential``: its id; ``key``: SubjectPublicKeyInfo, DER; ``rp_id``: the host name it is for."""

    credential: bytes
    key: bytes
    rp_id: str


class Assertion(Struct, frozen=True, kw_only=True):
    """What a browser gives for one use of a passkey (``AuthenticatorAssertionResponse``). ``client_data``: JSON, as it was signed."""

    authenticator_data: bytes
    client_data: bytes
    signature: bytes


class _ClientData(Struct, frozen=True, rename="camel"):
    type: str
    challenge: str
    origin: str
    cross_origin: bool = False


def challenge_of(statement: bytes) -> bytes:
    """The challenge (32 bytes) whose answer signs ``statement``. A statement begins with what it is for, so no answer serves two ends."""
    return blake3(statement).digest()


# Packed -------------------------------------------------------------------------------------------------------------------------------


def pack_key(key: PasskeyKey) -> bytes:
    """``public_key`` of an approver key that is a passkey."""
    return msgspec.msgpack.encode(key, order="sorted")


def unpack_key(public_key: bytes) -> PasskeyKey:
    """The inverse of ``pack_key``.

    Raises:
        DeniedError: it is no passkey that can be used here.
    """
    key = _unpacked(public_key, PasskeyKey)
    if not key.credential or not key.rp_id:
        raise _no_passkey()
    _public_key(key.key)
    return key


def pack_assertion(assertion: Assertion) -> bytes:
    """``signature`` of what was signed with a passkey."""
    return msgspec.msgpack.encode(assertion, order="sorted")


def key_of_registration(spki: bytes, authenticator_data: bytes, rp_id: str) -> PasskeyKey:
    """The passkey that a browser just made: its ``getPublicKey()`` and ``getAuthenticatorData()``. That it is held proves an assertion.

    Raises:
        DeniedError: it is for another console, nobody was there to make it, or its kind is not known.
    """
    _check_head(authenticator_data, rp_id)
    flags = authenticator_data[32]
    if not flags & _ATTESTED or len(authenticator_data) < _CREDENTIAL_AT:
        raise _no_passkey()
    (size,) = struct.unpack_from(">H", authenticator_data, _CREDENTIAL_AT - 2)
    credential = authenticator_data[_CREDENTIAL_AT : _CREDENTIAL_AT + size]
    if not 1 <= size <= 1023 or len(credential) != size:  # the most there can be, section 5.8.3
        raise _no_passkey()
    _public_key(spki)
    return PasskeyKey(credential=credential, key=spki, rp_id=rp_id)


# Checked ------------------------------------------------------------------------------------------------------------------------------


def is_asserted_by(public_key: bytes, signature: bytes, statement: bytes) -> bool:
    """Whether ``signature`` (packed) over ``statement`` was made with the passkey ``public_key`` (packed)."""
    try:
        verify_assertion(unpack_key(public_key), _unpacked(signature, Assertion), challenge_of(statement))
    except DeniedError:
        return False
    return True


def verify_assertion(key: PasskeyKey, assertion: Assertion, challenge: bytes) -> int:
    """Refuse what this passkey did not answer to ``challenge``; its signature counter (0: it counts nothing).

    Raises:
        DeniedError: why.
    """
    _check_client_data(assertion.client_data, challenge, key.rp_id)
    _check_head(assertion.authenticator_data, key.rp_id)
    flags, (count,) = (
        assertion.authenticator_data[32],
        struct.unpack_from(">I", assertion.authenticator_data, 33),
    )
    if flags & _ATTESTED or (len(assertion.authenticator_data) > _HEAD) != bool(flags & _EXTENDED):
        raise _not_held()
    signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    public_key = _public_key(key.key)
    try:
        match public_key:
            case EllipticCurvePublicKey():
                public_key.verify(assertion.signature, signed, ECDSA(SHA256()))
            case Ed25519PublicKey():
                public_key.verify(assertion.signature, signed)
            case RSAPublicKey():
                public_key.verify(assertion.signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        raise _not_held() from None
    return int(count)


def _check_client_data(raw: bytes, challenge: bytes, rp_id: str) -> None:
    """Section 7.2, steps 11 to 14."""
    try:
        said = msgspec.json.decode(raw, type=_ClientData)
        answered = base64.b64decode(said.challenge + "=" * (-len(said.challenge) % 4), b"-_", validate=True)
        origin = urlsplit(said.origin)
        host = origin.hostname or ""
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise _not_held() from None
    if said.type != "webauthn.get":
        raise _not_held()
    if not hmac.compare_digest(answered, challenge):
        raise DeniedError(
            N_("The passkey signed something else."), hint=N_("Open the page again, and sign there.")
        )
    if said.cross_origin or host != rp_id or not (origin.scheme == "https" or host == "localhost"):
        raise _elsewhere()


def _check_head(authenticator_data: bytes, rp_id: str) -> None:
    """Section 7.2, steps 15 to 17."""
    if not _HEAD <= len(authenticator_data) <= _LONGEST:
        raise _not_held()
    expected = hashlib.sha256(rp_id.encode("utf-8", "surrogatepass")).digest()
    if not hmac.compare_digest(authenticator_data[:32], expected):
        raise _elsewhere()
    flags = authenticator_data[32]
    if not flags & _PRESENT or not flags & _VERIFIED:
        raise DeniedError(
            N_("The passkey did not check who used it."),
            hint=N_("Use one that asks for a PIN, a finger or a face, or sign with your password."),
        )


def _public_key(spki: bytes) -> EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey:
    """The key in ``spki``, if it is of a kind that is known here and packed as its one form."""
    try:
        key = load_der_public_key(spki)
        plain = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise _no_passkey() from None
    if plain != spki:
        raise _no_passkey()
    match key:
        case EllipticCurvePublicKey(curve=SECP256R1()) | Ed25519PublicKey():
            return key
        case RSAPublicKey(key_size=size) if _SHORTEST_RSA <= size <= _LONGEST_RSA:
            return key
    raise _no_passkey()


def _unpacked(raw: bytes, kind: type[_Packed]) -> _Packed:
    try:
        value = msgspec.msgpack.decode(raw, type=kind)
    except msgspec.DecodeError:
        raise _no_passkey() from None
    if len(raw) > _LONGEST or msgspec.msgpack.encode(value, order="sorted") != raw:
        raise _no_passkey()
    return value


def _no_passkey() -> DeniedError:
    return DeniedError(
        N_("This is no passkey that can be used here."),
        hint=N_("Passkeys of the kinds ES256, EdDSA and RS256 can."),
    )


def _not_held() -> DeniedError:
    return DeniedError(
        N_("The passkey's signature does not hold."), hint=N_("Open the page again, and sign there.")
    )


def _elsewhere() -> DeniedError:
    return DeniedError(
        N_("The passkey was used for another address than this console's."),
        hint=N_("A passkey is for one host name; make another for this one, or sign with your password."),
    )
