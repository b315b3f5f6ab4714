"""A diagnosis: whether this machine and this installation have what they need. It looks, and changes nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Final

from lastro.app.desk import Desk
from lastro.app.diagnosis_jail import jail_findings
from lastro.app.gateway.parts import open_credentials
from lastro.app.gateway.places import gateway_places
from lastro.app.requests.doctor import Diagnosis, Finding
from lastro.app.requests.sentence import Sentence, told
from lastro.errors import LastroError
from lastro.gateway.configuration import read_settings
from lastro.gateway.offline.catalogue import CATALOGUE
from lastro.gateway.offline.fit import Machine, Verdict, fits, inspect_machine
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.provider import ProviderKind, ToolSupport
from lastro.messages import N_

_LOW_DISK: Final = 2 * 1000**3
_EXTRAS: Final = {"keeper": "uvicorn", "gateway": "aiohttp", "offline": "xllamacpp"}
"""Extra → a module that only it brings."""


def diagnose(desk: Desk) -> Diagnosis:
    """Look at everything."""
    machine = inspect_machine()
    findings = (
        *_machine(desk, machine),
        *_installation(desk),
        *jail_findings(desk.places),
        *_providers(desk),
        *_offline_models(desk, machine),
    )
    return Diagnosis(good=all(one.state != "bad" for one in findings), findings=findings)


def _found(topic: str, state: str, msgid: str, hint: str = "", **parameters: object) -> Finding:
    said = Sentence(msgid=msgid, hint=hint, parameters={name: str(one) for name, one in parameters.items()})
    return Finding(topic=topic, state=state, said=said)


def _machine(desk: Desk, machine: Machine) -> Iterator[Finding]:
    yield _found(
        "machine",
        "good",
        N_("{system} {release}, Python {python}, {cores} processors, {memory} of memory"),
        system=platform.system(),
        release=platform.release(),
        python=platform.python_version(),
        cores=machine.cores,
        memory=_bytes(machine.memory),
    )
    for gpu in machine.gpus:
        yield _found("machine", "good", N_("{name}, {memory}"), name=gpu.name, memory=_bytes(gpu.memory))
    place = _existing(desk.places.data)
    free = shutil.disk_usage(place).free
    yield _found(
        "machine",
        "warning" if free < _LOW_DISK else "good",
        N_("{free} are free at {path}"),
        hint=N_("Every version is kept there: make room, or move LASTRO_HOME to a larger disk.")
        if free < _LOW_DISK
        else "",
        free=_bytes(free),
        path=place,
    )


def _installation(desk: Desk) -> Iterator[Finding]:
    for extra, module in _EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield _found(
                "installation",
                "warning",
                N_("The extra {extra} is not installed."),
                hint=N_("pip install 'lastro[{extra}]'"),
                extra=extra,
            )
        else:
            yield _found("installation", "good", N_("The extra {extra} is installed."), extra=extra)
    places, gateway = desk.places, gateway_places(desk.places)
    if os.path.exists(f"{places.repository}/format"):
        yield _found("installation", "good", N_("The repository is in {path}"), path=places.repository)
        yield from _key(places.key_file)
    for kit in (places.recovery_kit, gateway.recovery_kit):
        if os.path.exists(kit):
            yield _found(
                "installation",
                "warning",
                N_("The recovery kit {path} still lies on this machine."),
                hint=N_("Print it or move it to a safe place; with this machine it would be lost too."),
                path=kit,
            )
    if os.path.exists(f"{gateway.repository}/format"):
        yield from _key(gateway.repository_key)


def _key(path: str) -> Iterator[Finding]:
    try:
        status = os.stat(path)
    except OSError as error:
        yield _found(
            "installation",
            "bad",
            N_("The key file {path} cannot be read: {reason}"),
            hint=N_(
                "Put it back from a copy, or set LASTRO_RECOVERY_KEY to the key that the recovery kit holds."
            ),
            path=path,
            reason=error.strerror or str(error),
        )
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield _found(
            "installation",
            "bad",
            N_("Others may read the key file {path}."),
            hint=N_("chmod 600 {path}"),
            path=path,
        )


def _providers(desk: Desk) -> Iterator[Finding]:
    places = gateway_places(desk.places)
    try:
        settings = read_settings(places.configuration)
    except LastroError as error:
        yield Finding(topic="gateway", state="bad", said=told(error))
        return
    credentials = open_credentials(places, lambda: settings.providers, desk.clock)
    for provider in settings.providers:
        if provider.kind is ProviderKind.OFFLINE or not provider.enabled:
            continue
        if provider.key.command or credentials.has_key(provider):
            yield _found("gateway", "good", N_("Provider {name}: configured."), name=provider.name)
        else:
            yield _found(
                "gateway",
                "bad",
                N_("Provider {name}: its key is not there."),
                hint=N_("See 'lastro gateway providers list'; the gateway needs the key where it runs."),
                name=provider.name,
            )


def _offline_models(desk: Desk, machine: Machine) -> Iterator[Finding]:
    states: dict[Verdict, str] = {Verdict.YES: "good", Verdict.TIGHT: "warning", Verdict.NO: "bad"}
    directory = ModelDirectory(gateway_places(desk.places).models)
    try:
        here = directory.models()
    except LastroError as error:
        yield Finding(topic="offline", state="bad", said=told(error))
        return
    for model in here:
        fit = fits(model, machine)
        yield _found(
            "offline",
            states[fit.verdict],
            N_("The offline model {name} needs {needed}; {available} are free."),
            name=model.name,
            needed=_bytes(fit.needed),
            available=_bytes(fit.available),
        )
    if not here:
        yield _found(
            "offline",
            "warning",
            N_("No offline model is here."),
            hint=N_("lastro gateway models pull smollm2"),
        )
    best = _largest(machine, tools=lambda support: support is ToolSupport.YES) or _largest(
        machine, tools=lambda _: True
    )
    if best:
        yield _found(
            "offline",
            "good",
            N_("The largest model of the catalogue for agents that fits here: {name}"),
            hint=N_("See 'lastro gateway models list'."),
            name=best,
        )


def _largest(machine: Machine, *, tools: Callable[[ToolSupport], bool]) -> str:
    fitting = [
        entry for entry in CATALOGUE if tools(entry.tools) and fits(entry, machine).verdict is Verdict.YES
    ]
    return max(fitting, key=lambda entry: entry.weights).name if fitting else ""


def _existing(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _bytes(count: int) -> str:
    return f"{count / 1000**3:.1f} GB"
