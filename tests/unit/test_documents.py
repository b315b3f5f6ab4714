"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted({*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")})
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def anchors(document):
    """Anchors of its headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", document.read_text("utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", head).lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(TOP)))
def test_every_link_leads_somewhere(document):
    for target, anchor in LINK.findall(CODE.sub("", document.read_text("utf-8"))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        there = (document.parent / target).resolve() if target else document
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{target}#{anchor}"


def test_every_key_of_the_console_is_told():
    templates = TOP / "src" / "lastro" / "faces" / "console" / "templates"
    keys = {
        key
        for page in templates.glob("*.html")
        for key in re.findall(r'data-(?:card-)?key="([^"]+)"', page.read_text("utf-8"))
    }
    moves = re.search(r"const moves = {(.*?)};", (TOP / "web/src/review.js").read_text("utf-8"))
    keys |= set(re.findall(r"(\w): \[", moves[1]))
    rows = re.findall(r"^\| ((?:`.` ?)+)\|", (TOP / "docs/console.md").read_text("utf-8"), flags=re.MULTILINE)
    assert {key for row in rows for key in re.findall(r"`(.)`", row)} == keys
