"""Operations on servers: ``server.add``, ``server.list``, ``server.health``; and ``describe_server`` for whoever judges them."""

from __future__ import annotations

import msgspec

from lastro.app.events import Event
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.requests import RootState, ServerAdd, ServerList, ServerState
from lastro.app.requests.health import HealthReply, ServerHealth
from lastro.app.services import Services
from lastro.domain.server import Server
from lastro.domain.target import Target, TargetKind
from lastro.errors import NotFoundError, UnreachableError
from lastro.messages import N_


def add(services: Services, request: ServerAdd) -> ServerState:
    """Pair with a node by its join token."""
    if services.links is None:
        raise UnreachableError(
            N_("No keeper is running."),
            hint=N_("Start it with 'lastro keeper serve' or 'lastro up', then try again."),
        )
    server = services.links.pair(request.token, request.name)
    services.publish(
        Event(
            kind="server",
            time_ns=services.clock.wall_ns(),
            parameters={"name": server.name, "change": "added"},
        )
    )
    return describe_server(services, server)


def show_all(services: Services, _: Nothing) -> ServerList:
    """All servers, by name."""
    from lastro.app.health import judged_servers  # noqa: PLC0415  as above

    return ServerList(servers=judged_servers(services))


def health(services: Services, request: ServerHealth) -> HealthReply:
    """How servers are, in numbers and in words."""
    from lastro.app.health import health_of, keeper_use  # noqa: PLC0415  it stands on what is here

    known = services.timeline.servers()
    if request.name and not any(server.name == request.name for server in known):
        raise NotFoundError(
            N_("There is no server called {name}."), hint=N_("See 'lastro server list'."), name=request.name
        )
    return HealthReply(
        servers=tuple(
            health_of(services, server, samples=request.samples)
            for server in known
            if request.name in {"", server.name}
        ),
        keeper=keeper_use(services),
    )


def describe_server(services: Services, server: Server) -> ServerState:
    """One server with its roots: those watched now, and those whose history is kept."""
    live = services.links.root_states(server.id) if services.links else {}
    recorded = {
        target.path: _root(
            services, target, live.get(target.path), watched=services.links is None or target.path in live
        )
        for target in services.timeline.targets(server.id)
        if target.kind is TargetKind.FILES
    }
    roots = {**live, **recorded}
    return ServerState(
        id=server.id,
        name=server.name,
        device=server.device,
        address=server.address,
        link=services.links.link_state(server.id)
        if services.links
        else ("unknown" if server.device else "none"),
        problem=services.links.link_problem(server.id) if services.links else "",
        roots=tuple(roots[path] for path in sorted(roots)),
    )


def _root(services: Services, target: Target, live: RootState | None, *, watched: bool) -> RootState:
    newest = services.timeline.snapshot_at(target, None)
    state = live or RootState(
        path=target.path, watched=watched, snapshots=0, last_snapshot=0, last_ns=0, files=0, bytes=0
    )
    if newest is None:
        return state
    return msgspec.structs.replace(
        state,
        snapshots=services.timeline.count_snapshots(target),
        last_snapshot=newest.number,
        last_ns=newest.time_ns,
        files=newest.statistics.files,
        bytes=newest.statistics.bytes,
        warnings=len(newest.warnings),
    )


OPERATIONS = (
    Operation(
        name="server.add",
        request=ServerAdd,
        reply=ServerState,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=add,
        summary=N_("Pair with a server's node and protect the server from now on."),
    ),
    Operation(
        name="server.health",
        request=ServerHealth,
        reply=HealthReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=health,
        summary=N_("How servers are: what is kept until when, how they do, and what is wrong."),
    ),
    Operation(
        name="server.list",
        request=Nothing,
        reply=ServerList,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=show_all,
        summary=N_("All servers and how they are."),
    ),
)
