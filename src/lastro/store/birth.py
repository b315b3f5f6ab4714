"""What a new repository begins with: keys for two secrets, a README, and the first records.

What always holds: nothing that is there already is touched, and ``format`` comes last, so that a repository whose
making was interrupted is none (``docs/format.md``, Objects).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from msgspec import Struct

from lastro.domain.record import Actor, KeyBody, RecordKind, RepositoryBody
from lastro.errors import ConflictError, NotFoundError
from lastro.messages import N_
from lastro.store.backends.base import Backend
from lastro.store.draft import RecordDraft
from lastro.store.keys import KEY_FILE, RECOVERY, Keyring
from lastro.store.layout import FOLDERS, FORMAT, README, README_TEXT, RESTORE, SIGNING_KEY, slot_name


class SlotSecret(Struct, frozen=True):
    """A slot's name, and the 32 bytes that open it."""

    slot: str
    secret: bytes


def refuse_existing(backend: Backend) -> None:
    """See that there is nothing where a repository is to be made.

    Raises:
        ConflictError: there is one, or the beginning of one.
    """
    try:
        backend.size(FORMAT)
    except NotFoundError:
        if any(True for folder in FOLDERS for _ in backend.names(folder)):
            raise ConflictError(
                N_("Here is the beginning of a repository whose making was interrupted."),
                hint=N_("Nothing in it was ever in use. Remove it, and make the repository again."),
            ) from None
        return
    raise ConflictError(
        N_("There is a repository here already."), hint=N_("Open it, or choose another place.")
    )


def make_secrets(entropy: Callable[[int], bytes]) -> dict[str, SlotSecret]:
    """A secret and a slot for each kind, by kind."""
    return {kind: SlotSecret(entropy(4).hex(), entropy(32)) for kind in (KEY_FILE, RECOVERY)}


def put_keys(
    backend: Backend, keyring: Keyring, secrets: dict[str, SlotSecret], entropy: Callable[[int], bytes]
) -> None:
    """Put the key slots, the signing key, the README and the program that reads all of it without Lastro."""
    for kind, made in secrets.items():
        backend.put(slot_name(made.slot), [keyring.lock(made.slot, kind, made.secret, entropy)])
    backend.put(SIGNING_KEY, [keyring.lock_signing_key(entropy)])
    backend.put(README, [README_TEXT.encode()])
    backend.put(RESTORE, [files("lastro.store").joinpath("exit_hatch", RESTORE).read_bytes()])


def first_records(keyring: Keyring, actor: Actor, secrets: dict[str, SlotSecret]) -> list[RecordDraft]:
    """Record 0, and one for each key slot."""
    birth = RepositoryBody(public_key=keyring.public_key, repository=keyring.repository)
    keys = [KeyBody(change="added", kind=kind, slot=made.slot) for kind, made in secrets.items()]
    return [
        RecordDraft(kind=RecordKind.REPOSITORY, actor=actor, body=birth),
        *(RecordDraft(kind=RecordKind.KEY, actor=actor, body=body) for body in keys),
    ]
