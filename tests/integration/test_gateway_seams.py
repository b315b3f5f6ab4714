"""What falls between the parts of the gateway, looked at from outside: real process, real sockets, faithful providers."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest

from lastro.app.places import places_of
from lastro.gateway.admin_client import AdminClient
from lastro.gateway.administration import KeyOrder
from lastro.gateway.keys import Limits
from lastro.transport.unix import bind_owner_only
from tests.integration.commands import Home, wait_until
from tests.integration.gateway import CHAT, configure, running_gateway
from tests.integration.providers import provider
from tests.offline_model import MODEL, kept_models
from tests.upstreams import Call, Fault, FaultKind, Says, Turn

pytestmark = pytest.mark.system

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/{model}:{verb}",
}
TOOL_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
CALL = Call(id="functions.edit:0", name="edit", arguments='{"path":"a"}')


@pytest.fixture
def home(tmp_path):
    return Home(str(tmp_path / "home"))


@contextmanager
def setting(home, providers, rest, *, local=True):
    """Providers by name (dialect, turns), and a gateway that knows them; yields the gateway and the upstreams."""
    with ExitStack() as stack:
        upstreams = {name: stack.enter_context(provider(turns)) for name, (_, turns) in providers.items()}
        tables = [
            f'[providers.{name}]\nkind = "compatible"\nbase_url = "{upstreams[name].base_url}"\n'
            f'dialects = ["{dialect}"]\nlocal = {str(local).lower()}\n'
            for name, (dialect, _) in providers.items()
        ]
        configure(home, f"{rest[0]}\n" + "".join(tables) + rest[1])
        gateway = stack.enter_context(running_gateway(home))
        yield gateway, upstreams


def default(*models, **more):
    listed = ", ".join(f'"{model}"' for model in models)
    lines = [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    return ("", "\n".join(["[routes.default]", f"models = [{listed}]", *lines, ""]))


def ask(gateway, dialect, body, *, stream=False, model="auto", **headers):
    """Post a conversation in a dialect's own form."""
    headers.setdefault("key", gateway.local_key)
    if dialect == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return gateway.post(PATHS[dialect].format(model=model, verb=verb), body, **headers)
    return gateway.post(PATHS[dialect], {"model": model, **body, "stream": stream}, **headers)


def question(dialect, text="Say hello.", *, most=12):
    """The smallest conversation, without a model."""
    if dialect == "gemini":
        value = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        return value | ({"generationConfig": {"maxOutputTokens": most}} if most else {})
    if dialect == "responses":
        return {"input": [{"role": "user", "content": text}]} | ({"max_output_tokens": most} if most else {})
    return {"messages": [{"role": "user", "content": text}]} | ({"max_tokens": most} if most else {})


def followed_up(dialect, answer, identity):
    """The request after an answer with a call, as clients send it: everything that they were given, and the tool's result."""
    body = question(dialect)
    if dialect == "gemini":
        result = {"functionResponse": {"id": identity, "name": "edit", "response": {"output": "done"}}}
        body["contents"] += [answer["candidates"][0]["content"], {"role": "user", "parts": [result]}]
        body["tools"] = [{"functionDeclarations": [{"name": "edit", "parametersJsonSchema": TOOL_SCHEMA}]}]
    elif dialect == "responses":
        result = {"type": "function_call_output", "call_id": identity, "output": "done"}
        body["input"] += [*answer["output"], result]
        body["tools"] = [{"type": "function", "name": "edit", "parameters": TOOL_SCHEMA}]
    elif dialect == "messages":
        result = {"type": "tool_result", "tool_use_id": identity, "content": "done"}
        body["messages"] += [
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": [result]},
        ]
        body["tools"] = [{"name": "edit", "input_schema": TOOL_SCHEMA}]
        body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        body["max_tokens"] = 2000
    else:
        body["messages"] += [
            answer["choices"][0]["message"],
            {"role": "tool", "tool_call_id": identity, "content": "done"},
        ]
        body["tools"] = [{"type": "function", "function": {"name": "edit", "parameters": TOOL_SCHEMA}}]
    return body


