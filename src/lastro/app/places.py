"""Where Lastro keeps its things on this machine, and nothing else: the layout of ``LASTRO_HOME``.

``LASTRO_HOME`` if set; else, where ``LASTRO_SOCKET`` says that this is inside a run, below the run's own home; else ``.lastro-home`` beside
the virtual environment if it is the caller's own; else the XDG directories. Never searched upwards from the current directory, and never
relative to it unless the caller says so in ``LASTRO_HOME`` itself, so a stranger's directory can never choose your keys.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.paths import join, to_bytes
from lastro.errors import ConfigError
from lastro.messages import N_

SOCKET_PATH_LIMIT: Final = 100
"""Bytes; ``sun_path`` holds 108."""

KEEPER_SOCKET: Final = "keeper.sock"
SOURCE_SOCKET: Final = "source.sock"
GATEWAY_SOCKET: Final = "gateway.sock"
GATEWAY_ADMIN_SOCKET: Final = "gateway-admin.sock"
_VIRTUAL_ENVIRONMENT: Final = sys.prefix if sys.prefix != sys.base_prefix else ""


class Places(Struct, frozen=True, kw_only=True):
    """Absolute directories. ``home`` is empty when XDG directories are used; ``sockets`` is ``run``, or a shorter one for a long path."""

    home: str
    config: str
    data: str
    state: str
    run: str
    sockets: str
    memory: str = ""
    """Inside a run: the socket on which it asks for its project's history (``LASTRO_SOCKET``). Empty everywhere else."""

    @property
    def secrets(self) -> str:
        """Keys and certificates, mode 0700."""
        return f"{self.config}/secrets"

    @property
    def repository(self) -> str:
        """The keeper's repository."""
        return f"{self.data}/repository"

    @property
    def key_file(self) -> str:
        """The secret of the repository's key-file slot."""
        return f"{self.secrets}/repository.key"

    @property
    def approver_keys(self) -> str:
        """The locked private keys with which humans of this machine sign approvals."""
        return f"{self.secrets}/approvers"

    @property
    def recovery_kit(self) -> str:
        """The printed recovery key, until its owner moves it away."""
        return f"{self.config}/recovery-kit.txt"

    @property
    def policy_file(self) -> str:
        """What agents may do and who approves it; the built-in policy holds where it is missing."""
        return f"{self.config}/policy.toml"

    @property
    def intents(self) -> str:
        """Intent files of applies in flight."""
        return f"{self.state}/intents"

    @property
    def cache(self) -> str:
        """Databases that can be deleted at any time."""
        return f"{self.state}/cache"

    @property
    def jobs_database(self) -> str:
        """Jobs that were asked for, and how they went: working state."""
        return f"{self.state}/jobs.db"

    @property
    def notices_database(self) -> str:
        """What people have to be told and were not yet, and since when each root is well: working state."""
        return f"{self.state}/notices.db"

    @property
    def telemetry_cache(self) -> str:
        """How servers did in the last day; it can be deleted at any time."""
        return f"{self.cache}/telemetry.db"

    @property
    def notification_settings(self) -> str:
        """Channels through which people are told, with their addresses, which are secrets."""
        return f"{self.secrets}/notifications.toml"

    @property
    def accounts_database(self) -> str:
        """How people and programs sign in."""
        return f"{self.data}/accounts.db"

    @property
    def keeper_settings(self) -> str:
        """Where the console listens."""
        return f"{self.config}/keeper.toml"

    @property
    def keeper_socket(self) -> str:
        """HTTP for CLI, MCP and desktop."""
        return f"{self.sockets}/{KEEPER_SOCKET}"

    @property
    def source_socket(self) -> str:
        """Node protocol for processes that offer a source."""
        return f"{self.sockets}/{SOURCE_SOCKET}"

    @property
    def gateway_socket(self) -> str:
        """The gateway's dialects, for who has no network."""
        return f"{self.sockets}/{GATEWAY_SOCKET}"

    @property
    def gateway_admin_socket(self) -> str:
        """Keys of the gateway, and how it is."""
        return f"{self.sockets}/{GATEWAY_ADMIN_SOCKET}"

    def memory_socket(self, run: int) -> str:
        """Where the keeper serves run ``run``. Alone in its directory, which a jail shows: so it sees the next keeper's socket too."""
        return f"{self.sockets}/memory-{run}/sock"

    @property
    def sample(self) -> str:
        """The sample project that ``lastro up`` writes when it is given nothing to protect."""
        return join(self.home, "sample") if self.home else f"{self.data}-sample"

    @property
    def socket_directory(self) -> str:
        """The directory that holds the sockets; whoever makes it makes it with mode 0700."""
        return self.sockets


