"""The gateway: providers, routes, what was used and saved, and what was asked and answered."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

from msgspec import Struct

from lastro.app.operation import Nothing
from lastro.app.permissions import Right
from lastro.app.requests.gateway import (
    ExchangeShow,
    ExchangesSearch,
    KeyName,
    KeysAdd,
    ProviderName,
    ProvidersTest,
    RoutesList,
    UsageRequest,
)
from lastro.errors import LastroError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.wording import gateway_words
from lastro.faces.wording.shell import command

_DAY_NS: Final = 86_400 * 1_000_000_000
SPANS: Final = {"1": _DAY_NS, "7": 7 * _DAY_NS, "30": 30 * _DAY_NS, "365": 365 * _DAY_NS}
GROUPS: Final = ("model", "provider", "key", "role", "run", "kind", "route", "day")
LONGEST_TEXT: Final = 200_000
"""Characters of a body that a page shows."""


def overview(asked: Asked) -> Answer:
    """How it is, its providers and routes, its keys, and what was used."""
    by = asked.text("by") if asked.text("by") in GROUPS else "model"
    days = asked.text("days") if asked.text("days") in SPANS else "30"
    parts = {
        "status": ("gateway.status", Nothing()),
        "providers": ("gateway.providers.list", Nothing()),
        "routes": ("gateway.routes.list", RoutesList()),
        "keys": ("gateway.keys.list", Nothing()),
        "used": ("gateway.usage", UsageRequest(by=by, since=asked.now_ns - SPANS[days])),
    }
    found = {name: _part(asked, operation, request) for name, (operation, request) in parts.items()}
    values = {
        **found,
        "by": by,
        "days": days,
        "groups": GROUPS,
        "spans": tuple(SPANS),
        "savings": gateway_words.SAVINGS,
        "command": command("lastro", "gateway", "usage", "--by", by, "--since", f"{days}d"),
    }
    return Page(template="gateway.html", values=values)


def _part(asked: Asked, operation: str, request: Struct) -> Any:
    """What an operation replies, or the error that it raised: a gateway that was never started has no usage, and still has providers."""
    try:
        return asked.visit.call(operation, request)
    except LastroError as error:
        return error


def test(asked: Asked) -> Answer:
    """Ask a provider what it speaks."""
    name = asked.text("name")
    asked.visit.call("gateway.providers.test", ProvidersTest(names=(name,) if name else ()))
    return Redirect(to="/gateway", said="tested")


def remove(asked: Asked) -> Answer:
    """Take a provider out of the configuration."""
    asked.visit.call("gateway.providers.remove", ProviderName(name=asked.text("name")))
    return Redirect(to="/gateway", said="removed")


def add_key(asked: Asked) -> Answer:
    """Give out a key; its text is shown this once."""
    request = KeysAdd(
        name=asked.text("name"), money_per_day=asked.text("money_per_day"), expires=asked.text("expires")
    )
    added = asked.visit.call("gateway.keys.add", request)
    return Page(template="gateway_key.html", values={"added": added})


def revoke_key(asked: Asked) -> Answer:
    """Let a key be good for nothing from now on."""
    asked.visit.call("gateway.keys.revoke", KeyName(key=asked.text("key")))
    return Redirect(to="/gateway", said="removed")


def exchanges(asked: Asked) -> Answer:
    """What was asked and answered."""
    request = ExchangesSearch(
        words=tuple(asked.text("words").split()),
        provider=asked.text("provider"),
        model=asked.text("model"),
        run=asked.text("run"),
        outcome=asked.text("outcome"),
        limit=50,
    )
    found = _part(asked, "gateway.exchanges.search", request)
    words = command("lastro", "gateway", "exchanges", "search", *request.words)
    values = {"found": found, "chosen": request, "outcomes": gateway_words.OUTCOMES, "command": words}
    return Page(template="exchanges.html", values=values)


def exchange(asked: Asked) -> Answer:
    """One exchange, with what was said."""
    number = asked.parameters["exchange"]
    shown = asked.visit.call("gateway.exchanges.show", ExchangeShow(id=number))
    texts = {name: _readable(getattr(shown, name)) for name in ("request", "answer", "sent")}
    values = {
        "shown": shown,
        "one": shown.exchange,
        "texts": texts,
        "outcomes": gateway_words.OUTCOMES,
        "command": command("lastro", "gateway", "exchanges", "show", number),
    }
    return Page(template="exchange.html", values=values)


def _readable(text: str) -> tuple[str, int]:
    """A body as people read it (JSON indented), cut to what a page shows, and how many characters were left out."""
    # An event stream, or what nobody can read indented, stays as it is.
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text[:LONGEST_TEXT], max(0, len(text) - LONGEST_TEXT)


WAYS = (
    Way(path="/gateway", handler=overview, right=Right.LOOK),
    Way(path="/gateway/providers/test", handler=test, right=Right.ADMINISTER, methods=("POST",)),
    Way(
        path="/gateway/providers/remove",
        handler=remove,
        right=Right.ADMINISTER,
        methods=("POST",),
        dangerous=True,
    ),
    Way(path="/gateway/keys", handler=add_key, right=Right.ADMINISTER, methods=("POST",), dangerous=True),
    Way(path="/gateway/keys/revoke", handler=revoke_key, right=Right.ADMINISTER, methods=("POST",)),
    Way(path="/gateway/exchanges", handler=exchanges, right=Right.LOOK),
    Way(path="/gateway/exchanges/{exchange}", handler=exchange, right=Right.LOOK),
)
