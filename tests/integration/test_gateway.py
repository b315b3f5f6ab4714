"""The gateway as its user has it: the real command line, a real process, real sockets, the real offline model, faithful providers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess

import pytest

from lastro.app.places import places_of
from lastro.gateway.admin_client import AdminClient
from tests.integration.commands import Home, wait_until
from tests.integration.gateway import CHAT, configure, running_gateway
from tests.integration.providers import provider
from tests.offline_model import MODEL, kept_models
from tests.upstreams import Call, Fault, FaultKind, Says, Turn

pytestmark = pytest.mark.system

SECRET = "sk-ant-api03-" + "Zq3xW8vL2nR7tY5uB1mK9pD4sF6gH0jC" * 2


@pytest.fixture
def home(tmp_path):
    return Home(str(tmp_path / "home"))


@pytest.fixture
def offline(home):
    """The home, with the offline model in it."""
    weights = kept_models().weights(MODEL)
    assert home.run("gateway", "models", "import", weights, "--name", MODEL).code == 0
    return home


MESSAGES = {"model": "auto", "max_tokens": 12, "messages": [{"role": "user", "content": "Say hello."}]}
RESPONSES = {"model": "auto", "max_output_tokens": 12, "input": "Say hello."}
GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": "Say hello."}]}],
    "generationConfig": {"maxOutputTokens": 12},
}


@pytest.mark.slow
@pytest.mark.needs("offline-model")
def test_with_nothing_configured_the_offline_model_answers_in_four_dialects(offline):
    with running_gateway(offline) as gateway:
        chat = gateway.post("/v1/chat/completions", CHAT)
        assert chat.status == 200, chat
        assert chat.json["choices"][0]["message"]["content"]
        assert chat.headers["x-lastro-provider"] == "offline"
        assert chat.headers["x-lastro-model"] == MODEL
        assert float(chat.headers["x-lastro-cost"]) == 0
        messages = gateway.post("/v1/messages", MESSAGES)
        assert messages.json["content"][0]["text"]
        assert messages.json["usage"]["output_tokens"] > 0
        responses = gateway.post("/v1/responses", RESPONSES)
        assert responses.json["output"][0]["content"][0]["text"]
        gemini = gateway.post("/v1beta/models/auto:generateContent", GEMINI)
        assert gemini.json["candidates"][0]["content"]["parts"][0]["text"]

        streamed = gateway.post("/v1/chat/completions", {**CHAT, "stream": True})
        assert "".join(
            one["choices"][0]["delta"].get("content") or "" for one in streamed.events if one["choices"]
        )
        streamed = gateway.post("/v1/messages", {**MESSAGES, "stream": True})
        assert streamed.events[0]["type"] == "message_start"
        assert streamed.events[-1]["type"] == "message_stop"
        streamed = gateway.post("/v1/responses", {**RESPONSES, "stream": True})
        assert streamed.events[-1]["type"] in {"response.completed", "response.incomplete"}
        streamed = gateway.post("/v1beta/models/auto:streamGenerateContent?alt=sse", GEMINI)
        assert streamed.events[-1]["candidates"][0]["finishReason"]

        counted = gateway.post(
            "/v1/messages/count_tokens", {"model": "auto", "messages": MESSAGES["messages"]}
        )
        assert counted.json["input_tokens"] > 0
        listed = gateway.get("/v1/models").json
        assert [one["id"] for one in listed["data"]] == ["auto", f"offline/{MODEL}"]

        too_long = gateway.post(
            "/v1/messages", {**MESSAGES, "messages": [{"role": "user", "content": "many words " * 9000}]}
        )
        assert too_long.status == 400
        assert too_long.json["type"] == "error"
    total = offline.ask("gateway", "usage")["total"]
    assert total["exchanges"] == 9
    assert total["errors"] == 1
    assert total["cost"] == 0
    assert total["cost_unknown"] == 0


def test_without_any_model_the_error_says_what_to_do(home):
    with running_gateway(home) as gateway:
        assert "lastro gateway models pull" in str(gateway.process.wait_event("problem"))
        reply = gateway.post("/v1/chat/completions", CHAT)
        too_long = gateway.post("/v1/chat/completions", {**CHAT, "model": "m" * 600})
        assert too_long.status == 400
        assert "512" in too_long.json["error"]["message"]
    assert reply.status in {404, 503}
    assert "error" in reply.json
    assert reply.headers["x-lastro-exchange"]


def test_a_provider_that_dies_inside_a_tool_call_is_replaced_unseen(home):
    call = Says(calls=(Call(id="c1", name="edit", arguments='{"path":"a","text":"b"}'),))
    cut = Turn(says=call, fault=Fault(kind=FaultKind.CUT_AT_EVENT, at=3))
    with provider([cut]) as dying, provider([Turn(says=call)]) as steady:
        configure(
            home,
            f"""
            [providers.dying]
            kind = "compatible"
            base_url = "{dying.base_url}"
            [providers.steady]
            kind = "compatible"
            base_url = "{steady.base_url}"
            dialects = ["messages"]
            [routes.default]
            models = ["dying/one", "steady/two"]
            """,
        )
        with running_gateway(home) as gateway:
            reply = gateway.post("/v1/chat/completions", {**CHAT, "stream": True, "tools": [_TOOL]})
            recorded = gateway.wait_recorded(reply.headers["x-lastro-exchange"])
    calls = [
        call
        for one in reply.events
        for choice in one["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert json.loads("".join(one["function"].get("arguments", "") for one in calls)) == {
        "path": "a",
        "text": "b",
    }
    assert {one["id"] for one in calls if one.get("id")} == {"c1"}
    assert reply.headers["x-lastro-provider"] == "steady"
    assert reply.headers["x-lastro-attempts"] == "2"
    attempts = recorded["exchange"]["attempts"]
    assert [(one["provider"], one["outcome"]) for one in attempts] == [
        ("dying", "truncated"),
        ("steady", "answered"),
    ]


_TOOL = {"type": "function", "function": {"name": "edit", "parameters": {"type": "object"}}}


def test_a_killed_gateway_forgets_no_exchange_that_began(home):
    slow = Turn(says=Says(text="a long answer that never comes"), pause_s=30)
    with provider(lambda received: Turn() if b"quick" in received.body else slow) as upstream:
        configure(
            home,
            f'[providers.one]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\n[routes.default]\nmodels = ["one/m"]\n',
        )
        with running_gateway(home) as gateway:
            quick = gateway.post(
                "/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": "quick"}]}
            )
            assert quick.status == 200
            port = int(gateway.address.rpartition(":")[2])
            hanging = socket.create_connection(("127.0.0.1", port))
            body = json.dumps({**CHAT, "stream": True}).encode()
            hanging.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                + f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            wait_until(lambda: len(upstream.requests) == 2)
            gateway.process.stop(signal.SIGKILL)
            hanging.close()
        with running_gateway(home):
            listed = home.ask("gateway", "exchanges", "search")["exchanges"]
    outcomes = sorted(one["outcome"] for one in listed)
    assert outcomes == ["answered", "interrupted"]


def test_keys_are_revoked_at_once_and_strangers_may_not_spend(home):
    with provider([Turn()]) as upstream:
        configure(
            home,
            f'[providers.paid]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\nlocal = false\n'
            '[routes.default]\nmodels = ["paid/m"]\n',
        )
        with running_gateway(home) as gateway:
            stranger = gateway.post("/v1/chat/completions", CHAT)
            assert stranger.status in {401, 403}, stranger
            assert gateway.post("/v1/chat/completions", CHAT, key=gateway.local_key).status == 200
            added = home.ask("gateway", "keys", "add", "reviewer", "--role", "reviewer", "--tokens", "100000")
            assert gateway.post("/v1/messages", MESSAGES, key=added["text"]).status == 200
            home.ask("gateway", "keys", "revoke", "reviewer")
            refused = gateway.post("/v1/messages", MESSAGES, key=added["text"])
            assert refused.status == 401
            assert refused.json["error"]["type"] == "authentication_error"
            assert gateway.post("/v1/chat/completions", CHAT, key="lastro-wrong").status == 401
            assert (
                gateway.post(
                    "/v1/chat/completions", CHAT, key=gateway.local_key, origin="http://evil.example"
                ).status
                == 403
            )
            assert gateway.post(
                "/v1/chat/completions", CHAT, key=gateway.local_key, host="evil.example"
            ).status in {403, 421}
            places = places_of(home.path)
            key = f"{places.secrets}/gateway/local.key"
            for path in (places.gateway_socket, places.gateway_admin_socket, key):
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
    assert added["text"] not in _everything(home)


def test_a_budget_stops_the_call_before_it_is_made(home):
    with provider([Turn()]) as upstream:
        configure(
            home,
            f'[providers.paid]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\n'
            '[routes.default]\nmodels = ["paid/m"]\n'
            '[[budgets]]\nname = "small"\nscope = "all"\nper_day = true\ntokens = 60\n',
        )
        with running_gateway(home) as gateway:
            refused = gateway.post(
                "/v1/chat/completions", {**CHAT, "max_tokens": 5000}, key=gateway.local_key
            )
            assert refused.status == 429
            assert refused.json["error"]["code"] == "insufficient_quota"
            assert "small" in refused.json["error"]["message"]
            assert upstream.requests == []
            recorded = gateway.wait_recorded(refused.headers["x-lastro-exchange"])
    assert recorded["exchange"]["outcome"] == "refused"
    assert recorded["exchange"]["attempts"] == []


def test_secrets_do_not_leave_and_come_back_in_tool_calls(home):
    def answer(received):
        text = json.loads(received.body)["messages"][0]["content"]
        placeholder = text.split("key is ")[1].split(" ")[0]
        return Turn(
            says=Says(calls=(Call(id="c1", name="edit", arguments=json.dumps({"key": placeholder})),))
        )

    with provider(answer) as upstream:
        configure(
            home,
            f'[providers.far]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\nlocal = false\n'
            '[routes.default]\nmodels = ["far/m"]\n',
        )
        with running_gateway(home) as gateway:
            question = {
                "model": "auto",
                "messages": [{"role": "user", "content": f"The key is {SECRET} and stays secret."}],
                "tools": [_TOOL],
            }
            for stream in (False, True):
                reply = gateway.post(
                    "/v1/chat/completions", {**question, "stream": stream}, key=gateway.local_key
                )
                assert reply.status == 200, reply
                assert SECRET in reply.body.decode()
                shown = gateway.wait_recorded(reply.headers["x-lastro-exchange"])
                assert shown["exchange"]["redacted"] == 1
                assert SECRET not in json.dumps(shown)
            replayed = home.ask("gateway", "exchanges", "replay", reply.headers["x-lastro-exchange"])
        assert replayed["same_request"]
        assert replayed["same_answer"]
        assert upstream.requests[-1].body == upstream.requests[-2].body
        assert all(SECRET.encode() not in received.raw for received in upstream.requests)
    assert SECRET not in _everything(home)


def test_a_stored_key_is_nowhere_in_the_clear(home):
    with provider([Turn()]) as upstream:
        command = home.command(
            "gateway", "providers", "add", "far", "--base-url", upstream.base_url, "--key-stdin", "--json"
        )
        done = subprocess.run(
            command,
            env=home.surroundings,
            input=f"{SECRET}\n".encode(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode in {0, 3}, done
        assert any(f"Bearer {SECRET}".encode() in received.raw for received in upstream.requests)
        assert SECRET.encode() not in done.stdout + done.stderr
        with running_gateway(home) as gateway:
            assert (
                gateway.post("/v1/chat/completions", {**CHAT, "model": "far/m"}, key=gateway.local_key).status
                == 200
            )
            state = home.ask("gateway", "providers", "list")["providers"]
        assert f"Bearer {SECRET}".encode() in upstream.requests[-1].raw
    assert SECRET not in _everything(home)
    far = next(one for one in state if one["name"] == "far")
    assert far["key"] == "stored"
    assert far["key_there"] is True
    removed = home.ask("gateway", "providers", "remove", "far")
    assert removed["key_removed"] is True


def test_only_the_gateway_needs_a_providers_key(home):
    """The command has no key in its environment; the running gateway has, and asks."""
    served = Home(home.path, {"FAR_AWAY_KEY": SECRET})
    with provider([Turn()]) as upstream, running_gateway(served) as gateway:
        added = home.ask(
            "gateway", "providers", "add", "far", "--base-url", upstream.base_url, "--key-env", "FAR_AWAY_KEY"
        )
        assert added["problem"] is None
        assert "chat" in added["dialects"]
        reply = gateway.post("/v1/chat/completions", {**CHAT, "model": "far/scripted"}, key=gateway.local_key)
        assert reply.status == 200, reply
        gateway.wait_recorded(reply.headers["x-lastro-exchange"])
        assert home.ask("gateway", "exchanges", "replay", reply.headers["x-lastro-exchange"])["same_request"]
        assert all(SECRET.encode() in received.raw for received in upstream.requests)
    assert (
        home.run("gateway", "providers", "test", "far").code == 3
    )  # without a gateway the command asks itself, and has none


def test_a_bad_configuration_keeps_the_old_one(home):
    with provider([Turn()]) as upstream:
        good = f'[providers.one]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\n[routes.default]\nmodels = ["one/m"]\n'
        configure(home, good)
        with running_gateway(home) as gateway:
            configure(home, good + "[routes.default.nonsense]\nx = 1\n")
            problem = gateway.process.wait_event("problem")
            assert "gateway.toml" in str(problem)
            assert gateway.post("/v1/chat/completions", CHAT, key=gateway.local_key).status == 200
            assert home.ask("gateway", "status")["problem"]
            configure(home, good + '[routes.edit]\nmatch = {kinds = ["edit"]}\nmodels = ["one/edit"]\n')
            gateway.process.wait_event("gateway_reloaded")
            edited = gateway.post("/v1/chat/completions", CHAT, key=gateway.local_key, x_lastro_task="edit")
            assert edited.headers["x-lastro-route"] == "edit"
            explained = home.ask("gateway", "routes", "explain", "--task", "edit")
            assert explained["route"] == "edit"
            assert [one["model"] for one in explained["choices"] if one["place"]] == ["one/edit"]
            assert home.ask("gateway", "status")["problem"] == ""
        configure(home, "nonsense = 1\n")
        answer = home.run("gateway", "serve", "--port", "0")
        assert answer.code == 2
        assert "nonsense" in answer.err


def test_what_cannot_be_looked_at_ends_nobodys_answer(home):
    """And circuits take their settings also from a reload that the owner asked for."""
    with provider([Turn(fault=Fault(kind=FaultKind.STATUS, status=500))]) as upstream:
        text = f'[providers.one]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\n[routes.default]\nmodels = ["one/m"]\n'
        configure(home, text)
        with running_gateway(home) as gateway:
            configure(home, text + "[circuit]\nfailures = 1\npause_s = 200.0\n")
            AdminClient(places_of(home.path).gateway_admin_socket).reload()
            assert gateway.post("/v1/chat/completions", CHAT).status >= 500
            circuits = home.ask("gateway", "status")["circuits"]
            assert circuits["one/m"] == "open"
            models = os.path.join(home.path, "data/gateway/models")
            os.rmdir(models)
            with open(models, "wb"):
                pass
            told = gateway.process.wait_event("problem", lambda said: "goes on" in said["msgid"])
            assert told["parameters"]["reason"] == "Not a directory"
            assert gateway.get("/healthz").status == 200


def test_a_second_gateway_of_the_same_home_is_refused(home):
    with running_gateway(home):
        second = home.run("gateway", "serve", "--port", "0")
    assert second.code == 11


def test_what_is_not_loopback_needs_tls_and_keys(home):
    configure(home, '[listen]\naddress = "0.0.0.0:0"\n')
    answer = home.run("gateway", "serve")
    assert answer.code == 2
    assert "TLS" in answer.err


@pytest.mark.slow
def test_weights_that_are_wrong_are_refused_with_what_to_do(home, tmp_path):
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"this is no model" * 100)
    answer = home.run("gateway", "models", "import", str(wrong))
    assert answer.code != 0
    assert "GGUF" in answer.err
    whole = kept_models().weights(MODEL)
    if os.path.exists(whole):
        cut = tmp_path / "cut.gguf"
        with open(whole, "rb") as file:
            cut.write_bytes(file.read(5_000_000))
        answer = home.run("gateway", "models", "import", str(cut), "--json")
        assert answer.code == 6, answer
    assert home.run("gateway", "models", "pull", "no-such-model").code == 1


def _everything(home: Home) -> str:
    """All that lies in a home, as text; secrets must not be in it, but in the files that are meant for them."""
    texts = []
    for directory, _directories, names in os.walk(home.path):
        for name in names:
            if name == "local.key":
                continue
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    texts.append(file.read().decode("latin-1"))
    return "\n".join(texts)


def test_a_home_whose_sockets_have_to_lie_elsewhere(tmp_path):
    """A path of more than 100 bytes is too long for a socket; its directory is made by whoever comes first."""
    home = Home(str(tmp_path / ("long" * 30) / "home"))
    with running_gateway(home) as gateway:
        assert gateway is not None
    assert len(str(tmp_path / ("long" * 30))) > 100
