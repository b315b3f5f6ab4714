"""The console's own files: style sheet, scripts, icons. Built from ``web/`` when the project is built (``hatch_build.py``).

What always holds: a file is served under a name that holds its digest, so it can be kept for ever; nothing outside the built directory is
served; nothing is fetched from anywhere else.
"""

from __future__ import annotations

import json
import mimetypes
import os
from functools import cache
from typing import Final, NamedTuple

from lastro.errors import ConfigError, NotFoundError
from lastro.messages import N_

DIRECTORY: Final = os.path.join(os.path.dirname(__file__), "static")
PREFIX: Final = "/static/"
_MANIFEST: Final = "assets.json"
_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain",
}


class Asset(NamedTuple):
    """A built file. ``unchanging``: its name says its content."""

    content: bytes
    media_type: str
    unchanging: bool


@cache
def names() -> dict[str, str]:
    """What a source is called once it is built: ``console.js`` → ``console-3f2a9c81.js``.

    Raises:
        ConfigError: the assets were never built.
    """
    try:
        with open(os.path.join(DIRECTORY, _MANIFEST), "rb") as file:
            found: dict[str, str] = json.load(file)
    except OSError as error:
        raise ConfigError(
            N_("The console's style sheet and scripts were never built: {path} is missing."),
            hint=N_("An installed package brings them. In a checkout: make assets"),
            path=os.path.join(DIRECTORY, _MANIFEST),
        ) from error
    return found


def address_of(name: str) -> str:
    """The path under which the asset ``name`` is served."""
    return PREFIX + names()[name]


@cache
def asset(served: str) -> Asset:
    """The built file that is served as ``served``.

    Raises:
        NotFoundError: there is none.
    """
    if served not in names().values():
        raise NotFoundError(N_("There is no such file."))
    with open(os.path.join(DIRECTORY, served), "rb") as file:
        content = file.read()
    ending = os.path.splitext(served)[1]
    media_type = _TYPES.get(ending) or mimetypes.guess_type(served)[0] or "application/octet-stream"
    return Asset(content, media_type, unchanging=True)


def icon() -> bytes:
    """The icon that desktops show: a PNG of 512 by 512 pixels."""
    return asset(names()["icon-512.png"]).content
