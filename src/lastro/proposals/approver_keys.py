"""Approver keys: the private halves with which humans sign their approvals, each locked by a passphrase.

What always holds: an unlocked private key lives in the memory of the process that signs, for that act, and nowhere else; a locked one is
useless without its passphrase, which is slow to try (Argon2id, RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes). A file
that was changed, or put in another's place, does not open. The public half and its rights are in the log, never in these files.
"""

from __future__ import annotations

import os
import stat
import threading
import unicodedata
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Struct

from lastro.errors import ConfigError, ConflictError, DamagedError, NotFoundError, UsageError, WrongKeyError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_
from lastro.proposals.approvals import key_id_of

SHORTEST_PASSPHRASE: Final = 8
"""Characters."""
LONGEST_PASSPHRASE: Final = 1024
LONGEST_NAME: Final = 64

_SUFFIX: Final = ".key"
_KIND: Final = "lastro-approver-key"
_FILE_LIMIT: Final = 16 * 1024
_SALT_SIZE: Final = 16
_NONCE_SIZE: Final = 12


class KeyCost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What trying one passphrase costs: KiB of memory, passes over it, lanes."""

    memory: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


_ONE_AT_A_TIME: Final = threading.Lock()
"""OpenSSL gives the lanes of all Argon2 threads of one pool: two at the same moment can wait for each other, and for ever."""
_MOST: Final = KeyCost(memory=1024 * 1024, passes=64, lanes=64)


class KeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A locked key as it lies on disk: JSON, bytes as base64. All but ``wrapped`` is authenticated with it."""

    cost: KeyCost
    key_id: str
    kind: str
    name: str
    nonce: bytes
    public_key: bytes
    salt: bytes
    v: int
    wrapped: bytes


class LocalKey(Struct, frozen=True, kw_only=True):
    """A key that lies here, locked. ``public_key``: 32 raw bytes."""

    key_id: str
    name: str
    public_key: bytes


def check_passphrase(passphrase: str) -> None:
    """Refuse a passphrase that locks nothing.

    Raises:
        UsageError: it is empty, too short or too long.
    """
    if not passphrase:
        raise UsageError(
            N_("An approver key needs a passphrase."),
            hint=N_(
                "Whatever runs as you, an agent too, could read the key's file; the passphrase is what only you know."
            ),
        )
    if not SHORTEST_PASSPHRASE <= len(passphrase) <= LONGEST_PASSPHRASE:
        raise UsageError(
            N_("A passphrase has {shortest} to {longest} characters."),
            hint=N_("Some words in a row are easy to keep and hard to guess."),
            shortest=SHORTEST_PASSPHRASE,
            longest=LONGEST_PASSPHRASE,
        )


def check_name(name: str) -> None:
    """Refuse a name that cannot be shown as it is.

    Raises:
        UsageError: it is empty, too long, or holds what is not printed.
    """
    if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            N_("This cannot be an approver's name: {name}"),
            hint=N_("Use up to {limit} printable characters."),
            name=ascii(name),
            limit=LONGEST_NAME,
        )


def make_key(
    directory: str,
    name: str,
    passphrase: str,
    *,
    entropy: Callable[[int], bytes] = os.urandom,
    cost: KeyCost = KeyCost(),  # noqa: B008  a frozen noun
) -> LocalKey:
    """Make a key for the human ``name``, and keep it locked in ``directory`` (made if it is not there; 0700) as ``KEY_ID.key`` (0600).

    Raises:
        UsageError: the name or the passphrase will not do.
        OSError: it cannot be written; then there is no key.
    """
    check_name(name)
    check_passphrase(passphrase)
    private_key = Ed25519PrivateKey.from_private_bytes(entropy(32))
    public_key = private_key.public_key().public_bytes_raw()
    unlocked = KeyFile(
        cost=cost,
        key_id=key_id_of(public_key),
        kind=_KIND,
        name=name,
        nonce=entropy(_NONCE_SIZE),
        public_key=public_key,
        salt=entropy(_SALT_SIZE),
        v=0,
        wrapped=b"",
    )
    wrapped = AESGCM(_stretched(passphrase, unlocked.cost, unlocked.salt)).encrypt(
        unlocked.nonce, private_key.private_bytes_raw(), _associated(unlocked)
    )
    raw = msgspec.json.format(
        msgspec.json.encode(msgspec.structs.replace(unlocked, wrapped=wrapped), order="sorted")
    )
    os.makedirs(directory, mode=0o700, exist_ok=True)
    write_atomically(_path(directory, unlocked.key_id), raw + b"\n", mode=0o600, system=System())
    return LocalKey(key_id=unlocked.key_id, name=name, public_key=public_key)


def remove_key(directory: str, key_id: str) -> None:
    """Remove a key that was never enrolled, or is revoked. One that is gone already is no error."""
    try:
        os.unlink(_path(directory, key_id))
    except FileNotFoundError:
        return


