"""Making and marking the directories of one installation.

Each of ``data/``, ``state/``, ``run/`` and ``config/secrets/`` carries a marker with the installation's device id, which keeps it out of
the captures of its own node and of nodes paired with its keeper; anybody else captures and reports it.
"""

from __future__ import annotations

import os
import stat

from lastro.app.places import Places
from lastro.errors import ConfigError
from lastro.filesystem.beneath import open_root
from lastro.filesystem.marker import Marker, read_marker, write_marker
from lastro.filesystem.system import System
from lastro.messages import N_


def make_home(places: Places, *, instance: str) -> None:
    """Make the directories (0700) and mark them with ``instance`` where no marker stands yet."""
    os.makedirs(places.config, mode=0o700, exist_ok=True)
    for path, kind in (
        (places.data, "data"),
        (places.state, "state"),
        (places.run, "run"),
        (places.secrets, "secrets"),
    ):
        os.makedirs(path, mode=0o700, exist_ok=True)
        if _marker(path) is None:
            write_marker(path, Marker(instance=instance, kind=kind), system=System())


def make_socket_directory(places: Places) -> None:
    """Make the directory for sockets, 0700, or make sure that the one that is there is ours alone: it may lie where others can write.

    Raises:
        ConfigError: it belongs to somebody else, or others can enter it.
    """
    directory = places.socket_directory
    os.makedirs(directory, mode=0o700, exist_ok=True)
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ConfigError(
            N_("The directory {path} is not yours alone, so no socket is put there."),
            hint=N_("Remove it, or make it yours with mode 0700."),
            path=directory,
        )


def own_instances(places: Places) -> frozenset[str]:
    """The ids that this installation's directories are marked with."""
    markers = (_marker(path) for path in (places.data, places.state, places.run, places.secrets))
    return frozenset(marker.instance for marker in markers if marker is not None and marker.instance)


def _marker(path: str) -> Marker | None:
    try:
        descriptor = open_root(path)
    except OSError:
        return None
    try:
        return read_marker(descriptor)
    finally:
        os.close(descriptor)
