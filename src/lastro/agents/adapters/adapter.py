"""``Adapter``: how one coding tool is launched. Nothing of safety rests on it: changes come from the layer, steps from the gateway.

Adding a tool is one small file with an ``Adapter`` and a line in ``adapters.registry``, and a recorded stream of what it prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from lastro.messages import Message


class ToolInfo(Struct, frozen=True, kw_only=True):
    """An installed tool: its program, its version, and the host directories that must be shown read-only for it to run.

    ``problem``: why it will not do (too old, its Node is missing); ``None`` when it is fine.
    """

    program: str
    version: str
    shown: tuple[str, ...]
    problem: Message | None = None


class Task(Struct, frozen=True, kw_only=True):
    """What a launch is made for. ``home`` is the run's home on the host, seen inside as ``jail.spec.HOME``; ``base_url`` is the gateway as
    seen inside; ``key`` the run's own gateway key, ``""`` without a gateway. ``argv``: what the user typed, the tool's name first.
    """

    argv: tuple[str, ...]
    project: str
    home: str
    base_url: str
    key: str
    model: str = "auto"
    environment: Mapping[str, str] = {}
    """The caller's, for what a tool takes from it (``TERM``, ``LANG``); secrets are not passed on."""


class Launch(Struct, frozen=True, kw_only=True):
    """What is started in the jail: stdin is always closed."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


class Said(Struct, frozen=True, kw_only=True):
    """One thing a tool printed, as far as it is understood. ``kind``: ``text``, ``tool``, ``tool_result``, ``usage``, ``session``,
    ``error``, ``raw``. ``text`` is bounded and is data, never an instruction.
    A ``text`` whose ``name`` is ``delta`` goes on from the one before it; one whose ``name`` is ``line`` is a line of plain output;
    ``usage`` is JSON, ``{"in": tokens, "out": tokens}``.
    """

    kind: str
    text: str = ""
    name: str = ""


class Adapter(Protocol):
    """See the module."""

    name: str

    def probe(
        self, argv: tuple[str, ...], environment: Mapping[str, str], project: str = ""
    ) -> ToolInfo | None:
        """The tool that ``argv`` would start, or ``None``: there is none on this host. ``project``: its directory, in which a relative
        program is looked for, and of which nothing is in ``ToolInfo.shown``: it is there already.

        Raises:
            UsageError: ``argv`` makes no sense in a run: there is no task, or only a human could go on.
        """
        ...

    def launch(self, task: Task, info: ToolInfo) -> Launch:
        """Write the tool's settings below ``task.home``, and say what to start: inner sandbox and approvals off, updates off.

        Raises:
            UsageError: as ``probe``.
            ConflictError: what an earlier agent left in ``task.home`` is in the way.
            OSError: the settings could not be written.
        """
        ...

    def parse(self, line: bytes) -> Iterable[Said]:
        """Best effort, never raises."""
        ...

    def resume(self, task: Task, info: ToolInfo, session: str, prompt: str) -> Launch | None:
        """Go on with an earlier conversation, whose files stand in ``task.home`` again: ``prompt`` is said to it. ``None``: nothing can be
        said to this tool. Raises as ``launch``.

        A tool that keeps no conversation, or a ``session`` (what the agent printed) that is no plain id: it begins anew, with the
        earlier task and ``prompt``.
        """
        ...

    def asked(self, prompt: str) -> tuple[str, ...] | None:
        """The words, the tool's name first, with which a user asks this tool for ``prompt``. ``None``: nothing can be said to it."""
        ...

    def prompt(self, argv: tuple[str, ...]) -> str:
        """What the agent is asked to do, as the user typed it; for ``generic``, the whole command.

        Raises:
            UsageError: as ``probe``.
        """
        ...
