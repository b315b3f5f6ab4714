"""What this machine has, and which offline models run on it.

The rule is one of memory: weights, the cache of the context, and 256 MiB for the engine itself must fit into what is free. What
always holds: a limit of the container counts like missing memory, and a GPU counts only when its driver's own tool answers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from enum import StrEnum
from typing import Final

import psutil
from msgspec import Struct

from lastro.gateway.offline.catalogue import CatalogueModel
from lastro.gateway.offline.models import OfflineModel
from lastro.messages import N_, Message

ENGINE_BYTES: Final = 256 * 1024 * 1024
USUAL_CONTEXT: Final = 8_192
LEAST_CONTEXT: Final = 2_048
LARGEST_CONTEXT: Final = 131_072
"""Tokens that the engine is given at most: its cache is reserved at once, used or not."""
_STEP: Final = 256
_ASK_S: Final = 5.0
_CGROUP_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MEBIBYTE: Final = 1024 * 1024


class Gpu(Struct, frozen=True, kw_only=True):
    """One graphics processor; bytes."""

    name: str
    memory: int
    free: int


class Machine(Struct, frozen=True, kw_only=True):
    """What counts for a model: bytes of memory, all and available, and processors that this process may use."""

    memory: int
    available: int
    cores: int
    gpus: tuple[Gpu, ...] = ()


class Verdict(StrEnum):
    """Whether a model runs here."""

    YES = "yes"
    TIGHT = "tight"
    """It does when other programs let go of memory, or with a short context."""
    NO = "no"


class Fit(Struct, frozen=True, kw_only=True):
    """How a model fits: ``needed`` and ``available`` in bytes, ``context`` in tokens."""

    verdict: Verdict
    reason: Message
    needed: int
    available: int
    context: int


def inspect_machine(*, ask_gpu: bool = True) -> Machine:
    """What this machine has now. Takes milliseconds, with a GPU's tool up to ``5`` seconds."""
    memory = psutil.virtual_memory()
    limit = _container_limit()
    return Machine(
        memory=min(memory.total, limit or memory.total),
        available=min(memory.available, limit or memory.available),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        gpus=_gpus() if ask_gpu else (),
    )


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """What ``nvidia-smi --query-gpu=name,memory.total,memory.free --format=csv,noheader,nounits`` says; other lines are left out."""
    gpus: list[Gpu] = []
    for line in text.splitlines():
        name, comma, numbers = line.partition(",")
        total, _, free = numbers.partition(",")
        if comma and total.strip().isdecimal() and free.strip().isdecimal():
            gpus.append(Gpu(name=name.strip(), memory=int(total) * _MEBIBYTE, free=int(free) * _MEBIBYTE))
    return tuple(gpus)


def context_for(model: OfflineModel, available: int, *, parallel: int = 1) -> int:
    """Tokens of context that the engine gives each of ``parallel`` conversations within ``available`` bytes: at most what the model was
    trained for, a multiple of 256; 0 if not even ``LEAST_CONTEXT`` fits.
    """
    wanted = min(model.context or USUAL_CONTEXT, LARGEST_CONTEXT)
    room = available - model.size - ENGINE_BYTES
    if not model.cache_bytes:
        return min(wanted, USUAL_CONTEXT) if room > 0 else 0
    fitting = max(0, room) // (model.cache_bytes * parallel)
    if fitting >= wanted:
        return wanted
    return fitting // _STEP * _STEP if fitting >= min(LEAST_CONTEXT, wanted) else 0


def fits(model: OfflineModel | CatalogueModel, machine: Machine) -> Fit:
    """Whether ``model`` runs on ``machine``: with the memory that is free now, or tightly with all there is; a GPU's if that is more."""
    graphics = max((gpu.free for gpu in machine.gpus), default=0)
    available = max(machine.available, graphics)
    most = max(machine.memory, *(gpu.memory for gpu in machine.gpus), 0)
    needed = _needed(model)
    if needed <= available:
        verdict, msgid = Verdict.YES, N_("It needs {needed} bytes, {available} are free.")
    elif needed <= most or _shortest(model) <= available:
        verdict, msgid = (
            Verdict.TIGHT,
            N_(
                "It needs {needed} bytes and {available} are free: close other programs, or expect a short context."
            ),
        )
    else:
        verdict, msgid = Verdict.NO, N_("It needs {needed} bytes, and this machine has {most}.")
    context = (
        context_for(model, available)
        if isinstance(model, OfflineModel)
        else min(model.context, USUAL_CONTEXT if verdict is not Verdict.NO else 0)
    )
    return Fit(
        verdict=verdict,
        reason=Message(msgid=msgid, parameters={"needed": needed, "available": available, "most": most}),
        needed=needed,
        available=available,
        context=context,
    )


def _needed(model: OfflineModel | CatalogueModel) -> int:
    if isinstance(model, CatalogueModel):
        return model.memory
    return model.size + ENGINE_BYTES + model.cache_bytes * min(model.context or USUAL_CONTEXT, USUAL_CONTEXT)


def _shortest(model: OfflineModel | CatalogueModel) -> int:
    if isinstance(model, CatalogueModel):
        return model.weights + ENGINE_BYTES
    return model.size + ENGINE_BYTES + model.cache_bytes * LEAST_CONTEXT


def _container_limit() -> int:
    """Bytes that a container may use; 0 without a limit."""
    for path in _CGROUP_LIMITS:
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else 0
    return 0


def _gpus() -> tuple[Gpu, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            query, capture_output=True, check=False, timeout=_ASK_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()  # a driver that does not answer runs no model either
    return parse_gpus(answer.stdout.decode("utf-8", "replace")) if answer.returncode == 0 else ()
