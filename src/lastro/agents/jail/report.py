"""What comes out of a jail: what the agent says (``Output``), and what the jail's first process says of itself (``Report``).

What always holds: nothing is read ahead of whoever reads, so an agent that says much waits; no line of the report is the agent's, for its
pipe is closed in the agent, and the first word of a kind counts.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from typing import Final

_PIECE: Final = 65_536


class Output:
    """The agent's standard output and error. For any thread."""

    def __init__(self, **descriptors: int) -> None:
        self._open = descriptors
        self._lock = threading.Lock()

    def read(self, timeout_s: float) -> tuple[str, bytes] | None:
        """See ``JailedProcess``. A pipe is closed at its end."""
        with self._lock:
            if not self._open:
                return "end", b""
            ready, _, _ = select.select(list(self._open.values()), (), (), timeout_s)
            for name, descriptor in list(self._open.items()):
                if descriptor in ready:
                    data = os.read(descriptor, _PIECE)
                    if data:
                        return name, data
                    os.close(self._open.pop(name))
            return None if self._open else ("end", b"")

    def rest(self) -> bytes:
        """All that is left of an agent that has ended; closes both pipes."""
        found = b""
        while (piece := self.read(0.0)) is not None and piece[0] != "end":
            found += piece[1]
        self.close()
        return found

    def close(self) -> None:
        """Let go of what is left to read."""
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()


class Report:
    """What ``inside`` writes, line by line. One thread hears; any may ask."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = b""
        self._words: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def hear(self) -> bool:
        """Take in what is there; false when there is nothing, now or any more."""
        if not select.select((self._descriptor,), (), (), 0)[0]:
            return False
        data = os.read(self._descriptor, 4096)
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "note":
                name, _, value = rest.partition(" ")
                self.notes[name] = value
            else:
                self._words.setdefault(word, rest)
        return bool(data)

    @property
    def stands(self) -> bool:
        """The jail stands and the agent's program was started, or could not be."""
        return "ready" in self._words or self.not_started

    @property
    def settled(self) -> bool:
        """Whether it stands is known."""
        return "ready" in self._words or "failed" in self._words

    @property
    def failure(self) -> tuple[str, int]:
        """Where it failed, and the error's number."""
        number, _, where = self._words.get("failed", f"{errno.EPERM} start").partition(" ")
        return where, int(number)

    @property
    def not_started(self) -> bool:
        """The agent's program could not be started."""
        return "failed" in self._words and self.failure[0] == "program"

    @property
    def status(self) -> int | None:
        """How the agent ended by itself: its exit status, or a signal's number below zero."""
        if "exited" in self._words:
            return int(self._words["exited"])
        if "signalled" in self._words:
            return -int(self._words["signalled"])
        return None
