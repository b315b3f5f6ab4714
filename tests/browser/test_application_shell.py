"""The installed console: manifest, icons, service worker. It keeps its own files and one page, and nothing of anybody."""

from __future__ import annotations

import json

import pytest

from tests.browser import kit
from tests.browser.sample import sample_console

pytestmark = [pytest.mark.system, pytest.mark.slow]

KEPT = """async () => {
  const found = [];
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) found.push([name, new URL(request.url).pathname, await (await cache.match(request)).text()]);
  }
  return found;
}"""


def ready(page):
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("() => navigator.serviceWorker.controller")


def test_it_can_be_installed(window):
    one = window()
    page = one.open("/inbox")
    session = one.context.new_cdp_session(page)
    found = session.send("Page.getAppManifest")
    assert found["errors"] == []
    manifest = json.loads(found["data"])
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        answer = page.request.get(icon["src"])
        assert answer.ok and answer.headers["content-type"] == icon["type"]
        if icon["type"] == "image/png":
            # PNG (ISO 15948), 11.2.2: width and height stand after the header of the first chunk.
            width, height = (int.from_bytes(answer.body()[at : at + 4]) for at in (16, 20))
            assert f"{width}x{height}" == icon["sizes"]
    assert session.send("Page.getInstallabilityErrors")["installabilityErrors"] in (
        [],
        [{"errorId": "in-incognito", "errorArguments": []}],
    )
    one.check()


def test_only_the_shell_is_kept_whatever_was_opened(window):
    one = window()
    page = one.open("/inbox")
    ready(page)
    for path in ("/inbox?show=all", "/runs/1", "/"):
        one.open(path)
    kept = page.evaluate(KEPT)
    assert {path for _name, path, _text in kept if not path.startswith("/static/")} == {"/offline"}
    assert {
        path.rpartition("/")[2].partition("-")[0]
        for _name, path, _text in kept
        if path.startswith("/static/")
    } == {"console", "icon"}
    for _name, path, text in kept:
        assert "token-of-ana" not in text and "ana" not in text.split() and "backup key" not in text, path


def test_out_of_reach_a_page_says_so_and_what_comes_back_is_new(browser, tmp_path):
    with sample_console(str(tmp_path)) as made:
        with kit.served(kit.Happenings(made.client.app)) as address:
            one = kit.Window(browser, address)
            page = one.open("/inbox")
            ready(page)
        page.goto("/runs/1")
        assert "cannot be reached" in one.text() and "lastro up" in one.text()
        assert "run-1" not in one.text()
        assert not one.violations() and not one.sideways()
        one.close()


def test_a_new_build_replaces_what_the_old_one_kept(window):
    one = window()
    page = one.open("/inbox")
    ready(page)
    page.evaluate("caches.open('lastro-shell-older').then((cache) => cache.put('/x', new Response('x')))")
    page.evaluate("caches.open('of-somebody-else').then((cache) => cache.put('/x', new Response('x')))")
    page.evaluate("navigator.serviceWorker.getRegistration().then((one) => one.unregister())")
    one.open("/inbox")
    ready(page)
    names = page.evaluate("caches.keys()")
    assert "lastro-shell-older" not in names and "of-somebody-else" in names
    assert len(names) == 2
