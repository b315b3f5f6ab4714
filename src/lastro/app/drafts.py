"""Drafts of comments, one small file for each human and proposal: working state, kept until they are sent or forgotten.

What always holds: a draft that was acknowledged is there after any restart; two tabs of one human add to the same drafts; nobody reads
another's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from blake3 import blake3

from lastro.app.encoding import decode, encode
from lastro.app.requests.reviewing import Draft, DraftsReply
from lastro.domain.record import Actor
from lastro.errors import LastroError, LimitError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_

MOST: Final = 500
"""Drafts of one human on one proposal."""
LONGEST: Final = 20_000
"""Characters of one."""


class Drafts:
    """See the module. ``directory`` is made when it is needed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def of(self, human: Actor, proposal: int) -> tuple[Draft, ...]:
        """The drafts of ``human`` on ``proposal``, oldest first."""
        return self._read(self._file(human, proposal))

    def change(
        self, human: Actor, proposal: int, changed: Callable[[tuple[Draft, ...]], tuple[Draft, ...]]
    ) -> tuple[Draft, ...]:
        """Replace them by what ``changed`` makes of them, while nobody else does.

        Raises:
            LimitError: they are too many, or one is too long.
        """
        file = self._file(human, proposal)
        with self._alone(file):
            drafts = changed(self._read(file))
            if len(drafts) > MOST or any(len(draft.text) > LONGEST for draft in drafts):
                raise LimitError(
                    N_("There is room for {count} comments of {length} characters."),
                    count=MOST,
                    length=LONGEST,
                )
            write_atomically(file, encode(DraftsReply(drafts=drafts)), system=System())
            return drafts

    def _file(self, human: Actor, proposal: int) -> str:
        who = blake3(msgspec.msgpack.encode([human.kind, human.name, human.uid])).hexdigest()[:32]
        return f"{self._directory}/{proposal}-{who}"

    def _read(self, file: str) -> tuple[Draft, ...]:
        try:
            with open(file, "rb") as opened:
                return decode(opened.read(), DraftsReply).drafts
        except (FileNotFoundError, LastroError):  # a damaged file is only working state
            return ()

    @contextmanager
    def _alone(self, file: str) -> Iterator[None]:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        with open(f"{file}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
