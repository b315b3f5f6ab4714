"""Every page of the console, as ``test_every_page`` opens it. A new page is a new line here; ``test_pages_are_listed`` fails without it."""

from __future__ import annotations

from typing import NamedTuple

from lastro.app.wiring import person

ENROLLED = person().name
"""Whose approver key the sample's home knows."""


class PageCase(NamedTuple):
    """A page: the route it stands for, the path that is opened, who opens it (nobody where ``name`` is empty), the status."""

    way: str
    path: str
    name: str = "ana"
    roles: str = "owner"
    status: int = 200

    @property
    def id(self):
        """How a test calls it."""
        return self.path.replace("{root}", "").strip("/").replace("/", "_") or "start"

    def address(self, root):
        """What is opened where the sample project lies at ``root``."""
        return self.path.replace("{root}", root)


PAGES = (
    PageCase("/inbox", "/inbox"),
    PageCase("/inbox", "/inbox?show=all", "vera", "viewer"),
    PageCase("/proposals/{proposal}", "/proposals/1"),
    PageCase("/proposals/{proposal}", "/proposals/2?view=split"),
    PageCase("/proposals/{proposal}", "/proposals/3", "vera", "viewer"),
    PageCase("/proposals/{proposal}/files/{place}", "/proposals/2/files/0"),
    PageCase("/proposals/{proposal}/edit", "/proposals/2/edit?file=0"),
    PageCase("/inbox/batch", "/inbox/batch?proposal=1&proposal=2&proposal=3"),
    PageCase("/history", "/history"),
    PageCase("/history/{server}/{path:path}", "/history/local{root}"),
    PageCase("/history/{server}/{path:path}", "/history/local{root}/app.py"),
    PageCase("/history/{server}/{path:path}", "/history/local{root}/bad~FF~3Cb~3E.txt"),
    PageCase("/compare/{server}/{path:path}", "/compare/local{root}/app.py?old=snap-1&new=snap-2"),
    PageCase("/history/{server}/{path:path}", "/history/local{root}?deleted=1&at=snap-1"),
    PageCase("/history/{server}/{path:path}", "/history/local{root}/app.py?at=snap-1", "vera", "viewer"),
    PageCase("/compare/{server}/{path:path}", "/compare/local{root}?old=snap-1&new=snap-2"),
    PageCase("/restore/new", "/restore/new?server=local&path={root}&at=snap-1"),
    PageCase("/search", "/search?q=app"),
    PageCase("/search", "/search?q=nothing-of-this-name"),
    PageCase("/runs", "/runs"),
    PageCase("/runs/new", "/runs/new"),
    PageCase("/runs/{run}", "/runs/1"),
    PageCase("/runs/{run}", "/runs/3"),
    PageCase("/jobs", "/jobs"),
    PageCase("/gateway", "/gateway"),
    PageCase("/gateway/exchanges", "/gateway/exchanges"),
    PageCase("/events", "/events"),
    PageCase("/audit", "/audit"),
    PageCase("/users", "/users"),
    PageCase("/users", "/users", "vera", "viewer"),
    PageCase("/rights", "/rights"),
    PageCase("/rights", "/rights?human=ana&path=app.py&project={root}"),
    PageCase("/settings/passkeys", "/settings/passkeys"),
    PageCase("/servers", "/servers"),
    PageCase("/servers/{server}", "/servers/local"),
    PageCase("/settings", "/settings"),
    PageCase("/settings/notifications", "/settings/notifications"),
    PageCase("/settings/sessions", "/settings/sessions", ENROLLED),
    PageCase("/settings/tokens", "/settings/tokens", ENROLLED),
    PageCase("/settings/tokens/new", "/settings/tokens/new"),
    PageCase("/settings/second-factor", "/settings/second-factor"),
    PageCase("/login", "/login", ""),
    PageCase("/link", "/link", ""),
    PageCase("/setup", "/setup", ""),
    PageCase("/step-up", "/step-up"),
    PageCase("/setup/protected", "/setup/protected"),
    PageCase("/setup/demo", "/setup/demo"),
    PageCase("/setup/done", "/setup/done"),
    PageCase("/offline", "/offline", ""),
    PageCase("", "/no-such-page", status=404),
)
"""Open to everybody: add the pages you make. ``{root}`` is the path of the sample project."""

UNLISTED = {
    "/": "leads to the inbox",
    "/manifest.webmanifest": "no page",
    "/service-worker.js": "no page",
    "/gateway/exchanges/{exchange}": "needs a gateway that answered; the same pieces as a run",
    "/proposals/{proposal}/files/{place}/{side}": "an image",
    "/proposals/{proposal}/plan/{job}": "a journey goes there",
    "/history/{server}": "leads to the only root",
    "/differences/{job}": "a journey goes there",
    "/download/{server}/{path:path}": "no page",
    "/restore/{job}": "a journey goes there",
    "/restore/{job}/confirm": "a journey goes there",
    "/jobs/{job}": "a journey goes there",
    "/users/invite": "a journey goes there",
    "/users/waiting/{key}": "a journey goes there",
    "/users/{key}": "a journey goes there",
    "/users/{key}/roles": "a journey goes there",
    "/users/{key}/revoke": "a journey goes there",
    "/settings/passkeys/{key}/remove": "a journey goes there",
    "/setup/language": "test_first_run goes there",
    "/setup/owner": "test_first_run goes there",
    "/setup/second-factor": "the same pieces as in the settings",
    "/setup/kit": "test_first_run goes there",
    "/events.jsonl": "no page",
}
"""Routes for GET that no line above opens, and why."""