def identity_of(dialect, answer):
    if dialect == "gemini":
        parts = answer["candidates"][0]["content"]["parts"]
        return next(part["functionCall"]["id"] for part in parts if "functionCall" in part)
    if dialect == "responses":
        return next(item["call_id"] for item in answer["output"] if item["type"] == "function_call")
    if dialect == "messages":
        return next(block["id"] for block in answer["content"] if block["type"] == "tool_use")
    return answer["choices"][0]["message"]["tool_calls"][0]["id"]


# 1. what a client gives back after an answer of another dialect


@pytest.mark.parametrize("client", list(PATHS))
def test_a_providers_own_dialect_gets_no_foreign_proof_after_another_answered(home, client):
    thought = Turn(says=Says(text="", thinking="a thought", calls=(CALL,)))
    others = [dialect for dialect in PATHS if dialect != client]
    providers = {other: (other, [thought]) for other in others}
    providers["own"] = (client, [Turn()])
    with setting(home, providers, default(*(f"{name}/claude-gpt-gemini-3" for name in providers))) as (
        gateway,
        upstreams,
    ):
        for other in others:
            first = ask(gateway, client, question(client), model=f"{other}/m")
            assert first.status == 200, first
            assert first.headers["x-lastro-provider"] == other
            body = followed_up(client, first.json, identity_of(client, first.json))
            second = ask(gateway, client, body, model="own/claude-gpt-gemini-3")
            assert second.status == 200, second
            assert second.headers["x-lastro-provider"] == "own"
            raw = upstreams["own"].requests[-1].body
            assert b"lastro:" not in raw
            assert b"c2lnbmVk" not in raw
            sent = json.loads(raw)
            if client == "messages":
                block = next(one for one in sent["messages"][1]["content"] if one["type"] == "tool_use")
                assert block["id"] == sent["messages"][2]["content"][0]["tool_use_id"]
                assert set(block["id"]).isdisjoint(".:")
                assert all(one["type"] != "thinking" for one in sent["messages"][1]["content"])
                assert sent["thinking"] == {"type": "disabled"}
                assert "thinking" in second.headers["x-lastro-lost"]
            if client == "responses":
                assert [one.get("type") for one in sent["input"]] == [
                    None,
                    "function_call",
                    "function_call_output",
                ]
                assert "id" not in sent["input"][1]
            if client == "gemini":
                parts = sent["contents"][1]["parts"]
                assert "functionCall" in parts[-1]


# 2. the empty account of a provider

EMPTY = {
    "openai": (
        429,
        {
            "error": {
                "message": "You exceeded your current quota",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            }
        },
    ),
    "deepseek": (
        402,
        {
            "error": {
                "message": "Insufficient Balance",
                "type": "unknown_error",
                "code": "invalid_request_error",
            }
        },
    ),
    "anthropic": (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API.",
            },
        },
    ),
    "billing": (
        403,
        {
            "type": "error",
            "error": {"type": "billing_error", "message": "There is an issue with your billing."},
        },
    ),
}


@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_account_is_the_providers_trouble(home, stream):
    providers = {
        name: ("messages" if name in {"anthropic", "billing"} else "chat", [_refusing(status, value)])
        for name, (status, value) in EMPTY.items()
    }
    providers["steady"] = ("chat", [Turn()])
    with setting(home, providers, default("steady/m")) as (gateway, upstreams):
        routes = "".join(
            f'[routes.{name}]\nmatch = {{models = ["{name}*"]}}\nmodels = ["{name}/m", "steady/m"]\n'
            f'[routes.{name}-alone]\nmatch = {{models = ["alone-{name}"]}}\nmodels = ["{name}/m2"]\n'
            for name in EMPTY
        )
        with open(f"{home.path}/config/gateway.toml", encoding="utf-8") as file:
            configure(home, file.read() + routes)
        gateway.process.wait_event("gateway_reloaded")
        for name in EMPTY:
            for dialect in PATHS:
                before = len(upstreams[name].requests)
                reply = ask(gateway, dialect, question(dialect), model=f"{name}-any", stream=stream)
                assert reply.status == 200, reply
                assert reply.headers["x-lastro-provider"] == "steady"
                asked = len(upstreams[name].requests) - before
                assert asked == (1 if dialect == "chat" else 0), (name, dialect)
        for name in EMPTY:
            alone = ask(gateway, "messages", question("messages"), model=f"alone-{name}", stream=stream)
            assert alone.status == 502, alone
            assert alone.json["error"]["type"] == "api_error"
            assert "account" in alone.json["error"]["message"]
            assert alone.headers.get("x-should-retry") != "false"


