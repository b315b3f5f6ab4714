"""Which path asks for what, in which dialect. Pure.

Tools put ``/v1`` (or ``/v1beta``) before their own paths, or take it as part of their base URL, or do both; so any number of version
segments in front is passed over, none too. What always holds: a path means the same whatever stands before it.

    POST  chat/completions  responses  messages             an answer in that dialect
    POST  models/MODEL:generateContent  :streamGenerateContent   an answer in Gemini's
    POST  messages/count_tokens  models/MODEL:countTokens   a count of tokens
    GET   models  models/MODEL                              what may be asked, in the asker's own form
    GET   lastro/exchanges/ID  healthz  health              the gateway's own
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from lastro.gateway.dialects.neutral import Dialect


class Verb(StrEnum):
    """What a path asks for."""

    ANSWER = "answer"
    COUNT = "count"
    MODELS = "models"
    EXCHANGE = "exchange"
    HEALTH = "health"


class Address(Struct, frozen=True, kw_only=True):
    """A path that was understood. ``model`` and ``stream`` only where the path says them; ``name`` is the id of an exchange or a model."""

    verb: Verb
    dialect: Dialect
    method: str = "POST"
    model: str = ""
    stream: bool = False
    name: str = ""


_POSTS: Final = {
    "chat/completions": (Verb.ANSWER, Dialect.CHAT),
    "responses": (Verb.ANSWER, Dialect.RESPONSES),
    "messages": (Verb.ANSWER, Dialect.MESSAGES),
    "messages/count_tokens": (Verb.COUNT, Dialect.MESSAGES),
}
_FIXED: Final = {
    prefix + path: Address(verb=verb, dialect=dialect)
    for prefix in ("/", "/v1/")
    for path, (verb, dialect) in _POSTS.items()
}
_HEALTH: Final = Address(verb=Verb.HEALTH, dialect=Dialect.CHAT, method="GET")
_VERSIONS: Final = re.compile(r"(?:/(?:v1|v1beta|v1alpha|v1beta1|openai)(?=/|$))*/*")
_GEMINI: Final = re.compile(r"models/(.+):(generateContent|streamGenerateContent|countTokens)")
_GEMINI_VERBS: Final = {
    "generateContent": (Verb.ANSWER, False),
    "streamGenerateContent": (Verb.ANSWER, True),
    "countTokens": (Verb.COUNT, False),
}
_EXCHANGES: Final = "lastro/exchanges/"


def address_of(path: str, headers: Mapping[str, str]) -> Address | None:
    """What ``path`` (as sent, without its query) asks for; ``None`` if nothing. ``headers`` have lower-case names."""
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    versions = _VERSIONS.match(path)
    rest = path[versions.end() if versions else 0 :].rstrip("/")
    if rest in _POSTS:
        return _FIXED["/" + rest]
    gemini = _GEMINI.fullmatch(rest)
    if gemini is not None:
        verb, stream = _GEMINI_VERBS[gemini[2]]
        return Address(verb=verb, dialect=Dialect.GEMINI, model=unquote(gemini[1]), stream=stream)
    if rest == "models" or rest.startswith("models/"):
        name = unquote(rest[len("models/") :])
        return Address(verb=Verb.MODELS, dialect=_asker(path, headers), method="GET", name=name)
    if rest.startswith(_EXCHANGES):
        return Address(verb=Verb.EXCHANGE, dialect=Dialect.CHAT, method="GET", name=rest[len(_EXCHANGES) :])
    return _HEALTH if rest in {"", "health", "healthz"} else None


def likely_dialect(path: str) -> Dialect:
    """In whose form an unknown path is refused."""
    if "/messages" in path:
        return Dialect.MESSAGES
    return Dialect.GEMINI if "/v1beta" in path or "/models/" in path else Dialect.CHAT


def _asker(path: str, headers: Mapping[str, str]) -> Dialect:
    if "anthropic-version" in headers:
        return Dialect.MESSAGES
    if "/v1beta" in path and "/openai" not in path:
        return Dialect.GEMINI
    return Dialect.GEMINI if "x-goog-api-key" in headers else Dialect.CHAT
