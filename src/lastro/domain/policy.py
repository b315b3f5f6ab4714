"""Roles and the policy that holds them: what an agent may read, write, run, reach and spend, and who has to approve what it did. Nouns.

Globs are over paths relative to the project, in the language of ``proposals.globs`` (that of ``.gitignore``). What is in no rule is
denied.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class HumanRole(StrEnum):
    """Of a human: what they may do here."""

    OWNER = "owner"
    APPROVER = "approver"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    VIEWER = "viewer"


class NetworkMode(StrEnum):
    """Where a run may connect to."""

    NONE = "none"
    GATEWAY = "gateway"
    """The gateway's socket, and nothing else."""
    LISTED = "listed"
    """The gateway, and the listed hosts through a filtering proxy."""


class ActionRule(StrEnum):
    """What becomes of an act that files cannot express."""

    PROPOSE = "propose"
    DENY = "deny"


class RunLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that one run may use. ``None``: no limit. Money in millionths of a dollar, sizes in bytes, times in seconds."""

    wall_s: int | None = 3600
    memory: int | None = 4 * 1024**3
    processes: int | None = 512
    processors: float | None = None
    disk: int | None = 4 * 1024**3
    files: int | None = 50_000
    tokens: int | None = None
    money: int | None = None


class Role(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent with this role may do. ``hosts`` (``NAME:PORT``) count only with ``NetworkMode.LISTED``.

    ``write`` and ``read`` are what may be written and read in the project; the ``deny`` lists win. ``execute``: absolute globs of
    programs; empty: any that the jail shows.
    """

    name: str
    read: tuple[str, ...] = ("**",)
    deny_read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    deny_write: tuple[str, ...] = ()
    execute: tuple[str, ...] = ()
    network: NetworkMode = NetworkMode.GATEWAY
    hosts: tuple[str, ...] = ()
    package: ActionRule = ActionRule.DENY
    service: ActionRule = ActionRule.DENY
    sql: ActionRule = ActionRule.DENY
    command: ActionRule = ActionRule.DENY
    limits: RunLimits = RunLimits()


class ReviewRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who approves changes of the paths it matches. Of several rules that match a path the last one wins.

    ``approvals`` 0: nobody has to, but for paths that are run later, which always want a human. ``cool_down_s``: seconds between the last
    approval and the apply.
    """

    paths: tuple[str, ...]
    approvals: int = 1
    by: tuple[HumanRole, ...] = (HumanRole.OWNER, HumanRole.APPROVER)
    not_author: bool = True
    cool_down_s: int = 0


class Enforcement(StrEnum):
    """Limits that a host may be unable to enforce. ``forbid_degraded`` in a policy refuses to run without them."""

    FILESYSTEM = "filesystem"
    """What files elsewhere hold, and which there are, cannot be changed: by mounts, or where there are no namespaces by Landlock."""
    ATTRIBUTES = "attributes"
    """Nor modes, owners, times and attributes of files elsewhere, which Landlock does not cover."""
    READING = "reading"
    """Nothing but a short list can be read."""
    NETWORK = "network"
    PROCESSES = "processes"
    MEMORY = "memory"
    PROCESSORS = "processors"
    DISK = "disk"
    LANDLOCK = "landlock"
    """The kernel's second lock on files."""
    MEMORY_SOCKET = "memory-socket"
    """The run can ask the project's history."""
    STEPS = "steps"
    """The gateway ties model calls to file changes."""


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The effective policy. ``digest`` in records is the plain BLAKE3-256 of its canonical msgpack (``policy_digest``)."""

    version: int = 1
    default_role: str = "client-agent"
    roles: tuple[Role, ...] = ()
    review: tuple[ReviewRule, ...] = ()
    project_review: tuple[ReviewRule, ...] = ()
    """Rules of the project's own file. What the last one that matches a path asks for comes on top of what ``review`` asks for it."""
    forbid_degraded: tuple[Enforcement, ...] = (Enforcement.FILESYSTEM,)
    expires_s: int = 30 * 24 * 3600
    """An undecided proposal is denied after this long."""


BUILT_IN_ROLES: Final = ("server-agent", "client-agent", "orchestrator", "reviewer")