def _refusing(status, value):
    body = json.dumps(value).encode()
    return Turn(fault=Fault(kind=FaultKind.STATUS, status=status, body=body))


# 3. how long an answer may be

LIMITS = {
    "chat": lambda body: body.get("max_tokens", body.get("max_completion_tokens")),
    "responses": lambda body: body.get("max_output_tokens"),
    "messages": lambda body: body.get("max_tokens"),
    "gemini": lambda body: body.get("generationConfig", {}).get("maxOutputTokens"),
}


def test_an_answers_length_is_asked_for_as_the_model_and_the_route_allow(home):
    facts = "models = {small = {output = 4096}, tiny = {context = 8192}, any = {}}\n"
    with ExitStack() as stack:
        upstreams = {name: stack.enter_context(provider([Turn()])) for name in PATHS}
        tables = "".join(
            f'[providers.{name}]\nkind = "compatible"\nbase_url = "{one.base_url}"\ndialects = ["{name}"]\n{facts}'
            for name, one in upstreams.items()
        )
        routes = "".join(
            f'[routes.{name}-{model}{most}]\nmatch = {{models = ["{name}-{model}-{most}"]}}\n'
            f'models = ["{name}/{model}"]\nmax_output_tokens = {most}\n'
            for name in PATHS
            for model in ("small", "tiny", "any")
            for most in (0, 1000)
        )
        configure(home, tables + routes)
        gateway = stack.enter_context(running_gateway(home))

        def limit(client, target, model, *, wish, most):
            reply = ask(gateway, client, question(client, most=wish), model=f"{target}-{model}-{most}")
            assert reply.status == 200, reply
            return LIMITS[target](json.loads(upstreams[target].requests[-1].body))

        for client in PATHS:
            for target in PATHS:
                if client != "messages":  # its clients always say a number
                    unsaid = limit(client, target, "small", wish=0, most=0)
                    assert unsaid == (4096 if target == "messages" else None), (client, target)
                    assert limit(client, target, "any", wish=0, most=1000) == 1000
                assert limit(client, target, "small", wish=64000, most=0) == 4096
                assert limit(client, target, "tiny", wish=64000, most=0) <= 8192
                assert limit(client, target, "any", wish=64000, most=0) == 64000
                assert limit(client, target, "any", wish=64000, most=1000) == 1000
                assert limit(client, target, "any", wish=500, most=1000) == 500
        body = {**question("messages", most=64000), "thinking": {"type": "enabled", "budget_tokens": 31999}}
        for most, thinking in ((0, {"type": "enabled", "budget_tokens": 2048}), (1000, {"type": "disabled"})):
            reply = ask(gateway, "messages", body, model=f"messages-small-{most}")
            assert reply.status == 200
            assert "thinking" in reply.headers["x-lastro-lost"]
            assert json.loads(upstreams["messages"].requests[-1].body)["thinking"] == thinking


# 4. budgets


def admin(home):
    return AdminClient(places_of(home.path).gateway_admin_socket)


BUDGET_FORMS = {
    "chat": (429, lambda error: error["error"]["code"] == "insufficient_quota"),
    "responses": (429, lambda error: error["error"]["code"] == "insufficient_quota"),
    "messages": (402, lambda error: error["error"]["type"] == "billing_error"),
    "gemini": (429, lambda error: error["error"]["status"] == "RESOURCE_EXHAUSTED"),
}


