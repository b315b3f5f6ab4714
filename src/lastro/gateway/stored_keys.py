"""Provider keys at rest: each a file of its own, encrypted, that cannot be taken for another provider's.

What always holds: a file is ``MAGIC``, 12 bytes of nonce, then AES-256-GCM over the key with the provider's name as associated data; it
is replaced in one step and readable by its owner alone. The master key (32 bytes, hexadecimal, mode 0600) is made when the first key is
stored.

What it protects from: a copy of ``config/secrets/gateway`` alone (a backup, a shared disk, a listing of files), swapped files, damage
that would go unnoticed. What it does not: whoever can read as this user, or as root, reads the master key beside it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, DamagedError, LastroError, NotFoundError, StorageFullError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.gateway.secret_text import SecretText, parse_key
from lastro.messages import N_

MAGIC: Final = b"LASTRO-PROVIDER-KEY-0\n"
SUFFIX: Final = ".key"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LARGEST: Final = 16_384
_NONCE: Final = 12


class StoredKeys:
    """``directory`` holds the encrypted keys, ``master_key_file`` opens them; the directories that hold both exist.

    ``entropy`` gives that many random bytes.
    """

    def __init__(
        self, directory: str, master_key_file: str, *, entropy: Callable[[int], bytes], system: System
    ) -> None:
        self._directory = directory
        self._master_key_file = master_key_file
        self._entropy = entropy
        self._system = system

    def path(self, provider: str) -> str:
        """Where the key of ``provider`` lies.

        Raises:
            ConfigError: this is no provider's name.
        """
        if _NAME.fullmatch(provider) is None:
            raise ConfigError(
                N_("A provider's name is made of lower-case letters, digits, - and _: {provider}"),
                provider=provider,
            )
        return f"{self._directory}/{provider}{SUFFIX}"

    def exists(self, provider: str) -> bool:
        """Whether a key of ``provider`` is stored."""
        return os.path.lexists(to_bytes(self.path(provider)))

    def put(self, provider: str, key: SecretText) -> None:
        """Store or replace the key of ``provider``.

        Raises:
            ConfigError: it cannot be written there, or the master key cannot be read.
            StorageFullError: the disk is full; what was stored before is still there.
        """
        path = self.path(provider)
        try:
            with contextlib.suppress(FileExistsError):
                _make_directory(self._directory, self._system)
            cipher = AESGCM(self._master_key(create=True))
            nonce = self._entropy(_NONCE)
            sealed = cipher.encrypt(nonce, key.reveal().encode(), _associated(provider))
            write_atomically(path, MAGIC + nonce + sealed, mode=0o600, system=self._system)
        except OSError as error:
            raise _not_written(path, error) from None

    def get(self, provider: str) -> SecretText:
        """The key of ``provider``.

        Raises:
            NotFoundError: none is stored.
            DamagedError: its file, or the master key, is not what was written.
            ConfigError: it cannot be read, or others than its owner can read it.
        """
        path = self.path(provider)
        raw = read_private(path)
        if raw is None:
            raise NotFoundError(
                N_("No key is stored for the provider {provider}."),
                hint=N_("Store it with: lastro gateway providers add {provider}"),
                provider=provider,
            )
        key = _opened(AESGCM(self._master_key(create=False)), raw, provider)
        if key is None:
            raise DamagedError(
                N_("The stored key of the provider {provider} cannot be opened: {path}"),
                hint=N_("Add the provider again with its key: lastro gateway providers add {provider}"),
                provider=provider,
                path=path,
            )
        return key

    def remove(self, provider: str) -> bool:
        """Forget the key of ``provider``; whether there was one.

        Raises:
            ConfigError: it cannot be removed.
        """
        folder, _, name = to_bytes(self.path(provider)).rpartition(b"/")
        try:
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            self._system.remove(directory, name)
            self._system.sync(directory)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _not_written(self.path(provider), error) from None
        finally:
            os.close(directory)
        return True

    def _master_key(self, *, create: bool) -> bytes:
        raw = read_private(self._master_key_file)
        if raw is None and create:
            # Never over a file that another process made meanwhile: keys may be locked with that one already.
            fresh = self._entropy(32).hex().encode() + b"\n"
            _write_new(self._master_key_file, self._entropy(8).hex(), fresh, self._system)
            raw = read_private(self._master_key_file)
        master = _hexadecimal(raw or b"")
        if master is None:
            raise DamagedError(
                N_("The key that opens stored provider keys is gone or damaged: {path}"),
                hint=N_("Put it back from a copy, or remove it and add the providers' keys again."),
                path=self._master_key_file,
            )
        return master


def read_private(path: str) -> bytes | None:
    """The bytes of a small file that only its owner (this user or root) can read; ``None`` where there is none.

    Raises:
        ConfigError: it is no regular file, too large, somebody else's, or others can read it.
    """
    try:
        descriptor = os.open(to_bytes(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            N_("This file with a key cannot be read: {path} ({reason})"), path=path, reason=error.strerror
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise ConfigError(N_("This is not a file with a key: {path}"), path=path)
        if status.st_mode & 0o077 or status.st_uid not in {0, os.geteuid()}:
            raise ConfigError(
                N_("Others than its owner can read or change this file with a key: {path}"),
                hint=N_(
                    "Run: chmod 600 {path}. If somebody may have copied the key, ask the provider for a new one."
                ),
                path=path,
            )
        return os.read(descriptor, _LARGEST)
    finally:
        os.close(descriptor)


def _opened(cipher: AESGCM, raw: bytes, provider: str) -> SecretText | None:
    if not raw.startswith(MAGIC):
        return None
    start = len(MAGIC)
    try:
        return parse_key(
            cipher.decrypt(raw[start : start + _NONCE], raw[start + _NONCE :], _associated(provider))
        )
    except (InvalidTag, ValueError):
        return None


def _hexadecimal(raw: bytes) -> bytes | None:
    try:
        master = bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        return None
    return master if len(master) == 32 else None


def _associated(provider: str) -> bytes:
    return b"lastro-provider-key-0\0" + provider.encode()


def _make_directory(path: str, system: System) -> None:
    parent, _, name = to_bytes(path).rpartition(b"/")
    directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        system.make_directory(directory, name, 0o700)
        system.sync(directory)
    finally:
        os.close(directory)


def _write_new(path: str, mark: str, data: bytes, system: System) -> None:
    """Put ``data`` at ``path``, whole or not at all; what another process put there meanwhile stays."""
    folder, _, name = to_bytes(path).rpartition(b"/")
    temporary = b".%s.%s.new" % (name, mark.encode())
    write_atomically(os.fsdecode(folder + b"/" + temporary), data, mode=0o600, system=system)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            system.rename_new(directory, temporary, directory, name)
        except FileExistsError:
            system.remove(directory, temporary)
        system.sync(directory)
    finally:
        os.close(directory)


def _not_written(path: str, error: OSError) -> LastroError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError(N_("The disk is full: {path} was not written."), path=path)
    return ConfigError(
        N_("The provider's key cannot be kept in {path} ({reason})"),
        hint=N_("See who owns that directory and whether it can be written."),
        path=path,
        reason=error.strerror,
    )
