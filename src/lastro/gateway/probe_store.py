"""What probes found, as a file for each provider: ``state/gateway/probes/NAME.json``.

What always holds: a file is whole or as it was before; no key is in it. One that cannot be read counts as never probed: it can be made
anew at any time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct, field
from typing_extensions import override

from lastro.domain.paths import to_bytes
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import ModelFacts, ToolSupport
from lastro.messages import fill


class Finding(Struct, frozen=True, kw_only=True):
    """A sentence about a provider. ``code`` is for programs; ``msgid`` and ``hint`` are English templates that ``parameters`` fill."""

    code: str
    msgid: str
    hint: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @override
    def __str__(self) -> str:
        return fill(self.msgid, self.parameters)


class Tried(Struct, frozen=True, kw_only=True):
    """One dialect that was tried. ``status`` is HTTP's, 0 if none came; ``detail`` is the provider's own English, never a key."""

    dialect: Dialect
    spoken: bool
    status: int = 0
    detail: str = ""


class ProbeResult(Struct, frozen=True, kw_only=True):
    """What a provider can do, as it showed itself."""

    provider: str
    base_url: str
    """Where it was asked; what was found holds for this address alone."""
    time_ns: int
    model: str = ""
    """The one that was asked; empty if none could be."""
    dialects: tuple[Dialect, ...] = ()
    """Spoken by it, best first."""
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    """Its list, with what it says of them."""
    streams: bool | None = None
    """Whether it streams; ``None``: not found out."""
    tools: ToolSupport = ToolSupport.UNKNOWN
    """Whether ``model`` called the tool that it was told to call."""
    tried: tuple[Tried, ...] = ()
    calls: int = 0
    problem: Finding | None = None
    """Why it cannot be used as it is configured; ``None``: it can."""
    notes: tuple[Finding, ...] = ()


_VERSION: Final = 1
_NONE: Final[Mapping[str, ProbeResult]] = MappingProxyType({})


class _Stored(Struct, frozen=True, kw_only=True):
    version: int
    result: ProbeResult


class ProbeStore:
    """The results in the absolute ``directory``, made with the first one."""

    def __init__(self, directory: str, *, system: System | None = None) -> None:
        self._directory = directory
        self._system = system or System()
        self._found: dict[str, tuple[tuple[int, int, int], ProbeResult | None]] = {}
        self._all = _NONE
        self.refresh()

    def all(self) -> Mapping[str, ProbeResult]:
        """The results by provider, as of the last ``refresh``; the same object until one changes. Reads nothing."""
        return self._all

    def refresh(self) -> bool:
        """Look at the directory again, which another process may have changed. Whether a result changed."""
        found = {name: self._looked_at(name) for name in self._names()}
        results = {name: result for name, (_, result) in found.items() if result is not None}
        self._found = found
        if results == self._all:
            return False
        self._all = MappingProxyType(results)
        return True

    def write(self, result: ProbeResult) -> None:
        """Keep a result in place of the provider's older one."""
        os.makedirs(to_bytes(self._directory), mode=0o700, exist_ok=True)
        data = msgspec.json.format(msgspec.json.encode(_Stored(version=_VERSION, result=result)), indent=2)
        write_atomically(self._path(result.provider), data + b"\n", system=self._system)
        self.refresh()

    def remove(self, provider: str) -> bool:
        """Forget a provider's result; whether there was one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(to_bytes(self._path(provider)))
            self.refresh()
            return True
        return False

    def _names(self) -> list[str]:
        try:
            listed = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return []
        return [name.removesuffix(".json") for name in listed if name.endswith(".json") and name[0] != "."]

    def _looked_at(self, name: str) -> tuple[tuple[int, int, int], ProbeResult | None]:
        try:
            status = os.stat(to_bytes(self._path(name)))
        except FileNotFoundError:
            return (0, 0, 0), None
        stamp = status.st_ino, status.st_size, status.st_mtime_ns
        known = self._found.get(name)
        return known if known is not None and known[0] == stamp else (stamp, self._read(name))

    def _read(self, name: str) -> ProbeResult | None:
        try:
            with open(to_bytes(self._path(name)), "rb") as file:
                stored = msgspec.json.decode(file.read(), type=_Stored)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        known = stored.version == _VERSION and stored.result.provider == name
        return stored.result if known else None

    def _path(self, provider: str) -> str:
        return f"{self._directory}/{provider}.json"
