"""A keeper's HTTP face in a thread of the test, over a small table of operations."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from types import SimpleNamespace

from blake3 import blake3
from msgspec import Struct

from lastro.app.caller import Bytes
from lastro.app.events import Event
from lastro.app.operation import Effect, Operation, Place
from lastro.app.socket_caller import SocketCaller
from lastro.errors import ConflictError, DamagedError, UsageError
from lastro.faces.http.server import serve
from lastro.transport.unix import bind_owner_only, remove_socket


class Echo(Struct, frozen=True, kw_only=True):
    text: str
    many: tuple[str, ...] = ()


class Echoed(Struct, frozen=True, kw_only=True):
    text: str
    actor: str
    uid: int | None
    thread: str


class Pour(Struct, frozen=True, kw_only=True):
    size: int
    blocks: tuple[tuple[int, bytes], ...]
    fail: bool = False


def _echo(services, request):
    actor, thread = services.actor, threading.current_thread().name
    return Echoed(text=request.text, actor=actor.kind, uid=actor.uid, thread=thread)


def _refuse(_services, request):
    raise ConflictError("{path} changed.", hint="Look at {path}.", path=request.text)


def _break(_services, _request):
    raise ZeroDivisionError("a defect")


def _pour(_services, request):
    def blocks():
        yield from request.blocks
        if request.fail:
            raise DamagedError("{object} is damaged.", object="pack 7")

    return Bytes(size=request.size, digest=blake3(b"").digest(), blocks=blocks())


def _operation(name, run, request=Echo, reply=Echoed, place=Place.KEEPER):
    return Operation(
        name=name, request=request, reply=reply, effect=Effect.READ, place=place, run=run, summary=name
    )


OPERATIONS = (
    _operation("test.echo", _echo),
    _operation("test.refuse", _refuse),
    _operation("test.break", _break),
    _operation("test.pour", _pour, Pour, Bytes),
    _operation("test.here", _echo, place=Place.CALLER),
)


def find_operation(name):
    for operation in OPERATIONS:
        if operation.name == name:
            return operation
    raise UsageError("There is no operation called {name}.", name=name)


TABLE = SimpleNamespace(find_operation=find_operation, all_operations=lambda: OPERATIONS)


class Feed:
    """Events kept in memory: ``publish`` gives a durable one the next ``seq``."""

    def __init__(self):
        self.durable = []
        self._deliveries = {}
        self._ids = itertools.count()
        self.lock = threading.Lock()

    def publish(self, kind="snapshot", *, durable=True, **parameters):
        with self.lock:
            seq = len(self.durable) if durable else None
            event = Event(kind=kind, time_ns=1, seq=seq, parameters=parameters)
            if durable:
                self.durable.append(event)
            for deliver in list(self._deliveries.values()):
                deliver(event)

    def replay(self, after):
        return [event for event in self.durable if event.seq > after]

    def subscribe(self, deliver):
        number = next(self._ids)
        self._deliveries[number] = deliver
        return lambda: self._deliveries.pop(number, None)

    @property
    def listeners(self):
        return len(self._deliveries)


@contextlib.contextmanager
def serving(path, feed=None, *, admitted=None):
    """The face at the socket ``path``, until the context ends."""
    listener = bind_owner_only(path)
    services = SimpleNamespace(for_actor=lambda actor: SimpleNamespace(actor=actor))
    box = {}
    ready = threading.Event()

    async def main():
        box["loop"], box["stop"] = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        users = frozenset({os.geteuid()}) if admitted is None else admitted
        await serve(
            [listener], services=services, feed=feed or Feed(), stop=box["stop"], admitted=users, table=TABLE
        )

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait()
    try:
        yield SimpleNamespace(stop=lambda: box["loop"].call_soon_threadsafe(box["stop"].set))
    finally:
        if thread.is_alive():
            with contextlib.suppress(RuntimeError):
                box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(20)
        remove_socket(path)
        assert not thread.is_alive()


def caller(path):
    return SocketCaller(path, path, new_id=lambda: "offer", find=find_operation)
