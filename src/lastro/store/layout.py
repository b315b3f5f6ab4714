"""Where a repository's objects are and what they are called, the ``format`` object that says how to read them, and the README beside it.

What always holds: a name tells nobody what is protected, and this is the only module that builds names (``docs/format.md``, Objects).
"""

from __future__ import annotations

import json
from typing import Final

import msgspec
from blake3 import blake3
from msgspec import Struct

from lastro.chunking.chunker import ChunkerParameters
from lastro.errors import DamagedError, FormatError
from lastro.messages import N_

FORMAT: Final = "format"
README: Final = "README"
RESTORE: Final = "RESTORE.py"
SIGNING_KEY: Final = "keys/signing"
KEYS: Final = "keys"
DATA: Final = "data"
META: Final = "meta"
JOURNAL: Final = "journal"
INDEX: Final = "index"
LOG: Final = "log"
FOLDERS: Final = (KEYS, DATA, META, JOURNAL, INDEX, LOG)

VERSION: Final = "0-dev"
READ_FEATURES: Final[frozenset[str]] = frozenset()
"""Features that a reader must know, as far as this version knows any."""
WRITE_FEATURES: Final[frozenset[str]] = frozenset()
"""Features that a writer must know."""

README_TEXT: Final = """\
This folder is a Lastro repository: everything that was captured, encrypted, with its history.

    format    how to read the rest
    keys/     the repository's key, locked once for each secret that opens it
    data/     packs: the contents of files
    meta/     packs: trees (names, owners, times)
    journal/  small captures, as they came
    index/    which chunk lies in which pack
    log/      records of what happened
    lock      who writes at the moment
    tmp/      work in progress; cleared by the next writer

RESTORE.py brings everything back without Lastro: `python3 RESTORE.py` says how.

Do not change, rename or delete anything here: `lastro repo check` would find it, and what is gone is gone. Copying all of it,
at any time, is a good second copy. Without the key file or the recovery key nobody can read it, and nobody can help.
"""


def pack_name(folder: str, digest: bytes) -> str:
    """``data/xx/HEX`` or ``meta/xx/HEX``; ``digest`` is the SHA-256 of the pack's bytes."""
    text = digest.hex()
    return f"{folder}/{text[:2]}/{text}"


def index_name(digest: bytes) -> str:
    """``index/HEX``; ``digest`` is the SHA-256 of the object's bytes."""
    return f"{INDEX}/{digest.hex()}"


def log_name(seq: int) -> str:
    """``log/SEQ``: the first record inside, as 16 hex digits."""
    return f"{LOG}/{seq:016x}"


def journal_name(epoch: int, number: int) -> str:
    """``journal/EPOCH-NUMBER``, 8 hex digits each: names sort as the segments were written."""
    return f"{JOURNAL}/{epoch:08x}-{number:08x}"


def journal_position(name: str) -> tuple[int, int] | None:
    """Epoch and number of a journal segment's name; ``None`` for what is not one."""
    epoch, dash, number = name.removeprefix(f"{JOURNAL}/").partition("-")
    try:
        position = int(epoch, 16), int(number, 16)
    except ValueError:
        return None
    return position if dash and journal_name(*position) == name else None


def slot_name(slot: str) -> str:
    """``keys/SLOT``."""
    return f"{KEYS}/{slot}"


class ChunkerSizes(Struct, frozen=True, kw_only=True):
    """The part of ``ChunkerParameters`` that is no secret, in bytes."""

    average: int
    maximum: int
    minimum: int
    whole_below: int


class RepositoryFormat(Struct, frozen=True, kw_only=True):
    """What ``format`` says. ``id``: 32 hex digits. The chunker's seed is not in it: it follows from the key."""

    format: str
    id: str
    read_features: tuple[str, ...]
    write_features: tuple[str, ...]
    chunker: ChunkerSizes


def encode_format(repository: str, parameters: ChunkerParameters) -> bytes:
    """The ``format`` object: JSON, sorted, with a digest over itself."""
    fields: dict[str, object] = {
        "chunker": {name: getattr(parameters, name) for name in ChunkerSizes.__struct_fields__},
        "format": VERSION,
        "id": repository,
        "read_features": sorted(READ_FEATURES),
        "write_features": sorted(WRITE_FEATURES),
    }
    return encode_checked(fields)


def decode_format(raw: bytes, *, writable: bool) -> RepositoryFormat:
    """Read a ``format`` object.

    Raises:
        DamagedError: these are not the bytes that were written.
        FormatError: a feature in it is unknown here.
    """
    fields = decode_checked(raw, FORMAT)
    try:
        found = msgspec.convert(fields, RepositoryFormat)
    except msgspec.ValidationError as error:
        raise _newer(str(fields.get("format"))) from error
    needed = set(found.read_features) | (set(found.write_features) if writable else set())
    unknown = sorted(needed - READ_FEATURES - WRITE_FEATURES)
    if found.format != VERSION or unknown:
        raise _newer(", ".join([found.format, *unknown]))
    return found


def _newer(needs: str) -> FormatError:
    return FormatError(
        N_("This repository needs {needs}, which this version of Lastro does not know (it knows {known})."),
        hint=N_("Use the version of Lastro that wrote it, or a newer one. Nothing was changed."),
        needs=needs,
        known=VERSION,
    )


def encode_checked(fields: dict[str, object]) -> bytes:
    """Sorted JSON of ``fields`` with ``check``: the plain BLAKE3 of the same JSON without it. Ends in a newline."""
    bare = _json(fields)
    return _json({**fields, "check": blake3(bare).hexdigest()})


def decode_checked(raw: bytes, name: str) -> dict[str, object]:
    """The inverse of ``encode_checked``, without ``check``.

    Raises:
        DamagedError: a single bit is not as it was written.
    """
    try:
        fields = json.loads(raw)
        check = fields.pop("check")
        sound = blake3(_json(fields)).hexdigest() == check and encode_checked(fields) == raw
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        sound, fields = False, {}
    if not sound:
        raise DamagedError(
            N_("{object} is damaged."),
            hint=N_("Put {object} back from another copy of the repository: it never changes once written."),
            object=name,
        )
    return dict(fields)


def _json(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"
