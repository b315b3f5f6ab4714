"""What is asked of a run, understood: which project, which role, which tool, within which limits. Nothing is started or recorded here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lastro.agents.adapters.adapter import Adapter, ToolInfo
from lastro.agents.adapters.registry import adapter_called, adapter_for
from lastro.agents.ledger import RunOrder
from lastro.app.caller import Caller
from lastro.app.desk import Desk
from lastro.app.project_place import policy_for, project_directory
from lastro.app.requests.runs import Run
from lastro.domain.paths import printable
from lastro.domain.policy import Policy, Role
from lastro.errors import ConfigError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.policy import limits_within, role_of
from lastro.proposals.values import to_seconds

LONGEST_PURPOSE: Final = 500
VIEWS: Final = ("overlay", "copy")


class PlannedRun(Struct, frozen=True, kw_only=True):
    """A run that may be begun. ``order`` is what the keeper records; ``role`` has the run's own limits."""

    order: RunOrder
    argv: tuple[str, ...]
    role: Role
    policy: Policy
    model: str = "auto"
    view: str = ""
    check: bool = True
    earlier: str = ""
    """The directory of the run whose conversation this one goes on with."""
    session: str = ""
    prompt: str = ""
    """What the tool is told then."""

    @property
    def adapter(self) -> Adapter:
        """How its tool is launched."""
        return adapter_called(self.order.agent)

    def tool(self, environment: Mapping[str, str] = os.environ) -> ToolInfo:
        """The installed tool.

        Raises:
            NotFoundError: there is none on this host.
            ConfigError: it will not do.
        """
        info = self.adapter.probe(self.argv, environment, self.order.project)
        if info is None:
            raise NotFoundError(
                N_("There is no program called {program} here."),
                hint=N_("Install it, or name it with its whole path."),
                program=printable(self.argv[0]),
            )
        if info.problem is not None:
            raise ConfigError(info.problem.msgid, hint="", **info.problem.parameters)
        return info


def plan_run(desk: Desk, caller: Caller, request: Run, *, identity: str) -> PlannedRun:
    """What ``request`` asks for. ``identity``: 32 hex digits, the run's own.

    Raises:
        UsageError: it cannot be understood, or is more than the policy allows.
        ConfigError: a policy file cannot be used.
        NotFoundError: there is no such project or role.
    """
    project = project_directory(desk.places, request.project)
    policy = policy_for(caller, project)
    role = role_of(policy.policy, request.role)
    asked = {} if not request.wall else {"wall_s": _seconds(request.wall)}
    role = replace(role, limits=limits_within(role.limits, asked))
    if request.view not in {"", *VIEWS}:
        raise UsageError(
            N_("There is no view called {view}."), hint=N_("There are: overlay, copy."), view=request.view
        )
    adapter, argv = _tool(request)
    order = RunOrder(
        id=identity,
        project=project,
        role=role.name,
        agent=adapter.name,
        command=argv,
        purpose=printable(adapter.prompt(argv))[:LONGEST_PURPOSE],
        policy_digest=policy.digest,
        leases=request.lease,
    )
    return PlannedRun(
        order=order,
        argv=argv,
        role=role,
        policy=policy.policy,
        model=request.model,
        view=request.view,
        check=request.check,
    )


def _tool(request: Run) -> tuple[Adapter, tuple[str, ...]]:
    if request.agent:
        return adapter_called(request.agent), (request.agent, *request.command)
    if not request.command:
        raise UsageError(
            N_("What shall be run?"),
            hint=N_("For example: lastro run -- codex exec 'Add a test for the parser.'"),
        )
    return adapter_for(request.command), request.command


def _seconds(text: str) -> int:
    try:
        return to_seconds(text)
    except ValueError as error:
        raise UsageError(
            N_("{text} is no length of time."), hint=N_("Write it as 90s, 30m or 2h."), text=text
        ) from error
