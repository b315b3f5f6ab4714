"""What a probe finds out of servers shaped like the real ones, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.clock import SystemClock
from lastro.filesystem.system import System
from lastro.gateway.credentials import CredentialStore
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.http_upstream import HttpUpstream
from lastro.gateway.probe import TOOL_TOKENS, probe
from lastro.gateway.probe_calls import MOST_CALLS
from lastro.gateway.probe_lists import next_page, pick_model, read_list, read_props, read_show
from lastro.gateway.probe_store import Finding, ProbeResult, ProbeStore
from lastro.gateway.provider import KeySource, ModelFacts, Provider, ProviderKind, ToolSupport
from lastro.gateway.stored_keys import StoredKeys
from tests import provider_shapes as shapes

CHAT, RESPONSES, MESSAGES, GEMINI = Dialect.CHAT, Dialect.RESPONSES, Dialect.MESSAGES, Dialect.GEMINI


async def asked(tmp_path, provider, **how):
    stored = StoredKeys(f"{tmp_path}/keys", f"{tmp_path}/master.key", entropy=os.urandom, system=System())
    store = CredentialStore(
        stored,
        environment={"KEY": shapes.KEY},
        providers=lambda: [provider],
        clock=SystemClock(),
    )
    upstream = HttpUpstream()
    try:
        return await probe(provider, upstream, store, time_ns=1, **how)
    finally:
        await upstream.close()


def probed(tmp_path, shape, kind=ProviderKind.COMPATIBLE, *, key="", path=None, **how):
    """The result of probing ``shape``; whatever it found, it fits in what a probe may cost, and holds no key."""

    async def run():
        async with shapes.shaped(shape) as (there, _):
            base_url = there if path is None else there.removesuffix(shape.prefix) + path
            source = KeySource(environment=key)
            provider = Provider(
                name="p", kind=kind, base_url=base_url, key=source, models=how.pop("models", {})
            )
            return await asked(tmp_path, provider, **how)

    result = asyncio.run(run())
    assert shapes.KEY.encode() not in msgspec.json.encode(result)
    assert result.calls == len(shape.asked) <= MOST_CALLS
    for method, url, _, body in shape.asked:
        if method == "POST" and "/api/" not in url.removeprefix("/api/v1"):
            said = json.loads(body)
            limits = {
                said.get("max_tokens"),
                said.get("max_completion_tokens"),
                said.get("max_output_tokens"),
                said.get("generationConfig", {}).get("maxOutputTokens"),
            } - {None}
            assert limits
            assert max(limits) <= TOOL_TOKENS
    return result


def test_ollama(tmp_path):
    result = probed(tmp_path, shapes.ollama())
    assert result.problem is None
    assert (result.model, result.dialects) == ("qwen2.5-coder:7b", (CHAT, MESSAGES))
    facts = result.models[result.model]
    assert facts == ModelFacts(context=4096, tools=ToolSupport.YES, images=False)
    assert (result.streams, result.tools) == (True, ToolSupport.YES)


def test_vllm(tmp_path):
    result = probed(tmp_path, shapes.vllm())
    assert result.dialects == (CHAT, RESPONSES)
    assert result.models == {"Qwen/Qwen3-Coder": ModelFacts(context=65536, tools=ToolSupport.YES)}


def test_llama_server_with_a_model_that_calls_no_tools(tmp_path):
    result = probed(tmp_path, shapes.llama_server(calls_tools=False))
    assert result.dialects == (CHAT, MESSAGES, RESPONSES)
    assert result.models["smollm2.gguf"] == ModelFacts(context=8192, images=False, tools=ToolSupport.NO)
    assert [note.code for note in result.notes] == ["no_tools"]


def test_openai(tmp_path):
    shape = shapes.openai()
    result = probed(tmp_path, shape, ProviderKind.OPENAI, key="KEY")
    assert result.problem is None
    assert (result.model, result.dialects) == ("gpt-5-mini", (RESPONSES, CHAT))
    assert set(result.models) == {"text-embedding-3-small", "gpt-5", "gpt-5-mini", "whisper-1"}
    assert all(headers["authorization"] == f"Bearer {shapes.KEY}" for _, _, headers, _ in shape.asked)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_server_that_knows_only_one_name_of_the_limit(tmp_path, name):
    shape = shapes.Shape(dialects=("chat",), get={"/v1/models": shapes.listed("m")}, refused_name=name)
    result = probed(tmp_path, shape)
    assert (result.dialects, result.streams, result.tools) == ((CHAT,), True, ToolSupport.YES)


def test_anthropic_page_by_page(tmp_path):
    result = probed(tmp_path, shapes.anthropic(), ProviderKind.ANTHROPIC, key="KEY")
    assert result.problem is None
    assert (result.model, result.dialects) == ("claude-haiku-4", (MESSAGES,))
    assert list(result.models) == ["claude-opus-4", "claude-haiku-4"]
    assert result.models["claude-haiku-4"].context == 200000


def test_google(tmp_path):
    result = probed(tmp_path, shapes.google(), ProviderKind.GOOGLE, key="KEY")
    assert result.problem is None
    assert (result.dialects, result.tools, result.streams) == ((GEMINI,), ToolSupport.YES, True)
    facts = ModelFacts(context=1048576, output=65536, tools=ToolSupport.YES)
    assert result.models == {"gemini-2.5-flash": facts}


def test_openrouter(tmp_path):
    result = probed(tmp_path, shapes.openrouter(), ProviderKind.OPENROUTER, key="KEY")
    assert result.dialects == (CHAT, MESSAGES)
    facts = ModelFacts(context=131072, output=32768, tools=ToolSupport.YES, images=True)
    assert result.models == {"vendor/small-chat": facts}


def test_the_model_that_is_named_is_asked_then_the_configured_one(tmp_path):
    assert probed(tmp_path, shapes.vllm(), model="other").model == "other"
    assert probed(tmp_path, shapes.vllm(), models={"mine": ModelFacts()}).model == "mine"


def test_a_server_that_does_not_stream_says_so(tmp_path):
    result = probed(tmp_path, shapes.vllm(streams=False))
    assert result.streams is False
    assert [note.code for note in result.notes] == ["no_stream"]


@pytest.mark.parametrize("key", ["", "KEY"])
def test_a_key_that_is_missing_or_wrong(tmp_path, key):
    shape = shapes.vllm(key="another-key")
    result = probed(tmp_path, shape, key=key)
    assert result.problem.code == ("wrong_key" if key else "no_key")
    assert len(shape.asked) == 1
    assert result.dialects == ()
    assert result.problem.hint


def test_a_key_that_is_not_where_it_should_be_is_never_left_out(tmp_path):
    provider = Provider(
        name="p",
        kind=ProviderKind.COMPATIBLE,
        base_url="http://127.0.0.1:9/v1",
        key=KeySource(environment="NOWHERE"),
    )
    result = probed_without_call(tmp_path, provider)
    assert result.problem.code == "no_key"
    assert "NOWHERE" in str(result.problem) + str(result.problem.parameters)


def probed_without_call(tmp_path, provider):
    return asyncio.run(asked(tmp_path, provider))


def test_a_provider_that_repeats_the_key_does_not_get_it_into_the_result(tmp_path):
    refusal = 400, {"error": {"message": f"bad request with {shapes.KEY} in it"}}
    result = probed(tmp_path, shapes.vllm(refuse=refusal), key="KEY")
    assert result.problem.code == "refused"
    assert "(key)" in result.tried[0].detail


def test_nobody_there(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        provider = Provider(
            name="p", kind=ProviderKind.COMPATIBLE, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        )
        result = probed_without_call(tmp_path, provider)
    assert result.problem.code == "refused_connection"
    assert "127.0.0.1" in str(result.problem)


def test_no_such_host(tmp_path):
    provider = Provider(name="p", kind=ProviderKind.COMPATIBLE, base_url="http://no-such-host.invalid/v1")
    assert probed_without_call(tmp_path, provider).problem.code == "no_such_host"


def test_no_tls_there(tmp_path):
    async def run():
        async with shapes.shaped(shapes.vllm()) as (base_url, _):
            provider = Provider(
                name="p", kind=ProviderKind.COMPATIBLE, base_url=base_url.replace("http:", "https:")
            )
            return await asked(tmp_path, provider)

    assert asyncio.run(run()).problem.code == "tls"


def test_an_address_without_its_version(tmp_path):
    result = probed(tmp_path, shapes.vllm(), path="")
    assert result.problem.code == "wrong_address"
    assert result.problem.parameters["better"].endswith("/v1")


def test_something_else_that_answers(tmp_path):
    page = shapes.Shape(get={"/v1/models": (200, {"hello": "world"})})
    assert probed(tmp_path, page).problem.code == "no_dialect"
    speechless = shapes.Shape(get={"/v1/models": shapes.listed("m")})
    result = probed(tmp_path, speechless)
    assert result.problem.code == "no_dialect"
    assert [one.status for one in result.tried] == [404] * 4


def test_nothing_loaded(tmp_path):
    empty = shapes.Shape(dialects=("chat",), get={"/v1/models": shapes.listed("text-embedding-3")})
    assert probed(tmp_path, empty).problem.code == "no_models"


def test_an_account_without_credit_and_a_rate_limit(tmp_path):
    unpaid = 402, {"error": {"message": "insufficient credits"}}
    assert probed(tmp_path, shapes.vllm(refuse=unpaid)).problem.code == "no_credit"
    limited = 429, {"error": {"message": "slow down", "type": "rate_limit_error"}}
    result = probed(tmp_path, shapes.vllm(refuse=limited))
    assert result.problem is None
    assert result.dialects == (CHAT, RESPONSES)
    assert {note.code for note in result.notes} == {"rate_limited"}


# Lists --------------------------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["data", "models", "id", "name", "capabilities", "architecture", "input_modalities", "top_provider",
             "model_info", "parameters", "default_generation_settings", "n_ctx", "last_id", "has_more", "nextPageToken"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.sampled_from(ProviderKind))
def test_whatever_a_list_says_reading_it_gives_facts_or_nothing(said, kind):
    assert read_list(kind, said) is None or isinstance(read_list(kind, said), dict)
    assert isinstance(next_page(kind, said), str)
    for read in (read_props, read_show):
        assert read(said) is None or isinstance(read(said), ModelFacts)


@pytest.mark.parametrize(
    ("names", "picked"),
    [
        (["text-embedding-3", "big", "big-mini"], "big-mini"),
        (["dall-e-3", "big"], "big"),
        (["whisper-1", "tts-1"], ""),
        ([], ""),
    ],
)
def test_the_model_to_ask_is_a_small_one_that_talks(names, picked):
    assert pick_model(names) == picked


# The store ----------------------------------------------------------------------------------------------------------------------------

RESULT = ProbeResult(
    provider="p",
    base_url="http://127.0.0.1:1/v1",
    time_ns=5,
    model="m",
    dialects=(CHAT, GEMINI),
    models={"m": ModelFacts(context=5, kinds=("edit",))},
    notes=(Finding(code="x", msgid="{a} b", parameters={"a": "c"}),),
)


def test_results_stay_and_other_processes_see_them(tmp_path):
    directory = f"{tmp_path}/probes"
    store, other = ProbeStore(directory), ProbeStore(directory)
    assert dict(store.all()) == {}
    store.write(RESULT)
    assert dict(store.all()) == {"p": RESULT}
    assert os.stat(f"{directory}/p.json").st_mode & 0o777 == 0o600
    assert dict(other.all()) == {}
    assert other.refresh()
    assert dict(other.all()) == {"p": RESULT}
    before = other.all()
    assert not other.refresh()
    assert other.all() is before
    assert store.remove("p")
    assert not store.remove("p")
    assert other.refresh()
    assert dict(other.all()) == {}
    assert str(RESULT.notes[0]) == "c b"


@pytest.mark.parametrize("text", ["", "{", '{"version": 2, "result": null}', "[]", '{"version": 1}'])
def test_a_result_that_cannot_be_read_counts_as_none(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    assert dict(ProbeStore(str(tmp_path)).all()) == {}


def test_a_result_under_another_name_is_not_believed(tmp_path):
    ProbeStore(str(tmp_path)).write(RESULT)
    os.rename(tmp_path / "p.json", tmp_path / "q.json")
    assert dict(ProbeStore(str(tmp_path)).all()) == {}
