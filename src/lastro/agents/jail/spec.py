"""What a jail is asked to be, and what it says it was. Nouns.

Inside, the project stands at its own absolute path, the run's home at ``HOME``, a ``/tmp`` of its own, a short read-only list of the
system, ``/proc`` and ``/dev`` of its own, and two sockets in ``SOCKETS``. Nothing else is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

from lastro.domain.policy import NetworkMode, RunLimits
from lastro.domain.run import EndCause, RunEnforcement

HOME: Final = "/home/agent"
SOCKETS: Final = "/run/lastro"
GATEWAY_SOCKET: Final = f"{SOCKETS}/gateway.sock"
MEMORY_SOCKET: Final = f"{SOCKETS}/memory.sock"
GATEWAY_PORT: Final = 8421
"""On the jail's own loopback: what coding tools are told. A forwarder leads from there to ``GATEWAY_SOCKET``."""
PROXY_PORT: Final = 8419
SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Directories of programs: every jail shows those that the host has."""
SEARCHED: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where programs of the system are looked for."""


class JailSpec(Struct, frozen=True, kw_only=True):
    """One jail. Absolute host paths, byte-faithful; globs relative to the project.

    ``directory``: the run's own directory, owner-only, on the disk that holds the layer; the jail makes what it needs below it.
    ``read_only``: what else is shown, at its own path: where the coding tool lies. ``deny_read``: globs that are shown empty.
    ``write``, ``deny_write``: what may be written in the project. ``frozen``: existing paths (relative) that are mounted read-only:
    what others hold a lease on, and the policy. ``gateway`` and ``memory``: host paths of the run's two sockets, or empty.
    """

    run: str
    project: str
    directory: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    read_only: tuple[str, ...] = ()
    deny_read: tuple[str, ...] = ()
    write: tuple[str, ...] = ("**",)
    deny_write: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    network: NetworkMode = NetworkMode.GATEWAY
    hosts: tuple[str, ...] = ()
    gateway: str = ""
    memory: str = ""
    limits: RunLimits = RunLimits()
    view: str = ""
    """``overlay``, ``copy``, or empty: the best there is."""
    below: tuple[str, ...] = ()
    """Upper directories of earlier layers that lie between this view's own and the project, the topmost first: the project's checks run
    over what the agent made. Only for overlays (``lowerdir=BELOW:PROJECT``)."""


class JailEnd(Struct, frozen=True, kw_only=True):
    """How the agent ended. ``status``: its exit status, negative for a signal. ``refused``: hosts it was not let to.

    ``touched``: limits that were met without ending it (values of ``policy.Enforcement``): processes that could not be made, processes that
    were ended for memory. ``reason``: for ``NOT_STARTED``, why.
    """

    cause: EndCause
    status: int | None
    wall_ns: int
    peak_memory: int | None = None
    refused: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    reason: str = ""


class JailedProcess(Protocol):
    """An agent that runs. Its verbs may be called from any thread."""

    @property
    def enforcement(self) -> RunEnforcement:
        """How it is confined."""
        ...

    def read(self, timeout_s: float) -> tuple[str, bytes] | None:
        """The next piece of what it says (``stdout`` or ``stderr``), ``None`` when nothing came in time; ``("end", b"")`` when it has
        ended.

        Somebody has to read: an agent waits for that when much is unread. ``("end", b"")`` lets go of what is kept open for it.
        """
        ...

    def stop(self, cause: EndCause) -> None:
        """End everything in it: first asked, then killed. Returns at once; ``wait`` says when it is done."""
        ...

    def wait(self) -> JailEnd:
        """Wait until every process of it is gone."""
        ...
