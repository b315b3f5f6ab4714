"""The requests of a probe: what is sent to a provider, how long that may take, and whether what came back is sound.

What always holds: at most ``MOST_CALLS`` requests; a key goes into headers alone, and an answer that repeats it is kept without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from lastro.errors import LastroError
from lastro.gateway.collaborators import Credentials
from lastro.gateway.dialects.codec import LARGEST_FRAME, codec_of
from lastro.gateway.dialects.neutral import Conversation, Dialect, Failed, Happening
from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.probe_findings import Findings, finding_of
from lastro.gateway.probe_store import Finding
from lastro.gateway.provider import DIALECTS, Provider
from lastro.gateway.secret_text import without_keys
from lastro.gateway.upstream import Upstream, UpstreamError, UpstreamRequest

MOST_CALLS: Final = 24

_CONNECT_S: Final = 10.0
_FIRST_BYTE_S: Final = 90.0
"""A local server may have to load its model first."""
_LARGEST_LIST: Final = 16 * 1024 * 1024
_PATHS: Final = {
    Dialect.CHAT: "/chat/completions",
    Dialect.RESPONSES: "/responses",
    Dialect.MESSAGES: "/messages",
}


class Said(Struct, frozen=True, kw_only=True):
    """An answer that came whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StopError(Exception):
    """Nothing more can be found out; ``finding`` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


class Calls:
    """The calls to one provider about one of its models."""

    def __init__(self, provider: Provider, upstream: Upstream, credentials: Credentials, model: str) -> None:
        self._provider = provider
        self._upstream = upstream
        self._credentials = credentials
        self.model = model
        """Empty while it is not known."""
        self.answered = False
        """Whether somebody there answered as a provider does: a failure later on is then one call's."""
        self.count = 0

    @property
    def findings(self) -> Findings:
        """The sentences about them."""
        return Findings(self._provider, self.model)

    async def ask(self, dialect: Dialect, asked: Conversation) -> Said:
        """One call of a model."""
        body, _ = codec_of(dialect).encode_request(asked)
        base_url = self._provider.base_url
        if dialect is Dialect.GEMINI:
            verb = "streamGenerateContent?alt=sse" if asked.stream else "generateContent"
            url = f"{base_url}/models/{quote(asked.model, safe='/-._~')}:{verb}"
        else:
            url = base_url + _PATHS[dialect]
        said = await self.post(url, body, dialect)
        for old, new in (
            (b'"max_tokens"', b'"max_completion_tokens"'),
            (b'"max_completion_tokens"', b'"max_tokens"'),
        ):
            # The two names of one thing: newer models of OpenAI refuse the older, older servers the newer.
            if (
                said.status in {400, 422}
                and old in body
                and old.strip(b'"') in said.body
                and dialect is Dialect.CHAT
            ):
                return await self.post(url, body.replace(old, new), dialect)
        return said

    async def get(self, url: str, query: str = "") -> Said:
        """What stands at an address."""
        dialect = DIALECTS[self._provider.kind][0]
        return await self._call("GET", f"{url}?{query}" if query else url, b"", dialect)

    async def post(self, url: str, body: bytes, dialect: Dialect) -> Said:
        """What an address answers to ``body``; the key goes with it as in ``dialect``."""
        return await self._call("POST", url, body, dialect)

    async def _call(self, method: str, url: str, body: bytes, dialect: Dialect) -> Said:
        self.count += 1
        assert self.count <= MOST_CALLS
        try:
            key = await self._credentials.headers(self._provider, dialect)
        except LastroError as error:
            raise StopError(finding_of(error, "no_key")) from None
        headers = {"accept": "*/*", **self._provider.headers, **key}
        if body:
            headers["content-type"] = "application/json"
        request = UpstreamRequest(
            url=url,
            headers=headers,
            body=body,
            connect_s=_CONNECT_S,
            first_byte_s=_FIRST_BYTE_S,
            between_bytes_s=_FIRST_BYTE_S,
            method=method,
        )
        try:
            async with self._upstream.call(request) as answer:
                pieces = bytearray()
                async for piece in answer.pieces():
                    pieces += piece
                    if len(pieces) > min(_LARGEST_LIST, LARGEST_FRAME):
                        break
                return Said(
                    status=answer.status, headers=answer.headers, body=without_keys(bytes(pieces), key)
                )
        except UpstreamError as error:
            if error.outcome is AttemptOutcome.CONNECT or not self.answered:
                raise StopError(self.findings.unreachable(error)) from None
            return Said(status=0, headers={}, body=str(error).encode())


def decoded(dialect: Dialect, body: bytes) -> Sequence[Happening]:
    """The events of a whole answer."""
    return codec_of(dialect).decode_answer(body)


def unsound(dialect: Dialect, body: bytes) -> str:
    """Why a whole answer is none of the dialect; empty if it is one."""
    try:
        happenings = decoded(dialect, body)
    except LastroError as error:
        return str(error)[:300]
    failed = next((one for one in happenings if isinstance(one, Failed)), None)
    return failed.text[:300] or str(failed.kind) if failed is not None else ""


def unsound_stream(dialect: Dialect, body: bytes) -> str:
    """Why a whole stream is none of the dialect; empty if it is one."""
    decoder = codec_of(dialect).decoder()
    try:
        frames = [*decoder.feed(body), *decoder.finish()]
    except LastroError as error:
        return str(error)[:300]
    failed = [one for frame in frames for one in frame.happenings if isinstance(one, Failed)]
    return failed[0].text[:300] or str(failed[0].kind) if failed else ""
