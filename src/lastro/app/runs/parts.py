"""Puts a run together: its layer, its step clock, its gateway key, its jail, its checks.

What always holds: what is opened here is closed by the stack that ``Making`` was given, in the opposite order; nothing of the agent runs
before the supervisor is told to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final

from msgspec.structs import replace

from lastro.agents.adapters.adapter import Launch, Task, ToolInfo
from lastro.agents.commits import bundle_commits
from lastro.agents.jail.probing import HostAbilities
from lastro.agents.jail.spec import GATEWAY_PORT, MEMORY_SOCKET, JailSpec
from lastro.agents.jail.starting import start
from lastro.agents.layer import Layer
from lastro.agents.ledger import Begun, RunLedger
from lastro.agents.own_program import write_own_program
from lastro.agents.parts import RunParts, Spent, Steps, Tell
from lastro.agents.running import Supervisor
from lastro.agents.stepping import StepClock
from lastro.agents.supervision_places import (
    RunPlaces,
    Standing,
    write_standing,
)
from lastro.app.caller import Caller
from lastro.app.desk import Desk
from lastro.app.events import Event
from lastro.app.places import Places
from lastro.app.project_place import project_checks
from lastro.app.requests import CapturePlace, CapturePlaceReply
from lastro.app.runs.checks import RunChecks
from lastro.app.runs.gateway import RunGateway
from lastro.app.runs.order import PlannedRun
from lastro.app.runs.views import chosen_view, prepared_layer, view_of_jail
from lastro.domain.policy import Enforcement, NetworkMode
from lastro.domain.run import RunStep
from lastro.proposals.globs import is_whole, literal_prefix

GENERIC: Final = "generic"

Fill = Callable[[RunPlaces, str], None]
"""Puts earlier work into the layer of a run, whose view is the second argument."""


def steps_socket(places: Places, run: int) -> str:
    """Where the gateway tells a run's supervisor of its calls."""
    return f"{places.sockets}/steps-{run}.sock"


def tell_of(desk: Desk) -> Tell:
    """Events of a run, at this desk."""

    def tell(kind: str, parameters: Mapping[str, object]) -> None:
        desk.tell(Event(kind=kind, time_ns=desk.clock.wall_ns(), parameters=parameters))

    return tell


