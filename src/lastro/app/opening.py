"""Makes and opens the repository of a home, with everything on top of it, in this process.

Apart from ``wiring``, because it brings all of the store with it: a command that finds a keeper running needs none of that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from lastro.app.events import Event
from lastro.app.home import make_home
from lastro.app.operation import Effect, find_operation
from lastro.app.places import Places
from lastro.app.requests import Initialized
from lastro.app.services import Services
from lastro.app.wiring import keeper_listens
from lastro.capture.source import Source
from lastro.domain.clock import Clock
from lastro.domain.paths import printable
from lastro.domain.progress import Report, silent
from lastro.domain.record import Actor
from lastro.errors import (
    ConfigError,
    ConflictError,
    DeniedError,
    LockedError,
    NoRepositoryError,
    UnreachableError,
    WrongKeyError,
)
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.history.projection import Projection
from lastro.history.timeline import Timeline
from lastro.keeper.capture_cycle import CaptureCycle
from lastro.keeper.capture_state import CaptureState
from lastro.messages import N_
from lastro.proposals.inbox import Inbox
from lastro.store.backends.local import LocalBackend
from lastro.store.recovery import KeyFile, RecoveryKey, Secret
from lastro.store.repository import Created, Repository
from lastro.transport.identity import load_or_make_identity

if TYPE_CHECKING:
    from lastro.catalogue.catalogue import Catalogue


def create_repository(places: Places, actor: Actor, clock: Clock) -> Initialized:
    """Make the home and its repository, save the key file and the recovery kit.

    Raises:
        ConflictError: there is one already.
    """
    if os.path.exists(f"{places.repository}/format"):
        raise ConflictError(
            N_("There is a repository already: {path}"),
            hint=N_("Use it; 'lastro status' says how it is."),
            path=places.repository,
        )
    os.makedirs(places.secrets, mode=0o700, exist_ok=True)
    identity = load_or_make_identity(f"{places.secrets}/keeper.pem")
    make_home(places, instance=identity.device)

    def keep(created: Created) -> None:
        write_atomically(places.key_file, created.key_file, mode=0o600, system=System())
        kit = recovery_kit(created.repository.id, places.repository, created.recovery_key, created.public_key)
        write_atomically(places.recovery_kit, kit.encode(), mode=0o600, system=System())

    backend = LocalBackend(places.repository)
    created = Repository.create(backend, actor=actor, clock=clock, cache=_cache(places, "chunks"), keep=keep)
    with created.repository as repository:
        return Initialized(
            repository=repository.id,
            path=places.repository,
            key_file=places.key_file,
            recovery_kit=places.recovery_kit,
        )


def recovery_kit(repository: str, path: str, key: str, public_key: bytes) -> str:
    """The text of a recovery kit. In English and Portuguese, because whoever needs it may not be who made it."""
    return (
        "LASTRO RECOVERY KIT / KIT DE RECUPERAÇÃO DO LASTRO\n\n"
        f"repository / repositório: {repository}\n"
        f"place / lugar:            {printable(path)}\n"
        f"signing key / chave de assinatura (Ed25519): {public_key.hex()}\n\n"
        f"    {key}\n\n"
        "With this key alone everything in the repository can be read. Print it, move it to a safe place away from this\n"
        "machine, and remove this file.\n"
        "Só com esta chave tudo no repositório pode ser lido. Imprima, guarde em lugar seguro longe desta máquina e\n"
        "remova este arquivo.\n\n"
        "Without Lastro, in the repository: / Sem o Lastro, no repositório: python3 RESTORE.py restore DIRECTORY\n"
    )


@contextmanager
def open_services(
    places: Places,
    *,
    writable: bool,
    actor: Actor,
    clock: Clock,
    report: Report = silent,
    publish: Callable[[Event], None] = lambda _: None,
) -> Iterator[Services]:
    """The repository of this home with everything on top of it, in this process.

    Raises:
        NoRepositoryError: there is none.
        LockedError: ``writable``, and another process writes.
    """
    with ExitStack() as stack:
        repository = stack.enter_context(_open_repository(places, writable=writable, clock=clock))
        projection = Projection(repository, _cache(places, "history"))
        stack.callback(projection.close)
        inbox = Inbox(repository, _cache(places, "inbox"))
        stack.callback(inbox.close)
        state = CaptureState(repository, _cache(places, "capture"))
        stack.callback(state.close)
        yield Services(
            places=places,
            repository=repository,
            timeline=Timeline(projection),
            inbox=inbox,
            state=state,
            cycle=CaptureCycle(repository, state, clock),
            clock=clock,
            actor=actor,
            report=report,
            publish=publish,
            catalogue=_catalogue(stack, repository, _cache(places, "catalogue")),
        )


def _catalogue(stack: ExitStack, repository: Repository, path: str | None) -> Callable[[], Catalogue]:
    """What opens the catalogue when it is first needed, and closes it with ``stack``."""
    lock = threading.Lock()
    opened: list[Catalogue] = []

    def catalogue() -> Catalogue:
        with lock:
            if not opened:
                opened.append(open_catalogue(repository, path))
                stack.callback(opened[0].close)
            return opened[0]

    return catalogue


def open_catalogue(repository: Repository, path: str | None) -> Catalogue:
    """The catalogue in the SQLite file ``path``; ``None``: in memory.

    Raises:
        ConfigError: Lastro was installed without what it needs.
    """
    try:
        from lastro.catalogue.catalogue import Catalogue  # noqa: PLC0415  only a keeper's installation has SQLAlchemy
        from lastro.catalogue.database import open_file, open_memory  # noqa: PLC0415  as above
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "lastro":
            raise
        raise ConfigError(
            N_("This installation has no catalogue: {module} is missing."),
            hint=N_(
                "Install it with: pip install 'lastro[keeper]'. Meanwhile 'lastro log' says what changed."
            ),
            module=error.name,
        ) from error
    return Catalogue(repository, open_memory() if path is None else open_file(path))


def _open_repository(places: Places, *, writable: bool, clock: Clock) -> Repository:
    _require_repository(places)
    secret = _key_of(places)
    try:
        return Repository.open(
            LocalBackend(places.repository),
            secret,
            clock=clock,
            cache=_cache(places, "chunks"),
            writable=writable,
        )
    except LockedError as error:
        if keeper_listens(places):
            raise LockedError(
                N_("A keeper runs here already: {path}"),
                hint=N_("See 'lastro status'. To watch more directories: 'lastro node roots add DIR'."),
                path=places.home or places.config,
            ) from error
        raise LockedError(
            error.msgid,
            hint=N_("Another command is writing, or a keeper is starting. Try again in a moment."),
            **error.parameters,
        ) from error


def _require_repository(places: Places) -> None:
    try:
        os.stat(f"{places.repository}/format")
    except PermissionError as error:
        raise DeniedError(
            N_("{path} may not be read by this user."),
            hint=N_("Run it as the user whose repository this is, or point LASTRO_HOME (--home) to yours."),
            path=places.repository,
        ) from error
    except OSError as error:
        raise NoRepositoryError(
            N_("There is no repository in {path}."),
            hint=N_("Make one with 'lastro init', or point LASTRO_HOME (--home) to where it is."),
            path=places.repository,
        ) from error


def _key_of(places: Places) -> Secret:
    """The key file, or in its place the recovery key in ``LASTRO_RECOVERY_KEY``."""
    if typed := os.environ.get("LASTRO_RECOVERY_KEY"):
        return RecoveryKey(typed)
    hint = N_("Put it back from a copy, or set LASTRO_RECOVERY_KEY to the key that the recovery kit holds.")
    try:
        with open(places.key_file, "rb") as file:
            return KeyFile(file.read())
    except FileNotFoundError as error:
        raise WrongKeyError(N_("The key file {path} is missing."), hint=hint, path=places.key_file) from error
    except OSError as error:
        raise WrongKeyError(
            N_("The key file {path} cannot be read: {reason}"),
            hint=hint,
            path=places.key_file,
            reason=error.strerror or str(error),
        ) from error


def _cache(places: Places, name: str) -> str | None:
    """The path of a cache database; in memory when this user cannot write there (reading a repository needs no more)."""
    try:
        os.makedirs(places.cache, mode=0o700, exist_ok=True)
    except OSError:
        return None
    return f"{places.cache}/{name}.sqlite" if os.access(places.cache, os.W_OK) else None


class InProcessCaller:
    """See ``Caller``: opens the repository when it is first needed, for writing only when something is changed."""

    def __init__(self, places: Places, *, actor: Actor, clock: Clock, report: Report = silent) -> None:
        self._places = places
        self._actor = actor
        self._clock = clock
        self._report = report
        self._stack = ExitStack()
        self._services: Services | None = None
        self._writable = False

    def call(self, name: str, request: Struct) -> object:
        """See ``Caller``."""
        operation = find_operation(name)
        return operation.run(self._open(writable=operation.effect is Effect.CHANGE), request)

    def offer(self, source: Source) -> AbstractContextManager[str]:
        """See ``Caller``."""
        return self._open(writable=True).offers.offering(source)

    def events(self, after: int | None) -> Iterator[Struct]:
        """See ``Caller``.

        Raises:
            UnreachableError: no keeper runs, so nothing happens.
        """
        del after
        raise UnreachableError(
            N_("No keeper is running."), hint=N_("Start it with 'lastro up' or 'lastro keeper serve'.")
        )

    def damage(self) -> tuple[str, ...]:
        """See ``Caller``."""
        if self._services is None:
            return ()
        return tuple(sorted({item.object for item in self._services.repository.damage()}))

    def close(self) -> None:
        """See ``Caller``."""
        self._stack.close()
        self._services = None

    def _open(self, *, writable: bool) -> Services:
        if self._services is None or (writable and not self._writable):
            self.close()
            self._writable = writable
            self._services = self._stack.enter_context(
                open_services(
                    self._places, writable=writable, actor=self._actor, clock=self._clock, report=self._report
                )
            )
        return self._services
