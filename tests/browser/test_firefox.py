"""The same pages in Firefox, where there is one. Playwright drives no Firefox of a distribution; WebDriver BiDi does."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess

import pytest
from websockets.sync.client import connect

from tests.browser import kit
from tests.browser.pages import PAGES
from tests.capabilities import needs
from tests.console_kit import COOKIE

pytestmark = [pytest.mark.system, pytest.mark.slow]
PROGRAM = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
SHOWN = (
    "/inbox",
    "/proposals/2?view=split",
    "/history/local{root}/app.py",
    "/restore/new?server=local&path={root}&at=snap-1",
    "/runs/1",
    "/jobs",
    "/servers/local",
    "/audit",
    "/settings",
)
CASES = [case for case in PAGES if case.path in SHOWN]
CHECK = f"""axe.run({{runOnly: {json.dumps(kit.RULES)}, resultTypes: ['violations']}}).then((found) => JSON.stringify([
  ...found.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.target).join(' ')),
  ...(document.documentElement.scrollWidth > document.documentElement.clientWidth ? ['scrolls sideways'] : []),
  ...(window.htmx ? [] : ['its scripts did not run']),
]))"""


class Firefox:
    """One window of it, as WebDriver BiDi speaks of it (https://w3c.github.io/webdriver-bidi/). ``said``: errors and warnings of pages."""

    def __init__(self, socket):
        self.socket, self.numbers, self.said = socket, itertools.count(1), []
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded"])
        self.window = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=30))
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] in {"error", "warn"}:
                self.said.append(answer["params"]["text"])

    def open(self, address):
        self.call("browsingContext.navigate", context=self.window, url=address, wait="complete")

    def ask(self, script):
        target = {"context": self.window}
        found = self.call("script.evaluate", expression=script, target=target, awaitPromise=True)
        assert found["type"] == "success", found
        return found["result"].get("value")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    needs(PROGRAM, "Firefox (firefox-esr)")
    profile = str(tmp_path_factory.mktemp("profile"))
    words = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
    with subprocess.Popen(
        [PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = next(line for line in process.stderr if "WebDriver BiDi listening on" in line)
            with connect(f"{line.split()[-1]}/session", max_size=None) as socket:
                found = Firefox(socket)
                cookie = {"name": COOKIE, "value": {"type": "string", "value": "ana:owner"}}
                found.call("storage.setCookie", cookie={**cookie, "domain": "localhost", "path": "/"})
                size = {"width": 390, "height": 800}
                found.call("browsingContext.setViewport", context=found.window, viewport=size)
                yield found
        finally:
            process.terminate()
            process.stderr.read()


def test_pages_of_every_kind(firefox, console):
    assert kit.axe(), "the checker is missing: make assets"
    assert len(CASES) == len(SHOWN)
    found = {}
    for case in CASES:
        firefox.said.clear()
        firefox.open(console.address + case.address(console.office.root))
        firefox.ask(f"{kit.axe()};0")
        if wrong := [*json.loads(firefox.ask(CHECK)), *firefox.said]:
            found[case.path] = wrong
    assert found == {}


def test_a_text_is_edited_in_place(firefox, console):
    firefox.open(f"{console.address}/proposals/2/edit?file=0")
    ready = "new Promise((done) => {const look = () => document.querySelector('[data-ready]') ? done(1) : setTimeout(look, 50); look();})"
    assert firefox.ask(ready) == 1
    assert firefox.ask("document.querySelectorAll('.cm-content').length") == 2
    assert not firefox.said
