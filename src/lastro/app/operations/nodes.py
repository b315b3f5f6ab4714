"""Operations on this machine's node: its configuration. They need no keeper and no repository."""

from __future__ import annotations

import os
import socket

from lastro.app.desk import Desk
from lastro.app.home import make_home
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.operations.capture import real_path
from lastro.app.places import Places
from lastro.app.requests import NodeInit, NodeInitialized, Roots, RootsChange
from lastro.capture.source import Root
from lastro.domain.paths import is_within
from lastro.domain.reference import absolute
from lastro.errors import ConfigError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.node.config import add_root, read_config, remove_root
from lastro.node.daemon import make_node, node_places
from lastro.transport.identity import load_identity


def init(desk: Desk, request: NodeInit) -> NodeInitialized:
    """Make this machine's node, or add roots to the one that is there."""
    places = node_places(desk.places.config)
    paths = [_directory(path) for path in request.paths]
    os.makedirs(desk.places.secrets, mode=0o700, exist_ok=True)
    if not os.path.exists(places.config):
        make_node(places, name=request.name or socket.gethostname())
    elif request.name and request.name != read_config(places.config).name:
        raise ConfigError(
            N_("This machine's node is called {name} already."),
            hint=N_("To rename it, edit 'name' in {path}."),
            name=read_config(places.config).name,
            path=places.config,
        )
    identity = load_identity(places.identity)
    make_home(desk.places, instance=identity.device)
    for path in paths:
        add_root(places.config, Root(path=path))
    config = read_config(places.config)
    return NodeInitialized(
        name=config.name,
        device=identity.device,
        config=places.config,
        roots=tuple(root.path for root in config.roots),
    )


def roots_add(desk: Desk, request: RootsChange) -> Roots:
    """Watch more directories. A running node takes it up within a second or two."""
    path = _config(desk.places)
    known = {root.path for root in read_config(path).roots}
    wanted = [_directory(root) for root in request.paths]
    for root in wanted:
        if root not in known:
            add_root(path, Root(path=root))
    return _roots(path, unchanged=[root for root in wanted if root in known])


def roots_remove(desk: Desk, request: RootsChange) -> Roots:
    """Watch directories no longer. What was kept of them stays."""
    path = _config(desk.places)
    known = {root.path for root in read_config(path).roots}
    wanted = [_absolute(root) for root in request.paths]
    for root in wanted:
        if root not in known:
            raise NotFoundError(
                N_("{path} is not watched."), hint=N_("See 'lastro node roots list'."), path=root
            )
    for root in wanted:
        remove_root(path, root)
    return _roots(path)


def roots_list(desk: Desk, _: Nothing) -> Roots:
    """The directories that the node watches."""
    return _roots(_config(desk.places))


def _config(places: Places) -> str:
    path = node_places(places.config).config
    if not os.path.exists(path):
        raise NotFoundError(
            N_("This machine has no node yet."),
            hint=N_("Make one with 'lastro node init PATH', or run 'lastro up'."),
        )
    return path


def _roots(path: str, *, unchanged: list[str] | None = None) -> Roots:
    roots = tuple(root.path for root in read_config(path).roots)
    nested = (root for root in roots if any(root != other and is_within(root, other) for other in roots))
    return Roots(roots=roots, unchanged=tuple(unchanged or ()), nested=tuple(nested))


def _absolute(path: str) -> str:
    return real_path(absolute(path, directory=os.getcwd(), home=os.path.expanduser("~")))


def _directory(path: str) -> str:
    found = os.path.realpath(_absolute(path))
    if not os.path.isdir(found):
        raise UsageError(
            N_("{path} is not a directory."),
            hint=N_("Only directories can be watched; make it first."),
            path=path,
        )
    return found


OPERATIONS = (
    Operation(
        name="node.init",
        request=NodeInit,
        reply=NodeInitialized,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=init,
        summary=N_("Make this machine's node: its identity and its configuration."),
    ),
    Operation(
        name="node.roots.add",
        request=RootsChange,
        reply=Roots,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=roots_add,
        summary=N_("Watch more directories."),
        details=N_("A running node takes it up by itself, and the keeper captures them at once."),
    ),
    Operation(
        name="node.roots.remove",
        request=RootsChange,
        reply=Roots,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=roots_remove,
        summary=N_("Watch directories no longer; their history stays."),
    ),
    Operation(
        name="node.roots.list",
        request=Nothing,
        reply=Roots,
        effect=Effect.READ,
        place=Place.HOME,
        run=roots_list,
        summary=N_("The directories that the node watches."),
    ),
)
