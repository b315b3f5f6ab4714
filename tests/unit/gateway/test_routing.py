"""Which models may answer, in which order, and why the others may not."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from lastro.errors import DeniedError, LastroError, NotFoundError, UnreachableError
from lastro.gateway.circuit import Circuits
from lastro.gateway.configuration import parse_settings
from lastro.gateway.dialects.codec import Envelope
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.keys import ANONYMOUS, GatewayKey
from lastro.gateway.probe_store import ProbeResult
from lastro.gateway.provider import ModelFacts, ProviderKind, ToolSupport
from lastro.gateway.route import Match, Route, RouteModel, TaskKind
from lastro.gateway.routing import SettingsRouter
from lastro.gateway.settings import Anonymous, Listen

PROVIDERS = """
[providers.openai]
kind = "openai"
key = {environment = "OPENAI_API_KEY"}
models = {gpt-5 = {context = 1000, tools = "yes", images = true}, small = {context = 100}}
[providers.anthropic]
kind = "anthropic"
key = {stored = true}
models = {claude = {context = 2000, images = true}, small = {context = 100}}
[providers.ollama]
kind = "compatible"
base_url = "http://127.0.0.1:11434/v1"
models = {qwen = {context = 500, tools = "no", images = false}}
[providers.off]
kind = "mistral"
key = {stored = true}
enabled = false
models = {m = {}}
"""
KEY = GatewayKey(id="k-1", name="mine", digest="")
SMOL = {"smollm2": ModelFacts(context=8192, tools=ToolSupport.NO)}
REASONS = {
    "chosen",
    "unknown_provider",
    "disabled",
    "circuit_open",
    "full",
    "context",
    "tools",
    "images",
    "no_key",
    "not_pulled",
    "network_down",
    "not_allowed",
}


class World:
    """A router and everything it looks at."""

    def __init__(self, routes="", *, seed=0, offline=SMOL, probes=None, top=""):
        self.settings = parse_settings(top + PROVIDERS + routes, path="gateway.toml")
        self.now = 0.0
        self.circuits = Circuits(self.settings.circuit, clock=lambda: self.now)
        self.offline = offline
        self.probes = probes or {}
        self.without_key = set()
        self.random = random.Random(seed)
        self.router = self.made(self.random.random)

    def made(self, draw):
        return SettingsRouter(
            settings=lambda: self.settings,
            probes=lambda: self.probes,
            offline_models=lambda: self.offline,
            health=self.circuits,
            random=draw,
            has_key=lambda provider: provider.name not in self.without_key,
        )

    def fail(self, provider, model, **how):
        permit = self.circuits.enter(provider, model, local=False)
        permit.failed(at_once=True, **how)

    def route(self, model="auto", *, dialect=Dialect.CHAT, headers=None, key=KEY, tokens=10, **envelope):
        return self.router.route(
            envelope=Envelope(model=model, stream=False, **envelope),
            dialect=dialect,
            headers=headers or {},
            key=key,
            input_tokens=tokens,
        )

    def names(self, *given_, **asked):
        return [candidate.name for candidate in self.route(*given_, **asked).candidates]


def reasons(routed):
    return {one.model: one.reason for one in routed.considered}


LISTED = """
[routes.default]
models = ["openai/gpt-5", "anthropic/claude", "ollama/qwen"]
"""


def test_auto_takes_the_routes_models_in_their_order():
    assert World(LISTED).names() == ["openai/gpt-5", "anthropic/claude", "ollama/qwen"]


@pytest.mark.parametrize(
    "model", ["auto", "auto:edit", "lastro/auto", "models/auto", "", "nobody-knows-it", "x/y"]
)
def test_names_that_say_nothing_let_the_route_decide(model):
    assert World(LISTED).names(model)[0] == "openai/gpt-5"


def test_an_explicit_model_comes_first_and_fails_over_only_within_a_route_that_lists_it():
    world = World(LISTED)
    assert world.names("ollama/qwen") == ["ollama/qwen", "openai/gpt-5", "anthropic/claude"]
    assert world.names("openai/small") == ["openai/small"]
    assert world.names("openai/never-heard-of") == ["openai/never-heard-of"]


def test_an_unlisted_route_is_no_failover_for_an_explicit_model():
    assert World().names("openai/gpt-5") == ["openai/gpt-5"]


def test_a_bare_name_means_those_who_serve_it():
    world = World(LISTED)
    assert world.names("small") == ["openai/small", "anthropic/small"]
    assert world.names("claude") == ["anthropic/claude", "openai/gpt-5", "ollama/qwen"]
    assert world.names("smollm2") == ["offline/smollm2"]


def test_a_route_for_names_decides_what_they_mean():
    world = World(
        "[routes.a]\nmatch = {models = ['claude*', 'openai/*']}\nmodels = ['ollama/qwen', 'openai/small']\n"
    )
    assert world.names("claude") == ["ollama/qwen", "openai/small"]
    assert world.names("openai/gpt-5") == ["ollama/qwen", "openai/small"]
    assert world.names("openai/small") == ["openai/small", "ollama/qwen"]


def test_a_route_without_a_list_has_each_providers_own_models_and_never_the_offline_one_beside_them():
    assert World().names(tokens=50) == [
        "openai/gpt-5",
        "openai/small",
        "anthropic/claude",
        "anthropic/small",
        "ollama/qwen",
    ]
    world = World()
    world.settings = parse_settings("", path="x")
    assert world.names(key=ANONYMOUS) == ["offline/smollm2"]


def test_a_probed_provider_stands_with_the_model_that_its_probe_asked():
    probe = ProbeResult(
        provider="vllm",
        base_url="",
        time_ns=0,
        model="b",
        dialects=(Dialect.MESSAGES, Dialect.CHAT),
        models={"a": ModelFacts(), "b": ModelFacts(context=7)},
    )
    world = World(probes={"vllm": probe})
    world.settings = parse_settings(
        '[providers.vllm]\nkind = "compatible"\nbase_url = "http://127.0.0.1:1/v1"', path="x"
    )
    (candidate,) = world.route(tokens=5).candidates
    assert (candidate.name, candidate.facts.context) == ("vllm/b", 7)
    assert candidate.dialect is Dialect.CHAT
    assert world.route(dialect=Dialect.RESPONSES).candidates[0].dialect is Dialect.MESSAGES
    assert world.names("a") == ["vllm/a"]


def test_the_kind_comes_from_the_header_the_model_or_the_keys_role():
    routes = "".join(
        f"[routes.{kind}]\nmatch = {{kinds = ['{kind}']}}\nmodels = ['openai/small']\n"
        for kind in ("edit", "plan")
    )
    world = World(routes)
    editor = replace(KEY, role="edit")
    assert world.route(headers={"x-lastro-task": "plan"}, key=editor).kind is TaskKind.PLAN
    assert world.route("auto:plan", key=editor).route.name == "plan"
    assert world.route(key=editor).route.name == "edit"
    routed = world.route(key=replace(KEY, role="reviewer"))
    assert (routed.kind, routed.passed) == (TaskKind.CHAT, ("edit: kinds", "plan: kinds"))
    for asked in ({"headers": {"x-lastro-task": "edti"}}, {"model": "auto:edti"}):
        with pytest.raises(NotFoundError, match="edti") as raised:
            world.route(**asked)
        assert "edit" in raised.value.hint_text


@pytest.mark.parametrize(
    ("match", "asked"),
    [
        (Match(keys=("mi*",)), {}),
        (Match(keys=("k-1",)), {}),
        (Match(keys=("*",)), {}),
        (Match(roles=("*",)), {"key": replace(KEY, role="reviewer")}),
        (Match(roles=("re*",)), {"key": replace(KEY, role="reviewer")}),
        (Match(models=("gp*",)), {"model": "gpt-5"}),
        (Match(dialects=(Dialect.GEMINI,)), {"dialect": Dialect.GEMINI}),
        (Match(headers={"X-Team": "a?"}), {"headers": {"x-team": "ab"}}),
        (Match(has_tools=True), {"has_tools": True}),
        (Match(has_images=False), {}),
        (Match(min_input_tokens=5), {}),
        (Match(max_input_tokens=10), {}),
    ],
)
def test_each_condition_takes_what_it_says_and_nothing_else(match, asked):
    world = World()
    default = world.settings.routes[-1]
    mine = Route(name="mine", match=match, models=())
    world.settings = replace(world.settings, routes=(mine, default), listen=Listen(anonymous=Anonymous.ALL))
    assert world.route(**asked).route.name == "mine"
    other = {
        "key": ANONYMOUS,
        "model": "auto",
        "dialect": Dialect.CHAT,
        "headers": {"x-team": "b"},
        "has_tools": False,
        "has_images": True,
        "tokens": 4 if match.min_input_tokens else 11,
    }
    routed = world.route(**other)
    assert routed.route.name == "default"
    condition = next(
        name for name in Match.__struct_fields__ if getattr(match, name) != getattr(Match(), name)
    )
    assert routed.passed == (f"mine: {condition}",)


def test_what_cannot_be_asked_is_passed_over_with_its_reason():
    world = World(
        "[routes.default]\nmodels = ['off/m', 'offline/gone', 'openai/gpt-5', 'anthropic/claude', 'ollama/qwen']\n"
    )
    world.without_key = {"anthropic"}
    world.fail("openai", "gpt-5")
    routed = world.route()
    assert [one.name for one in routed.candidates] == ["ollama/qwen"]
    assert reasons(routed) == {
        "off/m": "disabled",
        "offline/gone": "not_pulled",
        "openai/gpt-5": "circuit_open",
        "anthropic/claude": "no_key",
        "ollama/qwen": "chosen",
    }


def test_a_provider_without_any_key_that_needs_one_is_passed_over():
    world = World()
    world.settings = parse_settings('[providers.openai]\nkind = "openai"\nmodels = {a = {}}', path="x")
    with pytest.raises(NotFoundError, match="no_key"):
        world.route()


def test_what_a_model_lacks_counts_only_where_another_has_it():
    world = World(LISTED)
    assert world.names(has_tools=True) == ["openai/gpt-5", "anthropic/claude"]
    assert world.names(has_images=True) == ["openai/gpt-5", "anthropic/claude"]
    assert world.names(tokens=700) == ["openai/gpt-5", "anthropic/claude"]
    assert world.names(tokens=1500) == ["anthropic/claude"]
    assert reasons(world.route(tokens=1500))["openai/gpt-5"] == "context"
    assert world.names(tokens=9000) == ["openai/gpt-5", "anthropic/claude", "ollama/qwen"]
    assert world.names("ollama/qwen", has_tools=True) == ["openai/gpt-5", "anthropic/claude"]
    only = World("[routes.default]\nmodels = ['ollama/qwen']\n")
    assert only.names(has_tools=True, has_images=True, tokens=9000) == ["ollama/qwen"]


def test_the_owners_own_limits_always_count():
    world = World(
        "[routes.default]\nmodels = [{model = 'ollama/qwen', max_input_tokens = 20, max_concurrent = 1}]\n"
    )
    with pytest.raises(NotFoundError, match="max_input_tokens 20"):
        world.route(tokens=21)
    (candidate,) = world.route(tokens=20).candidates
    assert candidate.max_concurrent == 1
    permit = world.circuits.enter("ollama", "qwen", local=True)
    with pytest.raises(UnreachableError, match="full") as raised:
        world.route()
    assert raised.value.parameters["retry_after_s"] == 1.0
    permit.succeeded()
    assert world.names() == ["ollama/qwen"]


def test_when_all_circuits_are_open_it_says_when_to_try_again():
    world = World("[routes.default]\nmodels = ['openai/gpt-5', 'anthropic/claude']\n")
    world.fail("openai", "gpt-5", retry_after_s=90)
    world.fail("anthropic", "claude", retry_after_s=40)
    with pytest.raises(UnreachableError) as raised:
        world.route()
    assert raised.value.parameters["retry_after_s"] == pytest.approx(40)
    world.now = 41
    assert world.names() == ["anthropic/claude"]


def down(world):
    for provider in ("openai", "anthropic"):
        permit = world.circuits.enter(provider, "x", local=False)
        permit.failed(connecting=True, no_route=True)
    assert world.circuits.network_down


def test_with_the_network_down_offline_models_stand_in_marked_degraded():
    world = World(LISTED)
    down(world)
    routed = world.route()
    assert [(one.name, one.degraded) for one in routed.candidates] == [
        ("ollama/qwen", False),
        ("offline/smollm2", True),
    ]
    assert reasons(routed)["openai/gpt-5"] == "network_down"
    # A model that calls no tools is no stand-in for one that does.
    with pytest.raises(UnreachableError):
        world.route("openai/gpt-5", has_tools=True)


def test_an_offline_model_that_a_route_lists_behind_others_is_degraded_too():
    world = World("[routes.default]\nmodels = ['offline/smollm2', 'openai/gpt-5']\n")
    down(world)
    assert [one.degraded for one in world.route().candidates] == [False]
    world = World("[routes.default]\nmodels = ['openai/gpt-5', 'offline/smollm2']\n")
    assert [one.degraded for one in world.route().candidates] == [False, False]
    down(world)
    assert [one.degraded for one in world.route().candidates] == [True]


@pytest.mark.parametrize(
    ("routes", "top"),
    [
        ("[routes.default]\noffline = false\nmodels = ['openai/gpt-5']\n", ""),
        ("[routes.default]\nmodels = ['openai/gpt-5']\n", "offline_kinds = ['summarise']\n"),
    ],
)
def test_an_offline_model_stands_in_only_where_route_and_kind_allow_it(routes, top):
    world = World(routes, top=top)
    down(world)
    with pytest.raises(UnreachableError, match="network_down"):
        world.route()
    if top:
        assert world.names("auto:summarise") == ["offline/smollm2"]


def test_a_key_uses_only_its_models():
    world = World(LISTED)
    key = replace(KEY, models=("anthropic/*", "offline/*"))
    assert world.names(key=key) == ["anthropic/claude"]
    assert reasons(world.route(key=key))["openai/gpt-5"] == "not_allowed"
    with pytest.raises(DeniedError):
        world.route("openai/small", key=key)
    listed = [name for name, _ in world.router.models(key)]
    assert listed == ["auto", "anthropic/claude", "anthropic/small", "offline/smollm2"]
    down(world)
    assert world.names(key=key) == ["offline/smollm2"]
    with pytest.raises(UnreachableError):
        world.route(key=replace(KEY, models=("anthropic/*",)))


def test_without_a_key_only_local_models_unless_configuration_says_otherwise():
    world = World(LISTED)
    assert world.names(key=ANONYMOUS) == ["ollama/qwen"]
    assert [name for name, _ in world.router.models(ANONYMOUS)] == ["auto", "ollama/qwen", "offline/smollm2"]
    with pytest.raises(DeniedError) as raised:
        world.route("openai/gpt-5", key=ANONYMOUS)
    assert "key" in raised.value.hint_text
    world.settings = replace(world.settings, listen=Listen(anonymous=Anonymous.ALL))
    assert world.names(key=ANONYMOUS)[0] == "openai/gpt-5"
    world.settings = replace(world.settings, listen=Listen(anonymous=Anonymous.NONE))
    with pytest.raises(DeniedError):
        world.route(key=ANONYMOUS)
    assert world.router.models(ANONYMOUS) == []


def test_nothing_there_says_how_to_get_something():
    world = World(offline={})
    world.settings = parse_settings("", path="x")
    with pytest.raises(NotFoundError) as raised:
        world.route()
    assert "models pull smollm2" in raised.value.hint_text


def test_the_clients_dialect_is_spoken_where_it_can_be():
    world = World(LISTED)
    dialects = [one.dialect for one in world.route(dialect=Dialect.CHAT).candidates]
    assert dialects == [Dialect.CHAT, Dialect.MESSAGES, Dialect.CHAT]
    dialects = [one.dialect for one in world.route(dialect=Dialect.GEMINI).candidates]
    assert dialects == [Dialect.RESPONSES, Dialect.MESSAGES, Dialect.CHAT]


def test_the_best_source_of_each_fact_wins():
    world = World(
        probes={
            "openai": ProbeResult(
                provider="openai",
                base_url="",
                time_ns=0,
                models={"small": ModelFacts(context=1, tools=ToolSupport.YES)},
            )
        }
    )
    router = SettingsRouter(
        settings=lambda: world.settings,
        probes=lambda: world.probes,
        offline_models=dict,
        health=world.circuits,
        random=lambda: 0.0,
        has_key=lambda _: True,
        known_facts=lambda _, model: (
            ModelFacts(context=2, output=3, tools=ToolSupport.NO) if model == "small" else None
        ),
    )
    facts = dict(router.models(KEY))["openai/small"]
    assert facts == ModelFacts(context=100, output=3, tools=ToolSupport.YES)


# Ranks and weights --------------------------------------------------------------------------------------------------------------------

RANKED = """
[routes.default]
models = [
  {model = "ollama/qwen", rank = 2},
  {model = "openai/gpt-5", rank = 1},
  {model = "anthropic/claude", rank = 1},
]
"""


def test_lower_ranks_come_first_and_within_one_the_tools_own_dialect():
    world = World(RANKED)
    for dialect, first in ((Dialect.MESSAGES, "anthropic/claude"), (Dialect.CHAT, "openai/gpt-5")):
        for _ in range(20):
            names = world.names(dialect=dialect)
            assert (names[0], names[2]) == (first, "ollama/qwen")
    firsts = Counter(world.names(dialect=Dialect.GEMINI)[0] for _ in range(200))
    assert set(firsts) == {"openai/gpt-5", "anthropic/claude"}


@pytest.mark.parametrize("rank", [0, 4])
def test_weights_that_differ_decide_by_chance_whatever_is_spoken(rank):
    world = World(
        f"[routes.default]\nmodels = [{{model = 'openai/gpt-5', weight = 1, rank = {rank}}}, "
        f"{{model = 'anthropic/claude', weight = 3, rank = {rank}}}, {{model = 'ollama/qwen', weight = 6, rank = {rank}}}]\n"
    )
    orders = Counter(tuple(world.names()) for _ in range(4000))
    firsts = Counter()
    for order, count in orders.items():
        firsts[order[0]] += count
    for name, share in (("openai/gpt-5", 0.1), ("anthropic/claude", 0.3), ("ollama/qwen", 0.6)):
        assert abs(firsts[name] / 4000 - share) < 0.035  # four standard deviations
    behind = {order: count for order, count in orders.items() if order[0] == "ollama/qwen"}
    second = sum(count for order, count in behind.items() if order[1] == "anthropic/claude")
    assert abs(second / sum(behind.values()) - 0.75) < 0.04


# Laws ---------------------------------------------------------------------------------------------------------------------------------

MODELS = [
    "openai/gpt-5",
    "openai/small",
    "anthropic/claude",
    "ollama/qwen",
    "off/m",
    "offline/smollm2",
    "offline/gone",
    "gone/x",
]
CHOICES = st.lists(
    st.builds(
        RouteModel,
        model=st.sampled_from(MODELS),
        weight=st.integers(1, 3),
        rank=st.integers(0, 2),
        max_concurrent=st.integers(0, 1),
        max_input_tokens=st.sampled_from([0, 50]),
    ),
    unique_by=lambda choice: choice.model,
    max_size=5,
).map(tuple)
MATCHES = st.builds(
    Match,
    kinds=st.sampled_from([(), (TaskKind.EDIT,)]),
    models=st.sampled_from([(), ("openai/*",), ("small",)]),
    has_tools=st.none() | st.booleans(),
)


class Asking(Struct, frozen=True):
    model: str
    kind: TaskKind | None
    dialect: Dialect
    key: GatewayKey
    has_tools: bool
    has_images: bool
    tokens: int


ASKED = st.builds(
    Asking,
    model=st.sampled_from(["auto", "small", "nobody", *MODELS]),
    kind=st.none() | st.sampled_from(TaskKind),
    dialect=st.sampled_from(Dialect),
    key=st.sampled_from([KEY, ANONYMOUS, replace(KEY, models=("o*/*",))]),
    has_tools=st.booleans(),
    has_images=st.booleans(),
    tokens=st.sampled_from([1, 60, 700, 9999]),
)


@st.composite
def worlds(draw):
    world = World(seed=0, offline=draw(st.sampled_from([SMOL, {}])))
    listed = [
        Route(name=f"r{number}", match=draw(MATCHES), models=draw(CHOICES), offline=draw(st.booleans()))
        for number in range(draw(st.integers(0, 2)))
    ]
    world.settings = replace(
        world.settings,
        routes=(*listed, Route(name="default", match=Match(), models=draw(CHOICES))),
        listen=Listen(anonymous=draw(st.sampled_from(Anonymous))),
    )
    for name in draw(st.sets(st.sampled_from(MODELS))):
        world.fail(*name.split("/"))
    for name in draw(st.sets(st.sampled_from(MODELS))):
        world.circuits.enter(*name.split("/"), local=True)
    if draw(st.booleans()):
        down(world)
    return world


def outcome(world, asked):
    try:
        return world.route(
            asked.model,
            dialect=asked.dialect,
            headers={} if asked.kind is None else {"x-lastro-task": str(asked.kind)},
            key=asked.key,
            tokens=asked.tokens,
            has_tools=asked.has_tools,
            has_images=asked.has_images,
        )
    except LastroError as error:
        return type(error), str(error)


@given(worlds(), ASKED, st.integers(0, 2**32))
def test_the_same_numbers_give_the_same_outcome(world, asked, seed):
    outcomes = []
    for _ in range(2):
        world.router = world.made(random.Random(seed).random)
        outcomes.append(outcome(world, asked))
    assert outcomes[0] == outcomes[1]


@given(worlds(), ASKED)
def test_each_choice_has_its_reason_and_only_the_chosen_ones_are_asked(world, asked):
    routed = explained(world, asked)
    names = [one.name for one in routed.candidates]
    assert names == [one.model for one in routed.considered if one.reason == "chosen"]
    assert len({one.model for one in routed.considered}) == len(routed.considered)
    assert {one.reason for one in routed.considered} <= REASONS
    for candidate in routed.candidates:
        assert candidate.dialect in candidate.provider.dialects
        assert candidate.degraded <= (candidate.provider.kind is ProviderKind.OFFLINE)
        assert candidate.degraded <= world.circuits.network_down
        assert candidate.provider.local or not world.circuits.network_down
        anonymous = world.settings.listen.anonymous
        assert asked.key.id or anonymous is Anonymous.ALL or candidate.provider.local
        assert asked.key.id or anonymous is not Anonymous.NONE


@given(worlds(), ASKED)
def test_explain_says_what_route_does_and_takes_nothing(world, asked):
    drawn = []
    world.router = world.made(lambda: drawn.append(1) or 0.5)
    before = world.circuits.status()
    routed = explained(world, asked)
    assert not drawn
    assert world.circuits.status() == before
    done = outcome(world, asked)
    if routed.candidates:
        assert done == routed
    else:
        assert done[0] in {NotFoundError, DeniedError, UnreachableError}
        for one in routed.considered:
            assert one.model in done[1]


def explained(world, asked):
    return world.router.explain(
        kind=asked.kind,
        model=asked.model,
        dialect=asked.dialect,
        key=asked.key,
        has_tools=asked.has_tools,
        has_images=asked.has_images,
        input_tokens=asked.tokens,
    )
