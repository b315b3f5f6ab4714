"""``SupervisorSteps``: tells the supervisor of a run that the run's next model call begins, so that it notes which files changed before it.

The supervisor listens on the unix socket that stands in the run's key; ``notices`` has the words.

What always holds: a notice takes ``WAIT_S`` at most, and never fails the call it belongs to; a supervisor that is slow, dead or hostile
costs its own run this time and nothing else. Only a process of this user (or root) is talked to. Lines that answer another exchange
are late ones, and are passed over. Each run has one connection; whoever overruns it loses it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from lastro.domain.paths import to_bytes
from lastro.gateway.keys import GatewayKey
from lastro.gateway.notices import LONGEST_LINE, Noted, Notice
from lastro.transport.unix import may_listen_for, peer_credentials

WAIT_S: Final = 0.1
"""From the notice to its answer, with connecting."""
MOST_CONNECTIONS: Final = 256
"""Runs that are connected at once; the one that was silent for longest makes room."""
LATE_LINES: Final = 64
"""Lines for other exchanges that are read for one notice."""


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Noted)


_FAILURES: Final = (OSError, EOFError, asyncio.LimitOverrunError)  # TimeoutError is an OSError


class _Run:
    """The connection of one run, and whose turn it is to speak: answers come in the order of the notices."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def connection(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The one that stands, or a new one to ``path``."""
        if self.reader is None or self.writer is None or self.writer.is_closing() or self.reader.at_eof():
            self.close()
            self.reader, self.writer = await _connect(path)
        return self.reader, self.writer

    def close(self) -> None:
        """Let the connection go; what is unsent is of no use any more."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None


class SupervisorSteps:
    """A ``collaborators.Steps``. ``clock_ns`` gives nanoseconds since 1970."""

    def __init__(self, *, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    async def notice(self, key: GatewayKey, exchange: str, step: int) -> bool | None:
        """See ``collaborators.Steps.notice``."""
        if not key.steps:
            return None
        said = Notice(run=key.run, key=key.id, exchange=exchange, step=step, time_ns=self._clock_ns())
        run = self._run(key)
        try:
            async with asyncio.timeout(WAIT_S), run.turn:
                return await _tell(run, key.steps, said)
        except _FAILURES:
            return False

    def forget(self, key_id: str) -> None:
        """Let the connection for this key go: its run ended, or its key was revoked."""
        run = self._runs.pop(key_id, None)
        if run is not None:
            run.close()

    def close(self) -> None:
        """Let all connections go."""
        for key_id in tuple(self._runs):
            self.forget(key_id)

    def _run(self, key: GatewayKey) -> _Run:
        run = self._runs.setdefault(key.id, _Run())
        self._runs.move_to_end(key.id)
        while len(self._runs) > MOST_CONNECTIONS:
            self.forget(next(iter(self._runs)))
        return run


async def _tell(run: _Run, path: str, said: Notice) -> bool:
    answered = False
    try:
        reader, writer = await run.connection(path)
        writer.write(_ENCODER.encode(said) + b"\n")
        await writer.drain()
        answered = await _answers(said.exchange, reader)
    finally:
        if not answered:  # late, cut off, or no supervisor at all
            run.close()
    return answered


async def _connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(raw, to_bytes(path))
        _require_trusted(raw, path)
        return await asyncio.open_unix_connection(sock=raw, limit=LONGEST_LINE)
    except BaseException:
        raw.close()
        raise


def _require_trusted(connected: socket.socket, path: str) -> None:
    if not may_listen_for(peer_credentials(connected).uid, own=os.geteuid()):
        raise PermissionError(path)


async def _answers(exchange: str, reader: asyncio.StreamReader) -> bool:
    for _ in range(LATE_LINES):
        try:
            noted = _DECODER.decode(await reader.readuntil(b"\n"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if noted.exchange == exchange:
            return True
    return False
