"""``keeper.toml``: where the console listens, and by which names it is called (``docs/reference/keeper.toml.md``).

Unknown keys are refused by name. What always holds: an address that other machines reach is served with TLS only.
"""

from __future__ import annotations

import os
import tomllib
from typing import Annotated, Final

import msgspec
import tomlkit
from msgspec import Meta, Struct
from tomlkit.exceptions import TOMLKitError

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_
from lastro.transport.address import is_loopback, split_address

DEFAULT_ADDRESS: Final = "127.0.0.1:8420"


class ConsoleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where people reach the console. ``hosts``: names by which it is reached beside ``localhost``; the first stands in links.

    ``certificate`` and ``private_key``: files in PEM; with them it speaks TLS.
    """

    enabled: bool = True
    address: str = DEFAULT_ADDRESS
    hosts: tuple[str, ...] = ()
    certificate: str = ""
    private_key: str = ""

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.certificate)

    @property
    def url(self) -> str:
        """What to type into a browser of this machine, or by the first name: scheme, host and port."""
        host, port = split_address(self.address)
        name = self.hosts[0] if self.hosts else "localhost" if is_loopback(host) else host
        return f"{'https' if self.tls else 'http'}://{f'[{name}]' if ':' in name else name}:{port}"


class AlertSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When people are told. ``missing_after_s``: after how many seconds without a good capture of a root; 0: three times its usual rhythm,
    at least an hour.
    """

    missing_after_s: Annotated[int, Meta(ge=0, le=366 * 86_400)] = 0


class KeeperSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of ``keeper.toml``."""

    console: ConsoleSettings = ConsoleSettings()
    alerts: AlertSettings = AlertSettings()


def read_keeper_settings(path: str) -> KeeperSettings:
    """The settings in the file ``path``; the defaults if there is none.

    Raises:
        ConfigError: it is no TOML, has a key that is not known, or says something impossible.
    """
    try:
        with open(path, "rb") as file:
            found = msgspec.convert(tomllib.load(file), KeeperSettings)
    except FileNotFoundError:
        return KeeperSettings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _impossible(path, str(error)) from error
    _check(path, found.console)
    return found


def remember_address(path: str, address: str) -> None:
    """Write into ``path`` (made if it is missing) where the console listens; comments stay.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            document = tomlkit.load(file)
    except FileNotFoundError:
        document = tomlkit.document()
        document.add(tomlkit.comment("How people reach the console: docs/reference/keeper.toml.md"))
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise _impossible(path, str(error)) from error
    document.setdefault("console", tomlkit.table())["address"] = address
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    write_atomically(path, to_bytes(tomlkit.dumps(document)), mode=0o644, system=System())


def _check(path: str, console: ConsoleSettings) -> None:
    try:
        host, _ = split_address(console.address)
    except ConfigError as error:
        raise _impossible(path, f"console.address: {error}") from error
    if bool(console.certificate) != bool(console.private_key):
        raise _impossible(path, "console.certificate and console.private_key belong together")
    if not is_loopback(host) and not console.tls:
        raise ConfigError(
            N_("{path}: the console would be reached from other machines at {address} without TLS."),
            hint=N_(
                "Give [console] a certificate and a private_key, or listen on 127.0.0.1 and come by an SSH tunnel."
            ),
            path=path,
            address=console.address,
        )


def _impossible(path: str, reason: str) -> ConfigError:
    return ConfigError(
        N_("{path} cannot be used: {reason}"),
        hint=N_("docs/reference/keeper.toml.md says what it may hold."),
        path=path,
        reason=reason,
    )
