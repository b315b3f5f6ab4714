"""Latency, requests per second and memory of the gateway, beside the direct path and beside the litellm proxy, all in one run.

The provider answers at once on loopback and the load generator is a process of its own, so what differs is what stands between. litellm
comes from PyPI into an environment of its own in the cache directory; where it cannot be had, its rows say so. Each figure is the median
of several rounds in which each place has its turn. Ratios are what counts: seconds depend on the machine. ``python -m bench gateway``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import psutil

LITELLM = "1.106.2"
"""Pinned: newer ones may want packages that are newer than what is at hand."""
PATH = "/v1/chat/completions"
ROUNDS = 5
LONG_RUN = 16_000


class Place(NamedTuple):
    """One way to the provider."""

    name: str
    port: int
    key: str
    model: str
    process: int
    """Its process id; 0 where there is none."""


class Round(NamedTuple):
    """What one place did in one round. Seconds, and requests in a second."""

    p50_s: float
    p99_s: float
    rate_one: float
    rate_many: float
    many_p50_s: float
    many_p99_s: float
    cpu_s: float
    stream_first_s: float
    stream_whole_s: float


def measure() -> Iterator[tuple[str, str]]:
    """One request at a time, sixteen at a time, and streams of 53 events; then memory."""
    with tempfile.TemporaryDirectory() as scratch, provider() as port, gateway(scratch, port) as ours:
        direct = Place("direct", port, "none", "bench", 0)
        yield "gateway, memory before the first request", _memory(ours.process)
        with litellm(scratch, port) as theirs:
            if isinstance(theirs, str):
                yield "litellm proxy", theirs
            places = [direct, ours] if isinstance(theirs, str) else [direct, ours, theirs]
            yield from _figures(places)
        yield from _long_run(ours)


def _figures(places: list[Place]) -> Iterator[tuple[str, str]]:
    """Rounds in which each place has its turn, so that what slows the machine down slows all of them; of each figure the median."""
    rounds: dict[str, list[Round]] = {place.name: [] for place in places}
    for place in places:
        load(place, connections=4, requests=40, stream=False)  # warm
        load(place, connections=1, requests=8, stream=True)
    for _ in range(ROUNDS):
        for place in places:
            rounds[place.name].append(_round(place))
    for place in places:
        yield from _rows(place, rounds[place.name], rounds["direct"])
    for place in places:
        if place.process:
            yield f"{place.name}, memory after these rounds", _memory(place.process)
    if "litellm" in rounds:
        ours, theirs = rounds["gateway"], rounds["litellm"]
        yield "gateway to litellm, requests/s, 1 at a time", _ratio(ours, theirs, "rate_one")
        yield "gateway to litellm, requests/s, 16 at a time", _ratio(ours, theirs, "rate_many")
        added = [
            _added(their, direct) / max(_added(our, direct), 1e-9)
            for our, their, direct in zip(ours, theirs, rounds["direct"], strict=True)
        ]
        yield "litellm to gateway, added p50 of a call", f"{statistics.median(added):.1f} times"


def _round(place: Place) -> Round:
    slow = place.name == "litellm"
    one = load(place, connections=1, requests=50 if slow else 500, stream=False)
    before = _cpu(place.process)
    many = load(place, connections=16, requests=160 if slow else 1600, stream=False)
    _settle(place)
    spent_s = _cpu(place.process) - before
    streamed = load(place, connections=1, requests=20 if slow else 100, stream=True)
    _settle(place)
    return Round(
        p50_s=_middle(one["whole"]),
        p99_s=_high(one["whole"]),
        rate_one=len(one["whole"]) / one["took"],
        rate_many=len(many["whole"]) / many["took"],
        many_p50_s=_middle(many["whole"]),
        many_p99_s=_high(many["whole"]),
        cpu_s=spent_s / len(many["whole"]),
        stream_first_s=_middle(streamed["first"]),
        stream_whole_s=_middle(streamed["whole"]),
    )


def _rows(place: Place, rounds: list[Round], direct: list[Round]) -> Iterator[tuple[str, str]]:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(one, name) for one in rounds))

    def added(name: str) -> str:
        differences = [
            getattr(one, name) - getattr(other, name) for one, other in zip(rounds, direct, strict=True)
        ]
        return (
            f"{statistics.median(differences) * 1000:.2f} ms ({min(differences) * 1000:.2f}"
            f" to {max(differences) * 1000:.2f} in {len(rounds)} rounds)"
        )

    yield f"{place.name}, 1 at a time, p50 and p99", _two(middle("p50_s"), middle("p99_s"))
    yield f"{place.name}, 16 at a time, requests/s", f"{middle('rate_many'):.0f}"
    yield f"{place.name}, 16 at a time, p50 and p99", _two(middle("many_p50_s"), middle("many_p99_s"))
    both = _two(middle("stream_first_s"), middle("stream_whole_s"))
    yield f"{place.name}, stream of 53 events, p50 of first byte and of all", both
    if place.process:
        yield f"{place.name}, added p50 of a call", added("p50_s")
        yield f"{place.name}, added p50 of a stream's first byte", added("stream_first_s")
        yield f"{place.name}, added p50 of a whole stream", added("stream_whole_s")
        yield f"{place.name}, CPU time of a call, all its threads", f"{middle('cpu_s') * 1000:.2f} ms"


def _long_run(ours: Place) -> Iterator[tuple[str, str]]:
    load(ours, connections=16, requests=LONG_RUN, stream=False)
    _settle(ours)
    yield f"gateway, memory after {LONG_RUN} requests more", _memory(ours.process)


def _ratio(ours: list[Round], theirs: list[Round], name: str) -> str:
    ratios = [getattr(our, name) / getattr(their, name) for our, their in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.1f} times"


def _added(one: Round, direct: Round) -> float:
    return float(one.p50_s - direct.p50_s)


def load(place: Place, *, connections: int, requests: int, stream: bool) -> dict[str, Any]:
    """What ``bench.gateway_load`` measured at a place."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.gateway_load",
            str(place.port),
            PATH,
            place.key,
            place.model,
            str(connections),
            str(requests),
            "stream" if stream else "whole",
        ],
        capture_output=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    if measured["failed"]:
        raise RuntimeError(f"{place.name}: {measured['failed']} requests failed")
    return measured


