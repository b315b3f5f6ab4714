"""Where words go: data to standard output, everything else to standard error; with ``--json``, JSON lines to standard output, nothing else.

What always holds: colours and moving lines only on a terminal; what a file is called cannot break a line, because names pass through
``domain.paths.printable`` before they get here; a ``--json`` output ends with exactly one ``result``.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from lastro.faces.cli.settings import Settings
from lastro.faces.translation import gettext as _


class Terminal:
    """The two streams of one call."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self.json = settings.json
        self.quiet = settings.quiet
        self.interactive = _is_terminal(sys.stdin) and _is_terminal(self._err) and not settings.json
        colored = settings.color and environment.get("TERM") != "dumb" and not settings.json
        self.out_color = colored and _is_terminal(self._out)
        self.err_color = colored and _is_terminal(self._err)
        self.moving = (
            _is_terminal(self._err)
            and environment.get("TERM") != "dumb"
            and not (settings.json or settings.quiet)
        )

    @property
    def _out(self) -> TextIO:
        return sys.stdout

    @property
    def _err(self) -> TextIO:
        return sys.stderr

    @property
    def width(self) -> int:
        """Columns of the terminal; wide when standard output is none, so that nothing is cut."""
        return shutil.get_terminal_size((100, 24)).columns if _is_terminal(self._out) else 10_000

    def line(self, text: str = "") -> None:
        """One line of data."""
        self._out.write(f"{text}\n")

    def write(self, data: bytes) -> None:
        """Raw data."""
        self._out.flush()
        self._out.buffer.write(data)

    def write_zeros(self, length: int) -> None:
        """``length`` zero bytes of data, in pieces."""
        while length > 0:
            self.write(bytes(min(length, 1024 * 1024)))
            length -= 1024 * 1024

    def note(self, text: str = "") -> None:
        """One line beside the data, unless quiet."""
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """One line beside the data, also when quiet. With ``--json`` only the JSON speaks."""
        if not self.json:
            self._out.flush()
            self._err.write(f"{text}\n")
            self._err.flush()

    def object(self, kind: str, fields: Mapping[str, Any]) -> None:
        """One JSON line: ``type``, ``v``, and ``fields``."""
        from lastro.app.encoding import encode  # noqa: PLC0415  only with --json

        self.write(encode({"type": kind, "v": 1, **fields}) + b"\n")
        self._out.flush()

    def answer(self, name: str, text: str) -> None:
        """A text that is all there is to say: as data, with ``--json`` as the result's ``name``."""
        if self.json:
            self.object("result", {"ok": True, "exit_code": 0, "reply": {name: text}})
        else:
            self.line(text)

    def style(self, text: str, *, error: bool = False, **styles: Any) -> str:
        """``text`` in colours (those of ``click.style``) where they show."""
        if not (self.err_color if error else self.out_color):
            return text
        from click import style  # noqa: PLC0415  imported already by whoever parsed

        return style(text, **styles)

    def ask(self, question: str) -> bool:
        """Whether a person says yes. Only where ``interactive``; no answer is no."""
        self._out.flush()
        self._err.write(f"{question} [{_('y')}/N] ")
        self._err.flush()
        answer = sys.stdin.readline()
        if not answer:
            self._err.write("\n")
        return answer.strip().lower() in {"y", "yes", _("y"), _("yes")}

    def secret(self, question: str = "") -> str:
        """One line of standard input without its end; what a person types is not shown."""
        if not self.interactive:
            return sys.stdin.readline().rstrip("\r\n")
        from getpass import getpass  # noqa: PLC0415  only for secrets

        return getpass(question or _("Key (not shown): "), stream=self._err)

    def flush(self) -> None:
        """Everything out; raises ``BrokenPipeError`` when the reader is gone."""
        self._out.flush()
        self._err.flush()

    def silence(self) -> None:
        """The reader is gone: let nothing complain about it, not even the interpreter's last flush."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