def find_places(environment: Mapping[str, str], *, prefix: str = _VIRTUAL_ENVIRONMENT) -> Places:
    """The places for this caller. Creates nothing. ``prefix`` is the virtual environment's directory, ``""`` outside of one.

    Raises:
        ConfigError: nothing says where this user's files are.
    """
    if chosen := environment.get("LASTRO_HOME"):
        return places_of(os.path.abspath(chosen), environment=environment)
    if memory := environment.get("LASTRO_SOCKET"):
        return _places_in_run(os.path.abspath(memory), environment)
    beside = os.path.join(os.path.dirname(os.path.abspath(prefix)), ".lastro-home") if prefix else ""
    if beside and _is_own_directory(beside):
        return places_of(beside, environment=environment)
    home = _absolute(environment, "HOME") or _home_of_user()
    state = (_absolute(environment, "XDG_STATE_HOME") or join(home, ".local/state")) + "/lastro"
    runtime = _absolute(environment, "XDG_RUNTIME_DIR")
    run = join(runtime, "lastro") if runtime else f"{state}/run"
    return Places(
        home="",
        config=(_absolute(environment, "XDG_CONFIG_HOME") or join(home, ".config")) + "/lastro",
        data=(_absolute(environment, "XDG_DATA_HOME") or join(home, ".local/share")) + "/lastro",
        state=state,
        run=run,
        sockets=_sockets(run, environment),
    )


def _places_in_run(memory: str, environment: Mapping[str, str]) -> Places:
    """Inside a run: nothing is kept but what an apply in flight needs, in the run's home, or in its ``/tmp`` if it has none."""
    home = join(_absolute(environment, "HOME") or f"/tmp/run-{os.getuid()}", ".lastro-run")  # noqa: S108  a run's own
    return msgspec.structs.replace(places_of(home, environment=environment), memory=memory)


def places_of(home: str, *, environment: Mapping[str, str] = os.environ) -> Places:
    """The places below one home directory, which is absolute. ``environment`` says where sockets go if its path is too long for them."""
    run = join(home, "run")
    return Places(
        home=home,
        config=join(home, "config"),
        data=join(home, "data"),
        state=join(home, "state"),
        run=run,
        sockets=_sockets(run, environment),
    )


def _sockets(run: str, environment: Mapping[str, str]) -> str:
    """``run`` if a socket's path fits in it, else a directory of this user that stands for ``run`` alone."""
    if _fits(run):
        return run
    import hashlib  # noqa: PLC0415  only for homes with very long paths

    tag = hashlib.sha256(to_bytes(run)).hexdigest()[:16]
    runtime = _absolute(environment, "XDG_RUNTIME_DIR")
    if runtime and _fits(short := join(runtime, f"lastro-{tag}")):
        return short
    return f"/tmp/lastro-{os.getuid()}-{tag}"  # noqa: S108  one level below the sticky directory, where nobody can replace it


def _fits(directory: str) -> bool:
    """Whether the longest of the names fits."""
    return len(to_bytes(f"{directory}/{GATEWAY_ADMIN_SOCKET}")) <= SOCKET_PATH_LIMIT


def _absolute(environment: Mapping[str, str], name: str) -> str:
    """A variable that names a directory, without trailing slashes; ``""`` when it is unset or relative, which XDG says to ignore."""
    value = environment.get(name, "")
    return value.rstrip("/") or "/" if value.startswith("/") else ""


def _is_own_directory(path: str) -> bool:
    """Whether ``path`` is a directory of this user, reached by no link of another."""
    try:
        named, found = os.lstat(path), os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and named.st_uid == found.st_uid == os.geteuid()


def _home_of_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        raise ConfigError(
            N_("This user has no home directory."),
            hint=N_("Say in LASTRO_HOME (--home) where Lastro shall keep its things."),
        ) from None
