"""Words for signing in: by what means, and in which browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.messages import N_

MEANS: Final[Mapping[str, str]] = {
    "passkey": N_("passkey"),
    "password": N_("password"),
    "link": N_("one-time link"),
    "setup": N_("making the first account"),
    "invite": N_("invited"),
}

_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def browser_name(said: str) -> str:
    """``Firefox, Linux``, from what a browser says of itself; the beginning of that where it names none that is known."""
    names = [next((name for mark, name in table if mark in said), "") for table in (_BROWSERS, _SYSTEMS)]
    return ", ".join(name for name in names if name) or said[:40]
