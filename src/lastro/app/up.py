"""``lastro up``: a keeper and a node of this machine together, set up as far as anything is missing."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from lastro.app.child_process import ChildProcess
from lastro.app.console_process import choose_port
from lastro.app.gateway.places import gateway_places
from lastro.app.keeper_process import RunningKeeper, staying_keeper
from lastro.app.keeper_settings import DEFAULT_ADDRESS, read_keeper_settings
from lastro.app.links import record_server
from lastro.app.opening import create_repository
from lastro.app.operations.login import login
from lastro.app.places import Places, find_places
from lastro.app.requests.accounts import Login
from lastro.app.sample import write_sample
from lastro.app.services import Services
from lastro.app.signals import Emit, stop_signals, tell
from lastro.app.wiring import person
from lastro.capture.source import Root
from lastro.domain.clock import SystemClock
from lastro.domain.entry import EntryType
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.paths import join
from lastro.domain.server import Server
from lastro.domain.snapshot import Snapshot
from lastro.domain.target import Target, TargetKind
from lastro.errors import ConfigError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.node.config import add_root, read_config, set_listen
from lastro.node.daemon import make_node, node_places
from lastro.store.tree import decode_tree_entry, walk
from lastro.transport.address import free_address
from lastro.transport.allow_list import AllowedDevice, allow, read_allow_list
from lastro.transport.identity import load_or_make_identity

_SOON_S: Final = 10.0
"""A first capture that takes longer holds up neither the console nor the runner."""
_RUNNER_GRACE_S: Final = 30.0
"""Its agents are ended and their work is collected meanwhile; one that needs longer is found interrupted, its work kept."""


def up(places: Places, *, emit: Emit, paths: Sequence[str] = ()) -> int:
    """Protect directories of this machine: set up what is missing, run a node and a keeper, and stay until SIGINT or SIGTERM.

    Raises:
        LockedError: it runs already.
    """
    started = time.monotonic()
    wanted = [_directory(path) for path in paths]
    with stop_signals() as stop, ExitStack() as stack:
        if not os.path.exists(f"{places.repository}/format"):
            made = create_repository(places, person(), SystemClock())
            tell(emit, "initialized", path=made.path, key_file=made.key_file, recovery_kit=made.recovery_kit)
        running = stack.enter_context(
            staying_keeper(
                places,
                emit=emit,
                stop=stop,
                prepare=lambda services: _set_up_node(places, wanted, services, emit),
            )
        )
        if running is None:
            return 0
        if os.geteuid() == 0:
            tell(emit, "as_root")
        node = ChildProcess(
            places,
            emit,
            "node",
            "serve",
            ended=N_("The node ended with status {status}; it is started again."),
        )
        stack.callback(node.stop)
        node.start()
        children = [node, *_gateway(places, emit, stack)]
        node.wait_listening(stop)
        running.links.start()
        ready = _wait_ready(running, children, stop, _SOON_S)
        if ready:
            _tell_ready(running.services, places, emit, time.monotonic() - started)
        if not stop.is_set():
            children += _runner(places, emit, stack)
            _tell_console(running, emit)
        if not ready and _wait_ready(running, children, stop):
            _tell_ready(running.services, places, emit, time.monotonic() - started)
        while not stop.wait(0.5):
            _look_after(children)
        running.links.close()  # before the node goes, so that nobody calls it lost
    tell(emit, "stopped", what="all")
    return 0


def _wait_ready(
    running: RunningKeeper,
    children: Sequence[ChildProcess],
    stop: threading.Event,
    most_s: float = float("inf"),
) -> bool:
    """Whether this machine's roots were listed in full, waiting at most ``most_s`` seconds for it; other servers are not waited for."""
    deadline = time.monotonic() + most_s
    while not stop.is_set() and time.monotonic() < deadline:
        if running.links.wait_settled(ServerId(LOCAL), 0.1):
            return True
        _look_after(children)
    return False


def _look_after(children: Sequence[ChildProcess]) -> None:
    for child in children:
        child.look_after()


def _gateway(places: Places, emit: Emit, stack: ExitStack) -> list[ChildProcess]:
    """The gateway, started on a free port; none where it is not installed, or its configuration cannot be used (which is said)."""
    if importlib.util.find_spec("aiohttp") is None:
        return []
    from lastro.gateway.configuration import read_settings  # noqa: PLC0415  only where there is a gateway
    from lastro.gateway.configuration_edit import set_listen  # noqa: PLC0415  as above

    configuration = gateway_places(places).configuration
    try:
        address = read_settings(configuration).listen.address
    except ConfigError as error:
        plain = {name: str(value) for name, value in error.parameters.items()}
        tell(emit, "problem", msgid=error.msgid, hint=error.hint, parameters=plain)
        return []
    node = read_config(node_places(places.config).config).listen
    free = free_address(address, besides=[node, _console_address(places)])
    if free != address:
        set_listen(configuration, free)
        tell(emit, "gateway_port_taken", address=address, instead=free)
    child = ChildProcess(
        places,
        emit,
        "gateway",
        "serve",
        ended=N_("The gateway ended with status {status}; it is started again."),
    )
    stack.callback(child.stop)
    child.start()
    return [child]


