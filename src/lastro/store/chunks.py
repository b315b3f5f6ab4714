"""Chunks read back from where the index says they lie, verified, with the last frames kept unpacked.

What always holds: no chunk leaves here whose keyed digest is not its id.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from lastro.chunking.digest import chunk_id, digest_of
from lastro.domain.ids import ChunkId
from lastro.errors import DamagedError, NotFoundError
from lastro.messages import N_
from lastro.store.backends.base import Backend
from lastro.store.crypto import HEADER_SIZE, ObjectCipher, decode_header
from lastro.store.index_rows import Location
from lastro.store.keys import Keyring

_FRAMES_SIZE: Final = 32 << 20
_CIPHERS: Final = 256


class ChunkSource:
    """Reads frames of packs and journal segments. Safe for use from several threads."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        self._backend = backend
        self._keyring = keyring
        self._lock = threading.Lock()
        self._ciphers: OrderedDict[str, ObjectCipher] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._frames_size = 0

    def read(self, chunk: ChunkId, at: Location) -> bytes:
        """The bytes of ``chunk``, which lies ``at`` this place.

        Raises:
            DamagedError: what lies there is not the chunk.
        """
        try:
            content = self.frame(at)
        except DamagedError as error:
            raise damaged_chunk(chunk, at.object) from error
        data = content[at.start : at.start + at.length]
        if chunk_id(self._keyring.chunk_id_key, digest_of(data)) != chunk:
            raise damaged_chunk(chunk, at.object)
        return data

    def frame(self, at: Location) -> bytes:
        """The content of a chunk's whole frame.

        Raises:
            DamagedError: it is not what was written, or its object is gone.
        """
        key = (at.object, at.offset)
        with self._lock:
            content = self._frames.get(key)
            if content is not None:
                self._frames.move_to_end(key)
                return content
        try:
            content = self.cipher(at.object).open(
                at.ordinal, self._backend.read(at.object, at.offset, at.size)
            )
        except NotFoundError:
            raise DamagedError(
                N_("{object} is missing."),
                hint=N_("Put {object} back from another copy of the repository."),
                object=at.object,
            ) from None
        with self._lock:
            if key not in self._frames:
                self._frames[key] = content
                self._frames_size += len(content)
            while self._frames_size > _FRAMES_SIZE:
                self._frames_size -= len(self._frames.popitem(last=False)[1])
        return content

    def cipher(self, name: str) -> ObjectCipher:
        """The cipher of an object, from its header.

        Raises:
            NotFoundError: there is no such object.
            DamagedError: its header is damaged.
        """
        with self._lock:
            cipher = self._ciphers.get(name)
        if cipher is None:
            cipher = self._keyring.cipher(decode_header(self._backend.read(name, 0, HEADER_SIZE), name), name)
            with self._lock:
                self._ciphers[name] = cipher
                while len(self._ciphers) > _CIPHERS:
                    self._ciphers.popitem(last=False)
        return cipher

    def forget(self) -> None:
        """Drop everything that is kept; the next reads go to the backend."""
        with self._lock:
            self._frames.clear()
            self._frames_size = 0
            self._ciphers.clear()


def damaged_chunk(chunk: ChunkId, name: str) -> DamagedError:
    """The error for a chunk in the object ``name`` that is not what was written."""
    return DamagedError(
        N_("The chunk {chunk} in {object} is damaged."),
        hint=N_("`lastro repo check --read-data` names the paths and snapshots that this concerns."),
        chunk=chunk.hex(),
        object=name,
    )
