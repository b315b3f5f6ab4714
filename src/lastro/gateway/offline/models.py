"""The models that are on this machine: a directory for each, with its weights and a manifest that says what they are.

``MODELS/NAME/model.gguf`` and ``MODELS/NAME/manifest.json``. What always holds: a directory without a leading dot is complete, for it is
made under another name, synced, and renamed; what a killed process left behind begins with ``.partial-`` and is removed by the next
one that holds the lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.paths import to_bytes
from lastro.errors import DamagedError, LockedError, NotFoundError, UsageError
from lastro.filesystem.system import System
from lastro.gateway.provider import ModelFacts, ToolSupport
from lastro.messages import N_

WEIGHTS: Final = "model.gguf"
MANIFEST: Final = "manifest.json"
PARTIAL: Final = ".partial-"
PIECE: Final = 4 * 1024 * 1024
"""Bytes read or written at a time."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``: ``stage`` is ``download``, ``copy`` or ``verify``; bytes; a total of 0 is unknown."""


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """For callers that show none."""


class OfflineModel(Struct, frozen=True, kw_only=True):
    """The manifest of one model. 0 and ``""``: unknown."""

    name: str
    digest: str
    """SHA-256 of the weights, hexadecimal."""
    size: int
    architecture: str
    licence: str = ""
    source: str = ""
    """Where it came from: a package and its version, or the name of the file that was imported."""
    context: int = 0
    parameters: int = 0
    cache_bytes: int = 0
    """As in ``gguf.GgufFacts``."""
    tools: ToolSupport = ToolSupport.UNKNOWN
    kinds: tuple[str, ...] = ()
    """As in ``ModelFacts``."""

    @property
    def facts(self) -> ModelFacts:
        """What routing has to know. It reads no images."""
        return ModelFacts(context=self.context, tools=self.tools, images=False, kinds=self.kinds)