class Making:
    """A run being put together; what it opens is closed by ``stack``."""

    def __init__(
        self,
        *,
        desk: Desk,
        caller: Caller,
        planned: PlannedRun,
        begun: Begun,
        places: RunPlaces,
        abilities: HostAbilities,
        stack: ExitStack,
    ) -> None:
        self._desk = desk
        self._caller = caller
        self._planned = planned
        self._begun = begun
        self._places = places
        self._stack = stack
        # What others hold a lease on may not be written by this run: one more thing that its role denies.
        self._role = replace(planned.role, deny_write=(*planned.role.deny_write, *begun.frozen))
        self._listeners: list[Callable[[RunStep], None]] = []
        self._abilities = abilities

    def supervisor(
        self, ledger: RunLedger, info: ToolInfo, *, has_gateway: bool, fill: Fill | None
    ) -> Supervisor:
        """Everything but the jail, which the supervisor starts."""
        planned, places = self._planned, self._places
        project = planned.order.project
        view = chosen_view(self._abilities, planned.view, project)
        standing = self._standing(view)
        write_standing(places, standing)
        checks = project_checks(project)
        layer = prepared_layer(view, project, places.directory, self._desk.report)
        if fill is not None:
            fill(places, view)
        steps, gateway = self._gateway(layer, has_gateway=has_gateway)
        launch = self._launch(info, gateway)
        spec = self._spec(launch, info, view, has_gateway=gateway is not None)
        parts = RunParts(
            standing=replace(standing, key=gateway.key.id if gateway else ""),
            places=places,
            ledger=ledger,
            layer=layer,
            steps=steps,
            start=lambda: start(spec, abilities=self._abilities),
            checks=RunChecks(
                checks,
                run=spec.run,
                project=project,
                role=self._role,
                view=view,
                places=places,
                environment=os.environ,
                wanted=planned.check,
            ),
            commits=lambda: bundle_commits(project, layer.source(), places.directory).refs,
            parse=planned.adapter.parse,
            spent=gateway.spent if gateway else lambda _: Spent(),
            tell=tell_of(self._desk),
            warm=self._is_known(project),
            lacking=() if self._begun.memory else (Enforcement.MEMORY_SOCKET.value,),
            forbidden=frozenset(planned.policy.forbid_degraded),
        )
        supervisor = Supervisor(parts)
        self._listeners.append(supervisor.stepped)
        self._announce(view)
        return supervisor

    def _announce(self, view: str) -> None:
        order = self._planned.order
        tell_of(self._desk)(
            "run_began",
            {
                "run": self._begun.run,
                "agent": order.agent,
                "project": order.project,
                "role": self._role.name,
                "view": view,
                "purpose": order.purpose,
            },
        )

    def _standing(self, view: str) -> Standing:
        planned = self._planned
        return Standing(
            run=self._begun.run,
            id=planned.order.id,
            project=planned.order.project,
            role=self._role,
            agent=planned.order.agent,
            command=planned.order.command,
            purpose=planned.order.purpose,
            policy_digest=planned.order.policy_digest,
            pid=os.getpid(),
            view=view,
            check=planned.check,
            model=planned.model,
        )

    def _stepped(self, step: RunStep) -> None:
        for listener in self._listeners:
            listener(step)

    def _gateway(self, layer: Layer, *, has_gateway: bool) -> tuple[Steps, RunGateway | None]:
        """The step clock and the run's key; without a gateway neither."""
        if not has_gateway or self._planned.role.network is NetworkMode.NONE:
            return NoSteps(), None
        socket = steps_socket(self._desk.places, self._begun.run)
        clock = StepClock(layer, self._places.directory, socket, on_step=self._stepped)
        clock.start()
        self._stack.callback(clock.finish)
        gateway = RunGateway(
            self._desk,
            run=self._begun.run,
            role=self._role.name,
            limits=self._role.limits,
            steps=socket,
            asks_models=self._planned.order.agent != GENERIC,
        )
        self._stack.callback(gateway.revoke)
        return clock, gateway

    def _launch(self, info: ToolInfo, gateway: RunGateway | None) -> Launch:
        planned = self._planned
        task = Task(
            argv=planned.argv,
            project=planned.order.project,
            home=self._places.home,
            base_url=f"http://127.0.0.1:{GATEWAY_PORT}" if gateway else "",
            key=gateway.key.text if gateway else "",
            model=planned.model,
            environment=os.environ,
        )
        write_own_program(self._places.home)
        if planned.prompt:
            launch = planned.adapter.resume(task, info, planned.session, planned.prompt)
            if launch is not None:
                return launch
        return planned.adapter.launch(task, info)

    def _spec(self, launch: Launch, info: ToolInfo, view: str, *, has_gateway: bool) -> JailSpec:
        role, memory = self._role, self._begun.memory
        inside = {"LASTRO_SOCKET": MEMORY_SOCKET} if memory else {}
        prompt = {"LASTRO_PROMPT": self._planned.prompt} if self._planned.prompt else {}
        return JailSpec(
            run=f"run-{self._begun.run}",
            project=self._planned.order.project,
            directory=self._places.directory,
            command=launch.command,
            environment={**launch.environment, **inside, **prompt},
            read_only=info.shown,
            deny_read=role.deny_read,
            write=role.write,
            deny_write=role.deny_write,
            frozen=tuple(literal_prefix(glob) for glob in self._begun.frozen if is_whole(glob)),
            execute=role.execute,
            network=role.network,
            hosts=role.hosts,
            gateway=self._desk.places.gateway_socket if has_gateway else "",
            memory=memory,
            limits=role.limits,
            view=view_of_jail(view),
        )

    def _is_known(self, project: str) -> bool:
        """Whether the keeper has captured the project before: then it reads only what changed."""
        reply = self._caller.call("capture.place", CapturePlace(path=project))
        assert isinstance(reply, CapturePlaceReply)
        return bool(reply.root)


class NoSteps:
    """The steps of a run that asks no models through the gateway."""

    def finish(self) -> tuple[RunStep, ...]:
        """None."""
        return ()
