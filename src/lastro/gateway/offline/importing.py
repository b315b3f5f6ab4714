"""Takes a GGUF file that somebody already has, checks it, and makes it one of the offline models.

What always holds: what is listed afterwards is exactly the bytes whose digest stands in the manifest; a file that is no model, or was cut
off, is refused before a byte is copied; a killed import leaves nothing that is listed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Final

from lastro.domain.paths import name_of, to_bytes
from lastro.errors import DamagedError, StorageFullError
from lastro.filesystem.system import System
from lastro.gateway.offline.catalogue import CATALOGUE, CatalogueModel
from lastro.gateway.offline.gguf import GgufFacts, read_gguf
from lastro.gateway.offline.models import (
    PIECE,
    WEIGHTS,
    ModelDirectory,
    OfflineModel,
    Progress,
    check_name,
    no_progress,
)
from lastro.gateway.provider import ToolSupport
from lastro.messages import N_

SPARE: Final = 64 * 1024 * 1024
"""Bytes that stay free on the disk."""


def import_file(
    directory: ModelDirectory,
    path: str,
    *,
    name: str = "",
    link: bool = False,
    progress: Progress = no_progress,
    system: System | None = None,
) -> OfflineModel:
    """Make the GGUF file at ``path`` the offline model ``name`` (else called after the file). One of the same name is replaced.

    ``link``: give the file a second name instead of copying it, where it lies on the same disk; then it must not be changed.

    Raises:
        NotFoundError: there is no such file.
        FormatError: it is no GGUF file, of a version that is not understood, or holds no whole language model.
        DamagedError: it is cut off, or changed while it was copied.
        StorageFullError: there is not enough space for a copy.
        LockedError: another process is pulling or importing.
        UsageError: ``name`` cannot be one.
    """
    system = system or System()
    facts = read_gguf(path)
    name = name or name_from(path)
    check_name(name)
    with directory.changing():
        partial = directory.partial(name)
        try:
            digest = _take(path, partial, facts.size, link=link, progress=progress, system=system)
            model = describe(name, facts, digest, source=name_of(path))
            directory.place(partial, model)
        except BaseException:
            shutil.rmtree(to_bytes(partial), ignore_errors=True)
            raise
    return model


def describe(name: str, facts: GgufFacts, digest: str, *, source: str) -> OfflineModel:
    """The manifest for weights: what the catalogue knows of the name or the digest, else what the file itself says."""
    entry = _in_catalogue(name, digest)
    template_knows_tools = "tool" in facts.chat_template
    return OfflineModel(
        name=name,
        digest=digest,
        size=facts.size,
        architecture=facts.architecture,
        licence=entry.licence if entry is not None else facts.licence,
        source=source,
        context=facts.context,
        parameters=facts.parameters,
        cache_bytes=facts.cache_bytes,
        tools=entry.tools
        if entry is not None
        else (ToolSupport.UNKNOWN if template_knows_tools else ToolSupport.NO),
        kinds=entry.kinds if entry is not None else (),
    )


def name_from(path: str) -> str:
    """A model's name made of a file's: ``Qwen2.5-Coder-7B.Q4_K_M.gguf`` is ``qwen2.5-coder-7b.q4_k_m``."""
    stem = re.sub(r"\.gguf$", "", name_of(path).lower())
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("._-")[:64] or "model"


def check_space(path: str, needed: int) -> None:
    """Raise unless the disk that holds the directory ``path`` has ``needed`` bytes and ``SPARE`` left.

    Raises:
        StorageFullError: it has not.
    """
    free = shutil.disk_usage(to_bytes(path)).free
    if free < needed + SPARE:
        raise StorageFullError(
            N_("Not enough space for the model: {needed} bytes are needed, {free} are free."),
            hint=N_("Make room on the disk that holds {path}, and try again."),
            needed=needed + SPARE,
            free=free,
            path=path,
        )


def copy_hashed(
    read: Callable[[int], bytes],
    write: Callable[[bytes], None],
    size: int,
    *,
    stage: str,
    progress: Progress,
) -> str:
    """Copy ``size`` bytes and give their SHA-256, hexadecimal; empty if ``read`` had fewer."""
    hashed = hashlib.sha256()
    done = 0
    while done < size and (piece := read(min(PIECE, size - done))):
        hashed.update(piece)
        write(piece)
        done += len(piece)
        progress(stage, done, size)
    return hashed.hexdigest() if done == size else ""


def _take(path: str, partial: str, size: int, *, link: bool, progress: Progress, system: System) -> str:
    """Put the weights into the partial directory; their digest."""
    goal = f"{partial}/{WEIGHTS}"
    with open(to_bytes(path), "rb", buffering=0) as source:
        if link and os.stat(to_bytes(partial)).st_dev == os.fstat(source.fileno()).st_dev:
            os.link(to_bytes(path), to_bytes(goal))
            digest = copy_hashed(source.read, lambda _piece: None, size, stage="verify", progress=progress)
        else:
            check_space(partial, size)
            with writing(goal, system) as write:
                digest = copy_hashed(source.read, write, size, stage="copy", progress=progress)
    if not digest:
        raise DamagedError(N_("{path} changed while it was read."), hint=N_("Try again."), path=path)
    return digest


@contextlib.contextmanager
def writing(path: str, system: System) -> Iterator[Callable[[bytes], None]]:
    """Write a new file at ``path``, synced at the end."""
    directory = os.open(to_bytes(os.path.dirname(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = system.open(
            directory, to_bytes(name_of(path)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
        )
        try:
            yield lambda piece: system.write(descriptor, piece)
            system.sync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.close(directory)


def _in_catalogue(name: str, digest: str) -> CatalogueModel | None:
    return next(
        (each for each in CATALOGUE if each.name == name or (each.digest and each.digest == digest)), None
    )
