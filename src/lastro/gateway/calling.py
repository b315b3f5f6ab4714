"""What one call to a provider looks like: address, headers, body. Pure.

What always holds: in the client's own dialect the body's bytes are the client's but for the model's name, a limit that the route or another
model sets, and what only an earlier answer of another dialect can have put there (``dialects.foreign``); of the client's headers only those
that belong to its dialect go on, never a key, a cookie or a header of the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lastro.gateway.asking import AskedRequest
from lastro.gateway.dialects.codec import Codec, Envelope, InexpressibleError, MalformedError, codec_of
from lastro.gateway.dialects.foreign import Asker, CallIds, own_words, with_fitting_ids
from lastro.gateway.dialects.json_splice import find, splice
from lastro.gateway.dialects.messages_asking import DEFAULT_MAX_TOKENS
from lastro.gateway.dialects.neutral import Conversation, Dialect
from lastro.gateway.provider import ProviderKind
from lastro.gateway.route import Candidate

_FORWARDED: Final = frozenset({"accept", "accept-language", "user-agent", "x-client-request-id"})
_OF_OPENAI: Final = frozenset({"openai-beta", "originator", "session_id", "conversation_id", "version"})
_OF_DIALECT: Final[Mapping[Dialect, frozenset[str]]] = {
    Dialect.CHAT: _FORWARDED | _OF_OPENAI | {"http-referer", "x-title"},
    Dialect.RESPONSES: _FORWARDED | _OF_OPENAI,
    Dialect.MESSAGES: _FORWARDED | {"anthropic-version", "anthropic-beta", "x-app"},
    Dialect.GEMINI: _FORWARDED | {"x-goog-api-client"},
}
_PREFIXES: Final[Mapping[Dialect, tuple[str, ...]]] = {
    Dialect.CHAT: ("x-stainless-",),
    Dialect.RESPONSES: ("x-stainless-", "x-codex-"),
    Dialect.MESSAGES: ("x-stainless-",),
    Dialect.GEMINI: (),
}
_IDS: Final[Mapping[tuple[ProviderKind, Dialect], CallIds]] = {
    (ProviderKind.OPENAI, Dialect.CHAT): CallIds(longest=40),
    (ProviderKind.OPENAI, Dialect.RESPONSES): CallIds(longest=64),
    (ProviderKind.MISTRAL, Dialect.CHAT): CallIds(exactly=9),
}
"""Ids of calls that a provider takes, where it is known to refuse others."""
_SMALL_MODEL: Final = 8192
"""Tokens that are asked of a model that nothing is known of, where a number has to be said."""
_OFFLINE_ANSWER: Final = 2048
"""Tokens that are asked of the offline engine where nobody says a number."""
_LEAST_THINKING: Final = 1024
"""Tokens; Messages takes no smaller budget for thoughts."""
_LEAST_SHARE: Final = 8
"""An answer gets at least this part of a known context, however long the conversation is estimated to be."""
ANTHROPIC_VERSION: Final = "2023-06-01"
"""Said where a client of another dialect asks: the version that the Messages codec writes."""

_PATHS: Final[Mapping[Dialect, str]] = {
    Dialect.CHAT: "/chat/completions",
    Dialect.RESPONSES: "/responses",
    Dialect.MESSAGES: "/messages",
}
_LIMITS: Final[Mapping[Dialect, tuple[tuple[str, ...], ...]]] = {
    Dialect.CHAT: (("max_completion_tokens",), ("max_tokens",)),
    Dialect.RESPONSES: (("max_output_tokens",),),
    Dialect.MESSAGES: (("max_tokens",),),
    Dialect.GEMINI: (("generationConfig", "maxOutputTokens"), ("generationConfig",)),
}
"""Where each dialect says how long an answer may be; the first is written where none is there."""


class Asked(Struct, kw_only=True):
    """The client's request as all attempts need it; decoded once, when the first other dialect asks for it."""

    request: AskedRequest
    codec: Codec
    envelope: Envelope
    max_output_tokens: int
    """The route's limit; 0: none."""
    input_tokens: int = 0
    """As estimated, rather too many than too few; 0: not known."""
    conversation: Conversation | None = None
    decoded_from: bytes = b""
    losses: tuple[str, ...] = ()

    def max_tokens(self) -> int | None:
        """What may be asked of a model: the client's wish within the route's limit."""
        wish = self.envelope.max_tokens
        if not self.max_output_tokens:
            return wish
        return self.max_output_tokens if wish is None else min(wish, self.max_output_tokens)

    def max_tokens_of(self, candidate: Candidate) -> int | None:
        """What is asked of ``candidate``: no more than it is known to give, unless the client itself has chosen this model.

        ``None`` where neither the client nor anything that is known says a number.
        """
        limit = self.max_tokens()
        asked = self.envelope.model
        is_chosen = asked in {candidate.model, candidate.name} and candidate.dialect is self.codec.dialect
        if limit is None and candidate.provider.kind is ProviderKind.OFFLINE:
            limit, is_chosen = _OFFLINE_ANSWER, False  # a small model may never come to an end by itself
        if is_chosen or (limit is None and candidate.dialect is not Dialect.MESSAGES):
            return limit  # a dialect that demands no number is not told one that nobody asked for
        most = candidate.facts.output
        context = candidate.facts.context
        if context:
            room = max(context - self.input_tokens, context // _LEAST_SHARE)
            most = min(most or room, room)
        if not most:
            return _SMALL_MODEL if limit is None else limit
        return min(DEFAULT_MAX_TOKENS if limit is None else limit, most)

    def decoded(self, body: bytes) -> Conversation:
        """The conversation in neutral words; ``body`` is the request, perhaps without its secrets.

        Raises:
            InexpressibleError: only the client's own dialect has words for it.
            MalformedError: it is not of the dialect.
        """
        if self.conversation is None or self.decoded_from is not body:
            asked = self.request
            self.conversation, losses = self.codec.decode_request(
                body, model=asked.model, stream=asked.stream
            )
            self.decoded_from = body
            self.losses = tuple(loss.what for loss in losses)
        return self.conversation

    def known(self, body: bytes) -> Conversation | None:
        """The conversation where it can be told in neutral words."""
        try:
            return self.decoded(body)
        except (InexpressibleError, MalformedError):
            return None


def call_body(asked: Asked, body: bytes, candidate: Candidate) -> tuple[bytes, tuple[str, ...]]:
    """What ``candidate`` is sent for ``body``, and the settings that its dialect cannot say.

    Raises:
        InexpressibleError: it has no words for a part of the request.
        MalformedError: the request is not of its own dialect.
    """
    if candidate.dialect is asked.codec.dialect:
        body, lost = own_words(body, asker_of(candidate))
        if candidate.model != asked.envelope.model:
            body = asked.codec.with_model(body, candidate.model)
        limit = asked.max_tokens_of(candidate)
        if limit is not None and limit != asked.envelope.max_tokens:
            body = _limited(body, asked.codec.dialect, limit)
            if candidate.dialect is Dialect.MESSAGES:
                body, stopped = _thinking_within(body, limit)
                lost += stopped
        return body, lost
    conversation = replace(
        asked.decoded(body), model=candidate.model, max_tokens=asked.max_tokens_of(candidate)
    )
    conversation = with_fitting_ids(conversation, asker_of(candidate).ids)
    sent, losses = codec_of(candidate.dialect).encode_request(conversation)
    return sent, tuple(dict.fromkeys((*asked.losses, *(loss.what for loss in losses))))


def asker_of(candidate: Candidate) -> Asker:
    """What the provider is known to refuse of other dialects' answers."""
    kind, dialect = candidate.provider.kind, candidate.dialect
    is_claude = dialect is Dialect.MESSAGES and (
        kind is ProviderKind.ANTHROPIC or "claude" in candidate.model.lower()
    )
    ids = CallIds(pattern="[A-Za-z0-9_-]") if is_claude else _IDS.get((kind, dialect), CallIds())
    return Asker(dialect=dialect, model=candidate.model, ids=ids, checks_proofs=is_claude)


def call_url(base_url: str, asked: Asked, candidate: Candidate) -> str:
    """The address of a conversation at ``base_url``."""
    if candidate.dialect is Dialect.GEMINI:
        verb = "streamGenerateContent?alt=sse" if asked.envelope.stream else "generateContent"
        return _with_query(
            f"{base_url}/models/{quote(candidate.model, safe='/-._~')}:{verb}", asked, candidate
        )
    return _with_query(base_url + _PATHS[candidate.dialect], asked, candidate)


def count_url(base_url: str, candidate: Candidate) -> str:
    """The address where ``candidate`` counts tokens: Messages and Gemini have one."""
    if candidate.dialect is Dialect.GEMINI:
        return f"{base_url}/models/{quote(candidate.model, safe='/-._~')}:countTokens"
    return f"{base_url}/messages/count_tokens"


def call_headers(
    request: AskedRequest, candidate: Candidate, key_headers: Mapping[str, str]
) -> dict[str, str]:
    """The headers of a call: the client's own where they belong to the dialect, the provider's, and its key's, which win."""
    client = request.headers
    if candidate.dialect is request.dialect:
        names, prefixes = _OF_DIALECT[candidate.dialect], _PREFIXES[candidate.dialect]
        headers = {
            name: text
            for name, text in client.items()
            if name in names or (prefixes and name.startswith(prefixes))
        }
    else:
        headers = {"user-agent": client["user-agent"]} if "user-agent" in client else {}
    if candidate.dialect is Dialect.MESSAGES:
        headers.setdefault("anthropic-version", ANTHROPIC_VERSION)
    own = {name.lower(): text for name, text in candidate.provider.headers.items()}
    keys = {name.lower(): text for name, text in key_headers.items()}
    if "anthropic-version" in keys and candidate.dialect is Dialect.MESSAGES:
        del keys["anthropic-version"]  # a default of the credentials'; the client's own version decides
    return {**headers, **own, **keys, "content-type": "application/json"}


def path_of(url: str) -> str:
    """Path and query of an address, for the record."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _with_query(url: str, asked: Asked, candidate: Candidate) -> str:
    """The client's own query goes on within its dialect (``beta=true`` of Messages), but for keys and what the address says itself."""
    if candidate.dialect is not asked.codec.dialect or not asked.request.query:
        return url
    kept = [
        part
        for part in asked.request.query.split("&")
        if part and part.split("=", 1)[0].lower() not in {"key", "alt", "api_key", "access_token"}
    ]
    if not kept:
        return url
    return f"{url}{'&' if '?' in url else '?'}{'&'.join(kept)}"


def _limited(body: bytes, dialect: Dialect, limit: int) -> bytes:
    """The body with the most tokens of an answer set to ``limit``."""
    places = _LIMITS[dialect]
    said = [path for path in places if path != ("generationConfig",) and find(body, path) is not None]
    text = str(limit).encode()
    if said:
        return splice(body, dict.fromkeys(said, text))
    place = places[0]
    if len(place) == 1:
        return _with_member(body, 0, place[0], text)
    outer = find(body, place[:1])
    if outer is None or body[outer[0] : outer[1]] == b"null":
        return _with_member(body, 0, place[0], b'{"%s":%d}' % (place[1].encode(), limit))
    return _with_member(body, outer[0], place[1], text)


def _thinking_within(body: bytes, limit: int) -> tuple[bytes, tuple[str, ...]]:
    """The body with a budget for thoughts that is smaller than ``limit``, as Messages demands, and what had to be said otherwise."""
    span = find(body, ("thinking", "budget_tokens"))
    if span is None or not body[span[0] : span[1]].isdigit() or int(body[span[0] : span[1]]) < limit:
        return body, ()
    if limit > _LEAST_THINKING:
        budget = str(max(limit // 2, _LEAST_THINKING)).encode()
        return splice(body, {("thinking", "budget_tokens"): budget}), ("thinking.budget_tokens",)
    return splice(body, {("thinking",): b'{"type":"disabled"}'}), ("thinking",)


def _with_member(body: bytes, position: int, name: str, text: bytes) -> bytes:
    """The body with one more member at the end of the object that begins at or after ``position``; the last of equal names counts."""
    end = body.rindex(b"}") if position == 0 else _end_of_settings(body)
    empty = not msgspec.json.decode(body[body.index(b"{", position) : end + 1])
    return b'%s%s"%s":%s%s' % (body[:end], b"" if empty else b",", name.encode(), text, body[end:])


def _end_of_settings(body: bytes) -> int:
    span = find(body, ("generationConfig",))
    assert span is not None
    return span[1] - 1
