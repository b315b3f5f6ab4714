"""An authenticator in software: makes passkeys and signs with them as a browser hands it on (W3C Web Authentication Level 2)."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lastro.proposals.passkeys import Assertion, key_of_registration, pack_key

PRESENT, VERIFIED, ATTESTED, EXTENDED = 0x01, 0x04, 0x40, 0x80


@cache
def _rsa(size):
    return rsa.generate_private_key(65537, size)


def private_key(kind, seed=1):
    match kind:
        case "es256":
            return ec.derive_private_key(seed, ec.SECP256R1())
        case "es384":
            return ec.derive_private_key(seed, ec.SECP384R1())
        case "eddsa":
            return ed25519.Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
        case "rs256":
            return _rsa(2048)
        case "rs256 short":
            return _rsa(1024)
    raise AssertionError(kind)


def base64url(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Authenticator:
    """One passkey. ``sign`` takes what may be wrong about it."""

    def __init__(self, kind="es256", *, host="localhost", seed=1, credential=b"credential-1"):
        self.private, self.host, self.credential = private_key(kind, seed), host, credential
        self.origin = f"http://{host}:8420" if host == "localhost" else f"https://{host}"
        self.count = 0

    @property
    def spki(self):
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def head(self, *, flags=PRESENT | VERIFIED, host=None):
        return hashlib.sha256((host or self.host).encode()).digest() + struct.pack(">BI", flags, self.count)

    def registration(self, *, flags=PRESENT | VERIFIED | ATTESTED):
        """Authenticator data of its making; the COSE key at its end is read by nobody."""
        return (
            self.head(flags=flags)
            + bytes(16)
            + struct.pack(">H", len(self.credential))
            + self.credential
            + b"\xa1"
        )

    @property
    def key(self):
        return key_of_registration(self.spki, self.registration(), self.host)

    @property
    def public_key(self):
        return pack_key(self.key)

    def client_data(self, challenge, *, type="webauthn.get", origin=None, **more):  # noqa: A002  as the browser calls it
        said = {"type": type, "challenge": base64url(challenge), "origin": origin or self.origin, **more}
        return json.dumps(said).encode()

    def sign(self, challenge, *, head=None, client_data=None, **said):
        self.count += 1
        head = self.head() if head is None else head
        client_data = self.client_data(challenge, **said) if client_data is None else client_data
        message = head + hashlib.sha256(client_data).digest()
        match self.private:
            case ec.EllipticCurvePrivateKey():
                signature = self.private.sign(message, ec.ECDSA(SHA256()))
            case ed25519.Ed25519PrivateKey():
                signature = self.private.sign(message)
            case _:
                signature = self.private.sign(message, padding.PKCS1v15(), SHA256())
        return Assertion(authenticator_data=head, client_data=client_data, signature=signature)
