"""``probe``: find out what a provider can do, by asking it as little as that takes.

In this order: its list of models, one call of a few tokens in each dialect that it may speak, one stream, one call of a tool, and the
context where its interface says it. Then the first problem that stands in the way is named, with what to do about it.

What always holds: few requests (``probe_calls.MOST_CALLS``), each for at most ``TOOL_TOKENS`` tokens; no key, and no text that came with
a refused key, is in the result. A provider that cannot be used is a result, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from lastro.gateway.collaborators import Credentials
from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    ErrorKind,
    Text,
    Tool,
    ToolCallBegan,
    ToolChoice,
    Turn,
)
from lastro.gateway.model_index import completed
from lastro.gateway.probe_calls import Calls, Said, StopError, decoded, unsound, unsound_stream
from lastro.gateway.probe_lists import next_page, parse_json, pick_model, read_list, read_props, read_show
from lastro.gateway.probe_store import Finding, ProbeResult, Tried
from lastro.gateway.provider import DIALECTS, ModelFacts, Provider, ProviderKind, ToolSupport
from lastro.gateway.upstream import Upstream

TOKENS: Final = 16
"""Of an answer; fewer are refused by some."""
TOOL_TOKENS: Final = 256
PAGES: Final = 5
"""Of a list of models."""

_MAYBE: Final[Mapping[ProviderKind, tuple[Dialect, ...]]] = {
    ProviderKind.OPENROUTER: (Dialect.RESPONSES, Dialect.MESSAGES),
    ProviderKind.DEEPSEEK: (Dialect.MESSAGES,),
    ProviderKind.COMPATIBLE: (Dialect.MESSAGES, Dialect.RESPONSES, Dialect.GEMINI),
    ProviderKind.OFFLINE: (Dialect.MESSAGES, Dialect.RESPONSES),
}
"""What a kind may speak beside what it surely does."""
_TOOL: Final = Tool(
    name="report",
    description="Report whether it works.",
    parameters='{"type":"object","properties":{"works":{"type":"boolean"}},"required":["works"]}',
)


async def probe(
    provider: Provider, upstream: Upstream, credentials: Credentials, *, time_ns: int, model: str = ""
) -> ProbeResult:
    """What ``provider`` can do. ``model`` is asked; if empty, a configured or a small listed one.

    The offline provider has to be given with its engine's address and headers.
    """
    probing = _Probing(provider, upstream, credentials, model)
    try:
        await probing.run()
    except StopError as stop:
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
        self._calls = Calls(provider, upstream, credentials, model)
        self._listed = False
        self.models: dict[str, ModelFacts] = {}
        self.dialects: list[Dialect] = []
        self.tried: list[Tried] = []
        self.streams: bool | None = None
        self.tools = ToolSupport.UNKNOWN
        self.notes: list[Finding] = []
        self.problem: Finding | None = None

    @property
    def model(self) -> str:
        """The one that is asked."""
        return self._calls.model

    @property
    def calls(self) -> int:
        """How many were made."""
        return self._calls.count

    async def run(self) -> None:
        """Find out everything, as far as it goes."""
        await self._list_models()
        self._calls.model = self.model or next(iter(self._provider.models), "") or pick_model(self.models)
        if not self.model:
            raise StopError(await self._without_model())
        # What it runs is in no list where there is one, or was not listed at all.
        self.models.setdefault(self.model, ModelFacts())
        await self._try_dialects()
        await self._ask_local_servers()
        await self._try_stream()
        await self._try_tool()
        facts = self.models[self.model]
        if facts.tools is ToolSupport.UNKNOWN:
            self.models[self.model] = msgspec.structs.replace(facts, tools=self.tools)

    async def _list_models(self) -> None:
        kind = self._provider.kind
        query = {ProviderKind.GOOGLE: "pageSize=1000", ProviderKind.ANTHROPIC: "limit=1000"}.get(kind, "")
        more = ""
        for _ in range(PAGES):
            said = await self._calls.get(
                self._provider.base_url + "/models", "&".join(filter(None, (query, more)))
            )
            self._refuse_key(said)
            parsed = parse_json(said.body) if said.status == 200 else None
            found = read_list(kind, parsed)
            if found is None:
                return
            self._listed = self._calls.answered = True
            self.models.update(found)
            more = next_page(kind, parsed)
            if not more:
                return

    async def _without_model(self) -> Finding:
        """Why there is no model to ask."""
        if self._listed:
            return self._calls.findings.no_models()
        base_url = self._provider.base_url
        if self._provider.kind is ProviderKind.COMPATIBLE and not urlsplit(base_url).path.strip("/"):
            said = await self._calls.get(base_url + "/v1/models")
            if said.status == 200 and read_list(self._provider.kind, parse_json(said.body)) is not None:
                return self._calls.findings.wrong_address(base_url + "/v1")
        return self._calls.findings.no_list()

    async def _try_dialects(self) -> None:
        sure = DIALECTS[self._provider.kind]
        for dialect in dict.fromkeys([*self._provider.dialects, *sure, *_MAYBE.get(self._provider.kind, ())]):
            tried = await self._try_dialect(dialect)
            self.tried.append(tried)
            if tried.spoken:
                self.dialects.append(dialect)
                self._calls.answered = True
        if not self.dialects:
            raise StopError(self._calls.findings.no_dialect(self.tried, listed=self._listed))

    async def _try_dialect(self, dialect: Dialect) -> Tried:
        said = await self._calls.ask(dialect, self._conversation())
        self._refuse_key(said)
        if said.status != 200:
            failed = codec_of(dialect).decode_error(said.status, said.headers, said.body)
            # A rate limit or an empty account says nothing against the dialect: somebody there understood the call.
            spoken = failed.kind is ErrorKind.RATE_LIMIT
            if spoken:
                self.notes.append(self._calls.findings.rate_limited(failed))
            return Tried(dialect=dialect, spoken=spoken, status=said.status, detail=failed.text[:300])
        problem = unsound(dialect, said.body)
        return Tried(dialect=dialect, spoken=not problem, status=200, detail=problem)

    async def _ask_local_servers(self) -> None:
        """What llama-server and Ollama say at addresses of their own."""
        if self._provider.kind not in {ProviderKind.COMPATIBLE, ProviderKind.OFFLINE}:
            return
        facts = self.models[self.model]
        if facts.context and facts.tools is not ToolSupport.UNKNOWN:
            return
        root = self._provider.base_url.removesuffix("/v1")
        said = await self._calls.get(root + "/props")
        props = read_props(parse_json(said.body)) if said.status == 200 else None
        if props is not None:
            self.models[self.model] = completed(facts, props)
            return
        said = await self._calls.post(
            root + "/api/show", msgspec.json.encode({"model": self.model}), Dialect.CHAT
        )
        shown = read_show(parse_json(said.body)) if said.status == 200 else None
        if shown is not None:
            self.models[self.model] = completed(facts, shown)

    async def _try_stream(self) -> None:
        dialect = self.dialects[0]
        said = await self._calls.ask(dialect, msgspec.structs.replace(self._conversation(), stream=True))
        if said.status == 200:
            streamed = said.headers.get("content-type", "").startswith("text/event-stream")
            self.streams = streamed and not unsound_stream(dialect, said.body)
        elif said.status != 429:
            self.streams = False
        if self.streams is False:
            self.notes.append(self._calls.findings.no_stream(dialect))

    async def _try_tool(self) -> None:
        dialect = self.dialects[0]
        asked = msgspec.structs.replace(
            self._conversation("Call the tool report with works set to true."),
            tools=(_TOOL,),
            tool_choice=ToolChoice(mode="any"),
            max_tokens=TOOL_TOKENS,
        )
        said = await self._calls.ask(dialect, asked)
        if said.status == 200 and not unsound(dialect, said.body):
            called = any(isinstance(one, ToolCallBegan) for one in decoded(dialect, said.body))
            self.tools = ToolSupport.YES if called else ToolSupport.NO
        elif said.status in {400, 404, 422, 501}:
            self.tools = ToolSupport.NO
        if self.tools is ToolSupport.NO:
            self.notes.append(self._calls.findings.no_tools())

    def _conversation(self, text: str = "Say ok.") -> Conversation:
        turn = Turn(role="user", parts=(Text(text=text),))
        return Conversation(model=self.model, turns=(turn,), max_tokens=TOKENS)

    def _refuse_key(self, said: Said) -> None:
        """Stop if it was the key that was refused."""
        if said.status in {401, 403}:
            raise StopError(self._calls.findings.refused_key(said.status))
