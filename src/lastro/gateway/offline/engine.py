"""``OfflineEngine``: runs an offline model when somebody asks it, and lets it go when nobody does.

The engine is a child process (``engine_process``) with an address on this machine and a key of its own. States:

    stopped ──ready──► starting ──reported──► running ──idle, close, another model──► stopped
                          │                      │
                          └─ error, remembered   └─ died ──► stopped, the next start after a pause that doubles

What always holds: at most one model is loaded; it is never stopped while it answers, unless the gateway itself stops; the child dies with
the gateway, and gets nothing of its environment that could be a provider's key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from lastro.domain.paths import to_bytes
from lastro.errors import DamagedError, FormatError, LastroError, UnreachableError
from lastro.gateway.offline.engine_child import EngineChild
from lastro.gateway.offline.engine_process import EngineOrder
from lastro.gateway.offline.fit import context_for, inspect_machine
from lastro.gateway.offline.models import ModelDirectory, OfflineModel
from lastro.messages import N_

_SHORT_LIFE_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 60.0
_LOOK_S: Final = 0.1


class EngineSettings(Struct, frozen=True, kw_only=True):
    """How the engine runs. 0: found out from the machine."""

    threads: int = 0
    """Else all processors but one. Threads that wait spin, so more than are free makes it many times slower."""
    parallel: int = 1
    """Conversations at once; further ones wait."""
    context: int = 0
    """Tokens for each of them; else the model's own, as far as half of the free memory goes."""
    idle_s: float = 600.0
    """Stopped after nobody asked for so long."""
    start_s: float = 300.0
    """The longest that loading may take."""
    switch_s: float = 30.0
    """How long a call for another model waits for the running answers."""
    prompt_cache_bytes: int = 256 * 1024 * 1024
    verify_bytes: int = 4 * 1024 * 1024 * 1024
    """Weights up to this size are compared with their digest at each start (a second for a gigabyte)."""


class EngineState(Struct, frozen=True, kw_only=True):
    """For status: empty and 0 when it is stopped."""

    model: str = ""
    pid: int = 0
    address: str = ""
    context: int = 0
    starts: int = 0
    """Since the gateway began."""


