"""The real engine with the real weights: what it answers, how it fails, and that it never outlives or blocks anybody."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest

from lastro.errors import ConfigError, DamagedError, FormatError, NotFoundError, UnreachableError
from lastro.gateway.offline.engine import EngineSettings, OfflineEngine
from lastro.gateway.offline.engine_child import engine_environment
from lastro.gateway.offline.importing import import_file
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.tokens import estimate_tokens
from tests.gguf_files import gguf_bytes
from tests.offline_model import MODEL, kept_models

pytestmark = [pytest.mark.system, pytest.mark.slow]
real = pytest.mark.needs("offline-model")

QUESTION = {
    "messages": [{"role": "user", "content": "Write a Python function that returns the factorial of n."}]
}
ANSWER = "def factorial(n):\n    if n == 0:\n        return 1\n    else:\n        return n * factorial(n"
LONG = {**QUESTION, "max_tokens": 2000, "stream": True, "temperature": 0, "ignore_eos": True}


def engine_of(directory, **settings):
    chosen = {"threads": 1, "context": 2048, **settings}
    return OfflineEngine(directory, new_key=lambda: secrets.token_hex(16), settings=EngineSettings(**chosen))


@asynccontextmanager
async def running(directory=None, **settings):
    engine = engine_of(directory or kept_models(), **settings)
    try:
        async with aiohttp.ClientSession() as session:
            yield engine, session
    finally:
        await engine.close()


async def ask(engine, session, body, model=MODEL):
    url, headers = await engine.ready(model)
    async with session.post(f"{url}/chat/completions", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def events(engine, session, body):
    url, headers = await engine.ready(MODEL)
    async with session.post(f"{url}/chat/completions", json=body, headers=headers) as answer:
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield line[6:].strip()


async def drain(stream):
    async for _ in stream:
        pass


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@real
def test_it_answers_the_same_text_whole_and_streamed_and_counts():
    async def scene():
        async with running() as (engine, session):
            order = {**QUESTION, "temperature": 0, "max_tokens": 60}
            status, whole = await ask(engine, session, order)
            assert status == 200 and whole["model"] == MODEL
            text = whole["choices"][0]["message"]["content"]
            assert ANSWER in text
            stream = {**order, "stream": True, "stream_options": {"include_usage": True}}
            raw = [event async for event in events(engine, session, stream)]
            assert raw[-1] == b"[DONE]"
            chunks = [json.loads(event) for event in raw[:-1]]
            assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
            said = [each["choices"][0] for each in chunks if each["choices"]]
            assert "".join(each["delta"].get("content") or "" for each in said) == text
            assert [each["finish_reason"] for each in said if each["finish_reason"]] == ["length"]
            assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] == 60
            assert await engine.count_tokens(MODEL, "hello world foo") == 3
            await check_secrets(engine, session)
            await check_estimates(engine)

    asyncio.run(scene())


async def check_secrets(engine, session):
    """Only who has the key is answered, on this machine alone, and nobody can read the key beside us."""
    url, headers = await engine.ready(MODEL)
    assert url.startswith("http://127.0.0.1:")
    async with session.post(f"{url}/chat/completions", json=QUESTION) as answer:
        assert answer.status == 401
    pid, key = engine.state().pid, headers["authorization"].removeprefix("Bearer ").encode()
    for name in ("cmdline", "environ"):
        assert key not in read(f"/proc/{pid}/{name}")


async def check_estimates(engine):
    """The estimate of a request is above the real count for real texts of several kinds."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__)))))
    for name in (
        "README.md",
        "README.pt-BR.md",
        "pyproject.toml",
        "requirements.lock",
        "Makefile",
        "src/lastro/errors.py",
    ):
        text = read(os.path.join(root, name)).decode()[:8000]
        body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
        assert estimate_tokens(body) >= await engine.count_tokens(MODEL, text) + 8, name


def read(path):
    with open(path, "rb") as file:
        return file.read()


