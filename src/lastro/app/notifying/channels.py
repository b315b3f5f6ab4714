"""``config/secrets/notifications.toml``: the channels, with their addresses (``docs/reference/notifications.md``).

What always holds: the file has mode 0600; unknown keys are refused by name; no error says what stands in it.
"""

from __future__ import annotations

import os
import re
import threading
import tomllib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import tomlkit

from lastro.app.notifying.nouns import Channel, Digest, NoticeKind
from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, UsageError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_

MOST_CHANNELS: Final = 32
CHANGING: Final = threading.Lock()
"""Held while the file is read and written anew. Between processes the repository's lock does that: one keeper at a time."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://[\x21-\x7e]+\Z")
_LONGEST_URL: Final = 2000


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    channel: dict[str, _Entry] = {}


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    kinds: tuple[NoticeKind, ...] | None = None
    digest: Digest = Digest.DAILY
    language: str = ""


def read_channels(path: str) -> tuple[Channel, ...]:
    """The channels in the file ``path``, by name; none where there is no file.

    Raises:
        ConfigError: it is no TOML, has a key that is not known, or says something impossible.
    """
    try:
        with open(to_bytes(path), "rb") as file:
            found = msgspec.convert(tomllib.load(file), _File)
        return tuple(_channel(name, found.channel[name]) for name in sorted(found.channel))
    except FileNotFoundError:
        return ()
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        msgspec.ValidationError,
        UsageError,
    ) as error:
        # What the parser says may quote the line, and with it a secret.
        raise ConfigError(
            N_("{path} cannot be used."),
            hint=N_("docs/reference/notifications.md says what it may hold."),
            path=path,
        ) from error


def write_channels(path: str, channels: Sequence[Channel]) -> None:
    """Make the file hold exactly these."""
    document = tomlkit.document()
    document.add(
        tomlkit.comment(
            "Through what people are told. The addresses are secrets: keep this file to yourself."
        )
    )
    table = tomlkit.table(is_super_table=True)
    for channel in sorted(channels, key=lambda each: each.name):
        entry = tomlkit.table()
        entry["url"] = channel.url
        entry["kinds"] = [kind.value for kind in channel.kinds]
        entry["digest"] = channel.digest.value
        if channel.language:
            entry["language"] = channel.language
        table[channel.name] = entry
    document["channel"] = table
    os.makedirs(os.path.dirname(to_bytes(path)), mode=0o700, exist_ok=True)
    write_atomically(path, to_bytes(tomlkit.dumps(document)), mode=0o600, system=System())


def checked_channel(name: str, url: str, kinds: Sequence[str], digest: str, language: str) -> Channel:
    """A channel as somebody asked for it.

    Raises:
        UsageError: something of it is impossible; the address is never repeated.
    """
    entry: Any = {"url": url.strip(), "digest": digest, "language": language}
    known = {kind.value for kind in NoticeKind if kind is not NoticeKind.TEST}
    if unknown := sorted(set(kinds) - known):
        raise UsageError(
            N_("There is nothing called {kind} to be told of."),
            hint=N_("There is: {kinds}"),
            kind=unknown[0],
            kinds=", ".join(sorted(known)),
        )
    if digest not in set(Digest):
        raise UsageError(
            N_("{digest} is no time for a digest."),
            hint=N_("Say at_once, hourly, daily or never."),
            digest=digest,
        )
    if kinds:
        entry["kinds"] = sorted(set(kinds))
    return _channel(name, msgspec.convert(entry, _Entry))


def service_of(url: str) -> str:
    """The kind of service that an address is of, and nothing else of it."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def _channel(name: str, entry: _Entry) -> Channel:
    if _NAME.match(name) is None:
        raise UsageError(
            N_("{name} cannot be the name of a channel."),
            hint=N_("Use letters, digits, '.', '_' and '-', starting with a letter or digit."),
            name=name,
        )
    if not service_of(entry.url) or len(entry.url) > _LONGEST_URL:
        raise UsageError(
            N_("This is no address of a channel."),
            hint=N_("Write it as Apprise does, such as ntfy://TOPIC or mailto://USER:PASSWORD@HOST."),
        )
    channel = Channel(name=name, url=entry.url, digest=entry.digest, language=entry.language)
    return channel if entry.kinds is None else msgspec.structs.replace(channel, kinds=entry.kinds)
