"""The gateway as a process: sockets for tools and for its owner, the parts behind them, and what changes while it runs."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import signal
import socket
import sys
import time
from contextlib import ExitStack
from typing import Final

from lastro import __version__
from lastro.app.child_process import end_with_parent
from lastro.app.gateway.errands import Errands
from lastro.app.gateway.events import Teller, TellingRecorder
from lastro.app.gateway.local_key import keep_local_key, read_local_key
from lastro.app.gateway.owner import Owner
from lastro.app.gateway.parts import (
    OfflineFacts,
    make_directories,
    open_credentials,
    open_keyring,
    open_prices,
    require_gateway,
)
from lastro.app.gateway.places import GatewayPlaces, gateway_places
from lastro.app.home import make_home, make_socket_directory
from lastro.app.places import Places
from lastro.app.signals import Emit, tell
from lastro.domain.clock import Clock, SystemClock
from lastro.domain.record import Actor
from lastro.errors import ConfigError, NotFoundError
from lastro.gateway.administration import GatewayStatus
from lastro.gateway.budgets import Budgets
from lastro.gateway.circuit import Circuits
from lastro.gateway.configuration import Configuration
from lastro.gateway.exchange import Exchange
from lastro.gateway.exchange_id import new_exchange_id
from lastro.gateway.exchanges import Shown, show
from lastro.gateway.keys import GatewayKey
from lastro.gateway.ledger import Ledger
from lastro.gateway.offline.engine import OfflineEngine
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.probe_store import ProbeStore
from lastro.gateway.recorder import Recorder, spool_key
from lastro.gateway.redaction.known import KnownFiles
from lastro.gateway.redaction.redactor import Redactor
from lastro.gateway.repository import open_or_create_repository
from lastro.gateway.routing import SettingsRouter
from lastro.gateway.spool import Spool
from lastro.gateway.stepping import SupervisorSteps
from lastro.gateway.tokens import estimate_tokens
from lastro.messages import N_, Message
from lastro.store.crypto import derive
from lastro.transport.identity import load_or_make_identity
from lastro.transport.unix import bind_owner_only, remove_socket

LOOKING: Final = GatewayKey(id="looking", name="looking", digest="")
"""A key that may use everything, to look what there is."""
_LOOK_S: Final = 1.0
_FLUSH_S: Final = 2.0
_COLLECT_AFTER: Final = 5000
"""Objects: a call makes hundreds that need no collection."""
_SWITCH_S: Final = 0.0005
"""How long a thread that records may keep the event loop waiting; ten times as long by default."""


def serve_gateway(places: Places, *, emit: Emit, port: int | None = None) -> int:
    """Run the gateway until SIGINT, SIGTERM or SIGHUP.

    Raises:
        ConfigError: ``gateway.toml`` or ``prices.toml`` cannot be used, the port is taken, or this installation has no gateway.
        LockedError: a gateway of this home runs already.
    """
    require_gateway()
    end_with_parent()
    os.makedirs(places.secrets, mode=0o700, exist_ok=True)
    make_home(places, instance=load_or_make_identity(f"{places.secrets}/keeper.pem").device)
    make_socket_directory(places)
    with ExitStack() as stack:
        teller = Teller(emit)
        stack.callback(teller.close)
        gateway = _Gateway(gateway_places(places), teller, SystemClock(), stack)
        asyncio.run(gateway.serve(port))
    if teller.hangs:
        # All is closed. Another word, even the interpreter's own flush, would wait for that reader for ever.
        os._exit(0)
    tell(emit, "stopped", what="gateway")
    return 0


class _Gateway:
    """One gateway: opened in the constructor, before any event loop; ``serve`` runs it. What it opened is closed by ``stack``."""

    def __init__(self, places: GatewayPlaces, teller: Teller, clock: Clock, stack: ExitStack) -> None:
        self._places = places
        self._teller = teller
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        make_directories(places)
        self._configuration = Configuration(places.configuration, on_problem=self._configuration_problem)
        self._prices = open_prices(places, clock, on_problem=teller.problem)
        self._credentials = open_credentials(places, lambda: self._configuration.current().providers, clock)
        self._keyring = open_keyring(places, clock)
        self._probes = ProbeStore(places.probes)
        self._models = ModelDirectory(places.models)
        self._unseen = ""
        self._known_paths: tuple[str, ...] = ()
        self._known_files = KnownFiles(())
        self._offline = OfflineFacts(self._models, on_problem=teller.problem)
        actor = Actor(kind="gateway")
        made = not os.path.exists(f"{places.repository}/format")
        self._repository = open_or_create_repository(
            places.repository,
            key_file=places.repository_key,
            kit_path=places.recovery_kit,
            cache=f"{places.cache}/gateway-chunks.sqlite",
            actor=actor,
            clock=clock,
        )
        stack.callback(self._repository.close)
        if made:
            teller.tell("gateway_initialized", path=places.repository, recovery_kit=places.recovery_kit)
        self._ledger = Ledger(self._repository, f"{places.cache}/gateway-ledger.sqlite")
        stack.callback(self._ledger.close)
        spool = Spool(f"{places.state}/spool", spool_key(self._repository))
        self._recorder = Recorder(self._repository, self._ledger, spool, actor=actor, report=teller.problem)
        stack.callback(self._recorder.close)
        keep_local_key(places, self._keyring)
        self._local_key = read_local_key(places)

    # Serving

    async def serve(self, port: int | None) -> None:
        """Answer until a signal says to stop."""
        from lastro.gateway.admin import AdminServer  # noqa: PLC0415  aiohttp, which only a gateway needs
        from lastro.gateway.answering import Answerer  # noqa: PLC0415  as above
        from lastro.gateway.http_upstream import HttpUpstream, environment_proxies  # noqa: PLC0415  as above
        from lastro.gateway.listening import open_listener  # noqa: PLC0415  as above
        from lastro.gateway.serving import GatewayServer  # noqa: PLC0415  as above

        settings = self._configuration.current()
        listener, tls = open_listener(settings.listen, port=port)
        stop = _stop_event()
        circuits = Circuits(settings.circuit, clock=time.monotonic, beyond=self._providers_beyond)
        upstream = HttpUpstream(proxies=environment_proxies())
        engine = OfflineEngine(self._models, new_key=lambda: secrets.token_hex(32))
        steps = SupervisorSteps(clock_ns=self._clock.wall_ns)
        router = SettingsRouter(
            settings=self._configuration.current,
            probes=self._probes.all,
            offline_models=self._offline.all,
            health=circuits,
            random=random.random,
            has_key=self._credentials.has_key,
            known_facts=self._prices.facts,
        )
        purse = Budgets(
            budgets=lambda: self._configuration.current().budgets,
            allow_unknown_prices=lambda: self._configuration.current().allow_unknown_prices,
            prices=self._prices,
            spent=self._ledger.spent,
            wall_ns=self._clock.wall_ns,
        )
        answerer = Answerer(
            upstream=upstream,
            router=router,
            purse=purse,
            redactor=self._redactor(),
            recorder=TellingRecorder(self._recorder, self._teller),
            credentials=self._credentials,
            engine=engine,
            steps=steps,
            circuits=circuits,
            bounds=lambda: self._configuration.current().bounds,
            estimate_tokens=estimate_tokens,
            new_id=lambda: new_exchange_id(self._clock.wall_ns(), secrets.token_bytes(10)),
            time_ns=self._clock.wall_ns,
            monotonic_ns=self._clock.monotonic_ns,
        )
        server = GatewayServer(
            answering=answerer,
            keys=self._keyring,
            models=router.models,
            exchange=self._find_exchange,
            settings=self._configuration.current,
        )
        addresses = (_address_of(listener, tls=tls is not None), f"unix:{self._places.socket}")
        errands = Errands(
            settings=self._configuration.current,
            credentials=self._credentials,
            upstream=upstream,
            engine=engine,
            models=self._models,
            probes=self._probes,
            clock=self._clock,
        )
        owner = Owner(
            self,
            errands=errands,
            in_flight=lambda: server.in_flight,
            circuits=circuits,
            purse=purse,
            engine=engine,
            steps=steps,
            addresses=addresses,
        )
        admin = AdminServer(keyring=self._keyring, gateway=owner, clock_ns=self._clock.wall_ns)
        try:
            await server.listen(listener, tls=tls)
            await server.listen(bind_owner_only(self._places.socket))
            await admin.listen(bind_owner_only(self._places.admin_socket))
            gc.collect()
            gc.freeze()  # what was imported lives as long as the process: no collection has to walk it
            gc.set_threshold(_COLLECT_AFTER, 20, 20)
            sys.setswitchinterval(_SWITCH_S)
            self._teller.tell("listening", what="gateway", address=addresses[0])
            if not router.models(LOOKING):
                self._teller.problem(_no_model())
            await self._stay(stop, circuits)
        finally:
            await admin.close()
            await server.close()
            await engine.close()
            steps.close()
            await upstream.close()
            remove_socket(self._places.socket)
            remove_socket(self._places.admin_socket)

    async def _stay(self, stop: asyncio.Event, circuits: Circuits) -> None:
        """Take up what changes on disk, until it is time to stop."""
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), _LOOK_S)
            except TimeoutError:
                self._look(circuits)

    def _look(self, circuits: Circuits) -> None:
        """Take up what changed. What cannot be looked at is told once, and ends nobody's answer."""
        try:
            if self._configuration.refresh():
                self._teller.tell("gateway_reloaded", path=self._places.configuration)
            self._probes.refresh()
            self._offline.refresh()
        except OSError as error:
            if str(error) != self._unseen:
                self._teller.problem(_cannot_look(error))
            self._unseen = str(error)
        else:
            self._unseen = ""
        circuits.settings = self._configuration.current().circuit

    def reload(self, circuits: Circuits) -> bool:
        """Read configuration now."""
        self._probes.refresh()
        self._offline.refresh()
        changed = self._configuration.reload()
        circuits.settings = self._configuration.current().circuit
        return changed

    def status(self, **live: object) -> GatewayStatus:
        """How it stands; ``live`` is what only the running parts know."""
        problem = self._configuration.problem
        return GatewayStatus(
            pid=os.getpid(),
            version=__version__,
            uptime_s=(self._clock.monotonic_ns() - self._started_ns) / 1e9,
            problem=str(problem) if problem is not None else "",
            **live,  # type: ignore[arg-type]  # the caller's are checked there
        )

    def _providers_beyond(self) -> int:
        """How many providers are not of this machine or network."""
        providers = self._configuration.current().providers
        return sum(provider.enabled and not provider.local for provider in providers)

    def providers(self) -> tuple[tuple[str, str, bool], ...]:
        """Name, kind and whether it is enabled, of each."""
        return tuple(
            (provider.name, provider.kind.value, provider.enabled)
            for provider in self._configuration.current().providers
        )

    # Parts

    def _redactor(self) -> Redactor:
        key = derive(
            self._repository.keyring.cache_key,
            bytes.fromhex(self._repository.id),
            b"lastro-gateway-redaction-0",
        )
        local = frozenset({self._local_key})
        return Redactor(
            key,
            sources=(self._credentials.all_values, self._known_values, lambda: local),
            clock=self._clock,
        )

    def _known_values(self) -> frozenset[str]:
        """The values of the files that configuration names as they are now."""
        paths = self._configuration.current().known_secrets
        if paths != self._known_paths:
            self._known_paths, self._known_files = paths, KnownFiles(paths)
        return self._known_files.values()

    def show(self, identifier: str) -> Shown:
        """One exchange, whole. Blocks.

        Raises:
            NotFoundError: there is none.
        """
        self._recorder.flush(_FLUSH_S)
        self._ledger.refresh(words=False)
        return show(self._repository, self._ledger, identifier)

    def _find_exchange(self, identifier: str) -> Exchange | None:
        self._recorder.flush(_FLUSH_S)
        try:
            found = self._ledger.find(identifier)
        except NotFoundError:
            return None
        return Exchange(began=found.began, ended=found.ended)

    def _configuration_problem(self, error: ConfigError | None) -> None:
        if error is not None:
            self._teller.problem(error)


def _cannot_look(error: OSError) -> Message:
    return Message(
        msgid=N_("The gateway goes on with what it knows: {reason}"),
        parameters={"reason": error.strerror or str(error)},
    )


def _no_model() -> Message:
    """What whoever asks now would be told."""
    return Message(
        msgid=N_(
            "No model can be asked yet: 'lastro gateway models pull smollm2' brings an offline one, 'lastro gateway providers add' others."
        )
    )


def _stop_event() -> asyncio.Event:
    """Set by SIGINT, SIGTERM, and by SIGHUP (a closed terminal) unless whoever started it ignores that, as ``nohup`` does."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    return stop


def _address_of(listener: socket.socket, *, tls: bool) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
