"""Writing a tool's settings into the home of a run, which the agent of an earlier run may have filled.

What always holds: no link in that home is followed, at any part of a path; a link or a file where a directory has to be is taken away; the
files are the run's own, whole, and readable by their owner only.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from lastro.domain.paths import to_bytes
from lastro.errors import ConflictError
from lastro.filesystem.system import System
from lastro.gateway.environment import FileSettings, ToolSettings
from lastro.gateway.environment_files import merged
from lastro.messages import N_

_NEW: Final = b".new-settings"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_settings_inside(home: str, inside: str, settings: ToolSettings) -> None:
    """Write the files of ``settings``, made for the home ``inside`` a jail, into the same home as it lies on the host.

    Raises:
        ConflictError: something that an agent left is in the way.
        OSError: the disk refused.
    """
    for file in settings.files:
        write_inside(home, _relative(file, inside), merged(file, "").encode())


def write_inside(
    home: str, path: str, content: bytes, *, mode: int = 0o600, system: System | None = None
) -> None:
    """Write ``content`` to ``path``, relative to the directory ``home``. Replaces what is there.

    Raises:
        ConflictError: as ``write_settings_inside``.
        OSError: as ``write_settings_inside``.
    """
    system = system or System()
    *folders, name = to_bytes(path).split(b"/")
    here = os.open(to_bytes(home), _DIRECTORY)
    try:
        for folder in folders:
            below = _enter(here, folder, system)
            os.close(here)
            here = below
        _replace(here, name, content, mode, system)
    except (IsADirectoryError, PermissionError, NotADirectoryError, FileExistsError) as error:
        raise ConflictError(
            N_("{path} in the home of the run cannot be written: {reason}"),
            hint=N_("An earlier agent left something there; start a new run instead of going on with it."),
            path=path,
            reason=error.strerror or "",
        ) from error
    finally:
        os.close(here)


def _enter(directory: int, name: bytes, system: System) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError:  # a link, or no directory
        system.remove(directory, name)
    system.make_directory(directory, name, 0o700)
    return os.open(name, _DIRECTORY, dir_fd=directory)


def _replace(directory: int, name: bytes, content: bytes, mode: int, system: System) -> None:
    temporary = name + _NEW
    with contextlib.suppress(FileNotFoundError):
        system.remove(directory, temporary)
    descriptor = system.open(directory, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        system.write(descriptor, content)
    finally:
        os.close(descriptor)
    system.rename(directory, temporary, directory, name)


def _relative(file: FileSettings, inside: str) -> str:
    assert file.path.startswith(f"{inside}/"), file.path
    return file.path.removeprefix(f"{inside}/")
