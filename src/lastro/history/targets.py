"""Which servers there are, what of them was captured, and which target holds a path."""

from __future__ import annotations

import sqlite3

from lastro.domain.ids import LOCAL, ServerId
from lastro.domain.paths import from_bytes, is_within, relative_to, to_bytes
from lastro.domain.server import Server
from lastro.domain.target import Target, TargetKind
from lastro.errors import NotFoundError, UsageError
from lastro.history.answers import Located
from lastro.history.projection import Projection
from lastro.history.rows import THIS_MACHINE
from lastro.messages import N_


class Targets:
    """Where things are: the questions about history in which no time occurs. ``Timeline`` adds the others."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection

    @property
    def projection(self) -> Projection:
        """What it reads."""
        return self._projection

    def servers(self) -> list[Server]:
        """All servers by name, ``local`` (this machine) among them once it has a target or a node."""
        self._projection.refresh()
        with self._projection.reading() as database:
            rows = database.execute("SELECT id, name, device, address FROM server ORDER BY name").fetchall()
            servers = [
                Server(id=ServerId(row[0]), name=row[1], device=row[2], address=row[3]) for row in rows
            ]
            if (
                not any(server.id == LOCAL for server in servers)
                and database.execute("SELECT 1 FROM target WHERE server = ?", (LOCAL,)).fetchone()
            ):
                servers.insert(0, THIS_MACHINE)
        return servers

    def server(self, name: str) -> Server:
        """The server called ``name``.

        Raises:
            NotFoundError: there is none.
        """
        for server in self.servers():
            if name in {server.name, server.id}:
                return server
        if name == LOCAL:
            return THIS_MACHINE
        raise NotFoundError(
            N_("There is no server called {name}."),
            hint=N_("See 'lastro server list'. For a file of this machine write ./{name}"),
            name=name,
        )

    def certificate(self, server: ServerId) -> bytes:
        """DER of the server's pinned node certificate; empty when it has no node."""
        self._projection.refresh()
        with self._projection.reading() as database:
            row = database.execute("SELECT certificate FROM server WHERE id = ?", (server,)).fetchone()
        return bytes(row[0]) if row else b""

    def targets(self, server: ServerId | None = None) -> list[Target]:
        """What has been captured, in order of path; not what runs made of it in their own views."""
        self._projection.refresh()
        with self._projection.reading() as database:
            rows = database.execute(
                "SELECT server, kind, path FROM target WHERE kind <> 'run' ORDER BY server, path, kind"
            ).fetchall()
        targets = [Target(ServerId(row[0]), TargetKind(row[1]), from_bytes(row[2])) for row in rows]
        return [target for target in targets if server is None or target.server == server]

    def locate(self, server_name: str, path: str) -> Located:
        """Where history keeps ``path``: absolute, or relative to any captured root where that is unambiguous.

        ``""`` is the server's only root.

        Raises:
            NotFoundError: no captured root holds it.
            UsageError: several roots have such a path.
        """
        server = self.server(server_name)
        targets = self.targets(server.id)
        if path.startswith("/"):
            holding = [target for target in targets if is_within(path, target.path)]
            known = [target for target in holding if self._knows(target, relative_to(path, target.path))]
            for candidates in (known, holding):
                if candidates:
                    best = max(
                        candidates, key=lambda target: (target.kind is TargetKind.FILES, len(target.path))
                    )
                    return Located(server=server, target=best, path=relative_to(path, best.path))
            raise NotFoundError(
                N_("Nothing at {path} has ever been captured on {server}."),
                hint=N_(
                    "Watch it with 'lastro node roots add {path}', or capture it once with 'lastro capture {path}'."
                ),
                path=path,
                server=server_name,
            )
        matches = [
            target
            for target in targets
            if target.kind is TargetKind.FILES and (not path or self._knows(target, path))
        ]
        matches = matches or [target for target in targets if path and self._knows(target, path)]
        if len(matches) == 1:
            return Located(server=server, target=matches[0], path=path)
        if not matches:
            raise NotFoundError(
                N_("No captured root of {server} has ever held {path}."),
                hint=N_("Look for it with 'lastro find NAME', or give the absolute path."),
                server=server_name,
                path=path or "/",
            )
        raise UsageError(
            N_("{path} exists in several roots of {server}: {roots}"),
            hint=N_("Give the absolute path."),
            path=path or server_name,
            server=server_name,
            roots=", ".join(target.path for target in matches),
        )

    def _knows(self, target: Target, path: str) -> bool:
        with self._projection.reading() as database:
            row = target_row(database, target)
            if row is None:
                return False
            if path == "":
                return True
            return (
                database.execute(
                    "SELECT 1 FROM path WHERE target = ? AND path = ?", (row, to_bytes(path))
                ).fetchone()
                is not None
            )


def target_row(database: sqlite3.Connection, target: Target) -> int | None:
    """The projection's own number of a target; ``None`` where nothing of it was captured."""
    row = database.execute(
        "SELECT id FROM target WHERE server = ? AND kind = ? AND path = ?",
        (target.server, target.kind.value, to_bytes(target.path)),
    ).fetchone()
    return None if row is None else int(row[0])
