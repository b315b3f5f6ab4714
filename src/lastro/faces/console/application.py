"""The console as an ASGI application: who asks, may they, the page's answer as a response.

What always holds: a page runs in a thread, in the reader's language, with what was asked decoded and bounded; a way that takes a right is
never reached without it; an error is a page that says what to do next, and its status is the API's for the same error.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from datetime import tzinfo
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lastro.accounts.nouns import STEPPED_UP_NS
from lastro.app.door import Door
from lastro.app.encoding import encode
from lastro.app.failure import STATUS, unexpected
from lastro.app.visiting import GoesOnError, Visit
from lastro.errors import DeniedError, LastroError
from lastro.faces.console import assets, guard, headers
from lastro.faces.console.asked import (
    Answer,
    Asked,
    Data,
    Download,
    Form,
    OwnFile,
    Page,
    Redirect,
    SignIn,
    Visitor,
    Way,
)
from lastro.faces.console.downloading import downloaded
from lastro.faces.console.form_fields import fields_of, form_of
from lastro.faces.console.reader_language import language_of
from lastro.faces.console.rendering import render
from lastro.faces.translation import speaking
from lastro.messages import N_

_log = logging.getLogger("lastro.console")


class Settings(Struct, frozen=True, kw_only=True):
    """How this console is reached. ``names``: host names beside this machine's loopback. ``cookie``: the session's, which holds the
    repository's id, because cookies of one host are shared by all its ports.
    """

    names: tuple[str, ...]
    tls: bool
    cookie: str


class Console:
    """See the module. ``visit`` makes what asks for operations in a principal's name (``None``: nobody's)."""

    def __init__(
        self,
        *,
        ways: Sequence[Way],
        door: Door,
        visit: Callable[[Any], Visit],
        threads: Executor,
        settings: Settings,
        zone: Callable[[], tzinfo],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ways = ways
        self._pages = frozenset(way.path for way in ways if "GET" in way.methods)
        self._door = door
        self._visit = visit
        self._threads = threads
        self._settings = settings
        self._zone = zone
        self._now_ns = now_ns

    def application(self) -> Starlette:
        """The routes."""
        routes = [Route(way.path, self._endpoint(way), methods=list(way.methods)) for way in self._ways]
        routes.append(Route(assets.PREFIX + "{name}", self._asset, methods=["GET"]))
        routes.append(Route("/{rest:path}", self._missing, methods=["GET", "POST"]))
        return Starlette(routes=routes)

    # One request ----------------------------------------------------------------------------------------------------------------------

    def _endpoint(self, way: Way) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await self._answer(way, request)

        return endpoint

    async def _missing(self, request: Request) -> Response:
        from lastro.faces.console.pages.missing import MISSING  # noqa: PLC0415  a way like any other

        return await self._answer(MISSING, request)

    async def _asset(self, request: Request) -> Response:
        try:
            found = assets.asset(request.path_params["name"])
        except LastroError:
            return Response(status_code=404, headers=headers.asset_headers(unchanging=False))
        return Response(
            found.content,
            media_type=found.media_type,
            headers=headers.asset_headers(unchanging=found.unchanging),
        )

    async def _answer(self, way: Way, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        if not guard.allowed_host(request.headers.get("host", ""), self._settings.names):
            return Response(
                "Misdirected Request\n", 421, headers=headers.bytes_headers(), media_type="text/plain"
            )
        try:
            body: Form | LastroError = await form_of(request, way.limit)
        except LastroError as error:
            body = error
        work = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, work.run, self._handled, way, request, body, nonce
        )

    def _handled(self, way: Way, request: Request, body: Form | LastroError, nonce: str) -> Response:
        cookie = request.cookies.get(self._settings.cookie, "")
        visitor: Visitor | None = None
        try:
            visitor = self._visitor(cookie)
        except Exception as error:  # noqa: BLE001  the accounts, or the history of keys, cannot be read now
            body = self._told(error, request)
        asked = self._asked(request, visitor, cookie, {} if isinstance(body, LastroError) else body)
        with speaking(asked.language):
            try:
                return self._response(self._answered(way, asked, request, body), asked, nonce)
            except GoesOnError as error:
                goes_on = Redirect(to=f"/jobs/{error.job}", said="started")
                return self._response(_failed(error) if asked.method in guard.SAFE else goes_on, asked, nonce)
            except Exception as error:  # noqa: BLE001  the reader shall hear of a defect too
                return self._response(_failed(self._told(error, request)), asked, nonce)

    def _told(self, error: Exception, request: Request) -> LastroError:
        """What the reader hears of it."""
        if isinstance(error, LastroError):
            return error
        _log.error("%s %s", request.method, request.url.path, exc_info=error)
        return unexpected(error)

    def _answered(self, way: Way, asked: Asked, request: Request, body: Form | LastroError) -> Answer:
        if isinstance(body, LastroError):
            raise body
        turned_away = self._turned_away(way, asked, request)
        return way.handler(asked) if turned_away is None else turned_away

    def _visitor(self, cookie: str) -> Visitor | None:
        entered = self._door.entered(cookie) if cookie else None
        if entered is None:
            return None
        return Visitor(session=entered.session, principal=entered.principal, preferences=entered.preferences)

    def _asked(self, request: Request, visitor: Visitor | None, cookie: str, form: Form) -> Asked:
        target = request.headers.get("hx-target", "") if request.headers.get("hx-request") else ""
        return Asked(
            method=request.method,
            path=request.url.path,
            visit=self._visit(visitor.principal if visitor else None),
            door=self._door,
            visitor=visitor,
            parameters={name: str(value) for name, value in request.path_params.items()},
            query=fields_of(request.query_params.multi_items()),
            form=form,
            part=target,
            language=language_of(request, visitor),
            zone=self._zone(),
            now_ns=self._now_ns(),
            address=request.client.host if request.client else "",
            browser=request.headers.get("user-agent", "")[:300],
            origin=self._origin(request),
            referer=request.headers.get("referer", ""),
            cookie=cookie,
        )

    def _origin(self, request: Request) -> str:
        return f"{'https' if self._settings.tls else 'http'}://{request.headers.get('host', '')}"

    def _turned_away(self, way: Way, asked: Asked, request: Request) -> Answer | None:
        """Why the way is not open, as an answer; ``None`` where it is.

        Raises:
            DeniedError: it never will be.
        """
        if not guard.same_origin(asked.method, request.headers, asked.origin):
            raise DeniedError(N_("This was not sent by a page of this console, so it was not done."))
        if way.right is None:
            return None
        if asked.visitor is None:
            return Redirect(to=f"/login?{urlencode({'next': self._back(way, asked)})}")
        given = asked.text(guard.TOKEN_FIELD) or request.headers.get(guard.TOKEN_HEADER, "")
        if not guard.has_token(asked.method, given, asked.visitor.session.csrf):
            raise DeniedError(
                N_("This page is of an earlier time that you were signed in, so it was not done."),
                hint=N_("Open the page again, and do it there."),
            )
        if not asked.visitor.may(way.right):
            raise DeniedError(
                N_("You may not do this: it takes the right '{right}'."),
                hint=N_("Whoever is an owner here can give you a role that has it."),
                right=way.right.value,
            )
        if way.dangerous and abs(asked.now_ns - asked.visitor.session.stepped_up_ns) > STEPPED_UP_NS:
            return Redirect(to=f"/step-up?{urlencode({'next': self._back(way, asked)})}")
        return None

    def _back(self, way: Way, asked: Asked) -> str:
        """Where to go on after signing in: the page that was asked for; that at the same place, or the one they came from, where it was to
        change something, which is then to be asked for again.
        """
        if asked.method not in guard.SAFE:
            if way.path in self._pages:
                return asked.path
            ours = asked.referer.startswith(f"{asked.origin}/")
            return asked.referer.removeprefix(asked.origin) if ours else "/"
        query = urlencode(
            [(name, value) for name, values in asked.query.items() for value in values if name != "said"]
        )
        return f"{asked.path}?{query}" if query else asked.path

    # The answer -----------------------------------------------------------------------------------------------------------------------

    def _response(self, answer: Answer, asked: Asked, nonce: str) -> Response:
        match answer:
            case Page():
                html = render(answer, asked, nonce=nonce)
                return Response(
                    html,
                    answer.status,
                    headers=headers.page_headers(nonce, tls=self._settings.tls),
                    media_type="text/html; charset=utf-8",
                )
            case Redirect():
                return self._redirect(answer.to, answer.said, asked)
            case SignIn():
                response = self._redirect(answer.to, "", asked)
                self._set_cookie(response, answer.secret)
                return response
            case Data():
                return Response(
                    encode(answer.value),
                    answer.status,
                    headers=headers.bytes_headers(),
                    media_type="application/json",
                )
            case OwnFile():
                return Response(
                    answer.content, headers=headers.own_file_headers(), media_type=answer.media_type
                )
            case Download():
                return downloaded(answer, self._threads)

    def _redirect(self, to: str, said: str, asked: Asked) -> Response:
        assert to.startswith("/"), to
        assert not to.startswith("//"), to
        if said:
            to += f"{'&' if '?' in to else '?'}{urlencode({'said': said})}"
        kept = headers.page_headers("", tls=self._settings.tls)
        if asked.part:  # a script would follow the redirection and put the other page into this one
            return Response(status_code=204, headers={**kept, "hx-redirect": to})
        return RedirectResponse(to, 303, headers=kept)

    def _set_cookie(self, response: Response, secret: str) -> None:
        response.set_cookie(
            self._settings.cookie,
            secret,
            max_age=None if secret else 0,
            path="/",
            secure=self._settings.cookie.startswith("__Host-"),
            httponly=True,
            samesite="lax",
        )


def _failed(error: LastroError) -> Page:
    return Page(template="error.html", values={"error": error}, status=STATUS.get(error.code, 500))