def test_budgets_of_keys_roles_and_runs_say_no_in_every_dialects_own_form(home):
    budgets = (
        '[[budgets]]\nname = "each role"\nscope = "role"\nnames = ["writer*"]\ntokens = 3000\n'
        '[[budgets]]\nname = "each run"\nscope = "run"\nrequests = 2\n'
    )
    with setting(home, {"one": ("chat", [Turn()])}, ("", default("one/m")[1] + budgets)) as (
        gateway,
        upstreams,
    ):
        writer = admin(home).mint(KeyOrder(name="writer", role="writer-1")).text
        same_role = admin(home).mint(KeyOrder(name="second", role="writer-1")).text
        limited = admin(home).mint(KeyOrder(name="limited", limits=Limits(tokens=100))).text
        runner = admin(home).mint(KeyOrder(name="runner", run="run-1")).text
        assert ask(gateway, "chat", question("chat", most=2900), key=writer).status == 200
        for dialect, (status, is_right) in BUDGET_FORMS.items():
            for stream in (False, True):
                for key, most, name in ((same_role, 2995, "each role"), (limited, 200, "limited")):
                    reply = ask(gateway, dialect, question(dialect, most=most), key=key, stream=stream)
                    assert reply.status == status, reply
                    assert is_right(reply.json), reply
                    assert name in json.dumps(reply.json)
                    assert reply.headers["x-lastro-exchange"]
        assert ask(gateway, "chat", question("chat"), key=limited).status == 200
        assert [ask(gateway, "chat", question("chat"), key=runner).status for _ in range(3)] == [
            200,
            200,
            429,
        ]
        asked = len(upstreams["one"].requests)
        several = {**question("chat", most=800), "n": 4}
        other = admin(home).mint(KeyOrder(name="third", role="writer-2")).text
        assert ask(gateway, "chat", several, key=other).status == 429
        assert ask(gateway, "chat", {**several, "n": 3}, key=other).status == 200
        unsaid = {**question("chat", most=0), "n": 3}
        assert ask(gateway, "chat", unsaid, key=other).status == 429
        assert len(upstreams["one"].requests) == asked + 1


def test_what_a_killed_gateway_had_set_aside_counts_as_spent(home):
    slow = Turn(says=Says(text="a long answer that never comes"), pause_s=30)
    budget = '[[budgets]]\nname = "day"\nper_day = true\ntokens = 2000\n'
    with setting(
        home,
        {"one": ("chat", lambda received: Turn() if b"quick" in received.body else slow)},
        ("", default("one/m")[1] + budget),
    ) as (gateway, upstreams):
        hanging = opened(gateway, {**CHAT, "max_tokens": 1500, "stream": True})
        wait_until(lambda: upstreams["one"].requests)
        gateway.process.stop(signal.SIGKILL)
        hanging.close()
        with running_gateway(home) as again:
            refused = ask(again, "chat", question("chat", "quick", most=600))
            assert refused.status == 429, refused
            assert ask(again, "chat", question("chat", "quick", most=300)).status == 200


def opened(gateway, body, path="/v1/chat/completions"):
    """A connection on which a request went out."""
    port = int(gateway.address.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port))
    raw = json.dumps(body).encode()
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {gateway.local_key}\r\ncontent-length: {len(raw)}\r\n\r\n".encode()
        + raw
    )
    return connection


# 5. the network is down


def unused_port():
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


@pytest.mark.slow
@pytest.mark.needs("offline-model")
def test_with_the_network_down_an_allowed_kind_is_answered_offline_until_it_is_back(home):
    weights = kept_models().weights(MODEL)
    assert home.run("gateway", "models", "import", weights, "--name", MODEL).code == 0
    held = [unused_port() for _ in range(2)]
    remote = "".join(
        f'[providers.{name}]\nkind = "compatible"\nbase_url = "http://127.0.0.1:{port}/v1"\nlocal = false\n'
        for name, (_, port) in zip(("east", "west"), held, strict=True)
    )
    configure(
        home,
        'offline_kinds = ["chat"]\n[circuit]\npause_s = 1.0\nlongest_pause_s = 1.0\n'
        + remote
        + '[routes.default]\nmodels = ["east/m", "west/m"]\n',
    )
    with running_gateway(home) as gateway:
        degraded = ask(gateway, "messages", question("messages"))
        assert degraded.status == 200, degraded
        assert degraded.headers["x-lastro-degraded"] == "true"
        assert degraded.headers["x-lastro-provider"] == "offline"
        recorded = gateway.wait_recorded(degraded.headers["x-lastro-exchange"])["exchange"]
        assert recorded["degraded"] is True
        assert [one["provider"] for one in recorded["attempts"]] == ["east", "west", "offline"]
        streamed = ask(gateway, "responses", question("responses"), stream=True)
        assert streamed.headers["x-lastro-degraded"] == "true"
        assert streamed.events[-1]["type"] in {"response.completed", "response.incomplete"}
        refused = ask(gateway, "messages", question("messages"), x_lastro_task="edit")
        assert refused.status in {502, 503, 529}, refused
        assert refused.json["error"]["type"] in {"overloaded_error", "api_error"}
        held[0][0].close()
        with provider([Turn()], port=held[0][1]):

            def back():
                reply = ask(gateway, "messages", question("messages"))
                return reply.status == 200 and reply.headers["x-lastro-provider"] == "east"

            wait_until(back, patience_s=20)
            assert "x-lastro-degraded" not in ask(gateway, "messages", question("messages")).headers
        held[1][0].close()