def local_keys(directory: str) -> list[LocalKey]:
    """The keys in ``directory``, by name. Files that are none are left out."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        if name.endswith(_SUFFIX) and not name.startswith("."):
            try:
                key = _read(directory, name.removesuffix(_SUFFIX))
            except (DamagedError, NotFoundError):
                continue
            found.append(LocalKey(key_id=key.key_id, name=key.name, public_key=key.public_key))
    return sorted(found, key=lambda key: (key.name, key.key_id))


def find_key(
    directory: str, name_or_id: str, *, good: Callable[[LocalKey], bool] = lambda _: True
) -> LocalKey:
    """The key in ``directory`` with this name or id, of those that are ``good``; the only one for ``""``.

    Raises:
        NotFoundError: there is none.
        ConflictError: there are several.
    """
    found = [key for key in local_keys(directory) if name_or_id in {"", key.name, key.key_id} and good(key)]
    if len(found) == 1:
        return found[0]
    hint = N_("See 'lastro approver list'; make one with 'lastro approver add'.")
    if not found and name_or_id:
        raise NotFoundError(N_("No approver key of {name} lies here."), hint=hint, name=name_or_id)
    if not found:
        raise NotFoundError(N_("No approver key of yours lies here."), hint=hint)
    raise ConflictError(
        N_("Several approver keys lie here: {names}"),
        hint=N_("Say which, by its name or its id."),
        names=", ".join(f"{key.name} ({key.key_id})" for key in found),
    )


def unlock(directory: str, name_or_id: str, passphrase: str) -> Ed25519PrivateKey:
    """The private key of this human (name or key id).

    Raises:
        NotFoundError: no such key lies here.
        ConflictError: several do.
        WrongKeyError: the passphrase is another one.
        DamagedError: its file is not what was written.
    """
    key = _read(directory, find_key(directory, name_or_id).key_id)
    try:
        raw = AESGCM(_stretched(passphrase, key.cost, key.salt)).decrypt(
            key.nonce, key.wrapped, _associated(key)
        )
    except InvalidTag:
        raise WrongKeyError(
            N_("This passphrase does not open the approver key of {name}."),
            hint=N_("Try again. Nobody can open it without its passphrase; an owner can enrol a new key."),
            name=key.name,
        ) from None
    private_key = Ed25519PrivateKey.from_private_bytes(raw)
    if private_key.public_key().public_bytes_raw() != key.public_key:
        raise _damaged(_path(directory, key.key_id))
    return private_key


def try_in_vain(passphrase: str, *, cost: KeyCost = KeyCost()) -> None:  # noqa: B008  a frozen noun
    """Take as long as ``unlock`` does, and open nothing: so that nobody hears by the clock whether a name has a key here."""
    _stretched(passphrase, cost, bytes(_SALT_SIZE))


def _stretched(passphrase: str, cost: KeyCost, salt: bytes) -> bytes:
    """32 bytes from the passphrase, in the one form that every keyboard makes of it."""
    try:
        stretch = Argon2id(
            salt=salt,
            length=32,
            iterations=cost.passes,
            lanes=cost.lanes,
            memory_cost=cost.memory,
        )
    except UnsupportedAlgorithm as error:
        raise ConfigError(
            N_("The cryptography library of this Python has no Argon2id."),
            hint=N_("Install its wheel ('pip install cryptography'): it brings an OpenSSL that has it."),
        ) from error
    typed = unicodedata.normalize("NFKC", passphrase).encode("utf-8", "surrogatepass")
    with _ONE_AT_A_TIME:
        return stretch.derive(typed)


def _associated(key: KeyFile) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(key, wrapped=b""), order="sorted")


def _path(directory: str, key_id: str) -> str:
    return f"{directory}/{key_id}{_SUFFIX}"


def _read(directory: str, key_id: str) -> KeyFile:
    path = _path(directory, key_id)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(
            N_("The approver key {path} cannot be read: {reason}"),
            path=path,
            reason=error.strerror or str(error),
        ) from error
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _damaged(path)
        raw = file.read(_FILE_LIMIT + 1)
    try:
        key = msgspec.json.decode(raw, type=KeyFile)
    except msgspec.DecodeError:
        raise _damaged(path) from None
    if len(raw) > _FILE_LIMIT or key.key_id != key_id or not _is_sane(key):
        raise _damaged(path)
    return key


def _is_sane(key: KeyFile) -> bool:
    """Whether trying to open it costs no more than it may, and it is the file of the key that it names."""
    cost = key.cost
    return (
        key.kind == _KIND
        and key.v == 0
        and key.key_id == key_id_of(key.public_key)
        and len(key.salt) == _SALT_SIZE
        and len(key.nonce) == _NONCE_SIZE
        and 1 <= cost.passes <= _MOST.passes
        and 1 <= cost.lanes <= _MOST.lanes
        and 8 * cost.lanes <= cost.memory <= _MOST.memory
    )


def _damaged(path: str) -> DamagedError:
    return DamagedError(
        N_("The approver key {path} is damaged."),
        hint=N_("Put it back from a copy, or let an owner revoke it and enrol a new one."),
        path=path,
    )
