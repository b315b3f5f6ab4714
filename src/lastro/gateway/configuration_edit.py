"""Changing ``gateway.toml`` from a program, with the comments and the order that its owner gave it.

What always holds: what is written can be read; a change that could not leaves the file as it was. Two programs that change it at once
wait for each other (a lock file beside it), and a human's editor that saved meanwhile is not overwritten.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Table

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, ConflictError, NotFoundError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.gateway.configuration import parse_settings, unreadable
from lastro.gateway.provider import BASE_URLS, OFFLINE_PROVIDER, KeySource, Provider
from lastro.gateway.settings import Settings
from lastro.messages import N_

_HEAD = "How the gateway listens, whom it asks, what it lets pass: docs/reference/gateway.toml.md"


def add_provider(path: str, provider: Provider, *, system: System | None = None) -> Settings:
    """Add a provider to the file ``path``, made if it is missing. Returns the new settings.

    Raises:
        ConflictError: a provider is called so already.
        ConfigError: the file cannot be understood, or the provider is impossible.
    """

    def change(document: tomlkit.TOMLDocument, before: Settings) -> None:
        known = {one.name for one in before.providers} - {OFFLINE_PROVIDER}
        if provider.name in known:
            raise ConflictError(
                N_("There is a provider called {name} already in {path}."),
                hint=N_(
                    "Take another name, or remove that one first: lastro gateway providers remove {name}."
                ),
                name=provider.name,
                path=path,
            )
        _named_tables(document, "providers").add(provider.name, _provider_table(provider))

    return edit_settings(path, change, system=system)


def remove_provider(path: str, name: str, *, system: System | None = None) -> Settings:
    """Take a provider out of the file ``path``. Returns the new settings.

    Raises:
        NotFoundError: nobody is called so there.
        ConflictError: a route lists its models.
        ConfigError: the file cannot be understood.
    """

    def change(document: tomlkit.TOMLDocument, before: Settings) -> None:
        tables = document.get("providers", {})
        if name not in tables:
            raise _no_provider(path, name, before)
        routes = [
            route.name
            for route in before.routes
            if any(choice.model.startswith(f"{name}/") for choice in route.models)
        ]
        if routes and name != OFFLINE_PROVIDER:
            raise ConflictError(
                N_("Routes still list models of {name}: {routes}"),
                hint=N_(
                    "Take them out of these routes in {path} first, or set enabled = false for the provider."
                ),
                name=name,
                routes=", ".join(routes),
                path=path,
            )
        tables.remove(name)

    return edit_settings(path, change, system=system)


def set_listen(path: str, address: str, *, system: System | None = None) -> Settings:
    """Make the file ``path`` say that the gateway listens at ``address``, ``HOST:PORT``.

    Raises:
        ConfigError: the file cannot be understood.
    """

    def change(document: tomlkit.TOMLDocument, _: Settings) -> None:
        if "listen" not in document:
            document["listen"] = tomlkit.table()
        document["listen"]["address"] = address

    return edit_settings(path, change, system=system)


def edit_settings(
    path: str,
    change: Callable[[tomlkit.TOMLDocument, Settings], None],
    *,
    system: System | None = None,
) -> Settings:
    """Let ``change`` alter the document of the file ``path``, given the settings it says now, and write it. Returns the new settings.

    Raises:
        ConfigError: the file cannot be understood, before or after the change; it stays as it was.
        ConflictError: somebody else changed it meanwhile; it stays as it was.
    """
    folder = path.rpartition("/")[0] or "/"
    os.makedirs(to_bytes(folder), mode=0o700, exist_ok=True)
    with _locked(path):
        old = _text(path)
        before = parse_settings(old, path=path)
        try:
            document = tomlkit.parse(old)
        except TOMLKitError as error:
            raise ConfigError(
                N_("{path} is not TOML: {reason}"),
                hint=N_("Correct the line it names; nothing of the file takes effect until then."),
                path=path,
                reason=str(error),
            ) from error
        if not old:
            document.add(tomlkit.comment(_HEAD))
        change(document, before)
        new = tomlkit.dumps(document)
        after = parse_settings(new, path=path)
        if _text(path) != old:
            raise ConflictError(
                N_("{path} was changed by somebody else meanwhile; nothing was written."),
                hint=N_("Try again."),
                path=path,
            )
        write_atomically(path, new.encode(), mode=_mode(path), system=system or System())
    return after


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock beside ``path``: a file of its own, because the file itself is replaced by each change."""
    folder, _, name = path.rpartition("/")
    descriptor = os.open(to_bytes(f"{folder}/.{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _text(path: str) -> str:
    try:
        with open(to_bytes(path), "rb") as file:
            return file.read().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def _mode(path: str) -> int:
    try:
        return os.stat(to_bytes(path)).st_mode & 0o777
    except FileNotFoundError:
        return 0o600


def _named_tables(document: tomlkit.TOMLDocument, key: str) -> Table:
    """The table of tables ``[key.NAME]``, made where it is missing; written inline it becomes tables."""
    found: Any = document.get(key)
    if found is None or isinstance(found, InlineTable):
        tables = tomlkit.table(is_super_table=True)
        for name, table in (found or {}).items():
            whole = tomlkit.table()
            for inner, value in table.items():
                whole.add(inner, value)
            tables.add(name, whole)
        if found is not None:
            document.remove(key)
        document.add(key, tables)
        found = document[key]
    tables_now: Table = found
    return tables_now


def _provider_table(provider: Provider) -> Table:
    table = tomlkit.table()
    table.add("kind", str(provider.kind))
    if provider.base_url and provider.base_url != BASE_URLS.get(provider.kind):
        table.add("base_url", provider.base_url)
    if provider.key != KeySource():
        table.add("key", _inline(provider.key))
    if provider.dialects:
        table.add("dialects", [str(dialect) for dialect in provider.dialects])
    if provider.headers:
        headers = tomlkit.inline_table()
        headers.update(dict(provider.headers))
        table.add("headers", headers)
    if provider.price_provider:
        table.add("price_provider", provider.price_provider)
    if provider.local:
        table.add("local", True)  # noqa: FBT003  tomlkit's own interface
    if not provider.enabled:
        table.add("enabled", False)  # noqa: FBT003
    if provider.models:
        models = tomlkit.table(is_super_table=True)
        for model, facts in provider.models.items():
            models.add(model, _inline(facts))
        table.add("models", models)
    return table


def _inline(noun: Any) -> InlineTable:
    """A noun as ``{key = value}``, without what is as it is by itself."""
    table = tomlkit.inline_table()
    usual = type(noun)()
    for name in type(noun).__struct_fields__:
        value = getattr(noun, name)
        if value == getattr(usual, name):
            continue
        table.add(
            name, list(value) if isinstance(value, tuple) else value if isinstance(value, int) else str(value)
        )
    return table


def _no_provider(path: str, name: str, settings: Settings) -> NotFoundError:
    return NotFoundError(
        N_("There is no provider called {name} in {path}."),
        hint=N_("These are there: {known}"),
        name=name,
        path=path,
        known=", ".join(provider.name for provider in settings.providers),
    )
