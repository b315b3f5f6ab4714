"""Operations on the gateway that need none to run: amounts, lengths of time, what a stopped gateway is known by."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.events import Event
from lastro.app.gateway.events import Teller, TellingRecorder
from lastro.app.gateway.parts import OfflineFacts, make_directories
from lastro.app.gateway.places import gateway_places
from lastro.app.operation import Nothing
from lastro.app.operations.doctor import diagnose
from lastro.app.operations.gateway.keys import _money, _span_ns
from lastro.app.operations.gateway.providers import _kind_of, _provider_of
from lastro.app.operations.gateway.routes import SeenHealth, list_all
from lastro.app.operations.gateway.status import status
from lastro.app.places import places_of
from lastro.app.requests.gateway import ProvidersAdd, RoutesList
from lastro.errors import LastroError, UsageError
from lastro.gateway.administration import GatewayStatus, ProviderStatus
from lastro.gateway.circuit import CircuitState, CircuitStatus
from lastro.gateway.exchange import ExchangeEnded, ExchangeOutcome
from lastro.gateway.exchange_id import ENTROPY, new_exchange_id
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.provider import KeySource, ProviderKind

SECOND = 1_000_000_000


@pytest.fixture
def desk(tmp_path):
    places = places_of(str(tmp_path / "home"), environment={})
    make_directories(gateway_places(places))
    clock = SimpleNamespace(wall_ns=lambda: 1_795_000_000 * SECOND, monotonic_ns=lambda: 0)
    return SimpleNamespace(places=places, clock=clock, report=lambda _: None)


def configure(desk, text):
    with open(gateway_places(desk.places).configuration, "w", encoding="utf-8") as file:
        file.write(text)


# Amounts and lengths ------------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**12))
def test_dollars_are_read_exactly(micro):
    assert _money(f"{micro // 10**6}.{micro % 10**6:06}") == micro


@pytest.mark.parametrize("text", ["-1", "1.0000001", "NaN", "Infinity", "much", "1,5", "0x10"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(UsageError):
        _money(text)


def test_no_amount_is_no_limit():
    assert _money("") is None
    assert _money("0") == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("12h", 43_200), ("90d", 90 * 86_400), ("4w", 28 * 86_400)],
)
def test_lengths_of_time(text, seconds):
    assert _span_ns(text) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1", "d", "1y", "1.5h", "1d1h"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(UsageError):
        _span_ns(text)


# Providers ----------------------------------------------------------------------------------------------------------------------------


def test_a_known_name_is_its_own_kind_and_needs_no_more_than_a_key():
    provider = _provider_of(ProvidersAdd(name="openai"))
    assert provider.kind is ProviderKind.OPENAI
    assert provider.base_url == "https://api.openai.com/v1"
    assert provider.key == KeySource(environment="OPENAI_API_KEY")
    assert _provider_of(ProvidersAdd(name="work", kind="anthropic", key="k")).key == KeySource(stored=True)
    assert _kind_of(ProvidersAdd(name="box", base_url="http://127.0.0.1:1/v1")) is ProviderKind.COMPATIBLE
    assert _provider_of(ProvidersAdd(name="box", base_url="http://127.0.0.1:1/v1")).key == KeySource()


@pytest.mark.parametrize(
    "request_",
    [
        ProvidersAdd(name="somebody"),
        ProvidersAdd(name="x", kind="nonsense"),
        ProvidersAdd(name="x", kind="compatible"),
        ProvidersAdd(name="offline"),
        ProvidersAdd(name="openai", dialects=("morse",)),
        ProvidersAdd(name="openai", key="a", key_env="B"),
    ],
)
def test_an_impossible_provider_is_refused_with_a_hint(request_):
    with pytest.raises(UsageError) as caught:
        _provider_of(request_)
    assert caught.value.hint


# Looking at a gateway that does not run -----------------------------------------------------------------------------------------------


def test_a_stopped_gateway_is_known_by_its_configuration(desk):
    configure(desk, '[providers.box]\nkind = "compatible"\nbase_url = "http://127.0.0.1:9/v1"\n')
    said = status(desk, Nothing())
    assert not said.running
    assert said.providers == 2
    assert said.address == "http://127.0.0.1:8421"
    configure(desk, "nonsense = 1\n")
    assert "nonsense" in status(desk, Nothing()).problem


def test_routes_are_told_in_the_words_of_the_file(desk):
    configure(
        desk,
        '[providers.box]\nkind = "compatible"\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[routes.edit]\nmatch = {kinds = ["edit", "test"], headers = {x-team = "web*"}}\nmodels = ["box/m"]\n',
    )
    edit, default = list_all(desk, RoutesList()).routes
    assert edit.match == "kinds = edit, test; headers = x-team: web*"
    assert edit.models == ("box/m",)
    assert (default.name, default.match) == ("default", "")


def test_a_doctor_says_what_is_missing_and_what_to_do(desk):
    said = diagnose(desk, Nothing())
    texts = [finding.said.msgid for finding in said.findings]
    assert "No offline model is here." in texts
    assert all(finding.said.hint for finding in said.findings if finding.state != "good")
    configure(desk, '[providers.openai]\nkind = "openai"\nkey = {environment = "NOT_SET_ANYWHERE"}\n')
    assert not diagnose(desk, Nothing()).good


def test_health_is_what_the_running_gateway_said():
    shut = CircuitStatus(name="a/m", state=CircuitState.OPEN, failures=3, retry_after_s=7.0, in_flight=2)
    running = GatewayStatus(
        pid=1,
        version="0",
        uptime_s=1.0,
        addresses=("http://127.0.0.1:1",),
        providers=(ProviderStatus(name="a", kind="compatible", enabled=True, circuits=(shut,)),),
        network_down=True,
    )
    health = SeenHealth(running)
    assert health.retry_after_s("a", "m") == 7.0
    assert health.retry_after_s("a", "other") is None
    assert health.in_flight("a", "m") == 2
    assert health.network_down
    assert SeenHealth(None).retry_after_s("a", "m") is None


# Parts --------------------------------------------------------------------------------------------------------------------------------


def test_offline_facts_are_the_same_object_until_a_model_comes_or_goes(tmp_path):
    problems: list[LastroError] = []
    facts = OfflineFacts(ModelDirectory(str(tmp_path / "models")), on_problem=problems.append)
    before = facts.all()
    facts.refresh()
    assert facts.all() is before
    os.makedirs(tmp_path / "models" / "broken")
    (tmp_path / "models" / "broken" / "manifest.json").write_text("{")
    facts.refresh()
    assert dict(facts.all()) == {}
    assert problems
    count = len(problems)
    facts.refresh()
    assert len(problems) == count


def test_a_reader_that_hangs_holds_no_call_up():
    release, seen = threading.Event(), list[Event]()

    def emit(event):
        release.wait(20)
        seen.append(event)

    teller = Teller(emit)
    recorded = []
    inner = SimpleNamespace(begin=recorded.append, end=lambda ended, _: recorded.append(ended))
    recorder = TellingRecorder(inner, teller)
    ended = ExchangeEnded(id="x-1", outcome=ExchangeOutcome.ANSWERED, duration_ns=1)
    for _ in range(5_000):  # far more than are kept for a reader
        recorder.end(ended, None)
    assert len(recorded) == 5_000
    release.set()
    teller.close()
    one_by_one = [event for event in seen if event.kind == "exchange"]
    assert 0 < len(one_by_one) < 200  # a person reads no more
    assert (
        len(one_by_one) + sum(event.parameters["count"] for event in seen if event.kind == "exchanges_more")
        == 5_000
    )


@given(
    st.integers(0, 2**63),
    st.integers(0, 2**63),
    st.binary(min_size=ENTROPY, max_size=ENTROPY),
    st.binary(min_size=ENTROPY, max_size=ENTROPY),
)
def test_ids_sort_by_their_millisecond_and_differ_by_chance(one_ns, other_ns, entropy, other):
    one, two = new_exchange_id(one_ns, entropy), new_exchange_id(other_ns, other)
    assert len(one) == 28
    if one_ns // 10**6 != other_ns // 10**6 and max(one_ns, other_ns) // 10**6 < 2**48:
        assert (one < two) == (one_ns < other_ns)
    elif one_ns // 10**6 == other_ns // 10**6:
        assert (one == two) == (entropy == other)
