"""``probe``: find out what a provider can do, by asking it as little as that takes.

In this order: its list of models, one call of a few tokens in each dialect that it may speak, one stream, one call of a tool, and the
context where its interface says it. Then the first problem that stands in the way is named, with what to do about it.

What always holds: at most ``MOST_CALLS`` requests, each for at most ``TOOL_TOKENS`` tokens; no key, and no text that came with a refused
key, is in the result. A provider that cannot be used is a result, not an error.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from lastro.errors import LastroError
from lastro.gateway.collaborators import Credentials
from lastro.gateway.dialects.codec import LARGEST_FRAME, codec_of
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    ErrorKind,
    Failed,
    Happening,
    Text,
    Tool,
    ToolCallBegan,
    ToolChoice,
    Turn,
)
from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.model_index import completed
from lastro.gateway.probe_lists import next_page, parse_json, pick_model, read_list, read_props, read_show
from lastro.gateway.probe_store import Finding, ProbeResult, Tried
from lastro.gateway.provider import DIALECTS, ModelFacts, Provider, ProviderKind, ToolSupport
from lastro.gateway.secret_text import without_keys
from lastro.gateway.upstream import Upstream, UpstreamError, UpstreamRequest
from lastro.messages import N_

MOST_CALLS: Final = 24
TOKENS: Final = 16
"""Of an answer; fewer are refused by some."""
TOOL_TOKENS: Final = 256
PAGES: Final = 5
"""Of a list of models."""

_CONNECT_S: Final = 10.0
_FIRST_BYTE_S: Final = 90.0
"""A local server may have to load its model first."""
_LARGEST_LIST: Final = 16 * 1024 * 1024
_MAYBE: Final[Mapping[ProviderKind, tuple[Dialect, ...]]] = {
    ProviderKind.OPENROUTER: (Dialect.RESPONSES, Dialect.MESSAGES),
    ProviderKind.DEEPSEEK: (Dialect.MESSAGES,),
    ProviderKind.COMPATIBLE: (Dialect.MESSAGES, Dialect.RESPONSES, Dialect.GEMINI),
    ProviderKind.OFFLINE: (Dialect.MESSAGES, Dialect.RESPONSES),
}
"""What a kind may speak beside what it surely does."""
_PATHS: Final = {
    Dialect.CHAT: "/chat/completions",
    Dialect.RESPONSES: "/responses",
    Dialect.MESSAGES: "/messages",
}
_TOOL: Final = Tool(
    name="report",
    description="Report whether it works.",
    parameters='{"type":"object","properties":{"works":{"type":"boolean"}},"required":["works"]}',
)


class _Said(Struct, frozen=True, kw_only=True):
    """An answer that came whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _StopError(Exception):
    """Nothing more can be found out; ``finding`` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


async def probe(
    provider: Provider, upstream: Upstream, credentials: Credentials, *, time_ns: int, model: str = ""
) -> ProbeResult:
    """What ``provider`` can do. ``model`` is asked; if empty, a configured or a small listed one.

    The offline provider has to be given with its engine's address and headers.
    """
    probing = _Probing(provider, upstream, credentials, model)
    try:
        await probing.run()
    except _StopError as stop:
        probing.problem = stop.finding
    return ProbeResult(
        provider=provider.name,
        base_url=provider.base_url,
        time_ns=time_ns,
        model=probing.model if probing.dialects else "",
        dialects=tuple(probing.dialects),
        models=probing.models,
        streams=probing.streams,
        tools=probing.tools,
        tried=tuple(probing.tried),
        calls=probing.calls,
        problem=probing.problem,
        notes=tuple(probing.notes),
    )


class _Probing:
    """One probe on its way, and what it found so far."""

    def __init__(self, provider: Provider, upstream: Upstream, credentials: Credentials, model: str) -> None:
        self._provider = provider
        self._upstream = upstream
        self._credentials = credentials
        self._listed = False
        self.model = model
        self.models: dict[str, ModelFacts] = {}
        self.dialects: list[Dialect] = []
        self.tried: list[Tried] = []
        self.streams: bool | None = None
        self.tools = ToolSupport.UNKNOWN
        self.notes: list[Finding] = []
        self.problem: Finding | None = None
        self.calls = 0

    async def run(self) -> None:
        """Find out everything, as far as it goes."""
        await self._list_models()
        self.model = self.model or next(iter(self._provider.models), "") or pick_model(self.models)
        if not self.model:
            raise _StopError(await self._without_model())
        # What it runs is in no list where there is one, or was not listed at all.
        self.models.setdefault(self.model, ModelFacts())
        await self._try_dialects()
        await self._ask_local_servers()
        await self._try_stream()
        await self._try_tool()
        facts = self.models[self.model]
        if facts.tools is ToolSupport.UNKNOWN:
            self.models[self.model] = msgspec.structs.replace(facts, tools=self.tools)

    # Steps ------------------------------------------------------------------------------------------------------------------------

    async def _list_models(self) -> None:
        kind = self._provider.kind
        query = {ProviderKind.GOOGLE: "pageSize=1000", ProviderKind.ANTHROPIC: "limit=1000"}.get(kind, "")
        more = ""
        for _ in range(PAGES):
            said = await self._get(self._provider.base_url + "/models", "&".join(filter(None, (query, more))))
            self._refuse_key(said)
            parsed = parse_json(said.body) if said.status == 200 else None
            found = read_list(kind, parsed)
            if found is None:
                return
            self._listed = True
            self.models.update(found)
            more = next_page(kind, parsed)
            if not more:
                return

    async def _without_model(self) -> Finding:
        """Why there is no model to ask."""
        if self._listed:
            return Finding(
                code="no_models",
                msgid=N_("{provider} lists no model that talks."),
                hint=N_(
                    "Load or pull a model there, or name one: lastro gateway providers test {provider} --model NAME."
                ),
                parameters=self._named(),
            )
        if self._provider.kind is ProviderKind.COMPATIBLE and not urlsplit(
            self._provider.base_url
        ).path.strip("/"):
            said = await self._get(self._provider.base_url + "/v1/models")
            if said.status == 200 and read_list(self._provider.kind, parse_json(said.body)) is not None:
                return Finding(
                    code="wrong_address",
                    msgid=N_("{provider} answers at {better}, not at {base_url}."),
                    hint=N_('Set base_url = "{better}".'),
                    parameters={**self._named(), "better": self._provider.base_url + "/v1"},
                )
        return Finding(
            code="no_dialect",
            msgid=N_(
                "What answers at {base_url} speaks no dialect that Lastro knows: it gave no list of models."
            ),
            hint=N_("Check base_url: it ends before /models and /chat/completions, mostly with /v1."),
            parameters=self._named(),
        )

    async def _try_dialects(self) -> None:
        sure = DIALECTS[self._provider.kind]
        for dialect in dict.fromkeys([*self._provider.dialects, *sure, *_MAYBE.get(self._provider.kind, ())]):
            tried = await self._try_dialect(dialect)
            self.tried.append(tried)
            if tried.spoken:
                self.dialects.append(dialect)
        if not self.dialects:
            raise _StopError(self._without_dialect())

    async def _try_dialect(self, dialect: Dialect) -> Tried:
        said = await self._ask(dialect, self._conversation())
        self._refuse_key(said)
        if said.status != 200:
            failed = codec_of(dialect).decode_error(said.status, said.headers, said.body)
            # A rate limit or an empty account says nothing against the dialect: somebody there understood the call.
            spoken = failed.kind is ErrorKind.RATE_LIMIT
            if spoken:
                self.notes.append(self._finding_of(failed))
            return Tried(dialect=dialect, spoken=spoken, status=said.status, detail=failed.text[:300])
        problem = _unsound(dialect, said.body)
        return Tried(dialect=dialect, spoken=not problem, status=200, detail=problem)

    def _without_dialect(self) -> Finding:
        """Why no call was answered."""
        statuses = {tried.status for tried in self.tried}
        details = "; ".join(
            dict.fromkeys(f"{one.dialect} {one.status} {one.detail}".strip() for one in self.tried)
        )
        parameters = {**self._named(), "details": details[:1000]}
        if 402 in statuses:
            return Finding(
                code="no_credit",
                msgid=N_("{provider} refuses to answer until its account is paid: {details}"),
                hint=N_("Add credit there, or remove the provider."),
                parameters=parameters,
            )
        if self._listed and not statuses <= {404, 405, 200}:
            return Finding(
                code="refused",
                msgid=N_("{provider} lists its models, and refuses a call of {model}: {details}"),
                hint=N_("Try another model: lastro gateway providers test {provider} --model NAME."),
                parameters=parameters,
            )
        return Finding(
            code="no_dialect",
            msgid=N_("What answers at {base_url} speaks no dialect that Lastro knows: {details}"),
            hint=N_("Check base_url: it ends before /models and /chat/completions, mostly with /v1."),
            parameters=parameters,
        )

    async def _ask_local_servers(self) -> None:
        """What llama-server and Ollama say at addresses of their own."""
        if self._provider.kind not in {ProviderKind.COMPATIBLE, ProviderKind.OFFLINE}:
            return
        facts = self.models[self.model]
        if facts.context and facts.tools is not ToolSupport.UNKNOWN:
            return
        root = self._provider.base_url.removesuffix("/v1")
        said = await self._get(root + "/props")
        props = read_props(parse_json(said.body)) if said.status == 200 else None
        if props is not None:
            self.models[self.model] = completed(facts, props)
            return
        said = await self._post(root + "/api/show", msgspec.json.encode({"model": self.model}), Dialect.CHAT)
        shown = read_show(parse_json(said.body)) if said.status == 200 else None
        if shown is not None:
            self.models[self.model] = completed(facts, shown)

    async def _try_stream(self) -> None:
        dialect = self.dialects[0]
        said = await self._ask(dialect, msgspec.structs.replace(self._conversation(), stream=True))
        if said.status == 200:
            streamed = said.headers.get("content-type", "").startswith("text/event-stream")
            self.streams = streamed and not _unsound_stream(dialect, said.body)
        elif said.status != 429:
            self.streams = False
        if self.streams is False:
            self.notes.append(
                Finding(
                    code="no_stream",
                    msgid=N_(
                        "{provider} gave no sound stream in its dialect {dialect}; tools that want one will fail."
                    ),
                    parameters={**self._named(), "dialect": str(dialect)},
                )
            )

    async def _try_tool(self) -> None:
        dialect = self.dialects[0]
        asked = msgspec.structs.replace(
            self._conversation("Call the tool report with works set to true."),
            tools=(_TOOL,),
            tool_choice=ToolChoice(mode="any"),
            max_tokens=TOOL_TOKENS,
        )
        said = await self._ask(dialect, asked)
        if said.status == 200 and not _unsound(dialect, said.body):
            called = any(isinstance(one, ToolCallBegan) for one in _decoded(dialect, said.body))
            self.tools = ToolSupport.YES if called else ToolSupport.NO
        elif said.status in {400, 404, 422, 501}:
            self.tools = ToolSupport.NO
        if self.tools is ToolSupport.NO:
            self.notes.append(
                Finding(
                    code="no_tools",
                    msgid=N_(
                        "{model} did not call the tool that it was told to call; coding tools need one that does."
                    ),
                    parameters=self._named(),
                )
            )

    # Calls ------------------------------------------------------------------------------------------------------------------------

    def _conversation(self, text: str = "Say ok.") -> Conversation:
        turn = Turn(role="user", parts=(Text(text=text),))
        return Conversation(model=self.model, turns=(turn,), max_tokens=TOKENS)

    async def _ask(self, dialect: Dialect, asked: Conversation) -> _Said:
        body, _ = codec_of(dialect).encode_request(asked)
        base_url = self._provider.base_url
        if dialect is Dialect.GEMINI:
            verb = "streamGenerateContent?alt=sse" if asked.stream else "generateContent"
            url = f"{base_url}/models/{quote(self.model, safe='/-._~')}:{verb}"
        else:
            url = base_url + _PATHS[dialect]
        said = await self._post(url, body, dialect)
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
                return await self._post(url, body.replace(old, new), dialect)
        return said

    async def _get(self, url: str, query: str = "") -> _Said:
        dialect = DIALECTS[self._provider.kind][0]
        return await self._call("GET", f"{url}?{query}" if query else url, b"", dialect)

    async def _post(self, url: str, body: bytes, dialect: Dialect) -> _Said:
        return await self._call("POST", url, body, dialect)

    async def _call(self, method: str, url: str, body: bytes, dialect: Dialect) -> _Said:
        self.calls += 1
        assert self.calls <= MOST_CALLS
        try:
            key = await self._credentials.headers(self._provider, dialect)
        except LastroError as error:
            raise _StopError(_finding(error, "no_key")) from None
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
                return _Said(
                    status=answer.status, headers=answer.headers, body=without_keys(bytes(pieces), key)
                )
        except UpstreamError as error:
            if error.outcome is AttemptOutcome.CONNECT or not (self._listed or self.dialects):
                raise _StopError(self._unreachable(error)) from None
            return _Said(status=0, headers={}, body=str(error).encode())

    def _refuse_key(self, said: _Said) -> None:
        """Stop if it was the key that was refused. What the provider wrote about it is not kept: some repeat the key."""
        if said.status not in {401, 403}:
            return
        key = self._provider.key
        place = key.environment or key.file or (key.command[0] if key.command else "")
        if place or key.stored:
            raise _StopError(
                Finding(
                    code="wrong_key",
                    msgid=N_("{provider} refuses the key (HTTP {status}); it comes from {place}."),
                    hint=N_("Check that the key is for {base_url}, is whole, and was not revoked."),
                    parameters={
                        **self._named(),
                        "status": str(said.status),
                        "place": place or "the encrypted store",
                    },
                )
            )
        raise _StopError(
            Finding(
                code="no_key",
                msgid=N_("{provider} wants a key (HTTP {status}), and none is configured."),
                hint=N_(
                    'Write where it comes from, for example key = {{environment = "NAME"}} in [providers.{provider}].'
                ),
                parameters={**self._named(), "status": str(said.status)},
            )
        )

    def _unreachable(self, error: UpstreamError) -> Finding:
        """What kind of no answer it was, with what to do."""
        parameters = {**self._named(), "host": urlsplit(self._provider.base_url).netloc, "reason": str(error)}
        causes = _causes(error)
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return Finding(
                code="no_such_host",
                msgid=N_("There is no host called {host}, or this machine cannot look names up."),
                hint=N_("Check base_url for a typing mistake, and the network of this machine."),
                parameters=parameters,
            )
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return Finding(
                code="tls",
                msgid=N_("No trusted encrypted connection to {host} came about: {reason}"),
                hint=N_("Is it http:// there? A company's own authority has to be in this machine's store."),
                parameters=parameters,
            )
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return Finding(
                code="refused_connection",
                msgid=N_("Nobody listens at {host}."),
                hint=N_("Start the server there, or correct the port in base_url."),
                parameters=parameters,
            )
        return Finding(
            code="unreachable",
            msgid=N_("No answer from {host}: {reason}"),
            hint=N_("Check base_url, the network and a proxy, if there is one."),
            parameters=parameters,
        )

    def _finding_of(self, failed: Failed) -> Finding:
        return Finding(
            code="rate_limited",
            msgid=N_("{provider} limits calls right now: {reason}"),
            hint=N_("Test it again later: lastro gateway providers test {provider}."),
            parameters={**self._named(), "reason": failed.text[:300]},
        )

    def _named(self) -> dict[str, str]:
        return {"provider": self._provider.name, "base_url": self._provider.base_url, "model": self.model}


def _decoded(dialect: Dialect, body: bytes) -> Sequence[Happening]:
    return codec_of(dialect).decode_answer(body)


def _unsound(dialect: Dialect, body: bytes) -> str:
    """Why a whole answer is none of the dialect; empty if it is one."""
    try:
        happenings = _decoded(dialect, body)
    except LastroError as error:
        return str(error)[:300]
    failed = next((one for one in happenings if isinstance(one, Failed)), None)
    return failed.text[:300] or str(failed.kind) if failed is not None else ""


def _unsound_stream(dialect: Dialect, body: bytes) -> str:
    """Why a whole stream is none of the dialect; empty if it is one."""
    decoder = codec_of(dialect).decoder()
    try:
        frames = [*decoder.feed(body), *decoder.finish()]
    except LastroError as error:
        return str(error)[:300]
    failed = [one for frame in frames for one in frame.happenings if isinstance(one, Failed)]
    return failed[0].text[:300] or str(failed[0].kind) if failed else ""


def _finding(error: LastroError, code: str) -> Finding:
    parameters: dict[str, Any] = error.parameters
    return Finding(
        code=code,
        msgid=error.msgid,
        hint=error.hint,
        parameters={name: str(value) for name, value in parameters.items()},
    )


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything it came from, also where a library keeps the system's error in a field."""
    causes: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(causes) < 20:
        cause = waiting.pop()
        if cause is None or cause in causes:
            continue
        causes.append(cause)
        inner = getattr(cause, "os_error", None) or getattr(cause, "certificate_error", None)
        waiting += [cause.__cause__, cause.__context__, inner if isinstance(inner, BaseException) else None]
    return causes
