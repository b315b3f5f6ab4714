"""Pictures of every page, for people who look: ``python -m tests.browser.screenshots DIRECTORY [WORD...]``; a WORD picks pages by path.
``python -m tests.browser.screenshots --documentation docs/img`` takes the few that the documentation shows.

Each page wide in light, wide in dark, in Portuguese, and as wide as a phone; ``index.html`` shows them side by side. What a page does not
keep (``kit.Window``) is said beside it, and the command fails.
"""

from __future__ import annotations

import html
import os
import sys
import tempfile
from typing import Any, Final

from tests.browser import kit
from tests.browser.pages import ENROLLED, PAGES
from tests.browser.sample import sample_console
from tests.browser.showcase import showcase

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {},
    "dark": {"theme": "dark"},
    "pt-BR": {"language": "pt-BR"},
    "phone": {"theme": "dark", "width": 390, "is_mobile": True, "has_touch": True, "device_scale_factor": 1},
}
_HEAD: Final = (
    "<!doctype html><meta charset=utf-8><title>Screenshots</title><style>body{font-family:sans-serif;background:#888}"
    "img{width:100%;border:1px solid}section{display:grid;grid-template-columns:3fr 3fr 3fr 1fr;gap:1rem;align-items:start}</style>"
)


def main(directory: str, words: list[str]) -> int:
    """Take them; 1 where a page does not keep what it should."""
    os.makedirs(directory, exist_ok=True)
    rows, wrong = [], 0
    with (
        tempfile.TemporaryDirectory() as top,
        sample_console(top) as made,
        kit.served(kit.Happenings(made.client.app)) as address,
        kit.chromium() as browser,
    ):
        for case in PAGES:
            if words and not any(word in case.path for word in words):
                continue
            found = {
                look: _picture(browser, address, directory, case, look, root=made.office.root)
                for look in LOOKS
            }
            for look, problems in found.items():
                for problem in problems:
                    _say(f"{case.path} {look}: {problem}")
                    wrong += 1
            pictures = "".join(f'<img src="{_name(case, look)}" alt="{look}">' for look in LOOKS)
            rows.append(f"<h2>{html.escape(case.path)}</h2><section>{pictures}</section>")
    with open(os.path.join(directory, "index.html"), "w", encoding="utf-8") as file:
        file.write(_HEAD + "".join(rows))
    _say(os.path.join(directory, "index.html"))
    return 1 if wrong else 0


SHOWN: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("inbox-light.png", "/inbox", {}),
    ("review-dark.png", "/proposals/2", {"theme": "dark"}),
    ("history.png", "/history/local{root}/app.py?at=snap-2", {}),
    ("phone.png", "/proposals/2", {"width": 390}),
)
"""What the documentation shows: file, page, look."""
_ELSEWHERE: Final = """([from, to]) => {
  const crumbs = [...document.querySelectorAll('nav.mono > *')];
  const parts = from.split('/').slice(1);
  parts.forEach((part, place) => {
    const own = crumbs.find((one) => one.textContent === part);
    if (!own) return;
    if (place === parts.length - 1) own.textContent = to.slice(1);
    else { own.nextElementSibling.remove(); own.remove(); }
  });
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
}"""


def picture_for_documentation(directory: str) -> None:
    """Take the few pictures that the documentation shows, as of a project below ``/srv``."""
    os.makedirs(directory, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as top,
        showcase(top) as made,
        kit.served(kit.Happenings(made.client.app)) as address,
        kit.chromium() as browser,
    ):
        for name, path, look in SHOWN:
            window = kit.Window(browser, address, ENROLLED, **look)
            page = window.open(path.replace("{root}", made.office.root))
            page.evaluate(_ELSEWHERE, [os.path.realpath(top), "/srv"])
            page.screenshot(path=os.path.join(directory, name))
            window.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _picture(browser, address, directory, case, look, *, root):
    window = kit.Window(browser, address, case.name, case.roles, **LOOKS[look])
    try:
        try:
            page = window.open(case.address(root), status=case.status)
        except AssertionError as error:
            return [str(error)]
        page.screenshot(path=os.path.join(directory, _name(case, look)), full_page=True)
        problems = [*window.problems, *window.violations(), *window.small_targets()]
        return [*problems, "scrolls sideways"] if window.sideways() else problems
    finally:
        window.close()


def _name(case, look):
    plain = "".join(one if one.isalnum() else "-" for one in case.id)
    return f"{plain}-{look}.png"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--documentation"]:
        picture_for_documentation(sys.argv[2])
        sys.exit(0)
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "build/screenshots", sys.argv[2:]))