@real
def test_one_start_serves_all_who_ask_at_once_and_an_overflow_is_said_clearly():
    async def scene():
        async with running(context=256) as (engine, session):
            await asyncio.gather(*(engine.ready(MODEL) for _ in range(5)))
            assert engine.state().starts == 1 and engine.state().context == 256
            long = {"messages": [{"role": "user", "content": "word " * 1000}]}
            status, said = await ask(engine, session, long)
            assert status == 400
            assert said["error"]["type"] == "exceed_context_size_error"
            assert (await ask(engine, session, {**QUESTION, "max_tokens": 2}))[0] == 200

    asyncio.run(scene())


@real
def test_who_leaves_frees_the_engine():
    async def scene():
        async with running(context=8192) as (engine, session):
            stream = events(engine, session, {**LONG, "max_tokens": 8000})  # more than a minute of work
            assert await anext(stream)
            assert await is_busy(engine, session)
            await stream.aclose()
            deadline = time.monotonic() + 30
            while await is_busy(engine, session):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

    asyncio.run(scene())


async def is_busy(engine, session):
    url, headers = await engine.ready(MODEL)
    async with session.get(url.removesuffix("/v1") + "/slots", headers=headers) as answer:
        return any(slot["is_processing"] for slot in await answer.json())


@real
def test_a_death_while_answering_breaks_that_answer_alone_and_the_second_one_rests():
    async def scene():
        async with running() as (engine, session):
            for expected in (1, 2):
                stream = events(engine, session, LONG)
                assert await anext(stream)
                os.kill(engine.state().pid, signal.SIGKILL)
                with pytest.raises(aiohttp.ClientError):
                    await drain(stream)
                await until(lambda: engine.state().pid == 0)
                assert engine.state().starts == expected
            with pytest.raises(UnreachableError, match="died 2 times") as caught:
                await engine.ready(MODEL)
            assert 0 < caught.value.parameters["retry_after_s"] <= 1
            await asyncio.sleep(caught.value.parameters["retry_after_s"] + 0.1)
            assert (await ask(engine, session, {**QUESTION, "max_tokens": 1}))[0] == 200

    asyncio.run(scene())


@real
def test_it_stops_when_idle_but_never_while_it_answers_and_comes_back():
    async def scene():
        async with running(idle_s=0.5) as (engine, session):
            stream, begun = events(engine, session, LONG), time.monotonic()
            assert await anext(stream)
            pid = engine.state().pid
            while time.monotonic() - begun < 1.2:  # more than two times what may pass idly
                assert await anext(stream, b"[DONE]")
            await stream.aclose()
            await until(lambda: engine.state().pid == 0)
            await until(lambda: gone(pid))
            assert (await ask(engine, session, {**QUESTION, "max_tokens": 1}))[0] == 200
            assert engine.state().starts == 2

    asyncio.run(scene())


@real
def test_another_model_waits_for_the_running_answer(tmp_path):
    directory = ModelDirectory(str(tmp_path / "models"))
    for name in (MODEL, "other"):
        _link(directory, name)

    async def scene():
        async with running(directory, switch_s=0.2) as (engine, session):
            stream = events(engine, session, LONG)
            await anext(stream)
            with pytest.raises(UnreachableError, match="still answers"):
                await engine.ready("other")
            assert await anext(stream)
            await stream.aclose()
            await ask(engine, session, {**QUESTION, "max_tokens": 1})
            await engine.ready("other")
            assert (engine.state().model, engine.state().starts) == ("other", 2)

    asyncio.run(scene())


@real
def test_wrong_and_truncated_weights_are_refused_once_and_again_without_a_start(tmp_path):
    directory = ModelDirectory(str(tmp_path / "models"))
    for name in ("wrong", "truncated", "unverified"):
        _copy(directory, name)
    for name in ("wrong", "unverified"):
        with open(directory.weights(name), "r+b") as file:
            file.seek(50_000_000)
            file.write(bytes(1000))
    os.truncate(directory.weights("truncated"), 60_000_000)
    os.truncate(directory.weights("unverified"), 60_000_000)

    async def scene():
        async with running(directory) as (engine, _):
            for name in ("wrong", "truncated"):
                for _ in range(2):
                    with pytest.raises(DamagedError) as caught:
                        await engine.ready(name)
                    assert "pull or import it again" in caught.value.hint_text
            assert engine.state().starts == 2
            with pytest.raises(NotFoundError):
                await engine.ready("never-pulled")
        async with running(directory, verify_bytes=0) as (engine, _):
            with pytest.raises(DamagedError, match="is cut off"):
                await engine.ready("unverified")

    asyncio.run(scene())


