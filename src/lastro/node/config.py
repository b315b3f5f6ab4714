"""``node.toml``: what this node is called, where it listens, which roots it watches (``docs/reference/node.toml.md``).

It is read into a frozen noun, and a key that is not known is refused by name: a typing mistake must not leave a directory unprotected in
silence. Editing keeps the comments and the order that its owner gave it. A root whose name is not UTF-8, which TOML cannot hold, is
written as ``path_base64``.
"""

from __future__ import annotations

import base64
import binascii
import os
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import tomlkit
from msgspec import Meta, Struct
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from lastro.capture.source import Root
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.reference import normal
from lastro.errors import ConfigError, LimitError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_
from lastro.protocol.limits import Limits, check_limits
from lastro.transport.address import split_address

DEFAULT_LISTEN: Final = "127.0.0.1:8422"


class NodeConfig(Struct, frozen=True, kw_only=True):
    """The whole of ``node.toml``, checked. ``listen`` is ``host:port``; roots are absolute, normal, each once."""

    name: str
    listen: str = DEFAULT_LISTEN
    roots: tuple[Root, ...] = ()
    limits: Limits = Limits()


class _RootTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str | None = None
    path_base64: str | None = None
    excludes: tuple[str, ...] = ()


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    listen: str = DEFAULT_LISTEN
    apply: bool = False
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    roots: tuple[_RootTable, ...] = ()


