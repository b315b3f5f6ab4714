"""The tour's scene with the console: a one-time link signs a browser in, pages are looked at, a program asks with a token."""

from __future__ import annotations

import json
import re
import secrets
import urllib.error
import urllib.request
from html import unescape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from typing_extensions import override

from lastro.app.console_process import has_console
from lastro.errors import LastroError
from lastro.faces.translation import gettext as _
from lastro.messages import N_

if TYPE_CHECKING:
    from lastro.faces.cli.demo import Tour

_PAGES: Final = ("/inbox", "/runs", "/history", "/servers", "/events", "/audit", "/jobs")
_TITLE: Final = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_TIMEOUT_S: Final = 30


def console(tour: Tour) -> None:
    """The scene."""
    if not has_console():
        tour.say(
            _("This installation has no console (pip install 'lastro[console]'), so this scene is left out.")
        )
        return
    if not (tour.ask("approver", "list") or {}).get("approvers"):
        tour.lastro("approver", "add", "--passphrase-stdin", typed=secrets.token_hex(8))
    with tour.running("up", until="console"):
        _look(tour)
        _ask(tour)
        tour.say(f"\n{_('Everything that happened, newest first, and how the server is:')}")
        tour.lastro("events", "--limit", "6")
        tour.lastro("server", "health")


def _look(tour: Tour) -> None:
    """As a browser without scripts: redeem the link, keep the cookie, look at pages."""
    tour.say(
        f"\n{_('Open the link in a browser. Here the tour itself follows it, as a browser without scripts does.')}"
    )
    made = tour.ask("login") or {}
    url = urlsplit(made.get("url", ""))
    base = f"{url.scheme}://{url.netloc}"
    tour.say(f"  $ lastro login\n    {base}{url.path}#…")
    form = urlencode({"link": url.fragment}).encode()
    headers = {"Origin": base, "Content-Type": "application/x-www-form-urlencoded"}
    status, cookie, _body = _request(f"{base}{url.path}", form, headers)
    if status != 303 or not cookie:
        raise LastroError(N_("The tour went wrong: the one-time link let nobody in."))
    shown = {"Cookie": cookie, "Accept-Language": (tour.context.language or "en").replace("_", "-")}
    for page in _PAGES:
        status, _cookie, body = _request(base + page, None, shown)
        found = _TITLE.search(body)
        if status != 200 or found is None:
            raise LastroError(N_("The tour went wrong: the page {page} was not shown."), page=page)
        tour.say(f"    GET {page}  {status}  {unescape(found[1]).strip()}")
    if _request(f"{base}{url.path}", form, headers)[0] == 303:
        raise LastroError(N_("The tour went wrong: a one-time link was good twice."))


def _ask(tour: Tour) -> None:
    """As a program: a token, an operation that becomes a job, one that the token may not ask for."""
    tour.say(
        f"\n{_('A program asks through the same operations, with a token. What touches files is a job.')}"
    )
    made = tour.ask("token", "add", "tour", "--scope", "look", "--scope", "operate") or {}
    base = (tour.ask("login") or {}).get("url", "").partition("/link")[0]
    headers = {"Authorization": f"Bearer {made['secret']}", "Content-Type": "application/json"}
    capture = {"references": [{"server": "local", "path": tour.sample(), "at": None}]}
    for name, asked, expected in (("capture", capture, 200), ("server.add", {"token": "x"}, 403)):
        status, _cookie, text = _request(f"{base}/api/v1/{name}", json.dumps(asked).encode(), headers)
        tour.say(f"    POST /api/v1/{name}  {status}  {json.loads(text).get('code', 'ok')}")
        if status != expected:
            raise LastroError(
                N_("The tour went wrong: the API answered {status}: {text}"), status=status, text=text
            )
    tour.lastro("job", "list")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    @override
    def redirect_request(self, *_arguments: Any) -> None:
        """See ``urllib``."""


def _request(url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, str, str]:
    """Status, cookie and text of an answer of this machine's console."""
    opener = urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  an address that Lastro printed
    try:
        with opener.open(asked, timeout=_TIMEOUT_S) as answer:
            return answer.status, _cookie_of(answer.headers), answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _cookie_of(error.headers), error.read().decode("utf-8", "replace")


def _cookie_of(headers: object) -> str:
    get = getattr(headers, "get", None)
    return str(get("set-cookie") or "").partition(";")[0] if get else ""
