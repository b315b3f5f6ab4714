"""One child process of the offline engine, seen from the gateway: launched, heard, asked, ended.

What always holds: a child that was launched is ended by whoever has it, or by its own launch when that fails; what it said last on its
error output is kept for the sentence about its death; its environment holds nothing that could be a provider's key.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from lastro.errors import (
    ConfigError,
    DamagedError,
    FormatError,
    LastroError,
    NotFoundError,
    UnreachableError,
)
from lastro.gateway.offline.engine_process import EngineOrder, EngineReport
from lastro.messages import N_

_KEPT_ENVIRONMENT: Final = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "TZ")
_KEPT_PREFIXES: Final = ("CUDA_", "GGML_", "HIP_", "LC_", "NVIDIA_", "ROCR_", "VK_")
_ERRORS: Final[Mapping[str, type[LastroError]]] = {
    kind.code: kind for kind in (ConfigError, DamagedError, FormatError, NotFoundError)
}
_LOG_BYTES: Final = 8 * 1024
_LARGEST_REPORT: Final = 64 * 1024
_LARGEST_ANSWER: Final = 64 * 1024 * 1024
_ASK_S: Final = 30.0


class EngineChild:
    """A running child. ``address`` is its base URL without a path, empty until it has reported."""

    def __init__(self, process: asyncio.subprocess.Process, order: EngineOrder) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.order = order
        self.address = ""
        self._process = process
        self._orders = process.stdin
        self._reports = process.stdout
        self._log = bytearray()
        self._attending = asyncio.create_task(self._attend(process.stderr))

    @classmethod
    async def launch(cls, order: EngineOrder, *, python: str, start_s: float) -> EngineChild:
        """A child that has loaded its model, within ``start_s`` seconds.

        Raises:
            DamagedError: the weights are wrong or cut off.
            FormatError: they are of a kind that the engine does not know.
            ConfigError: this installation has no engine.
            UnreachableError: there was not enough memory or time.
        """
        process = await asyncio.create_subprocess_exec(
            *(python, "-P", "-m", "lastro.gateway.offline.engine_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=engine_environment(os.environ),
            limit=_LARGEST_REPORT,
        )
        child = cls(process, order)
        try:
            child.address = await child._hear(start_s)
        except BaseException:
            await child.end()
            raise
        return child

    @property
    def alive(self) -> bool:
        """Whether it still runs; asked of the kernel, since the event loop hears of a death a moment later."""
        if self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:  # its end was heard of already, and is on its way to the event loop
            return False

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def headers(self) -> dict[str, str]:
        """What its address wants to see."""
        return {"authorization": f"Bearer {self.order.key}"}

    async def ask(self, method: str, path: str, order: object = None) -> Any:
        """The JSON that its own address answers to JSON.

        Raises:
            UnreachableError: it does not answer, or not so.
        """
        return await asyncio.to_thread(self._ask, method, path, order)

    async def end(self) -> None:
        """Kill it, which keeps nothing, and wait until it is gone and its pipes are closed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._orders.close()
        with contextlib.suppress(OSError):
            await self._orders.wait_closed()
        while await self._reports.read(_LOG_BYTES):
            pass
        await self._attending

    async def _attend(self, errors: asyncio.StreamReader) -> None:
        """Keep the end of what it writes until it dies."""
        while piece := await errors.read(_LOG_BYTES):
            self._log += piece
            del self._log[:-_LOG_BYTES]
        await self._process.wait()

    async def _hear(self, start_s: float) -> str:
        """Give it its order and wait for its report; its address."""
        try:
            self._orders.write(msgspec.json.encode(self.order) + b"\n")
            line = await asyncio.wait_for(self._reports.readline(), start_s)
        except TimeoutError as error:
            raise UnreachableError(
                N_("The offline model {name} was not loaded within {seconds} seconds."),
                hint=N_("Take a smaller model, or give the machine less to do."),
                name=self.order.name,
                seconds=start_s,
            ) from error
        except (OSError, ValueError):  # it is gone already, or printed what is no report
            line = b""
        try:
            report = msgspec.json.decode(line, type=EngineReport)
        except msgspec.MsgspecError as error:
            await asyncio.wait((self._attending,), timeout=_ASK_S)
            raise self._died() from error
        if report.address:
            return report.address
        await asyncio.wait((self._attending,), timeout=_ASK_S)
        raise self._rebuilt(report)

    def _ask(self, method: str, path: str, order: object) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=_ASK_S)
        try:
            connection.request(
                method,
                path,
                body=msgspec.json.encode(order) if order is not None else None,
                headers={**self.headers, "content-type": "application/json"},
            )
            answer = connection.getresponse()
            body = answer.read(_LARGEST_ANSWER)
            if answer.status != http.client.OK:
                raise self._silent(f"HTTP {answer.status}")
            return msgspec.json.decode(body)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            raise self._silent(str(error)) from error
        finally:
            connection.close()

    def _rebuilt(self, report: EngineReport) -> LastroError:
        """The child's error; what llama.cpp wrote last says more than its exception."""
        if b"unknown model architecture" in self._log:
            return FormatError(
                N_("The engine does not know the architecture of the offline model {name}."),
                hint=N_("Update the engine (pip install --upgrade xllamacpp), or take another model."),
                name=self.order.name,
            )
        if b"allocate" in self._log:
            return self._no_memory()
        kind = _ERRORS.get(report.code, LastroError)
        return kind(report.msgid, hint=report.hint, **report.parameters)

    def _died(self) -> LastroError:
        code = self._process.returncode or 0
        if -code == signal.SIGKILL or b"allocate" in self._log:
            return self._no_memory()
        last = (self._log.decode("utf-8", "replace").strip().splitlines() or [str(code)])[-1][:300]
        if code >= 0:  # Python's own end; llama.cpp dies of a signal
            return ConfigError(
                N_("The offline engine does not start: {problem}"),
                hint=N_("Install it anew: pip install --force-reinstall 'lastro[offline]'."),
                problem=last,
            )
        return DamagedError(
            N_("The engine died while it loaded the offline model {name}: {problem}"),
            hint=N_("Remove the model and pull or import it again."),
            name=self.order.name,
            problem=last,
        )

    def _no_memory(self) -> UnreachableError:
        return UnreachableError(
            N_("There was not enough memory to load the offline model {name}."),
            hint=N_("Close other programs, or take a smaller model: lastro gateway models list."),
            name=self.order.name,
        )

    def _silent(self, problem: str) -> UnreachableError:
        return UnreachableError(
            N_("The offline engine does not answer ({name}): {problem}"),
            hint=N_("Try again; it is started anew if it died."),
            name=self.order.name,
            problem=problem,
        )


def engine_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the gateway's environment the engine gets: nothing that could hold a provider's key."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in _KEPT_ENVIRONMENT or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, "OMP_WAIT_POLICY": "passive"}
