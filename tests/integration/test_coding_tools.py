"""Real coding tools work through the gateway, set up by ``lastro gateway env --write`` alone, against providers of their own dialect and of
another one. The providers are scripted: a file is written with the tool's own means, then the work is called done.

Gemini CLI and Codex run in ``make test``, Claude Code and opencode in ``make test-clis``, OpenClaw in ``make soak``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.coding_tools import installed, scratch_home
from tests.integration.commands import Home
from tests.integration.gateway import configure, running_gateway
from tests.integration.providers import provider
from tests.upstreams import Call, Received, Says, Turn

pytestmark = [pytest.mark.system, pytest.mark.slow]

CONTENT = "written through the gateway\n"
DONE = "The file is written."


@dataclass(frozen=True)
class Way:
    """How a tool is called for one task, and which of its own tools writes the file."""

    command: tuple[str, ...]
    dialect: str
    call: Callable[[str], Call]
    environment: Mapping[str, str] = field(default_factory=dict)


def _shell(name: str, argument: str) -> Callable[[str], Call]:
    def call(path: str) -> Call:
        command = f"printf '%s' '{CONTENT}' > {path}"
        return Call(id="call_1", name=name, arguments=json.dumps({argument: command, "description": "write"}))

    return call


def _native(name: str, path_argument: str) -> Callable[[str], Call]:
    return lambda path: Call(
        id="call_1", name=name, arguments=json.dumps({path_argument: path, "content": CONTENT})
    )


def _exec(path: str) -> Call:
    return Call(
        id="call_1", name="exec_command", arguments=json.dumps({"cmd": f"printf '%s' '{CONTENT}' > {path}"})
    )


WAYS = {
    "codex": Way(
        command=(
            "exec",
            "--json",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "{prompt}",
        ),
        dialect="responses",
        call=_exec,
    ),
    "gemini": Way(
        command=("-p", "{prompt}", "-o", "stream-json", "--approval-mode", "yolo", "--skip-trust"),
        dialect="gemini",
        call=_native("write_file", "file_path"),
    ),
    "claude": Way(
        command=(
            "-p",
            "{prompt}",
            "--output-format",
            "stream-json",
            "--verbose",
            "--dangerously-skip-permissions",
        ),
        dialect="messages",
        call=_native("Write", "file_path"),
        environment={"IS_SANDBOX": "1", "DISABLE_AUTOUPDATER": "1"},
    ),
    "opencode": Way(
        command=("run", "--format", "json", "--auto", "{prompt}"),
        dialect="chat",
        call=_native("write", "filePath"),
    ),
    "openclaw": Way(
        command=("agent", "exec", "--json", "--code-mode", "direct", "--timeout", "300", "{prompt}"),
        dialect="chat",
        call=_shell("exec", "command"),
    ),
}

_RESULTS: dict[str, Callable[[Any], bool]] = {
    "chat": lambda body: any(one["role"] == "tool" for one in body["messages"]),
    "responses": lambda body: any(one.get("type") == "function_call_output" for one in body["input"]),
    "messages": lambda body: any(
        part["type"] == "tool_result"
        for one in body["messages"]
        if isinstance(one["content"], list)
        for part in one["content"]
    ),
    "gemini": lambda body: any(
        "functionResponse" in part for one in body["contents"] for part in one["parts"]
    ),
}
"""Dialect → whether a request brings the result of a call."""


def complete_a_task(name: str, provider_dialect: str, tmp_path) -> None:
    """One task of the tool ``name``, answered by a provider that speaks ``provider_dialect``."""
    tool, way = installed(name), WAYS[name]
    project = tmp_path / "project"
    project.mkdir()
    written = project / "hello.txt"

    def answer(received: Received) -> Turn:
        body = json.loads(received.body)
        if _RESULTS[provider_dialect](body):
            return Turn(says=Says(text=DONE))
        if body.get("tools"):
            return Turn(says=Says(text="I write it.", calls=(way.call(str(written)),)))
        return Turn(says=Says(text="A file"))  # a title, asked for beside the work

    with provider(answer) as upstream, scratch_home() as user_home:
        home = Home(str(tmp_path / "home"), {"HOME": user_home})
        configure(
            home,
            f'[providers.scripted]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\n'
            f'dialects = ["{provider_dialect}"]\n[providers.scripted.models."m"]\ntools = "yes"\n'
            '[routes.default]\nmodels = ["scripted/m"]\n',
        )
        with running_gateway(home) as gateway:
            settings = home.ask("gateway", "env", name, "--write")
            arguments = [word.format(prompt="Write a greeting into hello.txt.") for word in way.command]
            done = tool.run(
                arguments,
                cwd=str(project),
                environment={
                    "HOME": user_home,
                    "LANG": "C.UTF-8",
                    "NO_PROXY": "*",
                    **settings["variables"],
                    **way.environment,
                },
                timeout_s=100,
            )
            said = (done.stdout + done.stderr).decode("utf-8", "replace")
            assert done.returncode == 0, said[-4000:]
            assert written.exists(), said[-4000:]
            assert written.read_text() == CONTENT
            assert upstream.requests
            assert {received.dialect for received in upstream.requests} == {provider_dialect}
            assert {received.model for received in upstream.requests} == {"m"}
            assert all(gateway.local_key.encode() not in received.raw for received in upstream.requests)
        exchanges = home.ask("gateway", "exchanges", "search", "--limit", "100")["exchanges"]
    answered = [one for one in exchanges if one["outcome"] == "answered"]
    assert len(answered) >= 2
    assert {one["dialect"] for one in answered} == {way.dialect}
    assert {one["key"] for one in answered} == {"local"}


@pytest.mark.parametrize("provider_dialect", ["responses", "messages"])
def test_codex(provider_dialect, tmp_path):
    complete_a_task("codex", provider_dialect, tmp_path)


@pytest.mark.parametrize("provider_dialect", ["gemini", "chat"])
def test_gemini(provider_dialect, tmp_path):
    complete_a_task("gemini", provider_dialect, tmp_path)


@pytest.mark.clis
@pytest.mark.parametrize("provider_dialect", ["messages", "chat"])
def test_claude(provider_dialect, tmp_path):
    complete_a_task("claude", provider_dialect, tmp_path)


@pytest.mark.clis
@pytest.mark.parametrize("provider_dialect", ["chat", "messages"])
def test_opencode(provider_dialect, tmp_path):
    complete_a_task("opencode", provider_dialect, tmp_path)


@pytest.mark.soak
def test_openclaw(tmp_path):
    complete_a_task("openclaw", "chat", tmp_path)
