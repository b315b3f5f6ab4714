"""A coding tool at its scripted work in a real jail, with its model calls through a real gateway, which a scripted provider answers."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec import structs

from lastro.agents.adapters.adapter import Adapter, Said, Task, ToolInfo
from lastro.agents.adapters.registry import adapter_called
from lastro.agents.copied import CopyLayer, prepare_copy
from lastro.agents.jail.spec import GATEWAY_PORT, JailEnd, JailSpec
from lastro.agents.jail.starting import start
from lastro.agents.layer import Layer
from lastro.agents.overlay import OverlayLayer, prepare_overlay
from lastro.app.places import find_places
from lastro.domain.run import EndCause, RunEnforcement
from tests.coding_tools import installed
from tests.coding_tools.scripts import LOCKED, PROJECT, SCRIPTS, Script, Work
from tests.integration.commands import Home
from tests.integration.gateway import Gateway, configure, running_gateway
from tests.integration.providers import provider
from tests.upstreams import ScriptedUpstream

PROMPT = "Do the work."
AGAIN = "And now the rest."
PATIENCE_S = 150.0


@dataclass
class Outcome:
    """How one start of the tool ended."""

    end: JailEnd
    enforcement: RunEnforcement
    stdout: bytes
    stderr: bytes
    said: list[Said] = field(default_factory=list)

    @property
    def session(self) -> str:
        return next((said.text for said in self.said if said.kind == "session"), "")

    @property
    def results(self) -> str:
        """All that its tools answered it."""
        return "\n".join(said.text for said in self.said if said.kind == "tool_result")

    @property
    def text(self) -> str:
        return "".join(said.text for said in self.said if said.kind == "text")

    def __str__(self) -> str:
        return f"{self.end}\n{self.stdout[-3000:]!r}\n{self.stderr[-3000:]!r}"


@dataclass
class Jailed:
    """A tool, ready to be started."""

    script: Script
    adapter: Adapter
    info: ToolInfo
    task: Task
    spec: JailSpec
    layer: Layer
    work: Work
    upstream: ScriptedUpstream
    gateway: Gateway
    view: str
    trap: socket.socket

    def launch(self) -> Outcome:
        """Start it with its task."""
        launch = self.adapter.launch(self.task, self.info)
        return self._start(launch.command, launch.environment)

    def resume(self, session: str) -> Outcome:
        """Say something more to it."""
        launch = self.adapter.resume(self.task, self.info, session, AGAIN)
        assert launch is not None
        return self._start(launch.command, launch.environment)

    def is_reached(self) -> bool:
        """Whether somebody connected to the port that must not be reached."""
        try:
            self.trap.accept()
        except BlockingIOError:
            return False
        return True

    def seen(self) -> dict[str, str]:
        """What the layer holds, without what is only in the project."""
        return _texts(os.path.join(self.spec.directory, "upper" if self.view == "overlay" else "copy"))

    def live(self) -> dict[str, str]:
        """The project, as nobody but a human may change it."""
        return _texts(self.work.project)

    def _start(self, command: Sequence[str], environment: Mapping[str, str]) -> Outcome:
        process = start(structs.replace(self.spec, command=tuple(command), environment=environment))
        said = {"stdout": b"", "stderr": b""}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            piece = process.read(1.0)
            if piece is None:
                continue
            if piece[0] == "end":
                break
            said[piece[0]] += piece[1]
        else:
            process.stop(EndCause.CANCELLED)
        end = process.wait()
        lines = said["stdout"].splitlines()
        return Outcome(
            end,
            process.enforcement,
            said["stdout"],
            said["stderr"],
            [one for line in lines for one in self.adapter.parse(line)],
        )


@contextmanager
def jailed(
    name: str, place: str, *, view: str = "overlay", model: Callable[[Home], None] | None = None
) -> Iterator[Jailed]:
    """The tool ``name`` in a project of its own below ``place``, which is absolute and real. ``model`` sets up another one in the gateway
    than the provider that knows the script.
    """
    script, adapter = SCRIPTS[name], adapter_called(name)
    project, directory = os.path.join(place, "project"), os.path.join(place, "run")
    for made in (project, directory, os.path.join(directory, "home")):
        os.makedirs(made, mode=0o700)
    for file, content in PROJECT.items():
        with open(os.path.join(project, file), "w", encoding="utf-8") as opened:
            opened.write(content)
    environment = {"HOME": os.path.join(place, "user"), "PATH": _search(name), "LANG": "C.UTF-8"}
    argv = script.argv(PROMPT)
    info = adapter.probe(argv, environment, project)
    assert info is not None
    assert info.problem is None
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        work = Work(project=project, outside=f"/etc/lastro-{os.getpid()}", port=trap.getsockname()[1])
        home = Home(os.path.join(place, "lastro"), {"HOME": os.path.join(place, "user")})
        with provider(script.answers(work)) as upstream:
            if model is None:
                configure(home, _configuration(upstream.base_url, script.dialect))
            else:
                model(home)
            with running_gateway(home) as gateway:
                yield Jailed(
                    script=script,
                    adapter=adapter,
                    info=info,
                    task=Task(
                        argv=argv,
                        project=project,
                        home=os.path.join(directory, "home"),
                        base_url=f"http://127.0.0.1:{GATEWAY_PORT}",
                        key=gateway.local_key,
                        environment=environment,
                    ),
                    spec=JailSpec(
                        run="run-1",
                        project=project,
                        directory=directory,
                        command=(),
                        environment={},
                        read_only=info.shown,
                        frozen=(LOCKED,),
                        gateway=find_places(home.surroundings).gateway_socket,
                        view=view,
                    ),
                    layer=_layer(view, project, directory),
                    work=work,
                    upstream=upstream,
                    gateway=gateway,
                    view=view,
                    trap=trap,
                )


def _texts(place: str) -> dict[str, str]:
    found = {}
    for name in os.listdir(place):
        path = os.path.join(place, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                found[name] = file.read()
    return found


def _search(name: str) -> str:
    if name == "offline":
        return os.defpath
    tool = installed(name)
    return f"{os.path.dirname(tool.program)}:{tool.node}:{os.defpath}"


def _layer(view: str, project: str, directory: str) -> Layer:
    if view == "overlay":
        prepare_overlay(directory, project)
        return OverlayLayer(project, directory)
    prepare_copy(project, directory)
    return CopyLayer(project, directory)


def _configuration(base_url: str, dialect: str) -> str:
    return (
        f'[providers.scripted]\nkind = "compatible"\nbase_url = "{base_url}"\n'
        f'dialects = ["{dialect}"]\n[providers.scripted.models."m"]\ntools = "yes"\n'
        '[routes.default]\nmodels = ["scripted/m"]\n'
    )
