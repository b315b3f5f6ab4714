"""Writing a tool's settings into the files that its user has already, and losing nothing of them.

What always holds: what was in a file and is not one of our settings stays (in TOML its comments too); what was replaced lies beside it as
``NAME.before-lastro``, or with a number behind if that is there; a file that cannot be understood is left alone. A new
file is readable by its owner only; an older one, and its copy, by whoever could read it before.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import tomlkit
from msgspec import Struct
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Table

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.gateway.environment import FileForm, FileSettings, ToolSettings
from lastro.messages import N_

BACKUP_SUFFIX: Final = ".before-lastro"


class Written(Struct, frozen=True, kw_only=True):
    """One file after writing. ``backup`` is empty where there was no file, or it did not have to be changed."""

    path: str
    changed: bool
    backup: str = ""


def merged(file: FileSettings, old: str) -> str:
    """The text ``old`` of the file with the settings in it.

    Raises:
        ConfigError: ``old`` cannot be understood; nothing may be written over it.
    """
    try:
        return (
            _merged_toml(file.values, old) if file.form is FileForm.TOML else _merged_json(file.values, old)
        )
    except (TOMLKitError, ValueError, TypeError) as error:
        raise ConfigError(
            N_("{path} cannot be changed by a program: {reason}"),
            hint=N_("Put the settings in by hand; without --write they are printed."),
            path=file.path,
            reason=str(error),
        ) from error


def write_settings(settings: ToolSettings, *, system: System | None = None) -> list[Written]:
    """Put the settings of a tool into its files. All of them are understood before the first is written.

    Raises:
        ConfigError: one of the files cannot be understood; none was changed.
        OSError: a file could not be read or written.
    """
    system = system or System()
    # A link (to a folder of dotfiles) stays one: what it leads to is replaced.
    plans = [(file, os.path.realpath(file.path)) for file in settings.files]
    texts = [(path, *_change(file, path)) for file, path in plans]
    return [_write(path, old, new, system=system) for path, old, new in texts]


def _change(file: FileSettings, path: str) -> tuple[str | None, str]:
    try:
        with open(to_bytes(path), encoding="utf-8", opener=_open_unblocked) as opened:
            old: str | None = opened.read() if _is_regular(opened.fileno()) else _refuse(path)
    except FileNotFoundError:
        old = None
    except UnicodeDecodeError as error:
        raise ConfigError(
            N_("{path} cannot be changed by a program: {reason}"),
            hint=N_("Put the settings in by hand; without --write they are printed."),
            path=path,
            reason="it is not UTF-8",
        ) from error
    return old, merged(file, old or "")


def _open_unblocked(path: str | bytes, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # nobody may write into a named pipe


def _is_regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _refuse(path: str) -> NoReturn:
    raise ConfigError(
        N_("{path} cannot be changed by a program: {reason}"),
        hint=N_("Put the settings in by hand; without --write they are printed."),
        path=path,
        reason="it is no regular file",
    )


def _write(path: str, old: str | None, new: str, *, system: System) -> Written:
    if old is None:
        os.makedirs(to_bytes(path.rpartition("/")[0]), mode=0o700, exist_ok=True)
        write_atomically(path, new.encode(), mode=0o600, system=system)
        return Written(path=path, changed=True)
    if new == old:
        return Written(path=path, changed=False)
    mode = os.stat(to_bytes(path)).st_mode & 0o777
    backup = _free_name(path + BACKUP_SUFFIX)
    write_atomically(backup, old.encode(), mode=mode, system=system)
    write_atomically(path, new.encode(), mode=mode, system=system)
    return Written(path=path, changed=True, backup=backup)


def _free_name(path: str) -> str:
    name, number = path, 1
    while os.path.lexists(to_bytes(name)):
        number += 1
        name = f"{path}.{number}"
    return name


def _merged_toml(values: Mapping[str, Any], old: str) -> str:
    document = tomlkit.parse(old)
    _put(document, values)
    return tomlkit.dumps(document)


def _put(table: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if not isinstance(value, Mapping):
            if table.get(key) != value:
                table[key] = value
            continue
        inner = table.get(key)
        if inner is None:
            nested = bool(value) and all(isinstance(one, Mapping) for one in value.values())
            table[key] = tomlkit.table(is_super_table=nested)
        elif not isinstance(inner, Table | InlineTable | Mapping):
            raise TypeError(f"{key} is no table there")
        _put(table[key], value)


def _merged_json(values: Mapping[str, Any], old: str) -> str:
    document = json.loads(old) if old.strip() else {}
    if not isinstance(document, dict):
        raise TypeError("it holds no JSON object")
    before = json.dumps(document)
    _merge(document, values)
    if json.dumps(document) == before:
        return old
    indent = re.search(r"\n([ \t]+)\"", old)
    return json.dumps(document, indent=indent[1] if indent else 2, ensure_ascii=False) + "\n"


def _merge(document: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        inner = document.get(key)
        if isinstance(value, Mapping):
            if inner is not None and not isinstance(inner, dict):
                raise ValueError(f"{key} is no object there")
            _merge(document.setdefault(key, {}) if inner is not None else _new(document, key), value)
        else:
            document[key] = value


def _new(document: dict[str, Any], key: str) -> dict[str, Any]:
    document[key] = {}
    added: dict[str, Any] = document[key]
    return added
