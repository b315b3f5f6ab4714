"""What operations on the gateway are asked and answer. Money is in millionths of a US dollar; ``None`` is unknown, never 0."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.messages import N_

_PROVIDER = parameter(N_("The provider."), cli="argument", metavar="NAME")

# Providers ----------------------------------------------------------------------------------------------------------------------------


class ProvidersAdd(Struct, frozen=True, kw_only=True):
    """Add a provider."""

    name: Annotated[
        str,
        parameter(
            N_(
                "How to call it; openai, anthropic, google, openrouter, mistral and deepseek need nothing more than a key."
            ),
            cli="argument",
            metavar="NAME",
        ),
    ]
    kind: Annotated[
        str,
        parameter(
            N_(
                "openai, anthropic, google, openrouter, mistral, deepseek, or compatible for any other with OpenAI's addresses."
            ),
            metavar="KIND",
        ),
    ] = ""
    base_url: Annotated[
        str, parameter(N_("Where it answers, such as http://127.0.0.1:11434/v1 for Ollama."), metavar="URL")
    ] = ""
    key_env: Annotated[
        str, parameter(N_("The environment variable of the gateway that holds the key."), metavar="VARIABLE")
    ] = ""
    key_file: Annotated[
        str, parameter(N_("The file that holds the key, read again at each use."), metavar="PATH")
    ] = ""
    key_command: Annotated[
        str,
        parameter(
            N_("A program whose first line of output is the key, such as 'pass show openai'."),
            metavar="COMMAND",
        ),
    ] = ""
    key: Annotated[
        str,
        parameter(N_("Read the key from standard input and keep it encrypted."), cli="secret"),
    ] = ""
    dialects: Annotated[
        tuple[str, ...],
        parameter(N_("chat, responses, messages or gemini; the best one first."), metavar="DIALECT"),
    ] = ()
    local: Annotated[
        bool,
        parameter(
            N_("It runs on this machine or network: nothing leaves, no secret is replaced, it costs nothing.")
        ),
    ] = False
    no_test: Annotated[bool, parameter(N_("Do not ask it anything now."))] = False


class ProviderName(Struct, frozen=True, kw_only=True):
    """One provider."""

    name: Annotated[str, _PROVIDER]


class ProvidersTest(Struct, frozen=True, kw_only=True):
    """Ask providers what they speak."""

    names: Annotated[
        tuple[str, ...], parameter(N_("The providers (default: all)."), cli="argument", metavar="NAME")
    ] = ()


class ProviderState(Struct, frozen=True, kw_only=True):
    """A provider as it is configured and as the last probe found it.

    ``key``: ``none``, ``environment``, ``file``, ``command`` or ``stored``, and where; never the key. ``key_there``: whether it is found
    now, ``None`` where that was not tried. ``circuit``: ``closed``, ``open``, ``half_open``, empty when no gateway runs.
    """

    name: str
    kind: str
    base_url: str
    key: str
    key_where: str
    key_there: bool | None
    dialects: tuple[str, ...]
    models: int
    local: bool
    enabled: bool
    probed_ns: int | None = None
    tools: str = "unknown"
    context: int = 0
    streams: bool | None = None
    circuit: str = ""
    problem: Sentence | None = None
    notes: tuple[Sentence, ...] = ()


class ProviderList(Struct, frozen=True, kw_only=True):
    """Providers in the order of the configuration. ``failed``: how many of those that were tested now cannot be used."""

    providers: tuple[ProviderState, ...]
    failed: int = 0
    problems: tuple[Sentence, ...] = ()
    """What could not be read, and was left out."""


class ProviderRemoved(Struct, frozen=True, kw_only=True):
    """A provider that is configured no more. ``key_removed``: its stored key was removed too."""

    name: str
    key_removed: bool


# Models -------------------------------------------------------------------------------------------------------------------------------


class ModelsList(Struct, frozen=True, kw_only=True):
    """The offline models."""


class ModelState(Struct, frozen=True, kw_only=True):
    """An offline model of the catalogue, or one that was imported.

    ``fit``: ``yes``, ``tight``, ``no`` or ``unknown``, on this machine. ``fetch`` says how to get its weights; empty when ``pull`` does.
    """

    name: str
    title: str
    licence: str
    size: int
    digest: str
    context: int
    good_for: str
    """A sentence, untranslated; empty where nobody said."""
    tools: str
    pulled: bool
    pullable: bool
    fit: str
    fit_reason: Sentence
    kinds: tuple[str, ...] = ()
    memory: int = 0
    """Bytes that it needs to work in."""
    size_estimated: bool = False
    fetch: str = ""
    """The command that brings it; empty for what is here."""
    known: str = ""
    """Where these facts are from: ``measured`` or ``publisher``; empty for what was imported."""


class ModelList(Struct, frozen=True, kw_only=True):
    """Offline models: those that are here, then those that can be."""

    models: tuple[ModelState, ...]
    directory: str


class ModelsPull(Struct, frozen=True, kw_only=True):
    """Fetch an offline model."""

    name: Annotated[
        str, parameter(N_("A model of 'lastro gateway models list'."), cli="argument", metavar="MODEL")
    ]


class ModelsImport(Struct, frozen=True, kw_only=True):
    """Take an offline model from a file."""

    path: Annotated[str, parameter(N_("A GGUF file."), cli="argument", metavar="PATH")]
    name: Annotated[
        str, parameter(N_("How to call it (default: from the file's own name)."), metavar="NAME")
    ] = ""


class ModelHere(Struct, frozen=True, kw_only=True):
    """An offline model that is on this machine now."""

    name: str
    path: str
    size: int
    digest: str
    licence: str
    context: int
    already: bool = False


class ModelName(Struct, frozen=True, kw_only=True):
    """One offline model."""

    name: Annotated[str, parameter(N_("The offline model."), cli="argument", metavar="MODEL")]


class ModelRemoved(Struct, frozen=True, kw_only=True):
    """An offline model whose weights are gone. ``size``: bytes that are free again."""

    name: str
    size: int


# Tools, routes, keys ------------------------------------------------------------------------------------------------------------------


class Environment(Struct, frozen=True, kw_only=True):
    """The settings with which a coding tool uses the gateway."""

    tool: Annotated[
        str,
        parameter(N_("codex, claude, gemini, opencode, openclaw or aider."), cli="argument", metavar="TOOL"),
    ]
    model: Annotated[
        str, parameter(N_("Which model it asks for (default: the route decides)."), metavar="MODEL")
    ] = "auto"
    write: Annotated[bool, parameter(N_("Write them into the tool's own files."))] = False


class SettingsFile(Struct, frozen=True, kw_only=True):
    """A file of a tool, as it should be or now is. ``backup``: the copy of what was there; empty if nothing was."""

    path: str
    content: str
    written: bool
    backup: str = ""


class EnvironmentReply(Struct, frozen=True, kw_only=True):
    """Environment variables, files, and how to call the tool."""

    tool: str
    address: str
    variables: dict[str, str]
    files: tuple[SettingsFile, ...]
    command: str
    notes: tuple[Sentence, ...] = ()


class RoutesExplain(Struct, frozen=True, kw_only=True):
    """Which models would answer a call, and why."""

    task: Annotated[
        str,
        parameter(
            N_(
                "What the call is for: plan, edit, refine, expand, test, review, summarise, chat, server-routine."
            ),
            metavar="KIND",
        ),
    ] = ""
    model: Annotated[str, parameter(N_("The model that is asked for."), metavar="MODEL")] = "auto"
    dialect: Annotated[str, parameter(N_("chat, responses, messages or gemini."), metavar="DIALECT")] = "chat"
    key: Annotated[str, parameter(N_("The gateway key that asks, by name or id."), metavar="KEY")] = ""
    header: Annotated[
        tuple[str, ...], parameter(N_("A header of the call, as 'name: value'."), metavar="HEADER")
    ] = ()
    tools: Annotated[bool, parameter(N_("The call brings tools."))] = False
    images: Annotated[bool, parameter(N_("The call brings pictures."))] = False
    tokens: Annotated[int, parameter(N_("How long the conversation is, in tokens."), metavar="N")] = 0


class RouteChoice(Struct, frozen=True, kw_only=True):
    """A model that was looked at. ``place``: when it would be asked, from 1; 0 if it would not."""

    model: str
    reason: str
    detail: str = ""
    place: int = 0
    dialect: str = ""
    degraded: bool = False


class RouteExplained(Struct, frozen=True, kw_only=True):
    """The route that is taken, those passed before it, and its models in order."""

    route: str
    kind: str
    passed: tuple[str, ...]
    choices: tuple[RouteChoice, ...]
    redaction: bool
    recording: bool
    origin: str
    live: bool
    """Whether circuits of the running gateway were looked at."""
    problems: tuple[Sentence, ...] = ()


class RoutesList(Struct, frozen=True, kw_only=True):
    """The routes."""


class RouteState(Struct, frozen=True, kw_only=True):
    """One route: its conditions as text and its models in order."""

    name: str
    match: str
    models: tuple[str, ...]
    redaction: bool
    recording: bool
    origin: str


class RouteList(Struct, frozen=True, kw_only=True):
    """Routes in the order in which they are tried. ``problem``: why the file as it is now is not in use; empty if it is."""

    routes: tuple[RouteState, ...]
    path: str
    problem: str = ""


class KeysAdd(Struct, frozen=True, kw_only=True):
    """Give out a gateway key."""

    name: Annotated[str, parameter(N_("For whom or what it is."), cli="argument", metavar="NAME")]
    role: Annotated[str, parameter(N_("The role it counts for."), metavar="ROLE")] = ""
    expires: Annotated[
        str, parameter(N_("After how long it ends: 90d, 12h, 30m (default: never)."), metavar="TIME")
    ] = ""
    money: Annotated[
        str, parameter(N_("The most it may spend in its life, in dollars: 5.00."), metavar="USD")
    ] = ""
    money_per_day: Annotated[
        str, parameter(N_("The most it may spend in a day (UTC), in dollars."), metavar="USD")
    ] = ""
    tokens: Annotated[int | None, parameter(N_("The most tokens in its life."), metavar="N")] = None
    models: Annotated[
        tuple[str, ...],
        parameter(N_("A model that it may use, or a pattern: 'offline/*' (default: all)."), metavar="MODEL"),
    ] = ()


class KeyState(Struct, frozen=True, kw_only=True):
    """A gateway key, without its text. ``state``: ``valid``, ``expired`` or ``revoked``."""

    id: str
    name: str
    state: str
    role: str = ""
    run: str = ""
    created_ns: int = 0
    expires_ns: int | None = None
    cost_limit: int | None = None
    day_cost_limit: int | None = None
    token_limit: int | None = None
    models: tuple[str, ...] = ()


class KeyAdded(Struct, frozen=True, kw_only=True):
    """A new key. ``text`` is shown this once."""

    key: KeyState
    text: str


class KeyList(Struct, frozen=True, kw_only=True):
    """Keys, the newest last."""

    keys: tuple[KeyState, ...]


class KeyName(Struct, frozen=True, kw_only=True):
    """One key."""

    key: Annotated[str, parameter(N_("The key, by id or name."), cli="argument", metavar="KEY")]


# What was asked and answered ----------------------------------------------------------------------------------------------------------


class UsageRequest(Struct, frozen=True, kw_only=True):
    """What was used."""

    by: Annotated[
        str, parameter(N_("Group by provider, model, key, role, run, kind, route or day."), metavar="WORD")
    ] = "model"
    since: Annotated[
        int | None, parameter(N_("From when: 7d, 24h, 2026-11-20 (default: 30d)."), cli="instant")
    ] = None


class UsageRow(Struct, frozen=True, kw_only=True):
    """One group. ``cost`` is the sum of what is known; ``cost_unknown`` counts the exchanges whose cost nobody knows."""

    name: str
    exchanges: int
    errors: int
    input: int
    output: int
    cache_read: int
    cost: int
    cost_unknown: int
    median_ns: int | None
    slow_ns: int | None
    """95 of 100 were faster."""
    first_byte_ns: int | None = None
    tokens_unknown: int = 0
    failovers: int = 0
    degraded: int = 0
    estimated: int = 0


class Saving(Struct, frozen=True, kw_only=True):
    """Money that was not spent, in ``exchanges``; ``unknown`` further ones have no known price. ``code``: ``prompt_cache``, ``offline``,
    ``cheaper_model``. Kinds may count the same tokens, so nothing adds them up.
    """

    code: str
    saved: int
    exchanges: int
    unknown: int
    assumption: Sentence


class UsageReply(Struct, frozen=True, kw_only=True):
    """Usage by groups, the sum of all, what went wrong, and what was saved."""

    by: str
    since_ns: int
    rows: tuple[UsageRow, ...]
    total: UsageRow
    outcomes: dict[str, int]
    attempts: dict[str, int]
    savings: tuple[Saving, ...]
    problems: tuple[Sentence, ...] = ()
    """Why prices, and with them savings, may be unknown."""


class ExchangesSearch(Struct, frozen=True, kw_only=True):
    """Recorded exchanges."""

    words: Annotated[
        tuple[str, ...],
        parameter(N_("Words that must occur in question or answer."), cli="argument", metavar="WORD"),
    ] = ()
    provider: Annotated[str, parameter(N_("Only what this provider answered."), metavar="NAME")] = ""
    model: Annotated[str, parameter(N_("Only what this model answered."), metavar="MODEL")] = ""
    key: Annotated[str, parameter(N_("Only what this key asked, by name or id."), metavar="KEY")] = ""
    run: Annotated[str, parameter(N_("Only what this run asked."), metavar="RUN")] = ""
    route: Annotated[str, parameter(N_("Only what went by this route."), metavar="ROUTE")] = ""
    outcome: Annotated[
        str,
        parameter(
            N_("answered, failed, broken, abandoned, refused or interrupted."),
            metavar="OUTCOME",
        ),
    ] = ""
    since: Annotated[int | None, parameter(N_("From when: 7d, 24h, 2026-11-20."), cli="instant")] = None
    limit: Annotated[int, parameter(N_("The most to show."), metavar="N")] = 20


class AttemptItem(Struct, frozen=True, kw_only=True):
    """One call to a provider."""

    provider: str
    model: str
    dialect: str
    outcome: str
    status: int
    visible: str
    duration_ns: int
    cost: int | None
    detail: str = ""


class ExchangeItem(Struct, frozen=True, kw_only=True):
    """One exchange."""

    id: str
    time_ns: int
    outcome: str
    dialect: str
    asked_model: str
    provider: str
    model: str
    route: str
    kind: str
    key: str
    role: str
    run: str
    step: int
    step_seen: bool | None
    """Whether the run's supervisor answered before the call was made; missing where there is none."""
    input: int | None
    output: int | None
    cost: int | None
    duration_ns: int
    first_byte_ns: int | None
    redacted: int
    degraded: bool
    estimated: bool
    error: str
    losses: tuple[str, ...]
    attempts: tuple[AttemptItem, ...]
    snippet: str = ""