class ModelDirectory:
    """The directory ``path`` (absolute; need not exist) of all models of one gateway."""

    def __init__(self, path: str, *, system: System | None = None) -> None:
        self.path = path
        self._system = system or System()

    def weights(self, name: str) -> str:
        """Where the weights of ``name`` lie, whether or not they do."""
        return f"{self.path}/{name}/{WEIGHTS}"

    def models(self) -> tuple[OfflineModel, ...]:
        """All models, by name.

        Raises:
            DamagedError: a manifest cannot be read.
        """
        try:
            names = sorted(os.listdir(to_bytes(self.path)))
        except FileNotFoundError:
            return ()
        found = [os.fsdecode(name) for name in names if not name.startswith(b".")]
        return tuple(self.model(name) for name in found if _NAME.fullmatch(name))

    def model(self, name: str) -> OfflineModel:
        """The model ``name``.

        Raises:
            NotFoundError: it is not on this machine.
            DamagedError: its manifest cannot be read.
        """
        if not _NAME.fullmatch(name):
            raise _missing(name)
        try:
            with open(to_bytes(f"{self.path}/{name}/{MANIFEST}"), "rb") as file:
                return msgspec.json.decode(file.read(), type=OfflineModel)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(name) from error
        except (OSError, msgspec.MsgspecError) as error:
            raise DamagedError(
                N_("The manifest of the offline model {name} cannot be read: {problem}"),
                hint=N_("Remove the model and pull or import it again."),
                name=name,
                problem=str(error),
            ) from error

    def verify(self, name: str, *, progress: Progress = no_progress) -> None:
        """Read all weights and compare them with the manifest.

        Raises:
            NotFoundError: it is not on this machine.
            DamagedError: the weights are not those that were pulled or imported.
        """
        model = self.model(name)
        check_weights(self.weights(name), model.digest, model.size, progress=progress)

    def remove(self, name: str) -> None:
        """Remove a model: renamed away first, so that a kill leaves no half of it.

        Raises:
            NotFoundError: it is not on this machine.
            LockedError: another process is pulling or importing.
        """
        if not _NAME.fullmatch(name) or not os.path.isdir(to_bytes(f"{self.path}/{name}")):
            raise _missing(name)
        with self.changing():
            gone = f"{self.path}/{PARTIAL}{name}"
            os.rename(to_bytes(f"{self.path}/{name}"), to_bytes(gone))
            shutil.rmtree(to_bytes(gone))

    @contextlib.contextmanager
    def changing(self) -> Iterator[int]:
        """Nobody else changes the directory meanwhile; what killed processes left is gone. Gives the descriptor that holds the lock:
        a child that inherits it keeps the lock too.

        Raises:
            LockedError: another process is pulling or importing.
        """
        os.makedirs(to_bytes(self.path), mode=0o700, exist_ok=True)
        descriptor = os.open(to_bytes(f"{self.path}/.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LockedError(
                    N_("Another process is fetching or importing a model."),
                    hint=N_("Wait until it is done, and try again."),
                ) from error
            for name in os.listdir(to_bytes(self.path)):
                if name.startswith(PARTIAL.encode()):
                    shutil.rmtree(os.path.join(to_bytes(self.path), name))
            yield descriptor
        finally:
            os.close(descriptor)

    def partial(self, name: str) -> str:
        """A new empty directory to make the model ``name`` in; only while ``changing``."""
        path = f"{self.path}/{PARTIAL}{name}"
        os.mkdir(to_bytes(path), 0o700)
        return path

    def place(self, partial: str, model: OfflineModel) -> None:
        """Make the model of a partial directory, whose weights are synced, one of the models; it replaces one of the same name."""
        directory = os.open(to_bytes(partial), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        parent = os.open(to_bytes(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = self._system.open(directory, MANIFEST.encode(), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                self._system.write(
                    descriptor, msgspec.json.format(msgspec.json.encode(model), indent=2) + b"\n"
                )
                self._system.sync(descriptor)
            finally:
                os.close(descriptor)
            self._system.sync(directory)
            self._put(parent, to_bytes(os.path.basename(partial)), to_bytes(model.name))
            self._system.sync(parent)
            shutil.rmtree(
                to_bytes(partial), ignore_errors=True
            )  # the one that was replaced; else the next lock removes it
        finally:
            os.close(directory)
            os.close(parent)

    def _put(self, parent: int, partial: bytes, name: bytes) -> None:
        """Give a partial directory its name, in one step where the file system can; the one that had it becomes partial."""
        try:
            self._system.exchange(parent, partial, parent, name)
        except FileNotFoundError:
            self._system.rename(parent, partial, parent, name)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOSYS}:
                raise
            self._system.rename(parent, name, parent, partial + b"-old")
            self._system.rename(parent, partial, parent, name)


def _missing(name: str) -> NotFoundError:
    return NotFoundError(
        N_("The offline model {name} is not on this machine."),
        hint=N_(
            "lastro gateway models list shows which can be pulled; lastro gateway models import FILE takes one that you have."
        ),
        name=name,
    )


def check_name(name: str) -> None:
    """Raise unless ``name`` can be a model's.

    Raises:
        UsageError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            N_("{name} cannot be the name of a model."),
            hint=N_("Use at most 64 lower-case letters, digits, dots, dashes and underscores."),
            name=name,
        )


def check_weights(path: str, digest: str, size: int, *, progress: Progress = no_progress) -> None:
    """Compare a file with what it should be.

    Raises:
        DamagedError: it is another, or not there.
    """
    hashed = hashlib.sha256()
    done = 0
    try:
        with open(to_bytes(path), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size == size:
                while piece := file.read(PIECE):
                    hashed.update(piece)
                    done += len(piece)
                    progress("verify", done, size)
    except FileNotFoundError:
        done = -1
    if done != size or hashed.hexdigest() != digest:
        raise DamagedError(
            N_("The weights in {path} are not the ones that were fetched."),
            hint=N_("Remove the model and pull or import it again."),
            path=path,
        )
