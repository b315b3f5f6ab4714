"""Listens to an agent: keeps what it says, has its adapter understand it, and tells of it, bounded, as it is said.

What always holds: what an agent said is data; it is told printable and cut, at most ``MOST_A_SECOND`` pieces a second, and decides nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from lastro.agents.adapters.adapter import Said
from lastro.agents.output import Lines, OutputFile
from lastro.domain.paths import printable

LONGEST_TOLD: Final = 4096
"""Characters."""
LONGEST_WORDS: Final = 16 * 1024
"""Characters of an agent's last words that are kept."""
MOST_LINES: Final = 20
"""Of what is said in single lines: as many are last words."""
LONGEST_SESSION: Final = 256
MOST_A_SECOND: Final = 50

Parse = Callable[[bytes], Iterable[Said]]


class Hearing:
    """What is heard of one agent. For one thread; ``session`` and ``last_words`` may be read from any."""

    def __init__(self, output: OutputFile, parse: Parse, tell: Callable[[Said], None]) -> None:
        self._output = output
        self._parse = parse
        self._tell = tell
        self._streams = {"stdout": Lines(), "stderr": Lines()}
        self._window = 0
        self._told = 0
        self.lost = False
        """Whether what it says is not kept any more."""
        self.session = ""
        self._words = LastWords()

    @property
    def last_words(self) -> str:
        """See ``LastWords``."""
        return self._words.text

    def hear(self, stream: str, data: bytes) -> None:
        """A piece of what it says."""
        if not self.lost:
            self._keep(stream, data)
        for line in self._streams[stream].feed(data):
            self._understand(line)

    def end(self) -> None:
        """It has ended."""
        for lines in self._streams.values():
            for line in lines.end():
                self._understand(line)
        with suppress(OSError):  # a full disk: said already
            self._output.close()

    def _keep(self, stream: str, data: bytes) -> None:
        try:
            self._output.write(time.time_ns(), stream, data)
        except OSError as error:  # a full disk must not end the agent; what it says is told all the same
            self.lost = True
            self._tell(Said(kind="error", text=f"output: {error.strerror or error}"))

    def _understand(self, line: bytes) -> None:
        for said in self._parse(line):
            text = shown(said.text)
            if said.kind == "session":
                self.session = text[:LONGEST_SESSION]
            else:
                self._words.take(said.kind, text, said.name)
            if self._may_tell():
                self._tell(Said(kind=said.kind, text=text[:LONGEST_TOLD], name=shown(said.name)[:200]))

    def _may_tell(self) -> bool:
        second = int(time.monotonic())
        if second != self._window:
            self._window, self._told = second, 0
        self._told += 1
        return self._told <= MOST_A_SECOND


class LastWords:
    """What an agent said last, at most ``LONGEST_WORDS`` characters: its last text whole, however many pieces it came in; of texts that are
    single lines, and of errors, the last ``MOST_LINES``. What was not understood counts only while nothing was.
    """

    def __init__(self) -> None:
        self._text = ""
        self._goes_on = False
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._raw: deque[str] = deque(maxlen=MOST_LINES)

    @property
    def text(self) -> str:
        """So far."""
        said = [self._text] if self._text.strip() else []
        return "\n".join([*said, *self._lines] or self._raw)[-LONGEST_WORDS:]

    def take(self, kind: str, text: str, name: str) -> None:
        """One thing that was said, as ``Said`` has it."""
        if kind == "text" and name == "delta":
            self._say(self._text + text if self._goes_on else text)
        elif kind == "error" or (kind == "text" and name == "line"):
            if text.strip():
                self._lines.append(text)
            self._goes_on = False
        elif kind == "text":
            if text.strip():
                self._say(text)
        elif kind == "raw":
            if text.strip():
                self._raw.append(text)
        elif kind in {"tool", "tool_result"}:
            self._goes_on = False

    def _say(self, text: str) -> None:
        self._text = text[-LONGEST_WORDS:]
        self._goes_on = True
        self._lines.clear()


def shown(text: str) -> str:
    """``text`` without anything that could steer a terminal, its lines kept."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in text.split("\n"))
