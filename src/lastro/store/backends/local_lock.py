"""The lock of a local repository: ``flock`` on the file ``lock``, which says who holds it and in which fencing epoch.

What always holds: the kernel gives a dead owner's lock away by itself, so nothing here guesses from process numbers; epochs only grow; and
``clean`` stands in the file only while nobody writes and the last writer left nothing in doubt.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress

from typing_extensions import override

from lastro.errors import LockedError
from lastro.filesystem.system import System
from lastro.messages import N_
from lastro.store.backends.base import Lock

_NAME = b"lock"


class LocalLock(Lock):
    """Taken when it is made. ``root``: descriptor of the repository; ``known_epoch``: the highest epoch seen elsewhere in it.

    ``was_clean``: the writer before left nothing in doubt. ``in_doubt``: set it when this one does.

    Raises:
        LockedError: another writer holds it.
    """

    def __init__(self, system: System, root: int, place: str, known_epoch: int) -> None:
        self._system = system
        self._descriptor = system.open(root, _NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _locked_by(self._read(), place) from None
            before = self._read()
            self._epoch = max(known_epoch, _number(before.get("epoch"))) + 1
            self.was_clean = before.get("clean") is True
            self.in_doubt = False
            self._write(clean=False)
            system.sync(self._descriptor)
            system.sync(root)
        except BaseException:
            os.close(self._descriptor)
            raise

    @property
    @override
    def epoch(self) -> int:
        return self._epoch

    @override
    def release(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):  # not clean is always a safe thing to say
                self._write(clean=not self.in_doubt)
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, *, clean: bool) -> None:
        owner = {"clean": clean, "epoch": self._epoch, "host": socket.gethostname(), "pid": os.getpid()}
        text = json.dumps(owner, sort_keys=True).encode() + b"\n"
        self._system.write_at(self._descriptor, text, 0)
        self._system.truncate(self._descriptor, len(text))

    def _read(self) -> dict[str, object]:
        try:
            fields = json.loads(os.pread(self._descriptor, 4096, 0))
        except ValueError:
            return {}  # a crash may have cut it short; the journal's names still tell the epoch
        return fields if isinstance(fields, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _locked_by(owner: dict[str, object], place: str) -> LockedError:
    return LockedError(
        N_("The repository {place} is being written to by process {pid} on {host}."),
        hint=N_("Wait until it is done, or stop that process. Reading works meanwhile."),
        place=place,
        pid=owner.get("pid", "?"),
        host=owner.get("host", "?"),
    )