class ExchangeList(Struct, frozen=True, kw_only=True):
    """Exchanges, the newest first. ``more``: there are older ones that fit too."""

    exchanges: tuple[ExchangeItem, ...]
    more: bool = False


class ExchangeShow(Struct, frozen=True, kw_only=True):
    """One exchange, with what was asked and answered."""

    id: Annotated[str, parameter(N_("The exchange."), cli="argument", metavar="EXCHANGE")]


class ExchangeShown(Struct, frozen=True, kw_only=True):
    """An exchange with its bodies as text, secrets replaced; ``recorded`` is false where its route records none."""

    exchange: ExchangeItem
    recorded: bool
    lost: bool = False
    """They were recorded and lost in a crash."""
    request: str = ""
    answer: str = ""
    sent: str = ""
    """What the provider got where that is another text than the request: it was translated, or its model named."""
    sent_path: str = ""


class ExchangeReplay(Struct, frozen=True, kw_only=True):
    """Send a recorded request again."""

    id: Annotated[str, parameter(N_("The exchange."), cli="argument", metavar="EXCHANGE")]


class Replayed(Struct, frozen=True, kw_only=True):
    """The recorded request was sent again, byte for byte (``same_request``); the new answer beside the recorded one."""

    exchange: str
    provider: str
    model: str
    same_request: bool
    sent_digest: str
    """BLAKE3 of what was sent."""
    status: int
    answer: str
    recorded_answer: str
    same_answer: bool


class GatewayStatus(Struct, frozen=True, kw_only=True):
    """How the gateway is. ``running`` is false when nobody answers on its admin socket; the rest is then what is configured."""

    running: bool
    address: str
    socket: str
    home: str
    providers: int
    models: int
    offline_models: int
    pid: int = 0
    uptime_ns: int = 0
    in_flight: int = 0
    circuits: dict[str, str] = {}
    network_down: bool = False
    engine: str = ""
    """``stopped``, or the offline model that is loaded."""
    problem: str = ""