# 6. the offline engine


@pytest.mark.slow
@pytest.mark.needs("offline-model")
def test_the_offline_engine_fails_clearly_and_comes_back(home):
    weights = kept_models().weights(MODEL)
    assert home.run("gateway", "models", "import", weights, "--name", MODEL).code == 0
    with running_gateway(home) as gateway:
        huge = ask(gateway, "messages", question("messages", "Say only: yes", most=64000), stream=True)
        assert huge.status == 200, huge
        assert huge.events[-1]["type"] == "message_stop"
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda name: ask(gateway, name, question(name)), ["chat", "gemini"]))
        assert [one.status for one in both] == [200, 200]
        for dialect, is_right in {
            "chat": lambda error: error["error"]["code"] == "context_length_exceeded",
            "responses": lambda error: error["error"]["code"] == "context_length_exceeded",
            "messages": lambda error: "prompt is too long" in error["error"]["message"],
            "gemini": lambda error: "context size" in error["error"]["message"],
        }.items():
            for stream in (False, True):
                long = ask(gateway, dialect, question(dialect, "many words " * 9000), stream=stream)
                assert long.status == 400, long
                assert is_right(long.json), long
        text = "def factorial(n): return 1 if n < 2 else n * factorial(n - 1)\n" * 20
        body = {"messages": [{"role": "user", "content": text}]}
        said = ask(gateway, "messages", {**body, "max_tokens": 1})
        counted = gateway.post("/v1/messages/count_tokens", {"model": "auto", **body}, key=gateway.local_key)
        assert counted.status == 200
        used = said.json["usage"]
        assert counted.json["input_tokens"] == used["input_tokens"] + used.get("cache_read_input_tokens", 0)
        assert "x-lastro-estimated" not in counted.headers
        killed = engines(gateway)
        assert len(killed) == 1
        connection = opened(gateway, {**CHAT, "max_tokens": 4000, "stream": True})
        connection.recv(100)
        os.kill(killed[0], signal.SIGKILL)
        rest = b""
        while piece := connection.recv(65536):
            rest += piece
            if b"\r\n0\r\n" in rest:
                break
        connection.close()
        assert b'"error"' in rest or b"[DONE]" in rest
        again = ask(gateway, "chat", question("chat"))
        assert again.status == 200, again
        kept = f"{home.path}/state/gateway/models"
        found = [
            os.path.join(directory, name)
            for directory, _, names in os.walk(home.path)
            for name in names
            if name.endswith(".gguf") or os.path.getsize(os.path.join(directory, name)) > 50_000_000
        ]
        assert found, kept
        os.kill(engines(gateway)[0], signal.SIGKILL)
        for path in found:
            os.chmod(path, 0o600)
            os.truncate(path, os.path.getsize(path) // 2)
        wait_until(lambda: "died" not in ask(gateway, "chat", question("chat")).body.decode())
        for dialect in PATHS:
            wrong = ask(gateway, dialect, question(dialect))
            assert wrong.status >= 500, wrong
            text = json.dumps(wrong.json)
            assert MODEL in text
            assert "models" in text, text


def engines(gateway):
    """The processes that run models for it."""
    pid = gateway.process.process.pid
    children = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                children.append(int(name))
    return children


# 7. providers that are slow, or have too much to do


def stalled(kind, at=0):
    return Turn(says=Says(text="never complete", piece=1), fault=Fault(kind=kind, at=at))


@pytest.mark.slow
def test_slow_providers_are_given_up_within_the_bounds_and_tried_again_after_their_pause(home):
    answers = {"mute": [stalled(FaultKind.STALL_FIRST)], "middle": [stalled(FaultKind.STALL_AT_EVENT, 4)]}
    limited = Turn(fault=Fault(kind=FaultKind.STATUS, status=429, retry_after_s=2))
    providers = {
        "mute": ("chat", answers["mute"]),
        "middle": ("chat", answers["middle"]),
        "drip": ("chat", [Turn(says=Says(text="x" * 100, piece=1), pause_s=0.2)]),
        "busy": ("chat", [limited, Turn()]),
        "broken": ("chat", [Turn(fault=Fault(kind=FaultKind.CUT_BEFORE_HEADERS)), Turn()]),
        "steady": ("chat", [Turn()]),
    }
    head = (
        "[bounds]\nfirst_byte_s = 0.7\nbetween_bytes_s = 0.7\ntotal_s = 3.0\n"
        "[circuit]\nfailures = 1\npause_s = 1.0\nlongest_pause_s = 1.0\n"
    )
    routes = "".join(
        f'[routes.{name}]\nmatch = {{models = ["{name}*"]}}\nmodels = ["{name}/m", "steady/m"]\n'
        for name in providers
        if name != "steady"
    )
    with setting(home, providers, (head, routes)) as (gateway, upstreams):
        for stream in (False, True):
            reply = ask(gateway, "messages", question("messages"), model="mute-1", stream=stream)
            assert reply.status == 200, reply
            assert reply.headers["x-lastro-provider"] == "steady"
            time.sleep(1.1)  # the circuit's pause
        assert len(upstreams["mute"].requests) == 2
        cut = ask(gateway, "messages", question("messages"), model="middle-1", stream=True)
        assert cut.events[-1]["type"] == "error"
        assert cut.events[-1]["error"]["type"] in {"overloaded_error", "timeout_error", "api_error"}
        retried = ask(gateway, "messages", question("messages"), model="middle-1", stream=True)
        assert retried.events[-1]["type"] == "message_stop"
        assert retried.headers["x-lastro-provider"] == "steady"
        begun = time.monotonic()
        long = ask(gateway, "chat", question("chat"), model="drip-1", stream=True)
        assert "error" in long.events[-1]
        assert time.monotonic() - begun < 15
        recorded = gateway.wait_recorded(long.headers["x-lastro-exchange"])["exchange"]
        assert recorded["attempts"][-1]["outcome"] == "total_timeout"

        def who(model):
            return ask(gateway, "chat", question("chat"), model=model).headers["x-lastro-provider"]

        begun = time.monotonic()
        assert who("busy-1") == "steady"
        while who("busy-1") == "steady":
            assert time.monotonic() - begun < 30
            time.sleep(0.1)
        assert time.monotonic() - begun >= 2
        assert len(upstreams["busy"].requests) == 2
        begun = time.monotonic()
        assert who("broken-1") == "steady"
        while who("broken-1") == "steady":
            assert time.monotonic() - begun < 30
            time.sleep(0.1)
        assert time.monotonic() - begun >= 1


@pytest.mark.slow
def test_of_two_hundred_calls_at_once_over_two_limited_providers_none_is_lost(home):
    lock, running = threading.Lock(), {"one": 0, "two": 0}

    def limited(name):
        def turn(_received):
            with lock:
                running[name] += 1
                is_too_much = running[name] % 3 == 0
            return (
                Turn(fault=Fault(kind=FaultKind.STATUS, status=429)) if is_too_much else Turn(pause_s=0.002)
            )

        return turn

    providers = {
        "one": ("chat", limited("one")),
        "two": ("messages", limited("two")),
        "last": ("responses", [Turn()]),
    }
    models = "".join(
        f'  {{model = "{name}/m{number}", rank = {1 if name != "last" else 2}}},\n'
        for name in providers
        for number in range(2)
    )
    routes = f"[routes.default]\nattempts = 10\nmodels = [\n{models}]\n"
    with setting(home, providers, ("", routes)) as (gateway, _), ThreadPoolExecutor(200) as pool:
        replies = list(
            pool.map(
                lambda number: ask(
                    gateway,
                    list(PATHS)[number % 4],
                    question(list(PATHS)[number % 4]),
                    stream=number % 2 == 0,
                ),
                range(200),
            )
        )
        assert [reply.status for reply in replies if reply.status != 200] == []
        assert all(b"hello" in reply.body or b"hel" in reply.body for reply in replies)
        assert len({reply.headers["x-lastro-exchange"] for reply in replies}) == 200
        time.sleep(1)
        assert home.ask("gateway", "usage")["total"]["exchanges"] == 200


# 8. clients that go away, or take their time


def test_a_client_that_goes_away_ends_the_call_and_pays_only_for_what_was_said(home):
    slow = Turn(says=Says(text="x" * 400, piece=1), pause_s=0.05)
    budget = '[[budgets]]\nname = "all"\ntokens = 10000\n'
    with setting(home, {"one": ("chat", [slow])}, ("", default("one/m")[1] + budget)) as (gateway, upstreams):
        connection = opened(gateway, {**CHAT, "max_tokens": 9000, "stream": True})
        head = connection.recv(4096)
        while b"x" not in head.partition(b"\r\n\r\n")[2]:
            head += connection.recv(4096)
        identity = head.split(b"x-lastro-exchange: ")[1].split(b"\r\n")[0].decode()
        connection.close()
        wait_until(upstreams["one"].left.is_set)
        recorded = gateway.wait_recorded(identity)["exchange"]
        assert recorded["outcome"] == "abandoned"
        assert recorded["attempts"][0]["outcome"] == "abandoned"
        listed = admin(home).budgets()
        budgets = [one for key in listed for one in key.budgets if one.name == "all"]
        assert budgets[0].held == (0, 0, 0)
        assert 0 < budgets[0].spent[1] < 1000


@pytest.mark.slow
def test_a_slow_reader_does_not_fill_the_memory_and_is_cut_off(home):
    large = Turn(says=Says(text="0123456789abcdef" * (3 * 1024 * 1024), piece=256 * 1024))
    head = "[bounds]\nclient_s = 2.0\n"
    with setting(home, {"one": ("chat", [Turn(), large])}, (head, default("one/m")[1])) as (
        gateway,
        upstreams,
    ):
        assert ask(gateway, "chat", question("chat")).status == 200
        before = resident(gateway)
        connection = opened(gateway, {**CHAT, "stream": True})
        connection.recv(1000)
        most = 0
        begun = time.monotonic()
        while not upstreams["one"].left.is_set():
            most = max(most, resident(gateway))
            assert time.monotonic() - begun < 40
            time.sleep(0.05)
        assert most - before < 40 * 1024 * 1024
        connection.settimeout(20)
        received = 0
        tail = b""
        with suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                received += len(piece)
                tail = piece
        assert not tail.endswith(b"0\r\n\r\n")
        connection.close()
        assert received < 40 * 1024 * 1024


def resident(gateway):
    with open(f"/proc/{gateway.process.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# 9. steps


def test_a_runs_supervisor_hears_of_every_step_and_its_death_costs_nothing(home, tmp_path):
    path = str(tmp_path / "steps.sock")
    heard, stop = [], threading.Event()
    listener = bind_owner_only(path)
    listener.listen(4)

    def supervise():
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as file:
            while not stop.is_set() and (line := file.readline()):
                notice = json.loads(line)
                heard.append(notice)
                file.write(json.dumps({"v": 1, "exchange": notice["exchange"]}).encode() + b"\n")
                file.flush()
                if len(heard) == 3:
                    return

    thread = threading.Thread(target=supervise, daemon=True)
    thread.start()
    with setting(home, {"one": ("chat", [Turn()])}, default("one/m")) as (gateway, _):
        key = admin(home).mint(KeyOrder(name="run", run="run-1", steps=path)).text
        replies = [
            ask(gateway, dialect, question(dialect), key=key) for dialect in ("chat", "messages", "gemini")
        ]
        assert [reply.status for reply in replies] == [200, 200, 200]
        thread.join(10)
        listener.close()
        assert [(one["run"], one["step"]) for one in heard] == [("run-1", 1), ("run-1", 2), ("run-1", 3)]
        assert [one["exchange"] for one in heard] == [reply.headers["x-lastro-exchange"] for reply in replies]
        begun = time.monotonic()
        more = [ask(gateway, "chat", question("chat"), key=key) for _ in range(10)]
        assert time.monotonic() - begun < 10
        assert {reply.status for reply in more} == {200}
        seen = [
            gateway.wait_recorded(reply.headers["x-lastro-exchange"])["exchange"]
            for reply in (replies[0], more[-1])
        ]
        assert [(one["step"], one["step_seen"]) for one in seen] == [(1, True), (13, False)]


# 10. what another dialect cannot say

PICTURE = "iVBORw0KGgo="


def test_a_setting_that_is_lost_is_named_and_content_that_is_inexpressible_is_asked_elsewhere(home):
    providers = {name: (name, [Turn()]) for name in PATHS}
    routes = "".join(
        f'[routes.{name}]\nmatch = {{models = ["{name}-first"]}}\nmodels = ["{name}/m", "{other}/m"]\n'
        for name, other in (
            ("chat", "messages"),
            ("messages", "responses"),
            ("responses", "gemini"),
            ("gemini", "chat"),
        )
    )
    with setting(home, providers, ("", routes)) as (gateway, upstreams):
        codex = {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "look"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
                    ],
                }
            ],
            "instructions": "Be brief.",
            "tools": [
                {"type": "function", "name": "edit", "parameters": TOOL_SCHEMA, "strict": False},
                {"type": "web_search"},
                {"type": "custom", "name": "apply_patch", "description": "patch"},
            ],
            "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "c1",
            "store": False,
        }
        reply = ask(gateway, "responses", codex, model="messages/m", stream=True)
        assert reply.status == 200, reply
        assert {"tools.1.web_search", "reasoning_effort"} & set(reply.headers["x-lastro-lost"].split(", ")), (
            reply.headers
        )
        sent = json.loads(upstreams["messages"].requests[-1].body)
        assert [tool["name"] for tool in sent["tools"]] == ["edit", "apply_patch"]
        assert sent["messages"][0]["content"][1]["source"]["data"] == PICTURE
        recorded = gateway.wait_recorded(reply.headers["x-lastro-exchange"])["exchange"]
        assert recorded["losses"]
        claude = {
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "t"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
                        },
                    ],
                }
            ],
            "tools": [{"name": "edit", "input_schema": TOOL_SCHEMA}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "max_tokens": 2000,
            "top_k": 4,
        }
        reply = ask(gateway, "messages", claude, model="chat/m")
        assert reply.status == 200, reply
        assert "top_k" in reply.headers["x-lastro-lost"]
        gemini = {
            "contents": [
                {
                    "role": "user",
                    "parts": [{"text": "t"}, {"inlineData": {"mimeType": "image/png", "data": PICTURE}}],
                }
            ],
            "tools": [{"functionDeclarations": [{"name": "edit", "parametersJsonSchema": TOOL_SCHEMA}]}],
            "generationConfig": {"topK": 64, "thinkingConfig": {"includeThoughts": True}},
            "safetySettings": [],
        }
        reply = ask(gateway, "gemini", gemini, model="responses/m")
        assert reply.status == 200, reply
        assert "safetySettings" in reply.headers["x-lastro-lost"]

        document = {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PICTURE},
        }
        sound = {"inlineData": {"mimeType": "audio/wav", "data": PICTURE}}
        inexpressible = {
            "messages": {"messages": [{"role": "user", "content": [document]}], "max_tokens": 9},
            "gemini": {"contents": [{"role": "user", "parts": [sound]}]},
            "responses": {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "chat": {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}}
                        ],
                    }
                ]
            },
        }
        alone = {"messages": "chat/m", "gemini": "messages/m", "responses": "messages/m", "chat": "gemini/m"}
        served = {"messages": "chat", "responses": "messages", "gemini": "responses", "chat": "gemini"}
        for dialect, body in inexpressible.items():
            for stream in (False, True):
                before = len(upstreams[alone[dialect].split("/")[0]].requests)
                refused = ask(gateway, dialect, body, model=alone[dialect], stream=stream)
                assert refused.status == 400, refused
                assert len(upstreams[alone[dialect].split("/")[0]].requests) == before
                text = refused.json["error"]["message"]
                assert any(word in text for word in ("document", "contents.0", "file", "audio")), text
                answered = ask(gateway, dialect, body, model=f"{served[dialect]}-first", stream=stream)
                assert answered.status == 200, answered
                assert answered.headers["x-lastro-provider"] == dialect
