"""A keeper with a project, its neighbours and a run that asks for history on its own socket.

``WORLD`` is one captured root; the project is a directory in it. Every file that the run may see holds ``MINE``, every other ``OTHERS``, in
content and (what is not the project's) in name, so that a test can look for them in any answer.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

from lastro.app.opening import create_repository, open_services
from lastro.app.operation import find_operation
from lastro.app.places import places_of
from lastro.app.requests.policy import EffectivePolicy
from lastro.app.requests.runs import BeginRun, RecordRunState
from lastro.app.runs.memories import KeeperMemories
from lastro.app.socket_caller import SocketCaller
from lastro.app.wiring import person
from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.domain.clock import SystemClock
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.snapshot import Reason
from lastro.domain.target import Target, TargetKind
from lastro.keeper.connection import KeeperLoop
from lastro.transport.unix import connect_mounted

MINE, OTHERS = b"seen-by-the-run", b"nobody-elses-business"
OUTSIDER = "outsider"
HIDDEN = ".env"
NARROWING = """[roles.client-agent]
deny_read = ["vault/**"]
"""


def write(root, path, content):
    whole = os.path.join(root, path)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    with open(whole, "wb") as file:
        file.write(content)


def furnish(world):
    """The first state of everything."""
    project = os.path.join(world, "work/project")
    write(project, "readme.md", MINE + b" 1\n")
    write(project, "src/main.py", MINE + b" 1\n")
    write(project, "src/gone.py", MINE + b" gone\n")
    write(project, HIDDEN, OTHERS)
    write(project, f"src/{HIDDEN}", OTHERS)
    write(project, "vault/deep/key.txt", OTHERS)
    write(project, ".lastro/policy.toml", NARROWING.encode())
    write(world, f"work/{OUTSIDER}/notes.txt", OTHERS)
    write(world, f"work/project-{OUTSIDER}/notes.txt", OTHERS)
    write(world, f"{OUTSIDER}.txt", OTHERS)
    os.symlink(f"../{OUTSIDER}", os.path.join(project, "out"))
    os.symlink("vault", os.path.join(project, "treasure"))
    os.link(os.path.join(world, f"{OUTSIDER}.txt"), os.path.join(project, "hard.txt"))
    os.link(os.path.join(project, "vault/deep/key.txt"), os.path.join(project, "zz-hard.txt"))
    return project


def change(world, project):
    """The second state."""
    write(project, "readme.md", MINE + b" 2\n")
    write(project, "src/new.py", MINE + b" new\n")
    write(project, HIDDEN, OTHERS + b" 2")
    write(world, f"work/{OUTSIDER}/notes.txt", OTHERS + b" 2")
    os.unlink(os.path.join(project, "src/gone.py"))


@contextmanager
def running(directory):
    """A run in progress, and a ``caller`` on its socket."""
    home, world = os.path.join(directory, "home"), os.path.join(directory, "world")
    os.makedirs(world)
    places, clock = places_of(home), SystemClock()
    create_repository(places, person(), clock)
    os.makedirs(places.socket_directory, mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        services = stack.enter_context(open_services(places, writable=True, actor=person(), clock=clock))
        loop = stack.enter_context(KeeperLoop())
        memories = KeeperMemories(places, services, loop)
        stack.callback(memories.close_all)
        project = furnish(world)

        def capture(root, kind=TargetKind.FILES):
            source = LocalSource([Root(path=root)])
            target = Target(ServerId(LOCAL), kind, root)
            return services.cycle.capture(source, target, actor=services.actor, reason=Reason.REQUEST).seq

        first = capture(world)
        change(world, project)
        second = capture(world)
        elsewhere = os.path.join(directory, f"{OUTSIDER}-root")
        write(elsewhere, "notes.txt", OTHERS)
        third = capture(elsewhere)
        policy = find_operation("policy.effective").run(services, EffectivePolicy(narrowing=NARROWING))
        kit = SimpleNamespace(
            places=places,
            services=services,
            loop=loop,
            memories=memories,
            world=world,
            project=project,
            elsewhere=elsewhere,
            capture=capture,
            seqs=(first, second, third),
            policy=policy,
        )
        kit.begin = lambda **fields: begin(kit, **fields)
        kit.enter = lambda run, state: find_operation("runs.state").run(
            services, RecordRunState(run=run, state=state)
        )
        kit.run = kit.begin()
        kit.caller = caller_at(memories.open(kit.run))
        yield kit


def begin(kit, **fields):
    """A run that is preparing; its number."""
    order = BeginRun(
        **{
            "id": secrets.token_hex(16),
            "project": kit.project,
            "role": "client-agent",
            "agent": "generic",
            "command": ("true",),
            "purpose": "",
            "policy_digest": kit.policy.digest,
            **fields,
        }
    )
    return find_operation("runs.begin").run(kit.services, order).run


def caller_at(path):
    return SocketCaller(path, "", new_id=lambda: secrets.token_hex(16), connect=connect_mounted)