class OfflineEngine:
    """Implements ``collaborators.Engine``. ``monotonic`` (seconds) and ``new_key`` (a random text for each start) are given."""

    def __init__(
        self,
        directory: ModelDirectory,
        *,
        new_key: Callable[[], str],
        settings: EngineSettings | None = None,
        python: str = sys.executable,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._settings = settings or EngineSettings()
        self._python = python
        self._monotonic = monotonic
        self._new_key = new_key
        self._changing = asyncio.Lock()
        self._child: EngineChild | None = None
        self._idle: asyncio.Task[None] | None = None
        self._asked_s = 0.0
        self._began_s = 0.0
        self._starts = 0
        self._deaths = 0
        self._not_before_s = 0.0
        self._refused: dict[str, tuple[tuple[int, ...], LastroError]] = {}

    async def ready(self, model: str) -> tuple[str, Mapping[str, str]]:
        """Base URL (with ``/v1``) and headers of the running engine with this model, started if it was not.

        Raises:
            NotFoundError: the model was not pulled.
            DamagedError: its weights are wrong or cut off.
            FormatError: the engine does not know its architecture.
            ConfigError: this installation has no engine.
            UnreachableError: it died and rests (``retry_after_s``), there is not enough memory, or it still answers with another model.
        """
        child = await self._run(model)
        return f"{child.address}/v1", child.headers

    async def count_tokens(self, model: str, text: str) -> int:
        """How many tokens ``text`` is for ``model``, exactly, without what a template adds.

        Raises:
            LastroError: as ``ready``.
        """
        answer = await (await self._run(model)).ask("POST", "/tokenize", {"content": text})
        return len(answer["tokens"])

    def state(self) -> EngineState:
        """What runs now."""
        child = self._child
        if child is None or not child.alive:
            return EngineState(starts=self._starts)
        return EngineState(
            model=child.order.name,
            pid=child.pid,
            address=child.address,
            context=child.order.context,
            starts=self._starts,
        )

    async def close(self) -> None:
        """Stop the engine, answering or not."""
        async with (
            self._changing
        ):  # so that the task below is cancelled while it waits, never while it stops the child
            if self._idle is not None:
                self._idle.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._idle
                self._idle = None
            await self._stop()

    async def _run(self, model: str) -> EngineChild:
        self._asked_s = self._monotonic()
        child = self._child
        if child is not None and child.alive and child.order.name == model:
            return child
        async with self._changing:
            child = self._child
            if child is not None and child.alive and child.order.name == model:
                return child
            offline = await asyncio.to_thread(self._directory.model, model)
            await self._make_way(model)
            self._child = child = await self._start(offline)
            self._asked_s = self._monotonic()
            if self._idle is None:
                self._idle = asyncio.create_task(self._stop_when_idle())
            return child

    async def _make_way(self, model: str) -> None:
        """Stop what runs, once it has answered; raise while a death is too fresh."""
        child = self._child
        if child is not None and child.alive:
            waited_until = self._monotonic() + self._settings.switch_s
            while await self._is_busy(child):
                if self._monotonic() >= waited_until:
                    raise UnreachableError(
                        N_("The offline engine still answers with {running}, and runs one model at a time."),
                        hint=N_("Try again when that answer is complete, or ask for {running}."),
                        running=child.order.name,
                        model=model,
                        retry_after_s=self._settings.switch_s,
                    )
                await asyncio.sleep(_LOOK_S)
        await self._stop()
        rest = self._not_before_s - self._monotonic()
        if rest > 0:
            raise UnreachableError(
                N_("The offline engine died {count} times; it is tried again in {retry_after_s} seconds."),
                hint=N_("lastro doctor shows whether this model fits into the memory of this machine."),
                count=self._deaths,
                retry_after_s=round(rest, 1),
            )

    async def _start(self, model: OfflineModel) -> EngineChild:
        weights = self._directory.weights(model.name)
        stamp = _stamp(weights)
        if (refused := self._refused.get(model.name)) is not None and refused[0] == stamp:
            raise _again(refused[1])
        context, threads = await asyncio.to_thread(self._room, model)
        order = EngineOrder(
            name=model.name,
            weights=weights,
            digest=model.digest,
            size=model.size,
            context=context,
            key=self._new_key(),
            parent=os.getpid(),
            threads=threads,
            parallel=self._settings.parallel,
            prompt_cache_bytes=self._settings.prompt_cache_bytes,
            verify=model.size <= self._settings.verify_bytes,
        )
        self._starts += 1
        self._began_s = self._monotonic()
        try:
            return await EngineChild.launch(order, python=self._python, start_s=self._settings.start_s)
        except (DamagedError, FormatError) as error:
            self._refused[model.name] = (stamp, error)
            raise

    def _room(self, model: OfflineModel) -> tuple[int, int]:
        """Tokens of context for each conversation, and threads."""
        machine = inspect_machine(ask_gpu=False)
        threads = self._settings.threads or max(1, machine.cores - 1)
        if self._settings.context:
            return min(self._settings.context, model.context or self._settings.context), threads
        available = machine.available
        half = model.size + (available - model.size) // 2
        context = context_for(model, half, parallel=self._settings.parallel)
        if not context:
            raise UnreachableError(
                N_(
                    "There is not enough memory for the offline model {name}: it needs {needed} bytes, {available} are free."
                ),
                hint=N_("Close other programs, or take a smaller model: lastro gateway models list."),
                name=model.name,
                needed=model.size,
                available=available,
            )
        return context, threads

    async def _stop_when_idle(self) -> None:
        while True:
            rest = self._asked_s + self._settings.idle_s - self._monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
                continue
            async with self._changing:
                child = self._child
                if child is not None and child.alive and await self._is_busy(child):
                    self._asked_s = self._monotonic()
                elif self._asked_s + self._settings.idle_s <= self._monotonic():
                    await self._stop()
                    self._idle = None
                    return

    async def _stop(self) -> None:
        """Take leave of the child, if there is one; a death that we did not cause is counted."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.alive:
            self._deaths = 0
        else:
            now = self._monotonic()
            self._deaths = self._deaths + 1 if now - self._began_s < _SHORT_LIFE_S else 1
            pause = min(2.0 ** (self._deaths - 2), _LONGEST_PAUSE_S) if self._deaths > 1 else 0.0
            self._not_before_s = now + pause
        await child.end()

    async def _is_busy(self, child: EngineChild) -> bool:
        try:
            slots = await child.ask("GET", "/slots")
        except UnreachableError:
            return False
        return any(slot["is_processing"] for slot in slots)


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(to_bytes(path))
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _again(error: LastroError) -> LastroError:
    return type(error)(error.msgid, hint=error.hint, **error.parameters)
