"""The gateway's own small repository: where it lies, how it is made, and how it is opened.

It is the engine that the keeper uses, with a key of its own. What always holds: its secrets are saved before there is a repository, and a
key file that is missing never leads to a new repository over an old one.
"""

from __future__ import annotations

import os

from lastro.domain.clock import Clock
from lastro.domain.paths import printable, to_bytes
from lastro.domain.record import Actor
from lastro.errors import LockedError, NoRepositoryError, WrongKeyError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_
from lastro.store.backends.local import LocalBackend
from lastro.store.recovery import KeyFile
from lastro.store.repository import Created, Repository


def open_or_create_repository(
    path: str, *, key_file: str, kit_path: str, cache: str | None, actor: Actor, clock: Clock
) -> Repository:
    """The gateway's repository at the absolute ``path``, open for writing; made if there is none.

    ``key_file`` and ``kit_path`` are where its secrets go (0600); ``cache`` is an SQLite file that may be deleted, ``None``: in memory.

    Raises:
        LockedError: another gateway writes to it.
        WrongKeyError: the key file is missing, or does not open it.
        ConflictError: its making was interrupted.
    """
    if os.path.exists(f"{path}/format"):
        try:
            return open_repository(path, key_file=key_file, cache=cache, clock=clock, writable=True)
        except LockedError as error:
            raise LockedError(
                N_("A gateway of this home runs already (process {pid})."),
                hint=N_(
                    "'lastro gateway status' says where it listens. Another one needs a home of its own: --home DIR"
                ),
                pid=error.parameters.get("pid", "?"),
            ) from error
    for place in (path, os.path.dirname(key_file), os.path.dirname(kit_path)):
        os.makedirs(place, mode=0o700, exist_ok=True)

    def keep(created: Created) -> None:
        write_atomically(key_file, created.key_file, mode=0o600, system=System())
        kit = recovery_kit(created.repository.id, path, created.recovery_key, created.public_key)
        write_atomically(kit_path, kit.encode(), mode=0o600, system=System())

    return Repository.create(LocalBackend(path), actor=actor, clock=clock, cache=cache, keep=keep).repository


def open_repository(
    path: str, *, key_file: str, cache: str | None, clock: Clock, writable: bool = False
) -> Repository:
    """The gateway's repository at ``path``, which is there already. Reading takes no lock: a running gateway is not disturbed.

    Raises:
        NoRepositoryError: the gateway never ran here.
        WrongKeyError: the key file is missing, or does not open it.
        LockedError: ``writable``, and a gateway writes to it.
    """
    try:
        os.stat(to_bytes(f"{path}/format"))  # another user may not look: that is an OSError, not an absence
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoRepositoryError(
            N_("The gateway has recorded nothing in {path}."),
            hint=N_("'lastro gateway serve' starts it; every exchange is recorded from then on."),
            path=path,
        ) from error
    try:
        with open(key_file, "rb") as file:
            secret = KeyFile(file.read())
    except OSError as error:
        raise WrongKeyError(
            N_("The gateway's key file {path} cannot be read: {reason}"),
            hint=N_(
                "Put it back from a copy. To begin anew, move {repository} away: what it holds stays readable with its recovery key."
            ),
            path=key_file,
            repository=path,
            reason=error.strerror or str(error),
        ) from error
    return Repository.open(LocalBackend(path), secret, clock=clock, cache=cache, writable=writable)


def recovery_kit(repository: str, path: str, key: str, public_key: bytes) -> str:
    """The text of the gateway's recovery kit. In English and Portuguese, because whoever needs it may not be who made it."""
    return (
        "LASTRO GATEWAY RECOVERY KIT / KIT DE RECUPERAÇÃO DO GATEWAY DO LASTRO\n\n"
        f"repository / repositório: {repository}\n"
        f"place / lugar:            {printable(path)}\n"
        f"signing key / chave de assinatura (Ed25519): {public_key.hex()}\n\n"
        f"    {key}\n\n"
        "With this key alone every exchange that the gateway recorded can be read. Print it, move it to a safe place away\n"
        "from this machine, and remove this file.\n"
        "Só com esta chave toda troca gravada pelo gateway pode ser lida. Imprima, guarde em lugar seguro longe desta\n"
        "máquina e remova este arquivo.\n"
    )
