"""Draws the icons of the installed console from ``web/src/icon.svg``: ``python -m tools.icons``. They are small, and committed.

``icon-192.png`` and ``icon-512.png`` have round corners; ``icon-maskable-512.png`` is full to its edges, with the mark inside the circle
that a system may cut out (W3C Manifest: the inner 80 %).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

SOURCES: Final = Path(__file__).resolve().parent.parent / "web" / "src"
GROUND: Final = "#0b5cad"
# name, pixels, corner in the units of the drawing (24 wide), how much of the width the mark takes
ICONS: Final = (
    ("icon-192.png", 192, 5.0, 0.72),
    ("icon-512.png", 512, 5.0, 0.72),
    ("icon-maskable-512.png", 512, 0.0, 0.56),
)


def drawing(mark: str, corner: float, share: float) -> str:
    """The icon as SVG: the mark in white on the ground."""
    edge = 12 * (1 - share)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="100%" height="100%">'
        f'<rect width="24" height="24" rx="{corner}" fill="{GROUND}"/>'
        f'<g color="#fff" transform="translate({edge} {edge}) scale({share})">{mark}</g></svg>'
    )


def main() -> int:
    """Draw all icons."""
    found = re.search(r"<g id=.*</g>", (SOURCES / "icon.svg").read_text("utf-8"))
    assert found is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=sys.argv[1] if len(sys.argv) > 1 else None)
        for name, pixels, corner, share in ICONS:
            page = browser.new_page(viewport={"width": pixels, "height": pixels})
            page.set_content(
                f"<style>body{{margin:0}}svg{{display:block}}</style>{drawing(found[0], corner, share)}"
            )
            page.screenshot(path=SOURCES / name, omit_background=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