@contextmanager
def provider() -> Iterator[int]:
    """The provider's port."""
    with _process([sys.executable, "-m", "bench.gateway_provider"]) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def gateway(scratch: str, provider_port: int) -> Iterator[Place]:
    """``lastro gateway serve`` in a scratch home, with recording, as it comes."""
    home = os.path.join(scratch, "home")
    os.makedirs(os.path.join(home, "config"))
    with open(os.path.join(home, "config", "gateway.toml"), "w", encoding="utf-8") as file:
        file.write(
            f'[providers.bench]\nkind = "compatible"\nbase_url = "http://127.0.0.1:{provider_port}/v1"\n'
            'local = true\n[providers.bench.models."bench"]\ncontext = 100000\n'
        )
    command = [sys.executable, "-m", "lastro", "gateway", "serve", "--port", "0", "--json"]
    with _process(command, LASTRO_HOME=home) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line).get("event", {})
            if event.get("kind") == "listening":
                break
        else:
            raise RuntimeError("the gateway ended before it was ready")
        threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
        port = int(event["parameters"]["address"].rpartition(":")[2])
        with open(os.path.join(home, "config/secrets/gateway/local.key"), encoding="ascii") as file:
            key = file.read().strip()
        yield Place("gateway", port, key, "bench/bench", process.pid)


@contextmanager
def litellm(scratch: str, provider_port: int) -> Iterator[Place | str]:
    """The litellm proxy in its own environment; a sentence where it cannot be had."""
    place, problem = _environment()
    if problem:
        yield problem
        return
    configuration = os.path.join(scratch, "litellm.yaml")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(
            "model_list:\n  - model_name: bench\n    litellm_params:\n      model: hosted_vllm/bench\n"
            f"      api_base: http://127.0.0.1:{provider_port}/v1\n      api_key: none\n"
        )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        os.path.join(place, "bin", "litellm"),
        "--config",
        configuration,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    key = f"sk-{secrets.token_hex(24)}"
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # without it every start waits for a file on the network
        "LITELLM_MASTER_KEY": key,
        "LITELLM_TELEMETRY": "False",
    }
    with _process(command, output=subprocess.DEVNULL, **environment) as process:
        if _answers(process, f"http://127.0.0.1:{port}/health/liveliness"):
            yield Place("litellm", port, key, "bench", process.pid)
        else:
            yield "it did not start"


def _environment() -> tuple[str, str]:
    """The directory of an environment with litellm, made once, and why there is none (empty if there is)."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    place = os.path.join(cache, "lastro-bench", f"litellm-{LITELLM}")
    if os.path.exists(os.path.join(place, "bin", "litellm")):
        return place, ""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", place],
        [os.path.join(place, "bin", "pip"), "install", "--quiet", f"litellm[proxy]=={LITELLM}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return place, f"not installed: {done.stderr.strip()[-200:]}"
    return place, ""


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    for _ in range(240):
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310  our own http:// address
                return True
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                return False
            time.sleep(0.5)
    return False


def _drain(events: IO[bytes]) -> None:
    """Read what the gateway says of each exchange, as whoever runs it does."""
    with open(os.devnull, "wb") as nowhere:
        shutil.copyfileobj(events, nowhere)


@contextmanager
def _process(
    command: list[str], *, output: int = subprocess.PIPE, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=output,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settle(place: Place) -> None:
    """Wait until it has done what it does after its answers: that belongs to them, and must not slow down whoever comes next."""
    for _ in range(200):
        before = _cpu(place.process)
        time.sleep(0.25)
        if _cpu(place.process) - before <= 0.02:
            return


def _tree(process: int) -> list[psutil.Process]:
    return [psutil.Process(process), *psutil.Process(process).children(recursive=True)] if process else []


def _cpu(process: int) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in _tree(process))


def _memory(process: int) -> str:
    infos = [one.memory_full_info() for one in _tree(process)]
    mebibyte = 1024 * 1024
    resident = sum(info.rss for info in infos) / mebibyte
    proportional = sum(info.pss for info in infos) / mebibyte
    return f"{resident:.0f} MiB resident, {proportional:.0f} MiB proportional"


def _two(first: float, second: float) -> str:
    return f"{first * 1000:.2f} ms, {second * 1000:.2f} ms"


def _middle(times: list[float]) -> float:
    return times[len(times) // 2]


def _high(times: list[float]) -> float:
    return times[int(len(times) * 0.99)]
