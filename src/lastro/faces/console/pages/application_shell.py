"""What makes the console an application that can be installed: its manifest, its service worker, the page that says it is out of reach.

What always holds: all three are the same for everybody, signed in or not, and hold nothing of anybody; the service worker keeps the files
of the console and that one page, never a page with data.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from lastro.faces.console import assets
from lastro.faces.console.asked import Answer, Asked, OwnFile, Page, Way
from lastro.faces.translation import gettext as _
from lastro.messages import N_

OFFLINE: Final = "/offline"
_KEPT: Final = ("console.css", "console.js", "icon.svg", "icon-192.png")
_ICONS: Final = (
    ("icon.svg", "any", "image/svg+xml", "any"),
    ("icon-192.png", "192x192", "image/png", "any"),
    ("icon-512.png", "512x512", "image/png", "any"),
    ("icon-maskable-512.png", "512x512", "image/png", "maskable"),
)
_SHORTCUTS: Final = (("/inbox", N_("Inbox")), ("/runs", N_("Runs")), ("/history", N_("History")))


def manifest(asked: Asked) -> Answer:
    """W3C Web Application Manifest."""
    value = {
        "id": "/",
        "name": "Lastro",
        "short_name": "Lastro",
        "description": _(
            "Every state of a server kept: see any version, review what changes, bring any of it back."
        ),
        "lang": asked.language.replace("_", "-"),
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f5f7fa",
        "theme_color": "#0b5cad",
        "icons": [
            {"src": assets.address_of(name), "sizes": sizes, "type": kind, "purpose": purpose}
            for name, sizes, kind, purpose in _ICONS
        ],
        "shortcuts": [{"name": _(word), "url": path} for path, word in _SHORTCUTS],
    }
    return OwnFile(content=_json(value), media_type="application/manifest+json")


def service_worker(_asked: Asked) -> Answer:
    """The script, told what to keep. Its version is that of everything it keeps, so a new build is a new worker."""
    kept = [assets.address_of(name) for name in _KEPT]
    script = assets.asset(assets.names()["service-worker.js"]).content
    version = hashlib.sha256(_json(kept) + script).hexdigest()[:16]
    told = _json({"version": version, "keep": kept, "offline": OFFLINE})
    return OwnFile(content=b"self.shell=" + told + b";\n" + script, media_type="text/javascript")


def offline(_asked: Asked) -> Answer:
    """What is shown where the keeper cannot be reached. It is kept by browsers, so it is nobody's, even where somebody asks for it."""
    return Page(template="offline.html", values={"visitor": None, "menu": [], "notice": ""})


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


WAYS = (
    Way(path="/manifest.webmanifest", handler=manifest, right=None),
    Way(path="/service-worker.js", handler=service_worker, right=None),
    Way(path=OFFLINE, handler=offline, right=None),
)