def _link(directory, name):
    import_file(directory, kept_models().weights(MODEL), name=name, link=True)


def _copy(directory, name):
    os.makedirs(f"{directory.path}/{name}")
    shutil.copyfile(kept_models().weights(MODEL), directory.weights(name))
    manifest = msgspec.structs.replace(kept_models().model(MODEL), name=name)
    with open(f"{directory.path}/{name}/manifest.json", "wb") as file:
        file.write(msgspec.json.encode(manifest))


@pytest.mark.needs("offline-model")
def test_an_architecture_that_the_engine_does_not_know_is_said(tmp_path):
    directory = _small(tmp_path, {"general.architecture": "nobodyknows", "nobodyknows.context_length": 64})

    async def scene():
        async with running(directory) as (engine, _):
            with pytest.raises(FormatError, match="architecture"):
                await engine.ready("small")

    asyncio.run(scene())


def _small(tmp_path, changes=None):
    path = tmp_path / "small.gguf"
    path.write_bytes(gguf_bytes(changes))
    directory = ModelDirectory(str(tmp_path / "models"))
    import_file(directory, str(path))
    return directory


@pytest.mark.parametrize(
    ("module", "error", "sentence"),
    [
        ("raise ImportError('no engine')", ConfigError, "no engine"),
        ("import os; os.abort()", DamagedError, "died while it loaded"),
        ("import os; os.kill(os.getpid(), 9)", UnreachableError, "not enough memory"),
        ("import time; time.sleep(60)", UnreachableError, "within 1.0 seconds"),
        ("print('x' * 100_000, flush=True)\nimport os; os._exit(0)", ConfigError, "does not start"),
        ("raise ValueError('odd')", ConfigError, "does not start: ValueError: odd"),
    ],
)
def test_an_engine_that_is_missing_or_dies_or_hangs_gives_its_own_sentence(
    tmp_path, monkeypatch, module, error, sentence
):
    """Another module stands for llama.cpp, which cannot be made to do so on demand; the process around it is the real one."""
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "xllamacpp.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'stand-in'}:{os.environ.get('PYTHONPATH', '')}")
    directory = _small(tmp_path)

    async def scene():
        async with running(directory, start_s=1.0 if "sleep" in module else 60) as (engine, _):
            with pytest.raises(error, match=sentence):
                await engine.ready("small")
            assert engine.state().pid == 0

    asyncio.run(scene())


def test_a_model_that_is_too_large_for_the_memory_is_not_even_started(tmp_path):
    directory = _small(tmp_path, {"llama.block_count": 4_000_000_000})

    async def scene():
        async with running(directory, context=0) as (engine, _):
            with pytest.raises(UnreachableError, match="not enough memory"):
                await engine.ready("small")
            assert engine.state().starts == 0

    asyncio.run(scene())


PARENT = """
import asyncio, sys
from lastro.gateway.offline.engine import EngineSettings, OfflineEngine
from lastro.gateway.offline.models import ModelDirectory
async def main():
    engine = OfflineEngine(ModelDirectory(sys.argv[1]), new_key=lambda: "k", settings=EngineSettings(threads=1, context=256))
    await engine.ready(sys.argv[2])
    print(engine.state().pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@real
def test_it_dies_with_its_parent():
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, kept_models().path, MODEL], stdout=subprocess.PIPE, text=True
    )
    with process:
        pid = int(process.stdout.readline())
        assert not gone(pid)
        process.kill()
    asyncio.run(until(lambda: gone(pid)))


def test_nothing_of_the_gateway_s_environment_that_could_be_a_key_reaches_it():
    kept = engine_environment(
        {
            "PATH": "/bin",
            "OPENAI_API_KEY": "k",
            "LASTRO_GATEWAY_KEY": "k",
            "LC_ALL": "C",
            "CUDA_VISIBLE_DEVICES": "0",
        }
    )
    assert kept == {"PATH": "/bin", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "OMP_WAIT_POLICY": "passive"}
