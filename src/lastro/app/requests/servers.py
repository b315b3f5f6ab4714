"""What operations on servers, nodes and status are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.health import Finding
from lastro.messages import N_


class ServerAdd(Struct, frozen=True, kw_only=True):
    """Pair with a node, by the token that ``lastro node pair`` printed there."""

    token: Annotated[str, parameter(N_("The join token."), cli="argument", metavar="TOKEN")]
    name: Annotated[
        str, parameter(N_("How to call the server (default: the node's host name)."), metavar="NAME")
    ] = ""


class RootState(Struct, frozen=True, kw_only=True):
    """A captured root. ``watched`` is false once it was removed from the node; its history stays."""

    path: str
    watched: bool
    snapshots: int
    last_snapshot: int
    last_ns: int
    files: int
    bytes: int
    checked_ns: int = 0
    """When the keeper last made sure that nothing was missing."""
    pending: int = 0
    """Paths known to have changed and not captured yet."""
    rpo_ns: int = 0
    """Age of the oldest change that is not captured yet; 0 when there is none."""
    warnings: int = 0
    good_ns: int = 0
    """Until when everything in it is known to be kept; 0 while nobody knows."""


class ServerState(Struct, frozen=True, kw_only=True):
    """A server and how it is. ``link``: ``connected``, ``connecting``, ``unreachable``, ``none`` (it has no node)."""

    id: str
    name: str
    device: str
    address: str
    link: str
    roots: tuple[RootState, ...] = ()
    problem: str = ""
    level: str = ""
    """How it is by the worst finding (``requests.health.Level``); empty where nobody judged."""
    findings: tuple[Finding, ...] = ()


class ServerList(Struct, frozen=True, kw_only=True):
    """All servers, by name."""

    servers: tuple[ServerState, ...]


class Status(Struct, frozen=True, kw_only=True):
    """How everything is."""


class StatusReply(Struct, frozen=True, kw_only=True):
    """The state of the whole. ``keeper`` is false when no keeper runs and this was read from the repository."""

    version: str
    home: str
    keeper: bool
    repository: str
    snapshots: int
    bytes: int
    servers: tuple[ServerState, ...]
    recovery_kit: str = ""
    """Where the recovery kit still lies beside the configuration; empty once it was moved."""
    damaged: tuple[str, ...] = ()
    """Objects of the repository that could not be read when it was opened; ``repo.check`` says more."""
    exposed_key: str = ""
    """The key file, when its mode lets others read it; else empty."""


class NodeInit(Struct, frozen=True, kw_only=True):
    """Make this machine's node: its identity and its configuration."""

    paths: Annotated[
        tuple[str, ...], parameter(N_("Directories to watch."), cli="argument", metavar="PATH")
    ] = ()
    name: Annotated[str, parameter(N_("The node's name (default: the host name)."), metavar="NAME")] = ""


class NodeInitialized(Struct, frozen=True, kw_only=True):
    """The node that was made (or was there)."""

    name: str
    device: str
    config: str
    roots: tuple[str, ...]


class RootsChange(Struct, frozen=True, kw_only=True):
    """Directories that the node shall watch, or no longer."""

    paths: Annotated[tuple[str, ...], parameter(N_("Directories."), cli="argument", metavar="PATH")]


class Roots(Struct, frozen=True, kw_only=True):
    """The node's watched roots as its configuration now says. ``note`` lists paths that were already so."""

    roots: tuple[str, ...]
    unchanged: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    """Roots that lie in another one: what is in them is captured twice, each time under its own root."""
