"""What ``gateway.toml`` says, what it must not say, and what happens when it changes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from tomlkit.exceptions import TOMLKitError

from lastro.errors import ConfigError
from lastro.gateway.configuration import Configuration, parse_settings, read_settings
from lastro.gateway.configuration_file import (
    BudgetTable,
    GatewayFile,
    ProviderTable,
    RouteTable,
    line_of,
    schema,
    to_micro,
)
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.keys import Limits
from lastro.gateway.provider import BASE_URLS, KeySource, ModelFacts, ProviderKind, ToolSupport
from lastro.gateway.route import Match, Origin, RouteModel, TaskKind
from lastro.gateway.settings import Anonymous, Scope, Settings

PATH = "/etc/lastro/gateway.toml"
WHOLE = """
allow_unknown_prices = true
offline_kinds = ["chat", "summarise"]

[listen]
address = "0.0.0.0:8421"
anonymous = "none"
certificate = "/etc/lastro/gateway.pem"
private_key = "/etc/lastro/gateway.key"
hosts = ["gateway.example.org"]

[bounds]
total_s = 600
request_bytes = 1000000

[circuit]
failures = 5

[providers.openai]
kind = "openai"
key = {environment = "OPENAI_API_KEY"}
headers = {OpenAI-Organization = "org-1"}

[providers.ollama]
kind = "compatible"
base_url = "http://127.0.0.1:11434/v1/"
dialects = ["chat", "messages"]

[providers.ollama.models]
"qwen2.5-coder:7b" = {context = 32768, tools = "yes", images = false, kinds = ["edit"]}

[providers.vllm]
kind = "compatible"
base_url = "http://192.0.2.7:8000/v1"
key = {file = "/run/secrets/vllm"}
local = true
enabled = false
price_provider = "none"

[routes.default]
models = ["openai/gpt-5"]
origin = "explicit"

[routes.review]
match = {kinds = ["review"], keys = ["ci-*"], headers = {x-team = "a*"}, has_tools = true}
models = [
  {model = "openai/gpt-5", weight = 3, rank = 1},
  {model = "ollama/qwen2.5-coder:7b", rank = 1, max_concurrent = 2, max_input_tokens = 9000},
]
redaction = false
attempts = 2

[[budgets]]
name = "everybody"
cost = "5.00"
per_day = true

[[budgets]]
name = "runs"
scope = "run"
names = ["r-*"]
cost = 0.25
tokens = 1000
requests = 3

