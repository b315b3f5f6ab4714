"""The running keeper's servers: a link, a source and a pull for each that has a node (``services.Links``)."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from lastro.app.events import Event
from lastro.app.operations.capture import snapshot_event
from lastro.app.requests import RootState
from lastro.app.services import Services
from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.record import RecordKind, ServerBody
from lastro.domain.reference import is_server_name
from lastro.domain.server import Server
from lastro.domain.target import Target
from lastro.domain.telemetry import Sample
from lastro.errors import ConflictError, LastroError, UnreachableError, UsageError
from lastro.keeper.capture_cycle import CaptureResult
from lastro.keeper.connection import KeeperLoop, LinkEvent, NodeLink, dial_node
from lastro.keeper.node_source import NodeSource
from lastro.keeper.pull import PullReports, RootProgress, ServerPull
from lastro.keeper.telemetry import TelemetryRings
from lastro.messages import N_
from lastro.store.repository import RecordDraft
from lastro.transport.address import split_address
from lastro.transport.identity import Identity
from lastro.transport.join_token import parse_join_token
from lastro.transport.pairing import join

_PATIENCE = 3
"""Attempts to connect for the first time that may fail before it is called unreachable: the node may just be starting."""

_SILENCE_NS = 10 * 60 * 1_000_000_000
"""How long trouble that lasts is not told again; ``status`` shows it all the time."""


@dataclass(slots=True)
class _Linked:
    server: Server
    link: NodeLink
    pull: ServerPull
    state: str = "connecting"
    problem: str = ""
    failures: int = 0
    trouble: str = ""
    told: tuple[str, int] = ("", 0)


class KeeperLinks:
    """See ``services.Links``."""

    def __init__(
        self,
        services: Services,
        loop: KeeperLoop,
        identity: Identity,
        publish: Callable[[Event], None],
        rings: TelemetryRings | None = None,
    ) -> None:
        self._services = services
        self._loop = loop
        self._identity = identity
        self._publish = publish
        self._rings = rings
        self._linked: dict[ServerId, _Linked] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Connect to every server that has a node."""
        for server in self._services.timeline.servers():
            if server.device and server.address:
                self._connect(server)

    def close(self) -> None:
        """Stop every pull; what was acknowledged stays."""
        with self._lock:
            linked = list(self._linked.values())
            self._linked.clear()
        for each in linked:
            each.link.close()
        for each in linked:
            each.pull.close()

    def wait_settled(self, server: ServerId, timeout_s: float) -> bool:
        """Whether ``server`` has been listed in full once, waiting up to ``timeout_s`` seconds; one that is not known has been."""
        with self._lock:
            linked = self._linked.get(server)
        return linked is None or linked.pull.wait_settled(timeout_s)

    def link_state(self, server: ServerId) -> str:
        """See ``services.Links``."""
        with self._lock:
            linked = self._linked.get(server)
        return linked.state if linked else "none"

    def link_problem(self, server: ServerId) -> str:
        """Why a server cannot be reached, or why nothing of it is kept at the moment; empty when all is well."""
        with self._lock:
            linked = self._linked.get(server)
        return linked.problem or linked.trouble if linked else ""

    def root_states(self, server: ServerId) -> dict[str, RootState]:
        """See ``services.Links``."""
        with self._lock:
            linked = self._linked.get(server)
        if linked is None:
            return {}
        now = self._services.clock.monotonic_ns()
        return {path: _root_state(root, now) for path, root in linked.pull.progress().items()}

    def telemetry(self) -> TelemetryRings | None:
        """See ``services.Links``."""
        return self._rings

    def capture(self, server: Server, path: str) -> list[tuple[str, CaptureResult]]:
        """See ``services.Links``."""
        with self._lock:
            linked = self._linked.get(server.id)
        if linked is None:
            raise UnreachableError(
                N_("{server} has no node."),
                hint=N_("Pair with one: 'lastro server add TOKEN'."),
                server=server.name,
            )
        return linked.pull.capture_now(path)

    def pair(self, token: str, name: str) -> Server:
        """See ``services.Links``."""
        parsed = parse_join_token(token)
        if name:
            self._refuse_name(name)
        paired = self._loop.call(join(parsed, self._identity, name=socket.gethostname()))
        chosen = name or _server_name(paired.name)
        self._refuse_name(chosen)
        if chosen == LOCAL and not (name and _is_this_machine(paired.address)):
            # What is kept as 'local' is put back in place on this machine, so no other may call itself that.
            raise UsageError(
                N_("{name} is what this machine is called here."),
                hint=N_("Choose another name with '--name NAME'."),
                name=chosen,
            )
        identity = ServerId(LOCAL) if chosen == LOCAL else ServerId(secrets.token_hex(16))
        server = Server(id=identity, name=chosen, device=paired.device, address=paired.address)
        record_server(self._services, server, paired.certificate)
        self._connect(server)
        return server

    def _refuse_name(self, name: str) -> None:
        if not is_server_name(name):
            raise UsageError(
                N_("{name} cannot be the name of a server."),
                hint=N_("Use letters, digits, '.', '_' and '-', starting with a letter or digit."),
                name=name,
            )
        for server in self._services.timeline.servers():
            if server.name == name and (name != LOCAL or server.device):
                raise ConflictError(
                    N_("There is a server called {name} already."),
                    hint=N_("Choose another name with '--name NAME'."),
                    name=name,
                )

    def _connect(self, server: Server) -> None:
        dial = dial_node(server.address, self._identity, self._services.timeline.certificate(server.id))
        link = NodeLink(
            self._loop,
            dial,
            address=server.address,
            on_event=lambda event: self._on_link(server, event),
            on_sample=lambda sample: self._on_sample(server, sample),
        )
        reports = PullReports(
            captured=lambda target, result: self._captured(server, target, result),
            problem=lambda error: self._problem(server, error),
            missing=lambda path: self._tell("root_missing", server=server.name, path=path),
            overflow=lambda path: self._tell("overflow", server=server.name, path=path),
            roots=lambda paths: self._tell("roots_changed", server=server.name, paths=list(paths)),
            progress=self._services.report,
        )
        pull = ServerPull(
            server.id,
            NodeSource(link),
            self._services.cycle,
            actor=self._services.actor,
            clock=self._services.clock,
            reports=reports,
        )
        with self._lock:
            self._linked[server.id] = _Linked(server=server, link=link, pull=pull)
        link.start()
        pull.start()

    def _on_link(self, server: Server, event: LinkEvent) -> None:
        with self._lock:
            linked = self._linked.get(server.id)
            if linked is None:
                return
            known = linked.state
            linked.failures = 0 if event.kind == "connected" else linked.failures + 1
            linked.problem = "" if event.error is None else str(event.error)
            if event.kind == "connected" or known == "connected" or linked.failures >= _PATIENCE:
                linked.state = "connected" if event.kind == "connected" else "unreachable"
            state = linked.state
        if state != known:
            detail = event.address if event.error is None else str(event.error)
            self._tell(event.kind, server=server.name, detail=detail)

    def _on_sample(self, server: Server, sample: Sample) -> None:
        if self._rings is not None:
            self._rings.add(server.id, sample, self._services.clock.wall_ns())

    def _captured(self, server: Server, target: Target, result: CaptureResult) -> None:
        self._remember(server, "")
        if not result.unchanged:
            self._publish(snapshot_event(self._services, server.name, target, result))

    def _problem(self, server: Server, error: LastroError) -> None:
        """Tell of trouble with a capture, the same one not again with every attempt."""
        if not self._remember(server, str(error), msgid=error.msgid):
            return
        parameters = {key: str(value) for key, value in error.parameters.items()}
        self._tell("problem", server=server.name, msgid=error.msgid, hint=error.hint, parameters=parameters)

    def _remember(self, server: Server, trouble: str, *, msgid: str = "") -> bool:
        """What ``link_problem`` says from now on; returns whether to tell of it, for it is another or was told long ago."""
        now = self._services.clock.monotonic_ns()
        with self._lock:
            linked = self._linked.get(server.id)
            if linked is None:
                return bool(msgid)
            linked.trouble = trouble
            if not msgid or (linked.told[0] == msgid and now - linked.told[1] < _SILENCE_NS):
                linked.told = linked.told if msgid else ("", 0)
                return False
            linked.told = (msgid, now)
        return True

    def _tell(self, kind: str, **parameters: object) -> None:
        self._publish(Event(kind=kind, time_ns=self._services.clock.wall_ns(), parameters=parameters))


def record_server(services: Services, server: Server, certificate: bytes) -> None:
    """Write into the log what is true of a server from now on."""
    services.repository.append(
        RecordDraft(
            kind=RecordKind.SERVER,
            actor=services.actor,
            server=server.id,
            body=ServerBody(
                address=server.address, certificate=certificate, device=server.device, name=server.name
            ),
        )
    )


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(split_address(address)[0]).is_loopback
    except ValueError:
        return False


def _server_name(host: str) -> str:
    """A node's host name as a server name."""
    cleaned = "".join(
        character if character.isascii() and (character.isalnum() or character in "._-") else "-"
        for character in host
    )
    return cleaned.strip("._-")[:63] or "server"


def _root_state(root: RootProgress, now_ns: int) -> RootState:
    return RootState(
        path=root.path,
        watched=True,
        snapshots=0,
        last_snapshot=0,
        last_ns=0,
        files=0,
        bytes=0,
        checked_ns=root.checked_ns,
        pending=root.pending,
        rpo_ns=now_ns - root.oldest_change_ns if root.oldest_change_ns is not None else 0,
        good_ns=root.good_ns,
    )
