"""The console in a window of its own, on the desktop of whoever asks: their browser, opened with a link that signs them in once.

What always holds: the link stands on no command line, where any account of this machine could read it; it goes by a file that is its
owner's alone. Nothing is started that outlives its purpose, and nothing of a desktop is changed but by ``install``.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from lastro.app.caller import Caller
from lastro.app.places import Places
from lastro.app.requests import Status, StatusReply
from lastro.app.requests.accounts import Login, OneTimeLink
from lastro.domain.paths import to_bytes
from lastro.errors import UnreachableError
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System
from lastro.messages import N_

WINDOWS: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "microsoft-edge-stable",
    "microsoft-edge",
    "brave-browser",
)
"""Browsers that open a page in a window without their own bars (``--app``), the freest first."""
ENTRY: Final = "lastro.desktop"
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={address}"><title>Lastro</title></head><body></body></html>
"""


class Desktop(Protocol):
    """What opens windows."""

    def open(self, file: str) -> bool:
        """Open the HTML file at the absolute path ``file``; whether anything could be started."""
        ...


class DesktopOfThisMachine:
    """See ``Desktop``."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        find: Callable[[str], str | None] = shutil.which,
        start: Callable[[Sequence[str]], None] | None = None,
        default: Callable[[str], bool] = webbrowser.open,
    ) -> None:
        self._environment = environment
        self._find = find
        self._start = start or _detached
        self._default = default

    def open(self, file: str) -> bool:
        """See ``Desktop``."""
        if not self.has_screen():
            return False
        address = f"file://{file}"
        program = self.window()
        if program:
            self._start([program, f"--app={address}"])
            return True
        return self._default(address)

    def has_screen(self) -> bool:
        """Whether windows can be seen: macOS, and a session of X11 or Wayland."""
        return os.uname().sysname == "Darwin" or any(
            self._environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
        )

    def window(self) -> str:
        """The browser for a window of its own; empty where there is none. One in a snap cannot read the file, so it is left out."""
        found = (self._find(name) for name in WINDOWS)
        return next((one for one in found if one and not os.path.realpath(one).startswith("/snap/")), "")


def _detached(command: Sequence[str]) -> None:
    """Start it, apart from this terminal, which may be closed."""
    subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def one_time_link(caller: Caller) -> OneTimeLink:
    """A link that signs in whose account runs this process.

    Raises:
        UnreachableError: no keeper runs, so nobody would answer at it.
    """
    status = caller.call("status", Status())
    assert isinstance(status, StatusReply)
    if not status.keeper:
        raise UnreachableError(
            N_("No keeper is running, so there is no console."), hint=N_("Start it with: lastro up")
        )
    link = caller.call("login", Login())
    assert isinstance(link, OneTimeLink)
    return link


def open_console(places: Places, link: OneTimeLink, desktop: Desktop) -> bool:
    """Open ``link`` on ``desktop``; whether a browser could be started. The file stays until the next time; what it holds is good once."""
    file = f"{places.run}/desktop.html"
    page = _PAGE.format(address=html.escape(link.url))
    write_atomically(file, page.encode(), mode=0o600, system=System())
    return desktop.open(file)


def install(directory: str, command: Sequence[str], *, comment: str, icon: bytes) -> str:
    """Put Lastro into the menu of the desktop whose data directory (``XDG_DATA_HOME``) is ``directory``; the path of the entry.

    ``icon``: a PNG of 512 by 512 pixels. Source: freedesktop.org, Desktop Entry Specification 1.5 and Icon Theme Specification.
    """
    entry = f"{directory}/applications/{ENTRY}"
    picture = f"{directory}/icons/hicolor/512x512/apps/lastro.png"
    for path in (entry, picture):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    write_atomically(picture, icon, mode=0o644, system=System())
    write_atomically(entry, to_bytes(_entry(command, comment)), mode=0o644, system=System())
    return entry


def _entry(command: Sequence[str], comment: str) -> str:
    lines = {
        "Type": "Application",
        "Version": "1.5",
        "Name": "Lastro",
        "Comment": _value(comment),
        "Exec": _value(" ".join(map(_argument, command))),
        "Icon": "lastro",
        "Terminal": "false",
        "Categories": "System;Archiving;",
    }
    return "\n".join(["[Desktop Entry]", *(f"{name}={value}" for name, value in lines.items()), ""])


def _argument(word: str) -> str:
    """A word of ``Exec``: quoted, with a backslash before what is special inside quotes, and ``%`` doubled."""
    special = "".join(f"\\{one}" if one in '"`$\\' else one for one in word)
    return f'"{special.replace("%", "%%")}"'


def _value(text: str) -> str:
    """A string of an entry: one line."""
    escapes = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(escapes.get(one, one) for one in text)
