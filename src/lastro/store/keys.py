"""The repository's keys: the master key of each epoch, all that is derived from them, and the slots in ``keys/`` that lock them.

What always holds: a secret opens a slot, the slot holds the master keys, and everything else follows from these by
HKDF or lies in ``keys/`` locked by them; the private half of the signing key never leaves this module unlocked. See
``docs/format.md`` (Keys).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from lastro.chunking.chunker import SEED_BITS
from lastro.errors import DamagedError, WrongKeyError
from lastro.messages import N_
from lastro.store.crypto import Header, ObjectCipher, derive
from lastro.store.layout import SIGNING_KEY, decode_checked, encode_checked
from lastro.store.recovery import RecoveryKey, Secret, parse_key_file, parse_recovery_key

KEY_FILE: Final = "key_file"
RECOVERY: Final = "recovery"
FIRST_EPOCH: Final = 1


class SlotBytes(Struct, frozen=True):
    """An object of ``keys/`` as it was read."""

    name: str
    raw: bytes


class Keyring:
    """Everything that the master keys give. ``masters``: 32 bytes by epoch, from epoch 1."""

    def __init__(self, repository: str, masters: dict[int, bytes], signing: Ed25519PrivateKey) -> None:
        self.repository = repository
        self.epoch = max(masters)
        self._masters = masters
        self._signing = signing
        self.public_key = signing.public_key().public_bytes_raw()
        self.chunk_id_key = self._derived(b"lastro-chunk-id-0")
        self.boundary_key = self._derived(b"lastro-tree-boundary-0")
        self.cache_key = self._derived(b"lastro-cache-0")
        self.chunker_seed = int.from_bytes(self._derived(b"lastro-chunker-seed-0", 8), "big") >> (
            64 - SEED_BITS
        )

    def cipher(self, header: Header, name: str) -> ObjectCipher:
        """The cipher of the object ``name`` with this header.

        Raises:
            DamagedError: it names an epoch that does not exist.
        """
        master = self._masters.get(header.epoch)
        if master is None:
            raise DamagedError(
                N_("{object} names the key epoch {epoch}, which this repository does not have."),
                object=name,
                epoch=header.epoch,
            )
        return ObjectCipher(master, header, name)

    def sign(self, message: bytes) -> bytes:
        """Ed25519, 64 bytes."""
        return self._signing.sign(message)

    def lock(self, slot: str, kind: str, secret: bytes, entropy: Callable[[int], bytes]) -> bytes:
        """The object for ``keys/SLOT`` with which ``secret`` (32 bytes) opens these keys."""
        salt = entropy(32)
        plain = msgspec.msgpack.encode(sorted(self._masters.items()))
        wrapped = AESGCM(derive(secret, salt, b"lastro-slot-0")).encrypt(
            bytes(12), plain, _slot_data(self.repository, slot, kind)
        )
        return encode_checked(
            {
                "kind": kind,
                "repository": self.repository,
                "salt": salt.hex(),
                "slot": slot,
                "v": 0,
                "wrapped": wrapped.hex(),
            }
        )

    def lock_signing_key(self, entropy: Callable[[int], bytes]) -> bytes:
        """The object ``keys/signing``."""
        salt = entropy(32)
        key = derive(self._masters[FIRST_EPOCH], salt, b"lastro-signing-0")
        wrapped = AESGCM(key).encrypt(bytes(12), self._signing.private_bytes_raw(), self.public_key)
        return encode_checked(
            {
                "kind": "signing",
                "public": self.public_key.hex(),
                "repository": self.repository,
                "salt": salt.hex(),
                "v": 0,
                "wrapped": wrapped.hex(),
            }
        )

    def _derived(self, information: bytes, length: int = 32) -> bytes:
        return derive(self._masters[FIRST_EPOCH], bytes.fromhex(self.repository), information, length)


def new_keyring(repository: str, entropy: Callable[[int], bytes]) -> Keyring:
    """Fresh keys for a new repository, at epoch 1."""
    return Keyring(repository, {FIRST_EPOCH: entropy(32)}, Ed25519PrivateKey.from_private_bytes(entropy(32)))


def unlock(repository: str, secret: Secret, objects: Iterable[SlotBytes]) -> Keyring:
    """Open the keys in ``objects`` (all of ``keys/``) with ``secret``.

    Raises:
        WrongKeyError: the secret opens none of the slots, is mistyped, or belongs to another repository.
        DamagedError: the slot that it might open, or the signing key, is damaged.
    """
    kind, raw_secret = _parse(repository, secret)
    by_name = {item.name: item.raw for item in objects}
    damage: DamagedError | None = None
    for name, raw in sorted(by_name.items()):
        if name == SIGNING_KEY:
            continue
        try:
            masters = _open_slot(repository, name, raw, kind, raw_secret)
        except DamagedError as error:
            damage = error
            continue
        if masters is not None:
            return Keyring(
                repository, masters, _open_signing_key(repository, masters, by_name.get(SIGNING_KEY, b""))
            )
    if damage is not None:
        raise damage
    raise WrongKeyError(
        N_("This secret does not open the repository {repository}."),
        hint=N_("Use the key file of this repository, or the recovery key from its recovery kit."),
        repository=repository,
    )


def _parse(repository: str, secret: Secret) -> tuple[str, bytes]:
    if isinstance(secret, RecoveryKey):
        return RECOVERY, parse_recovery_key(secret.text)
    owner, raw = parse_key_file(secret.content)
    if not secrets.compare_digest(owner, repository):
        raise WrongKeyError(
            N_("This key file belongs to the repository {owner}, not to {repository}."),
            hint=N_("Use the key file of this repository, or the recovery key from its recovery kit."),
            owner=owner,
            repository=repository,
        )
    return KEY_FILE, raw


def _open_slot(repository: str, name: str, raw: bytes, kind: str, secret: bytes) -> dict[int, bytes] | None:
    """The master keys; ``None`` when the slot is for another secret."""
    fields = decode_checked(raw, name)
    if fields.get("kind") != kind or fields.get("repository") != repository:
        return None
    salt, wrapped = bytes.fromhex(str(fields.get("salt"))), bytes.fromhex(str(fields.get("wrapped")))
    data = _slot_data(repository, str(fields.get("slot")), kind)
    try:
        plain = AESGCM(derive(secret, salt, b"lastro-slot-0")).decrypt(bytes(12), wrapped, data)
    except InvalidTag:
        return None
    return dict(msgspec.msgpack.decode(plain, type=list[tuple[int, bytes]]))


def _open_signing_key(repository: str, masters: dict[int, bytes], raw: bytes) -> Ed25519PrivateKey:
    fields = decode_checked(raw, SIGNING_KEY)
    try:
        salt, public, wrapped = (
            bytes.fromhex(str(fields.get(name))) for name in ("salt", "public", "wrapped")
        )
        key = derive(masters[FIRST_EPOCH], salt, b"lastro-signing-0")
        private = AESGCM(key).decrypt(bytes(12), wrapped, public)
    except (InvalidTag, ValueError):  # not of these keys, or another object in its place
        raise DamagedError(
            N_("{object} does not belong to the repository {repository}."),
            object=SIGNING_KEY,
            repository=repository,
        ) from None
    return Ed25519PrivateKey.from_private_bytes(private)


def _slot_data(repository: str, slot: str, kind: str) -> bytes:
    return f"lastro-slot-0 {repository} {slot} {kind}".encode()