def read_config(path: str) -> NodeConfig:
    """The configuration in the file ``path``.

    Raises:
        ConfigError: it is missing, is no TOML, has a key that is not known, or says something impossible; the error names it.
    """
    raw = _read(path)
    try:
        file = msgspec.convert(tomllib.loads(raw), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _impossible(path, str(error)) from error
    if file.apply:
        raise ConfigError(
            N_(
                "{path}: apply = true is not possible yet: this version of the node never writes to the server."
            ),
            hint=N_("Set apply = false, or remove the line."),
            path=path,
        )
    try:
        split_address(file.listen)
    except ConfigError as error:
        raise _impossible(path, f"listen: {error}") from error
    return NodeConfig(
        name=file.name, listen=file.listen, roots=_roots(path, file.roots), limits=_limits(path, file.limits)
    )


def write_first_config(
    path: str, *, name: str, listen: str = DEFAULT_LISTEN, system: System | None = None
) -> None:
    """Write a new ``node.toml`` without roots. Its directory must exist.

    Raises:
        ConfigError: there is one already.
    """
    if os.path.lexists(to_bytes(path)):
        raise ConfigError(
            N_("There is a configuration already: {path}"), hint=N_("Edit it, or remove it first."), path=path
        )
    document = tomlkit.document()
    document.add(tomlkit.comment("What this node is called, where it listens, and what it watches."))
    document.add("name", tomlkit.item(name))
    document.add("listen", tomlkit.item(listen))
    write_atomically(path, tomlkit.dumps(document).encode(), system=system or System())


def add_root(path: str, root: Root, *, system: System | None = None) -> bool:
    """Add a watched root to the file ``path``, or give the one that is there these excludes; whether anything changed.

    Raises:
        ConfigError: the file cannot be understood, or the root is not absolute.
    """
    _check_root(path, root.path)
    present = next((known for known in read_config(path).roots if known.path == root.path), None)
    if present == root:
        return False
    document = _document(path)
    tables = _root_tables(document)
    if present is not None:
        _remove_table(tables, root.path)
    table = tomlkit.table()
    try:
        to_bytes(root.path).decode("utf-8")
        table.add("path", root.path)
    except UnicodeDecodeError:
        table.add("path_base64", base64.b64encode(to_bytes(root.path)).decode("ascii"))
    if root.excludes:
        table.add("excludes", list(root.excludes))
    tables.append(table)
    write_atomically(path, tomlkit.dumps(document).encode(), system=system or System())
    return True


def remove_root(path: str, root: str, *, system: System | None = None) -> bool:
    """Take a watched root out of the file ``path``; whether it was there. What was kept of it stays with the keeper.

    Raises:
        ConfigError: the file cannot be understood.
    """
    if all(known.path != root for known in read_config(path).roots):
        return False
    document = _document(path)
    _remove_table(_root_tables(document), root)
    write_atomically(path, tomlkit.dumps(document).encode(), system=system or System())
    return True


def set_listen(path: str, listen: str, *, system: System | None = None) -> None:
    """Make the file ``path`` say that the node listens at ``listen`` (``host:port``).

    Raises:
        ConfigError: the file cannot be understood, or ``listen`` is no address.
    """
    split_address(listen)
    document = _document(path)
    document["listen"] = listen
    write_atomically(path, tomlkit.dumps(document).encode(), system=system or System())


def _read(path: str) -> str:
    try:
        with open(to_bytes(path), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError as error:
        raise ConfigError(
            N_("There is no {path}."), hint=N_("Make one with lastro node init."), path=path
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _impossible(path, str(error)) from error


def _document(path: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(_read(path))
    except TOMLKitError as error:
        raise _impossible(path, str(error)) from error


def _root_tables(document: tomlkit.TOMLDocument) -> AoT:
    """The ``[[roots]]`` of a document, made when there are none; written as an inline array they become tables."""
    found = document.get("roots")
    if isinstance(found, AoT):
        return found
    tables = tomlkit.aot()
    for inline in found or ():
        table = tomlkit.table()
        for key, value in inline.items():
            table.add(key, value)
        tables.append(table)
    if found is not None:
        document.remove("roots")
    document.add("roots", tables)
    added = document["roots"]
    if not isinstance(added, AoT):
        raise TypeError(type(added))
    return added


def _remove_table(tables: AoT, root: str) -> None:
    for position in reversed(range(len(tables))):
        if _path_of(tables[position].unwrap()) == root:
            del tables[position]


def _path_of(table: Mapping[str, Any]) -> str:
    if "path" in table:
        return normal(str(table["path"]))
    return normal(from_bytes(base64.b64decode(str(table["path_base64"]))))


def _roots(path: str, tables: tuple[_RootTable, ...]) -> tuple[Root, ...]:
    roots: dict[str, Root] = {}
    for table in tables:
        if (table.path is None) == (table.path_base64 is None):
            raise _impossible(path, "each of [[roots]] needs either path or path_base64")
        try:
            root = table.path or from_bytes(base64.b64decode(table.path_base64 or "", validate=True))
        except binascii.Error as error:
            raise _impossible(path, f"path_base64 {table.path_base64!r}") from error
        root = normal(root)
        _check_root(path, root)
        if root in roots:
            raise _impossible(path, f"the root {root!r} is there twice")
        roots[root] = Root(path=root, excludes=table.excludes)
    return tuple(roots.values())


def _check_root(path: str, root: str) -> None:
    if not root.startswith("/") or "\0" in root:
        raise ConfigError(
            N_("{path}: a root must be an absolute path, and this is none: {root}"),
            hint=N_("Write it from the first slash on, such as /etc."),
            path=path,
            root=root,
        )


def _limits(path: str, values: Mapping[str, int]) -> Limits:
    unknown = next((name for name in values if name not in Limits.__struct_fields__), None)
    if unknown is not None:
        raise _impossible(path, f"Object contains unknown field `{unknown}` - at `$.limits`")
    try:
        return check_limits(msgspec.convert(dict(values), Limits))
    except (msgspec.ValidationError, LimitError) as error:
        raise _impossible(path, str(error)) from error


def _impossible(path: str, reason: str) -> ConfigError:
    return ConfigError(
        N_("{path} cannot be used: {reason}"),
        hint=N_("Correct the file; docs/reference/node.toml.md lists what may stand in it."),
        path=path,
        reason=reason,
    )
