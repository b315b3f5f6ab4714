"""``gateway.toml`` read into frozen settings, strictly, and read again when it changes (``docs/reference/gateway.toml.md``).

What always holds: a key that is not known, a value of a wrong type, a route to a provider that is not there are refused, each with the
line, the place and what to do; nothing of such a file takes effect. A running gateway keeps the settings that it had and says why.
A missing file is an installation that asks only its own offline model.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Callable
from typing import Final

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError
from lastro.gateway.configuration_check import Reader
from lastro.gateway.configuration_file import schema
from lastro.gateway.settings import Settings
from lastro.messages import N_

LARGEST_FILE: Final = 4 * 1024 * 1024
"""Bytes of ``gateway.toml``."""

Stamp = tuple[int, int, int, int]
"""Device, inode, size and time of change of the file whose settings hold; all 0 for a missing one."""

_MISSING: Final[Stamp] = (0, 0, 0, 0)


def parse_settings(text: str, *, path: str) -> Settings:
    """The settings that ``text`` says; ``path`` is for the errors.

    Raises:
        ConfigError: it is no TOML, or says something impossible.
    """
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # the second: brackets in brackets without end
        raise ConfigError(
            N_("{path} is not TOML: {reason}"),
            hint=N_("Correct the line it names; nothing of the file takes effect until then."),
            path=path,
            reason=str(error),
        ) from error
    return Reader(path, text).settings(raw)


def read_settings(path: str) -> Settings:
    """The settings in the file ``path``; the defaults if there is no such file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or says something impossible.
    """
    return _read(path)[0]


class Configuration:
    """The settings in the file ``path``, as they are now. For one thread.

    ``on_problem`` is told once of each change of the file that cannot be used, and ``None`` when it can be used again.

    Raises:
        ConfigError: the file cannot be used now; there are no older settings to go on with.
    """

    def __init__(self, path: str, *, on_problem: Callable[[ConfigError | None], None]) -> None:
        self.path = path
        self._on_problem = on_problem
        self._settings, self._stamp = _read(path)
        self._problem: ConfigError | None = None

    def current(self) -> Settings:
        """The settings that hold; the same object until they change."""
        return self._settings

    @property
    def problem(self) -> ConfigError | None:
        """Why the file as it is now is not in effect; ``None`` if it is."""
        return self._problem

    def refresh(self) -> bool:
        """Look whether the file changed, and read it if so: one ``stat`` when it did not. Whether other settings hold now.

        A file that vanished is a problem, not an empty one: an editor that replaces it must not cut off every provider for an instant.
        """
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            if stamp == _MISSING:
                raise _vanished(self.path)
            settings, self._stamp = _read(self.path)
        except ConfigError as error:
            self._problem = error
            self._on_problem(error)
            return False
        return self._take(settings)

    def reload(self) -> bool:
        """Read the file now, changed or not; a missing one says the defaults. Whether other settings hold now.

        Raises:
            ConfigError: it cannot be used; the settings stay as they were.
        """
        try:
            settings, self._stamp = _read(self.path)
        except ConfigError as error:
            self._problem = error
            raise
        return self._take(settings)

    def _take(self, settings: Settings) -> bool:
        if self._problem is not None:
            self._problem = None
            self._on_problem(None)
        if settings == self._settings:
            return False
        self._settings = settings
        return True


def _read(path: str) -> tuple[Settings, Stamp]:
    try:
        with open(to_bytes(path), "rb") as file:
            stamp = _stamp_of(os.fstat(file.fileno()))
            raw = file.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise ConfigError(
                N_("{path} is larger than {limit} bytes."),
                hint=N_("Is it really the configuration of the gateway?"),
                path=path,
                limit=LARGEST_FILE,
            )
        text = raw.decode("utf-8")
    except FileNotFoundError:
        return parse_settings("", path=path), _MISSING
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    return parse_settings(text, path=path), stamp


def unreadable(path: str, error: Exception) -> ConfigError:
    """That the file ``path`` is there and cannot be read."""
    return ConfigError(
        N_("{path} cannot be read: {reason}"),
        hint=N_("It has to be a text file in UTF-8 that the gateway's user may read."),
        path=path,
        reason=getattr(error, "strerror", None) or str(error),
    )


def _stamp(path: str) -> Stamp:
    try:
        return _stamp_of(os.stat(to_bytes(path)))
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        # Reading it will say the same, in words; until then it counts as changed.
        return (-1, error.errno or 0, 0, 0)


def _stamp_of(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _vanished(path: str) -> ConfigError:
    return ConfigError(
        N_("{path} is gone; the gateway goes on with what it said."),
        hint=N_("Write it again, or restart the gateway to go on without it."),
        path=path,
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["schema"]:
        sys.exit("usage: python -m lastro.gateway.configuration schema")
    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
