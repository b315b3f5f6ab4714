"""A real browser at a real console: what every page has to keep, whatever it shows.

``Window`` is a browser's page that remembers what went wrong: errors on its console (a refused style or script is one: CSP), requests that
were answered with an error, requests to any other host. ``Window.check`` fails for each of them, for a page that scrolls sideways, and for
what axe-core finds against WCAG 2.2 A and AA.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import threading
import time
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from tests.console_kit import COOKIE

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PATIENCE_MS = 10_000
_NOTHING_STICKS = (
    "document.querySelectorAll('.dock, .top').forEach((one) => { one.style.position = 'static'; })"
)


def program():
    """The browser of this machine; ``None`` where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@cache
def axe():
    """The checker, as `make assets` fetched it; empty where it did not."""
    place = ROOT / "web/node_modules/axe-core/axe.min.js"
    return place.read_text("utf-8") if place.is_file() else ""


def until(true, patience_s=10):
    """Wait until ``true`` says so."""
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Happenings:
    """``GET /api/v1/events`` beside pages, as the keeper's own API has it: a test says what happens, and when connections are cut."""

    def __init__(self, pages):
        self._pages = pages
        self._open = {}
        self.asked = 0
        self.silent = False
        """Whether nobody is answered now, as while a keeper starts again."""

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] != "/api/v1/events":
            await self._pages(scope, receive, send)
            return
        self.asked += 1
        while self.silent:  # noqa: ASYNC110  said from another thread
            await asyncio.sleep(0.02)
        waiting = asyncio.Queue()
        self._open[id(waiting)] = (asyncio.get_running_loop(), waiting)
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"retry: 50\n: hello\n\n", "more_body": True})
            gone = asyncio.ensure_future(self._gone(receive))
            while True:
                told = asyncio.ensure_future(waiting.get())
                await asyncio.wait({gone, told}, return_when=asyncio.FIRST_COMPLETED)
                kind = told.result() if told.done() else told.cancel() and None
                if not kind or gone.done():
                    gone.cancel()
                    break
                body = f"event: {kind}\ndata: {{}}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._open.pop(id(waiting), None)

    @staticmethod
    async def _gone(receive):
        while (await receive())["type"] != "http.disconnect":
            pass

    @property
    def followers(self):
        """How many follow now."""
        return len(self._open)

    def happen(self, kind):
        """Tell everybody who follows; an empty kind cuts them off."""
        for loop, waiting in list(self._open.values()):
            loop.call_soon_threadsafe(waiting.put_nowait, kind)


@contextlib.contextmanager
def served(application):
    """The address at which ``application`` answers while the context lasts."""
    # By name of its protocol: asyncio sends at once (no delay) only where it knows that it is TCP.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        config = uvicorn.Config(application, http="h11", ws="none", lifespan="off", log_config=None)
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            if isinstance(application, Happenings):
                application.happen("")
            thread.join()


@contextlib.contextmanager
def chromium():
    """The browser, until the context ends."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  only who has a browser needs what drives it

    with sync_playwright() as playwright:
        # Its own sandbox cannot be made inside every container; what it opens here is ours.
        found = playwright.chromium.launch(
            executable_path=program(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield found
        finally:
            found.close()


class Window:
    """A page of a browser at ``address``, as ``name`` with ``roles`` (the door of ``console_kit``); nobody where ``name`` is empty."""

    def __init__(
        self,
        browser,
        address,
        name="ana",
        roles="owner",
        *,
        theme="light",
        language="en",
        width=1180,
        **options,
    ):
        self.address = address
        self.problems = []
        self.expected = set()
        self.context = browser.new_context(
            base_url=address,
            color_scheme=theme,
            locale=language,
            viewport={"width": width, "height": 800},
            reduced_motion="reduce",
            **options,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        if name:
            self.context.add_cookies([{"name": COOKIE, "value": f"{name}:{roles}", "url": address}])
        self.page = self.context.new_page()
        self._watch(self.page)

    def _watch(self, page):
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", self._asked)
        page.on("response", self._answered)

    def _said(self, message):
        # What the browser says of an answer's status is looked at in ``_answered``.
        if message.type in {"error", "warning"} and "the server responded with a status" not in message.text:
            self.problems.append(f"{message.type}: {message.text}")

    def _asked(self, request):
        if urlsplit(request.url).scheme in {"http", "https"} and not request.url.startswith(
            f"{self.address}/"
        ):
            self.problems.append(f"left this host: {request.url}")

    def _answered(self, response):
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"{response.status}: {response.url}")

    def open(self, path, *, status=200):
        """Go to ``path``; the page, once it is loaded and its scripts have run."""
        self.expected.add(status)
        answer = self.page.goto(path)
        assert answer.status == status, (answer.status, path, self.text()[:500])
        self.expected.discard(status)
        return self.page

    def text(self):
        """What a reader sees."""
        return self.page.inner_text("body")

    def violations(self):
        """What axe-core finds: rule, and the elements. What sticks to an edge of the window covers whatever a reader has not scrolled
        away from below it, so it is looked at where it stands in the page.
        """
        self.page.evaluate(_NOTHING_STICKS)
        self.page.evaluate(axe())
        found = self.page.evaluate(f"axe.run({{runOnly: {json.dumps(RULES)}, resultTypes: ['violations']}})")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def sideways(self):
        """Whether the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            " || innerWidth !== document.documentElement.clientWidth"
        )

    def small_targets(self):
        """What can be clicked and is smaller than 24 by 24 pixels, but links inside text (WCAG 2.5.8)."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('button, .button, input:not([type=hidden]), select, summary, nav a')]
              .filter((one) => one.checkVisibility({visibilityProperty: true, opacityProperty: true}))
              .filter((one) => !one.closest('.hidden') && !one.classList.contains('skip') && !one.classList.contains('hidden'))
              .map((one) => [one, (one.closest('label') ?? one).getBoundingClientRect()])
              .filter(([, box]) => box.width && (box.width < 24 || box.height < 24))
              .map(([one]) => one.outerHTML.slice(0, 120))"""
        )

    def check(self):
        """Fail for whatever this page does not keep."""
        assert axe(), "the checker is missing: make assets"
        found = [*self.problems, *self.small_targets(), *self.violations()]
        assert not found, (self.page.url, found)
        assert not self.sideways(), f"{self.page.url} scrolls sideways"

    def authenticator(self):
        """A passkey device of this window, which says yes to everything: its ``WebAuthn`` session and id (Chrome DevTools Protocol)."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return session, made["authenticatorId"]

    def close(self):
        """Close it."""
        self.context.close()