[redaction]
known_secrets = ["/srv/app/.env"]
"""


def complaint(text):
    with pytest.raises(ConfigError) as raised:
        parse_settings(text, path=PATH)
    return str(raised.value), raised.value.hint_text


def test_everything_that_may_stand_there_is_read():
    settings = parse_settings(WHOLE, path=PATH)
    assert settings.allow_unknown_prices
    assert settings.offline_kinds == ("chat", "summarise")
    assert settings.listen.anonymous is Anonymous.NONE
    assert (settings.bounds.total_s, settings.bounds.request_bytes) == (600.0, 1_000_000)
    assert settings.circuit.failures == 5
    openai, ollama, vllm, offline = settings.providers
    assert (openai.base_url, openai.local) == (BASE_URLS[ProviderKind.OPENAI], False)
    assert openai.key == KeySource(environment="OPENAI_API_KEY")
    assert (ollama.base_url, ollama.local) == ("http://127.0.0.1:11434/v1", True)
    assert ollama.dialects == (Dialect.CHAT, Dialect.MESSAGES)
    assert ollama.models == {
        "qwen2.5-coder:7b": ModelFacts(context=32768, tools=ToolSupport.YES, images=False, kinds=("edit",))
    }
    assert (vllm.local, vllm.enabled) == (True, False)
    assert (offline.name, offline.kind, offline.local) == ("offline", ProviderKind.OFFLINE, True)
    review, default = settings.routes
    assert review.match == Match(
        kinds=(TaskKind.REVIEW,), keys=("ci-*",), headers={"x-team": "a*"}, has_tools=True
    )
    assert review.models == (
        RouteModel(model="openai/gpt-5", weight=3, rank=1),
        RouteModel(model="ollama/qwen2.5-coder:7b", rank=1, max_concurrent=2, max_input_tokens=9000),
    )
    assert (review.redaction, review.attempts) == (False, 2)
    assert (default.name, default.origin) == ("default", Origin.EXPLICIT)
    everybody, runs = settings.budgets
    assert (everybody.limits, everybody.per_day) == (Limits(cost=5_000_000), True)
    assert (runs.scope, runs.names) == (Scope.RUN, ("r-*",))
    assert runs.limits == Limits(cost=250_000, tokens=1000, requests=3)
    assert settings.known_secrets == ("/srv/app/.env",)


def test_a_missing_file_is_the_offline_provider_and_one_route_over_everything(tmp_path):
    settings = read_settings(f"{tmp_path}/gateway.toml")
    assert [provider.name for provider in settings.providers] == ["offline"]
    assert [(route.name, route.models) for route in settings.routes] == [("default", ())]
    assert settings.listen == Settings().listen


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('[listen]\nadress = "x"', "gateway.toml:2: listen.adress: unknown key", "address"),
        ("[lisen]\n", "gateway.toml:1: lisen: unknown key", "listen"),
        ('[bounds]\nconnect_s = "a"', "2: bounds.connect_s: expected a number, got text", ""),
        ("[bounds]\nconnect_s = 0", "2: bounds.connect_s: expected more than 0", ""),
        ("[bounds]\nconnect_s = nan", "2: bounds.connect_s", ""),
        ('\n[providers.x]\nkind = "opnai"', "3: providers.x.kind: unknown value: opnai", "openai"),
        ("[providers.x]\nenabled = true", "1: providers.x: kind is missing", ""),
        ('[providers.x]\nkind = "compatible"', "needs an address", "11434"),
        (
            '[providers.x]\nkind = "compatible"\nbase_url = "x"',
            "3: providers.x.base_url: expected an address",
            "",
        ),
        ('[providers.x]\nkind = "openai"\nbase_url = "https://u:p@h/v1"', "without a user", ""),
        (
            '[providers.x]\nkind = "openai"\nbase_url = "http://192.0.2.1/v1"',
            "could be read on the way",
            "local",
        ),
        (
            '[providers.x]\nkind = "openai"\nkey = {enviroment = "A"}',
            "3: providers.x.key.enviroment",
            "environment",
        ),
        (
            '[providers.x]\nkind = "openai"\nkey = {environment = "A", stored = true}',
            "these are several",
            "Keep one",
        ),
        ('[providers.x]\nkind = "openai"\nkey = {file = "a"}', "expected an absolute path", ""),
        ('[providers.x]\nkind = "openai"\nheaders = {authorization = "a"}', "does not belong", "key = {"),
        ('[providers.x]\nkind = "openai"\nheaders = {host = "a"}', "not yours to set", ""),
        ('[providers.x]\nkind = "openai"\nheaders = {a = "b\\r\\nc"}', "printable", ""),
        ('[providers.auto]\nkind = "openai"', "means something else", ""),
        ('[providers."A b"]\nkind = "openai"', "expected a name", ""),
        ('[providers.offline]\nkind = "openai"', "one of kind offline", ""),
        ('[providers.x]\nkind = "offline"', "one of kind offline", ""),
        (
            '[providers.x]\nkind = "openai"\n[providers.x.models]\na = {contxt = 1}',
            "4: providers.x.models.a.contxt",
            "context",
        ),
        (
            '[providers.x]\nkind = "openai"\n[providers.x.models]\na = {kinds = ["x"]}',
            "unknown value: x",
            "plan",
        ),
        ("providers = 3", "1: providers: expected tables", ""),
        ('[routes.a]\nmodels = ["offline/x"]', "only the route called default", "match"),
        ('[routes.default.match]\nkinds = ["edit"]', "only the route called default", "match"),
        ('[routes.a.match]\nkinds = ["edti"]', "2: routes.a.match.kinds[0]: unknown value: edti", "edit"),
        ('[routes.a.match]\nkids = ["edit"]', "2: routes.a.match.kids: unknown key", "kinds"),
        ('[routes.a.match]\nkeys = ["a[b"]', "no pattern", ""),
        ('[routes.a.match]\nkeys = [""]', "no pattern", ""),
        (
            '[routes.default]\nmodels = ["opnai/y"]\n[providers.openai]\nkind = "openai"',
            "unknown provider: opnai",
            "openai",
        ),
        ('[routes.default]\nmodels = ["gpt-5"]', "expected PROVIDER/MODEL", ""),
        ('[routes.default]\nmodels = ["offline/a", "offline/a"]', "there twice", ""),
        ('[routes.default]\nmodels = [{modle = "offline/y"}]', "unknown key: modle", "model"),
        ('[routes.default]\nmodels = [{model = "offline/y", weight = 0}]', "weight of 1", ""),
        (
            '[routes.default]\nmodels = ["x/smal"]\n[providers.x]\nkind = "openai"\n[providers.x.models]\nsmall = {}',
            "unknown model of x: smal",
            "small",
        ),
        ('[listen]\naddress = "0.0.0.0:80"', "2: listen.address: beyond this machine", "anonymous"),
        ('[listen]\naddress = "gateway.example.org:80"\nanonymous = "none"', "beyond this machine", "TLS"),
        ('[listen]\naddress = "x"', "not an address", ""),
        ('[listen]\ncertificate = "/a"', "belong together", ""),
        ('[[budgets]]\nname = "x"', "limits nothing", "cost"),
        ('[[budgets]]\nname = "x"\ncost = "a"', "3: budgets[0].cost: expected US dollars", ""),
        ('[[budgets]]\nname = "x"\ncost = -1', "expected US dollars", ""),
        ('[[budgets]]\nname = "x"\ncost = 1\n[[budgets]]\nname = "x"\ncost = 1', "5: budgets[1].name", ""),
        ('[[budgets]]\nname = "x"\ncost = 1\nnames = ["a"]', "has no names", "scope"),
        ('[[budgets]]\nname = "x"\ncots = 1', "unknown key: cots", "cost"),
        ('offline_kinds = ["chatt"]', "1: offline_kinds[0]: unknown value: chatt", "chat"),
        ("[circuit]\nfailures = 0", "expected 1 or more", ""),
        ("[circuit]\npause_s = 500", "at most longest_pause_s", ""),
        ('[redaction]\nknown_secrets = ["x"]', "absolute path", ""),
        ("a =", "is not TOML", "Correct the line"),
        ("a = " + "[" * 5000, "is not TOML", "Correct the line"),
        (
            '[providers.x]\nkind = "compatible"\nbase_url = "http://127.0.0.1:1/v1\\r\\nX-Y: z"',
            "3: providers.x.base_url: expected an address",
            "",
        ),
    ],
)
def test_what_is_impossible_is_refused_with_its_place_and_what_to_do(text, said, hint):
    sentence, advice = complaint(text)
    assert sentence.startswith(PATH)
    assert said in sentence
    assert advice
    assert hint in advice + sentence


@pytest.mark.parametrize(
    "text",
    [
        '[providers.x]\nkind = "openai"\nkey = {environment = "sk-SECRET"}',
        '[providers.x]\nkind = "openai"\nkey = "sk-SECRET"',
        '[providers.x]\nkind = "openai"\nheaders = {authorization = "sk-SECRET"}',
        '[providers.x]\nkind = "openai"\nbase_url = "https://u:sk-SECRET@h/v1"',
        '[providers.x]\nkind = "openai"\nkey = {file = "sk-SECRET"}',
    ],
)
def test_a_key_written_in_the_wrong_place_is_not_repeated(text):
    assert "SECRET" not in "".join(complaint(text))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "127.9.9.9"])
def test_this_machine_itself_needs_no_tls(host):
    assert parse_settings(f'[listen]\naddress = "{host}:1"', path=PATH).listen.address == f"{host}:1"


@given(st.integers(0, 10**12))
def test_money_is_exact_to_the_millionth(micro):
    text = f"{micro // 1_000_000}.{micro % 1_000_000:06}"
    assert to_micro(text) == micro
    assert to_micro(float(text)) == micro


@pytest.mark.parametrize("money", ["0.0000001", "-1", "x", "", "inf", "nan", -0.5, float("inf")])
def test_money_that_is_none_is_refused(money):
    with pytest.raises(ValueError):  # noqa: PT011  the reader gives it its sentence
        to_micro(money)


KEYS = st.text("abcdefgh-_ .é/", min_size=1, max_size=6)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, st.integers(), min_size=1), min_size=1))
def test_the_line_of_a_key_is_where_it_stands(tables):
    text, lines = "", {}
    for name, table in tables.items():
        text += f"# [x]\n\n[a.{json.dumps(name, ensure_ascii=False)}]\n"
        lines["a", name] = text.count("\n")
        for key, value in table.items():
            text += f"{json.dumps(key, ensure_ascii=False)} = {value} # {name}\n"
            lines["a", name, key] = text.count("\n")
    for place, line in lines.items():
        assert line_of(text, place) == line
        assert line_of(text, (*place, "deeper")) == line


def test_a_key_that_is_not_there_has_no_line_of_a_neighbour():
    assert line_of("[a.b]\nc = 1\n", ("a", "x")) == 0
    assert line_of("[a]\nc = 1\n", ("a", "x")) == 1


def test_the_schema_knows_each_key_and_no_other():
    made = schema()
    assert set(made["properties"]) == set(GatewayFile.__struct_fields__)
    assert made["additionalProperties"] is False
    assert msgspec.json.decode(msgspec.json.encode(made)) == made
    for name in ("ProviderTable", "RouteTable", "BudgetTable", "Match", "KeySource", "ModelFacts", "Listen"):
        assert made["$defs"][name]["additionalProperties"] is False


@pytest.mark.slow
def test_the_schema_is_printed():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "lastro.gateway.configuration", "schema"],
        capture_output=True,
        check=True,
    )
    assert json.loads(run.stdout) == schema()


DOCUMENTED = re.findall(
    r"```toml\n(.*?)```",
    (Path(__file__).parents[3] / "docs/reference/gateway.toml.md").read_text(),
    re.DOTALL,
)


def test_the_documented_examples_are_right_together_and_show_the_defaults():
    # The routes of the page name one provider that it does not show.
    missing = '[providers.anthropic]\nkind = "anthropic"\n'
    settings = parse_settings("\n".join([*DOCUMENTED, missing]), path=PATH)
    assert len(DOCUMENTED) == 8
    for table in ("listen", "bounds", "circuit"):
        (shown,) = (tomllib.loads(text)[table] for text in DOCUMENTED if f"[{table}]" in text)
        usual = getattr(Settings(), table)
        assert getattr(settings, table) == usual
        assert set(shown) == set(type(usual).__struct_fields__)
    shown = {
        key
        for text in DOCUMENTED
        for table in tomllib.loads(text).get("providers", {}).values()
        for key in table
    }
    assert shown == set(ProviderTable.__struct_fields__)
    shown = {
        key
        for text in DOCUMENTED
        for table in tomllib.loads(text).get("routes", {}).values()
        for key in table
    }
    assert shown == set(RouteTable.__struct_fields__)
    shown = {key for text in DOCUMENTED for table in tomllib.loads(text).get("budgets", []) for key in table}
    assert shown == set(BudgetTable.__struct_fields__)


class Watched:
    """A configuration in a file, and what it said of its problems."""

    def __init__(self, tmp_path, text=""):
        self.path = f"{tmp_path}/gateway.toml"
        self.problems = []
        self.write(text)
        self.configuration = Configuration(self.path, on_problem=self.problems.append)

    def write(self, text):
        with open(self.path + ".new", "w") as file:
            file.write(text)
        os.replace(self.path + ".new", self.path)


def test_a_changed_file_takes_effect_and_an_unchanged_one_is_not_read(tmp_path):
    watched = Watched(tmp_path)
    before = watched.configuration.current()
    assert not watched.configuration.refresh()
    assert watched.configuration.current() is before
    watched.write("[circuit]\nfailures = 7")
    assert watched.configuration.refresh()
    assert watched.configuration.current().circuit.failures == 7
    watched.write("# a comment\n[circuit]\nfailures = 7")
    now = watched.configuration.current()
    assert not watched.configuration.refresh()
    assert watched.configuration.current() is now
    assert watched.problems == []


def test_a_bad_file_keeps_what_held_and_is_told_once(tmp_path):
    watched = Watched(tmp_path, "[circuit]\nfailures = 7")
    watched.write("[circuit]\nfailurs = 8")
    assert not watched.configuration.refresh()
    assert not watched.configuration.refresh()
    assert watched.configuration.current().circuit.failures == 7
    assert [str(problem).rpartition(": ")[2] for problem in watched.problems] == ["failurs"]
    assert watched.configuration.problem is watched.problems[0]
    with pytest.raises(ConfigError, match="failurs"):
        watched.configuration.reload()
    watched.write("[circuit]\nfailures = 8")
    assert watched.configuration.refresh()
    assert watched.configuration.problem is None
    assert watched.problems[1:] == [None]


def test_a_file_that_vanished_keeps_what_held_until_it_is_asked_for(tmp_path):
    watched = Watched(tmp_path, "[circuit]\nfailures = 7")
    os.unlink(watched.path)
    assert not watched.configuration.refresh()
    assert "is gone" in str(watched.problems[0])
    assert watched.configuration.current().circuit.failures == 7
    assert watched.configuration.reload()
    assert watched.configuration.current().circuit.failures == 3


def test_a_gateway_does_not_start_on_a_bad_file(tmp_path):
    with pytest.raises(ConfigError):
        Watched(tmp_path, "x")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"#" * (4 * 1024 * 1024 + 1)])
def test_what_is_no_text_of_a_sane_size_is_refused(tmp_path, raw):
    path = tmp_path / "gateway.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"cannot be read|larger than"):
        read_settings(str(path))


LEAVES = st.none() | st.booleans() | st.integers() | st.text("ab/")
WORDS = st.sampled_from(["kind", "models", "match", "key", "openai", "name", "kinds"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, st.sampled_from(sorted(GatewayFile.__struct_fields__)))
def test_whatever_stands_there_it_is_settings_or_a_complaint(value, key):
    document = tomlkit.document()
    try:
        document.add(key, value)
        text = tomlkit.dumps(document)
    except (TOMLKitError, ValueError, TypeError, AttributeError):
        return  # TOML has no null
    try:
        assert isinstance(parse_settings(text, path=PATH), Settings)
    except ConfigError as error:
        assert str(error).startswith(PATH)  # noqa: PT017  either is right