def _runner(places: Places, emit: Emit, stack: ExitStack) -> list[ChildProcess]:
    """Who takes the runs that no terminal started, and the console's jobs."""
    child = ChildProcess(
        places,
        emit,
        "runner",
        "serve",
        ended=N_("The runner ended with status {status}; it is started again."),
        grace_s=_RUNNER_GRACE_S,
    )
    stack.callback(child.stop)
    child.start()
    return [child]


def _directory(path: str) -> str:
    found = os.path.realpath(os.path.expanduser(path))
    if not os.path.isdir(found):
        raise UsageError(
            N_("{path} is not a directory."),
            hint=N_("Only directories can be watched; make it first."),
            path=path,
        )
    return found


def _set_up_node(places: Places, wanted: Sequence[str], services: Services, emit: Emit) -> None:
    """This machine's node, with its roots, on a free port, known to the keeper as ``local`` and the keeper known to it."""
    node = node_places(places.config)
    if not os.path.exists(node.config):
        make_node(node, name=socket.gethostname())
        if not wanted:
            wanted = [write_sample(places.sample)]
            tell(emit, "sample", path=places.sample)
    for path in wanted:
        add_root(node.config, Root(path=path))
    config = read_config(node.config)
    address = free_address(config.listen, besides=[_console_address(places)])
    if address != config.listen:
        set_listen(node.config, address)
        tell(emit, "port_taken", address=config.listen, instead=address)
    identity = load_or_make_identity(node.identity)
    keeper_identity = load_or_make_identity(f"{places.secrets}/keeper.pem")
    if keeper_identity.device not in {device.device for device in read_allow_list(node.allowed).devices}:
        allow(node.allowed, AllowedDevice(name="keeper", certificate=keeper_identity.certificate))
    choose_port(places, emit, besides=[address])
    known = next((server for server in services.timeline.servers() if server.id == LOCAL), None)
    server = Server(id=ServerId(LOCAL), name=LOCAL, device=identity.device, address=address)
    if known != server:
        record_server(services, server, identity.certificate)


def _console_address(places: Places) -> str:
    """Where the console listens, or would; the default where its settings cannot be used, which is said elsewhere."""
    try:
        return read_keeper_settings(places.keeper_settings).console.address
    except ConfigError:
        return DEFAULT_ADDRESS


def _tell_ready(services: Services, places: Places, emit: Emit, seconds: float) -> None:
    files = size = 0
    roots: list[str] = []
    example, number = "", 0
    for target in services.timeline.targets(ServerId(LOCAL)):
        newest = services.timeline.snapshot_at(target, None)
        if newest is not None and target.kind is TargetKind.FILES:
            files, size = files + newest.statistics.files, size + newest.statistics.bytes
            roots.append(target.path)
            if not example:
                example, number = _example(services, target, newest), newest.number
    elsewhere = {name: value for name, value in os.environ.items() if name != "LASTRO_HOME"}
    tell(
        emit,
        "ready",
        seconds=seconds,
        files=files,
        bytes=size,
        roots=roots,
        example=example,
        snapshot=number,
        program=os.path.join(sys.prefix, "bin", "lastro"),
        options=[] if find_places(elsewhere) == places else ["--home", places.home],
        recovery_kit=places.recovery_kit if os.path.exists(places.recovery_kit) else "",
    )


def _tell_console(running: RunningKeeper, emit: Emit) -> None:
    """Where the console is; with a link that signs in whoever is at this terminal, or makes the first owner, once."""
    if running.console is None:
        return
    link, purpose = "", ""
    try:
        made = login(running.services.for_actor(person()), Login())
        link, purpose = made.url, made.purpose
    except NotFoundError:  # others are enrolled, who runs this is not
        pass
    tell(emit, "console", url=running.console.url, link=link, purpose=purpose)


def _example(services: Services, target: Target, newest: Snapshot) -> str:
    """The absolute path of some file of a snapshot, a readme if there is one, to show commands with."""
    found = ""
    for path, entry in walk(services.repository, decode_tree_entry(newest.root)):
        if entry.type is EntryType.FILE:
            if path.lower().startswith("readme"):
                return join(target.path, path)
            found = found or join(target.path, path)
        if path.count("/") > 2:
            break
    return found
