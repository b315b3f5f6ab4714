"""The process in which the offline engine runs one model: a child of the gateway's, because llama.cpp may die of bad weights.

    python -P -m lastro.gateway.offline.engine_process

It reads one line of JSON (``EngineOrder``) from standard input, writes one (``EngineReport``) to standard output, and lives until standard
input ends or its parent dies. What always holds: weights are compared with their digest before the engine sees them, for it answers
nonsense of wrong ones; the key of its address is never in an argument or a log; it listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any, Final

import msgspec
from msgspec import Struct

from lastro.errors import ConfigError, DamagedError, LastroError
from lastro.gateway.offline.gguf import read_gguf
from lastro.gateway.offline.models import check_weights
from lastro.messages import N_

_PR_SET_PDEATHSIG: Final = 1
_ONLY_ERRORS: Final = 1


class EngineOrder(Struct, frozen=True, kw_only=True):
    """What to run. ``context`` is for each of ``parallel`` conversations. ``verify``: compare the weights with ``digest`` first."""

    name: str
    weights: str
    digest: str
    size: int
    context: int
    key: str
    parent: int
    threads: int = 1
    parallel: int = 1
    prompt_cache_bytes: int = 0
    verify: bool = True


class EngineReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it went: the ``address``, or an error's ``code`` with its sentence."""

    address: str = ""
    code: str = ""
    msgid: str = ""
    hint: str = ""
    parameters: dict[str, str] = {}


def main() -> int:
    """Run until standard input ends."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineOrder)
    _die_with(order.parent)
    out = os.dup(1)
    os.dup2(2, 1)  # whatever the engine prints must not look like a report
    try:
        server = _serve(order)
    except LastroError as error:
        _report(out, _told(error))
        return 1
    _report(out, EngineReport(address=server.listening_address))
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(
        0
    )  # the engine's own threads have nothing to save, and ending them takes seconds while they answer


def _serve(order: EngineOrder) -> Any:
    """The running server."""
    if order.verify:
        check_weights(order.weights, order.digest, order.size)
    read_gguf(order.weights)
    try:
        import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415  large, and may be missing
    except ImportError as error:
        raise ConfigError(
            N_("This installation has no engine for offline models."),
            hint=N_("Install it with: pip install 'lastro[offline]'."),
        ) from error
    try:
        return xllamacpp.Server(_parameters(xllamacpp.CommonParams(), order))
    except RuntimeError as error:
        raise DamagedError(
            N_("The engine cannot load the offline model {name}: {problem}"),
            hint=N_("Remove the model and pull or import it again; a newer engine may know it."),
            name=order.name,
            problem=str(error),
        ) from error


def _parameters(parameters: Any, order: EngineOrder) -> Any:
    parameters.model.path = order.weights
    parameters.model_alias = {order.name}  # answers say this, not where the file lies
    parameters.n_ctx = order.context * order.parallel
    parameters.n_parallel = order.parallel
    parameters.cpuparams.n_threads = order.threads
    parameters.cpuparams_batch.n_threads = order.threads
    parameters.cache_ram_mib = order.prompt_cache_bytes // (1024 * 1024)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [order.key]
    parameters.use_jinja = True
    parameters.ui = False
    parameters.verbosity = _ONLY_ERRORS
    return parameters


def _told(error: LastroError) -> EngineReport:
    return EngineReport(
        code=error.code,
        msgid=error.msgid,
        hint=error.hint,
        parameters={name: str(value) for name, value in error.parameters.items()},
    )


def _report(out: int, report: EngineReport) -> None:
    os.write(out, msgspec.json.encode(report) + b"\n")
    os.close(out)


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, however it dies; standard input's end tells it too, where the kernel does not."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
