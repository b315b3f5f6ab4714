"""Where a run keeps its things: one directory, the user's alone, held by a lock while its supervisor lives.

    <state>/runs/run-N/
        run.json      what recovery needs to collect and propose the work (``Standing``)
        lock          flock'ed by the living supervisor; free: nobody looks after the run any more
        upper work    the layer of an overlay; ``copy`` that of a plain copy
        home          the agent's home; kept, so that its conversation can go on
        steps.jsonl   what changed between two requests to a model
        output.jsonl  what the agent said: its head and its tail, bounded

What always holds: the kernel gives a dead supervisor's lock away by itself, so nothing here guesses from process numbers; ``run.json`` is
whole or not there; a directory is removed only after its run's proposal is decided.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
from msgspec import Struct

from lastro.agents.removing import remove_tree
from lastro.domain.policy import Role
from lastro.domain.run import EndCause, RunEnforcement, RunUsage
from lastro.errors import LockedError, NotFoundError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_

_NAME: Final = re.compile(r"run-([1-9][0-9]*)\Z")
_LARGEST: Final = 4 * 1024 * 1024


class Standing(Struct, frozen=True, kw_only=True):
    """What is known of a run while it goes, for whoever has to go on with it. Times in nanoseconds since 1970; ``before`` is a ``seq``.

    ``began_ns``: the instant from which on a live file that changed may be one that the agent saw differently than ``before`` has it;
    0: the snapshot was there first. ``check``: the project's checks are wanted.
    """

    run: int
    id: str
    project: str
    role: Role
    agent: str
    command: tuple[str, ...]
    purpose: str
    policy_digest: str
    pid: int
    view: str = ""
    before: int | None = None
    began_ns: int = 0
    mounted_ns: int = 0
    check: bool = True
    model: str = "auto"
    key: str = ""
    """Id of the gateway key; it is revoked when the run ends."""
    enforcement: RunEnforcement | None = None
    cause: EndCause | None = None
    exit_status: int | None = None
    usage: RunUsage = RunUsage()
    session: str = ""
    last_words: str = ""
    refused: tuple[str, ...] = ()


class RunPlaces(Struct, frozen=True):
    """The paths below one run's directory."""

    directory: str

    @property
    def home(self) -> str:
        """The agent's home."""
        return f"{self.directory}/home"

    @property
    def standing(self) -> str:
        """``run.json``."""
        return f"{self.directory}/run.json"

    @property
    def lock(self) -> str:
        """Held by who looks after the run."""
        return f"{self.directory}/lock"

    @property
    def output(self) -> str:
        """What the agent said."""
        return f"{self.directory}/output.jsonl"

    @property
    def checks(self) -> str:
        """The throw-away view in which the checks run."""
        return f"{self.directory}/checks"


_ATTEMPTS: Final = 10
_PAUSE_S: Final = 0.02


def runs_directory(state: str) -> str:
    """The directory of all runs' directories."""
    return f"{state}/runs"


def run_places(state: str, run: int) -> RunPlaces:
    """The places of ``run-N``. Creates nothing."""
    return RunPlaces(f"{runs_directory(state)}/run-{run}")


def make_run_directory(state: str, run: int) -> RunPlaces:
    """Make the directory of ``run-N``, owner-only.

    Raises:
        LockedError: somebody else's lies there.
    """
    parent = runs_directory(state)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    places = run_places(state, run)
    with suppress(FileExistsError):
        os.mkdir(places.directory, 0o700)
    found = os.lstat(places.directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise LockedError(N_("The run's directory {path} is not yours."), path=places.directory)
    os.chmod(places.directory, 0o700)
    os.makedirs(places.home, mode=0o700, exist_ok=True)
    return places


def run_numbers(state: str) -> Iterator[int]:
    """The runs that have a directory here, oldest first."""
    try:
        names = os.listdir(runs_directory(state))
    except FileNotFoundError:
        return
    yield from sorted(int(found[1]) for name in names if (found := _NAME.match(name)))


@contextmanager
def held(places: RunPlaces) -> Iterator[None]:
    """Look after the run while the context lasts.

    Raises:
        LockedError: another process does.
    """
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock. Somebody who only looks whether it is free has it for an instant, so it is tried more than once."""
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_PAUSE_S)
        else:
            return
    raise LockedError(
        N_("Another process looks after this run."), hint=N_("End it with: lastro runs stop RUN")
    )


def is_held(places: RunPlaces) -> bool:
    """Whether a living process looks after the run."""
    try:
        descriptor = os.open(places.lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_left(places: RunPlaces) -> bool:
    """Whether a run that goes on by its record was left by its supervisor. ``False`` also where this user cannot tell."""
    try:
        return os.path.exists(places.standing) and not is_held(places)
    except PermissionError:
        return False


def write_standing(places: RunPlaces, standing: Standing) -> None:
    """Replace ``run.json``; it survives a power cut."""
    # The standard library's JSON: it keeps bytes of paths that are no UTF-8 (as lone surrogates), both ways.
    text = json.dumps(msgspec.to_builtins(standing))
    write_atomically(places.standing, text.encode("ascii"), mode=0o600, system=System())


def read_standing(places: RunPlaces) -> Standing:
    """What ``run.json`` says.

    Raises:
        NotFoundError: nothing is left of this run here, or what is left cannot be read.
    """
    try:
        with open(places.standing, "rb") as file:
            return msgspec.convert(json.loads(file.read(_LARGEST)), Standing)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        if os.path.isdir(places.directory):
            raise NotFoundError(
                N_("{path} cannot be read, so nobody knows how to go on with this run."),
                hint=N_("What its agent wrote still lies in {directory}; take from there what you need."),
                path=places.standing,
                directory=places.directory,
            ) from error
        raise NotFoundError(
            N_("Nothing is left of this run on this machine: {path}"),
            hint=N_("It was run elsewhere, by another user, or was removed after its proposal was decided."),
            path=places.directory,
        ) from error


def remove_run_directory(places: RunPlaces) -> None:
    """Give the disk back, whatever the agent left there.

    Raises:
        OSError: something could not be removed; calling it again goes on.
    """
    remove_tree(places.directory, system=System())
