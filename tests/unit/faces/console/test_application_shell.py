"""The manifest, the service worker and the page for when nobody answers: the same for everybody, and nobody's."""

from __future__ import annotations

import json
import re

import pytest

from lastro.faces.console import assets
from tests.capabilities import needs
from tests.console_kit import console_over
from tests.decision_kit import Office


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    try:
        assets.names()
    except Exception:  # noqa: BLE001  whatever is missing
        needs(condition=False, reason="built assets (make assets)")
    office = Office.made(str(tmp_path_factory.mktemp("office")), {"a": b"one\n"})
    with console_over(office) as made:
        yield made


@pytest.mark.parametrize("path", ["/manifest.webmanifest", "/service-worker.js", "/offline"])
def test_whoever_asks_gets_the_same(kit, path):
    def body(cookie):
        headers = {"cookie": f"lastro-test={cookie}"} if cookie else {}
        answer = kit.client.get(path, headers=headers, follow_redirects=False)
        assert answer.status_code == 200
        return re.sub(r'data-nonce="[^"]*"', "", answer.text)

    assert body("") == body("ana:owner") == body("vera:viewer")


def test_the_manifest_names_icons_that_are_there(kit):
    answer = kit.client.get("/manifest.webmanifest")
    assert answer.headers["content-type"] == "application/manifest+json"
    manifest = json.loads(answer.text)
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        found = kit.client.get(icon["src"])
        assert found.status_code == 200 and found.headers["content-type"] == icon["type"]
    for shortcut in manifest["shortcuts"]:
        assert kit.browser("ana").get(shortcut["url"])


def test_the_worker_keeps_files_of_the_console_and_nothing_else(kit):
    answer = kit.client.get("/service-worker.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert "sandbox" not in answer.headers["content-security-policy"]
    told = json.loads(re.match(r"self\.shell=(\{.*?\});\n", answer.text)[1])
    assert told["offline"] == "/offline"
    assert told["keep"] and all(path.startswith("/static/") for path in told["keep"])
    assert all(kit.client.get(path).status_code == 200 for path in told["keep"])


def test_a_new_build_is_a_new_worker(kit, monkeypatch):
    before = kit.client.get("/service-worker.js").text
    found = dict(assets.names())
    monkeypatch.setattr(assets, "names", lambda: {**found, "console.css": "console-0000000000000000.css"})
    after = kit.client.get("/service-worker.js").text
    versions = [re.search(r'"version":"(\w+)"', text)[1] for text in (before, after)]
    assert versions[0] != versions[1]


def test_the_page_says_what_starts_the_keeper(kit):
    page = kit.browser().get("/offline")
    assert "lastro up" in page.words and "Nothing is lost" in page.words
    assert not page.all("form") and not page.all("body", **{"data-events": "/api/v1/events"})
