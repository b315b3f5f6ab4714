"""What a page is asked, and what it answers. Plain nouns: a page is a function from one to the other, and is tested as that.

What always holds: a page that changes something is asked by POST with the session's own token (``guard``), and answers with a redirection
or with the part of the page that changed; what it is given was decoded and bounded before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

from lastro.accounts.nouns import Preferences, Session
from lastro.app.door import Door
from lastro.app.permissions import Principal, Right
from lastro.app.visiting import Visit
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_

Form = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody who is signed in."""

    session: Session
    principal: Principal
    preferences: Preferences

    def may(self, right: Right) -> bool:
        """Whether they have this right."""
        return right in self.principal.rights


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. ``parameters``: of the route. ``part``: the id of the element that a script wants anew; empty for a whole page.

    ``visit``: how operations are asked for in the visitor's name; ``visitor`` is ``None`` on the few pages before signing in.
    """

    method: str
    path: str
    visit: Visit
    door: Door
    visitor: Visitor | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Form = field(default_factory=dict)
    form: Form = field(default_factory=dict)
    part: str = ""
    language: str = "en"
    zone: tzinfo = UTC
    now_ns: int = 0
    address: str = ""
    browser: str = ""
    origin: str = ""
    """Scheme, host and port that the browser used."""
    referer: str = ""
    """The page that they came from, as the browser says it."""
    cookie: str = ""
    """The session's secret, to end it."""

    @property
    def somebody(self) -> Visitor:
        """The visitor, on pages for whoever is signed in."""
        assert self.visitor is not None
        return self.visitor

    def number(self, name: str) -> int:
        """The positive number that stands in the route as ``name``.

        Raises:
            NotFoundError: there is none.
        """
        text = self.parameters.get(name, "")
        if not (text.isascii() and text.isdigit() and 0 < len(text) <= 18 and int(text)):
            raise NotFoundError(
                N_("There is no such page."), hint=N_("The menu leads to every page there is.")
            )
        return int(text)

    def text(self, name: str, default: str = "") -> str:
        """The last value of a field of the form, else of the query."""
        return (self.form.get(name) or self.query.get(name) or (default,))[-1]

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a field of the form, else of the query."""
        return tuple(self.form.get(name) or self.query.get(name) or ())

    def ticked(self, name: str) -> bool:
        """Whether a box was ticked."""
        return bool(self.text(name))

    def count(self, name: str, default: int, most: int) -> int:
        """A number in a field, between 0 and ``most``.

        Raises:
            UsageError: it is none.
        """
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise UsageError(N_("This is not a number: {text}"), text=text)
        return min(int(text), most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """HTML of a template. ``part``: the name of the block that is the answer to a script that asked for that part alone.

    ``status`` 409: what was shown is not what stands now; the page shows what does.
    """

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Go on at ``to``, a path of this console. ``said``: code of a notice that the next page shows (``notices``)."""

    to: str
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """As ``Redirect``, with a new session's ``secret`` as cookie; an empty secret ends the session."""

    to: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Bytes to keep. ``name``: what the browser calls the file. ``inline``: to be shown as the image it is, and run nothing."""

    name: str
    size: int
    blocks: Callable[[], Iterator[tuple[int, bytes]]]
    media_type: str = "application/octet-stream"
    inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """JSON for a script of the console."""

    value: object
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFile:
    """A file of the console itself, at an address that stays though its content changes."""

    content: bytes
    media_type: str


Answer = Page | Redirect | SignIn | Download | Data | OwnFile
Handler = Callable[[Asked], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A route. ``right``: what it takes (``None``: also who is not signed in). ``dangerous``: also to have proved anew who one is."""

    path: str
    handler: Handler
    right: Right | None
    methods: tuple[str, ...] = ("GET",)
    dangerous: bool = False
    limit: int = 1024 * 1024
    """Bytes of a form."""
