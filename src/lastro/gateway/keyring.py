"""The keys that the gateway gives out, in one file: minted, found by what a caller brought, revoked at once.

What always holds: a key's text exists in the answer of ``mint`` and nowhere else; the file holds SHA-256 digests. A key that expired or
was revoked is not found, from that instant, also where another process (the command line) wrote the file: every look-up compares the
file's stamp. Two writers lose nothing: each takes the lock file, reads, changes, and replaces the file in one step. The keys of runs stand
in it too, so a gateway that restarts cuts no running agent.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lastro.errors import DamagedError, NotFoundError, UsageError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.gateway.keys import KEY_PREFIX, GatewayKey, Limits
from lastro.messages import N_

SECRET_BYTES: Final = 32
LONGEST_NAME: Final = 200
LONGEST_TEXT: Final = 200
"""Characters; a longer text is no key, and is not even digested."""
REMEMBERED_NS: Final = 30 * 24 * 3600 * 1_000_000_000
"""How long a dead key stays listed."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH: Final = 43  # 62**43 > 2**256


class KeyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: JSON, mode 0600."""

    version: int = 1
    keys: tuple[GatewayKey, ...] = ()


_DECODER: Final = msgspec.json.Decoder(KeyFile)


class _Loaded(NamedTuple):
    """What was read, and the stamp of the file that it was read from; replaced as a whole, so threads see one or the other."""

    stamp: tuple[int, int, int] | None
    keys: tuple[GatewayKey, ...]
    by_digest: Mapping[str, GatewayKey]


class Keyring:
    """The keys of one gateway. Every verb may be called from any thread; ``mint`` and ``revoke`` wait for the disk.

    ``path`` is absolute and its directory exists; beside it lies ``PATH.lock``. ``clock_ns`` gives nanoseconds since 1970;
    ``random_bytes(count)`` unpredictable bytes.
    """

    def __init__(
        self,
        path: str,
        *,
        clock_ns: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        system: System,
    ) -> None:
        self._path = path
        self._clock_ns = clock_ns
        self._random_bytes = random_bytes
        self._system = system
        self._loaded = _Loaded(None, (), {})

    def mint(
        self,
        *,
        name: str,
        role: str = "",
        run: str = "",
        limits: Limits = Limits(),  # noqa: B008  frozen
        day_limits: Limits = Limits(),  # noqa: B008
        models: tuple[str, ...] = (),
        expires_ns: int | None = None,
        steps: str = "",
    ) -> tuple[GatewayKey, str]:
        """A new key, and its text, which cannot be had again. Durable when this returns.

        Raises:
            UsageError: no name, or one beyond ``LONGEST_NAME``; ``steps`` is no absolute path; it expires in the past.
            DamagedError: the file is not readable as keys.
            OSError: nothing was written.
        """
        now = self._clock_ns()
        _check(name=name, steps=steps, expires_ns=expires_ns, now_ns=now)
        text = KEY_PREFIX + _base62(self._random_bytes(SECRET_BYTES))
        key = GatewayKey(
            id=f"key-{self._random_bytes(8).hex()}",
            name=name,
            digest=_digest(text),
            role=role,
            run=run,
            limits=limits,
            day_limits=day_limits,
            models=models,
            created_ns=now,
            expires_ns=expires_ns,
            steps=steps,
        )
        with self._locked():
            self._write((*self._worth_keeping(now), key))
        return key, text

    def find(self, text: str) -> GatewayKey | None:
        """The key with this text, if it admits its bearer now. One ``stat``; the file is read again only when it changed.

        What is looked up is the digest of the text, and compared in constant time, so that time tells nothing about other keys.

        Raises:
            DamagedError: the file is not readable as keys; nobody is admitted.
        """
        if len(text) > LONGEST_TEXT:
            return None
        digest = _digest(text)
        key = self._current().by_digest.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        return key if admits(key, self._clock_ns()) else None

    def revoke(self, id_or_name: str) -> GatewayKey:
        """Let a key admit nobody from now on; a key that is revoked already stays as it is. Durable when this returns.

        Raises:
            NotFoundError: there is no such key.
            UsageError: several live keys have this name.
        """
        _named(
            self._current().keys, id_or_name, self._clock_ns()
        )  # where no key was ever given out there is nothing to lock
        with self._locked():
            keys = self._current().keys
            found = _named(keys, id_or_name, self._clock_ns())
            if found.revoked_ns is not None:
                return found
            revoked = replace(found, revoked_ns=self._clock_ns())
            self._write(tuple(revoked if key.id == found.id else key for key in keys))
        return revoked

    def listed(self) -> tuple[GatewayKey, ...]:
        """All keys in the order of their making, those that died within ``REMEMBERED_NS`` too."""
        return self._current().keys

    def _current(self) -> _Loaded:
        loaded = self._loaded
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            self._loaded = loaded = _Loaded(None, (), {})
            return loaded
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != loaded.stamp:
            loaded = self._read()
            self._loaded = loaded
        return loaded

    def _read(self) -> _Loaded:
        with open(self._path, "rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read()
        try:
            keys = _DECODER.decode(raw).keys
        except msgspec.DecodeError as error:
            raise DamagedError(
                N_("The file of the gateway's keys is damaged: {path} ({reason})"),
                hint=N_("Put back an older state of it, or remove it and mint the keys anew."),
                path=self._path,
                reason=str(error),
            ) from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        return _Loaded(stamp, keys, {key.digest: key for key in keys})

    def _worth_keeping(self, now_ns: int) -> tuple[GatewayKey, ...]:
        return tuple(key for key in self._current().keys if _died_ns(key, now_ns) > now_ns - REMEMBERED_NS)

    def _write(self, keys: tuple[GatewayKey, ...]) -> None:
        raw = msgspec.json.format(msgspec.json.encode(KeyFile(keys=keys)), indent=1)
        write_atomically(self._path, raw, mode=0o600, system=self._system)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(
            f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def admits(key: GatewayKey, now_ns: int) -> bool:
    """Whether ``key`` lets its bearer in at ``now_ns``."""
    return _died_ns(key, now_ns + 1) > now_ns


def _died_ns(key: GatewayKey, otherwise: int) -> int:
    return min((end for end in (key.expires_ns, key.revoked_ns) if end is not None), default=otherwise)


def _named(keys: tuple[GatewayKey, ...], id_or_name: str, now_ns: int) -> GatewayKey:
    for key in keys:
        if key.id == id_or_name:
            return key
    found = [key for key in keys if key.name == id_or_name and admits(key, now_ns)]
    if not found:
        raise NotFoundError(
            N_("There is no key {key}."), hint=N_("See lastro gateway keys list."), key=id_or_name
        )
    if len(found) > 1:
        raise UsageError(
            N_("{count} keys are called {key}."),
            hint=N_("Name one by its id: {ids}"),
            count=len(found),
            key=id_or_name,
            ids=", ".join(key.id for key in found),
        )
    return found[0]


def _check(*, name: str, steps: str, expires_ns: int | None, now_ns: int) -> None:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(N_("A key needs a name of 1 to {limit} printable characters."), limit=LONGEST_NAME)
    if steps and not steps.startswith("/"):
        raise UsageError(N_("A supervisor's socket is named by its absolute path, not {path}."), path=steps)
    if expires_ns is not None and expires_ns <= now_ns:
        raise UsageError(N_("The key {name} would have expired already."), name=name)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _base62(raw: bytes) -> str:
    number = int.from_bytes(raw, "big")
    digits = []
    for _ in range(_SECRET_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
