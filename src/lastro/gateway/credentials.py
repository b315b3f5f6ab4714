"""Provider keys: where each comes from, and the headers that carry it.

What always holds: a key is read late (a rotated one holds at once, a command's for ``KEY_LIFE_S``), is carried as ``SecretText``, and is in
no error: one says where a key was looked for, never what was found. Nothing is guessed: a key that is not there is an error, not a call
without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lastro.domain.clock import Clock
from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, LastroError
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import KEY_LIFE_S, KeySource, Provider, ProviderKind
from lastro.gateway.secret_text import LONGEST_KEY, SecretText, parse_key
from lastro.gateway.stored_keys import StoredKeys, read_private
from lastro.messages import N_

ANTHROPIC_VERSION: Final = "2023-06-01"
"""Sent where the client did not say one."""
COMMAND_S: Final = 10.0
"""How long a command may take to print a key."""

_Signature = tuple[int, int, int, int]


class CredentialStore:
    """Implements ``collaborators.Credentials``.

    ``environment`` is the process's own; ``providers`` gives the configured ones, whose keys ``all_values`` knows; ``clock`` ages what
    commands said.
    """

    def __init__(
        self,
        stored: StoredKeys,
        *,
        environment: Mapping[str, str],
        providers: Callable[[], Sequence[Provider]],
        clock: Clock,
        command_s: float = COMMAND_S,
    ) -> None:
        self._stored = stored
        self._environment = environment
        self._providers = providers
        self._clock = clock
        self._command_s = command_s
        self._read: dict[str, tuple[_Signature, SecretText]] = {}
        self._said: dict[tuple[str, ...], tuple[int, SecretText]] = {}
        self._asking: dict[tuple[str, ...], asyncio.Lock] = {}
        self._known: frozenset[str] = frozenset()

    async def headers(self, provider: Provider, dialect: Dialect) -> Mapping[str, str]:
        """See ``collaborators.Credentials``. Names are in lower case; what the client itself sent stands above ``anthropic-version``.

        Raises:
            ConfigError: the key is not there, or is none.
            DamagedError: the stored key cannot be opened.
        """
        key = await self.key(provider)
        headers = {"anthropic-version": ANTHROPIC_VERSION} if dialect is Dialect.MESSAGES else {}
        if key is None:
            return headers
        self._remember(key)
        if dialect is Dialect.MESSAGES and provider.kind is ProviderKind.ANTHROPIC:
            return {**headers, "x-api-key": key.reveal()}
        if dialect is Dialect.GEMINI:
            return {**headers, "x-goog-api-key": key.reveal()}
        return {**headers, "authorization": f"Bearer {key.reveal()}"}

    async def key(self, provider: Provider) -> SecretText | None:
        """The key of ``provider``; ``None`` for one that takes none.

        Raises:
            ConfigError: the key is not there, or is none.
            DamagedError: the stored key cannot be opened.
        """
        if provider.key.command:
            return await self._from_command(provider, provider.key.command)
        return self._at_once(provider)

    def has_key(self, provider: Provider) -> bool:
        """Whether a key is there, as far as can be told without running a command; true for a provider that takes none."""
        try:
            self._at_once(provider)
        except LastroError:
            return False
        return True

    def all_values(self) -> frozenset[str]:
        """Every key that this process has seen or can see without running a command, for the redactor. The same object while nothing
        changed. A key that cannot be read is not among them: it cannot be used either, and says so where it is.
        """
        for provider in self._providers():
            with contextlib.suppress(LastroError):
                key = self._at_once(provider)
                if key is not None:
                    self._remember(key)
        return self._known

    def store(self, provider: str, key: str) -> None:
        """Keep ``key`` encrypted for the provider called ``provider``.

        Raises:
            ConfigError: this is no key, or it cannot be kept.
            StorageFullError: the disk is full.
        """
        parsed = parse_key(key.encode("utf-8", "surrogateescape"))
        del key
        if parsed is None:
            raise _no_key(
                N_("This is not a key for {provider}: it has to be one line without spaces."), provider
            )
        self._stored.put(provider, parsed)
        self._read.pop(self._stored.path(provider), None)

    def remove(self, provider: str) -> bool:
        """Forget the stored key; whether there was one. See ``StoredKeys.remove``."""
        self._read.pop(self._stored.path(provider), None)
        return self._stored.remove(provider)

    def exists(self, provider: str) -> bool:
        """Whether a key is stored for the provider called ``provider``."""
        return self._stored.exists(provider)

    def _at_once(self, provider: Provider) -> SecretText | None:
        source = provider.key
        if source.environment:
            return self._from_environment(provider, source.environment)
        if source.file:
            return self._unchanged(source.file, lambda: _from_file(provider.name, source.file))
        if source.stored:
            path = self._stored.path(provider.name)
            return self._unchanged(path, lambda: self._stored.get(provider.name))
        if source == KeySource():
            return None
        said = self._said.get(source.command)
        return said[1] if said is not None else None

    def _from_environment(self, provider: Provider, name: str) -> SecretText:
        raw = self._environment.get(name, "").encode("utf-8", "surrogateescape")
        found, key = bool(raw), parse_key(raw)
        del raw
        if key is None:
            message = (
                N_(
                    "The environment variable {place} holds no key for {provider}: it has to be one line without spaces."
                )
                if found
                else N_("The environment variable {place} with the key of {provider} is not set.")
            )
            raise _no_key(message, provider.name, name)
        return key

    def _unchanged(self, path: str, read: Callable[[], SecretText]) -> SecretText:
        """What ``read`` said, as long as the file at ``path`` is the same one: a look costs microseconds, decrypting more."""
        signature = _signature(path)
        known = self._read.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        self._read.pop(path, None)
        key = read()
        if signature is not None:
            self._read[path] = (signature, key)
        return key

    async def _from_command(self, provider: Provider, command: tuple[str, ...]) -> SecretText:
        async with self._asking.setdefault(command, asyncio.Lock()):
            said = self._said.get(command)
            now = self._clock.monotonic_ns()
            if said is not None and now - said[0] < KEY_LIFE_S * 1_000_000_000:
                return said[1]
            key = await _first_line(provider.name, command, self._command_s)
            self._said[command] = (now, key)
            return key

    def _remember(self, key: SecretText) -> None:
        if key.reveal() not in self._known:
            self._known |= {key.reveal()}


def _from_file(provider: str, path: str) -> SecretText:
    raw = read_private(path)
    missing, key = raw is None, parse_key(raw or b"")
    del raw
    if key is None:
        message = (
            N_("The file {place} with the key of {provider} is not there.")
            if missing
            else N_("The file {place} holds no key for {provider}: it has to be one line without spaces.")
        )
        raise _no_key(message, provider, path)
    return key


def _signature(path: str) -> _Signature | None:
    try:
        status = os.stat(to_bytes(path))
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


async def _first_line(provider: str, command: tuple[str, ...], limit_s: float) -> SecretText:
    """Run ``command`` and take the first line that it prints. What it says otherwise is thrown away: it may hold the key."""
    null = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=null,
            stdout=asyncio.subprocess.PIPE,
            stderr=null,
            start_new_session=True,
            limit=LONGEST_KEY,
        )
    except OSError as error:
        raise _no_key(
            N_("The command {place} for the key of {provider} cannot be started ({reason})."),
            provider,
            command[0],
            reason=error.strerror,
        ) from None
    try:
        key, failure = await _read_key(process, limit_s)
    finally:
        await _end(process)
    if key is None:
        raise _no_key(failure, provider, command[0], status=process.returncode, limit_s=limit_s)
    return key


async def _read_key(process: asyncio.subprocess.Process, limit_s: float) -> tuple[SecretText | None, str]:
    """The key, or why there is none."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            # A line longer than the reader's limit is no key.
            key = parse_key(await process.stdout.readline())
            while await process.stdout.read(LONGEST_KEY):
                pass
            await process.wait()
    except TimeoutError:
        return None, N_("The command {place} for the key of {provider} took longer than {limit_s} s.")
    except ValueError:
        return None, N_(
            "The command {place} printed no key for {provider}: it has to be one line without spaces."
        )
    if process.returncode:
        return None, N_("The command {place} for the key of {provider} failed with status {status}.")
    return key, N_("The command {place} printed no key for {provider}: it has to be one line without spaces.")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave nothing of the command behind, also when its caller was cancelled: it has a process group of its own."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # Before waiting: what the command itself left running may hold its output open for ever.
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001  asyncio offers no other way
    await process.wait()


def _no_key(message: str, provider: str, place: str = "", **parameters: object) -> ConfigError:
    return ConfigError(
        message,
        hint=N_(
            "Say where it comes from in [providers.{provider}] of gateway.toml, or add it anew:"
            " lastro gateway providers remove {provider}; lastro gateway providers add {provider} --key-stdin"
        ),
        provider=provider,
        place=place,
        **parameters,
    )
