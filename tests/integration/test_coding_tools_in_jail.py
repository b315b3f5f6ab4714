"""The real coding tools do their work in a real jail: what they changed is exactly what they were told to, found in the layer and not in
what they say; the live project stays as it was; what is locked, what is outside and the network cannot be reached.

Each is driven through its adapter, from what a user types to what is understood of what it prints. Its model calls go through a real
gateway, which a scripted provider answers. Gemini CLI, Codex and the built-in agent run in ``make test``, Claude Code and opencode in
``make test-clis``, OpenClaw in ``make soak``.
"""

from __future__ import annotations

import json
import os

import pytest

from lastro.domain.run import EndCause
from tests.coding_tools import scratch_home
from tests.coding_tools.jailed import AGAIN, PROMPT, Jailed, jailed
from tests.coding_tools.scripts import AFTER, CHANGED, DELETED, DONE, PROJECT
from tests.integration.commands import Home
from tests.offline_model import MODEL, kept_models

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("bubblewrap", "overlays")]


def do_the_work(name: str, *, view: str = "overlay", keeps_session: bool = True) -> None:
    with scratch_home() as place, jailed(name, place, view=view) as tool:
        outcome = tool.launch()
        assert outcome.end.cause is EndCause.EXITED, outcome
        assert outcome.end.status == 0, outcome
        assert DONE in outcome.text, outcome
        check_the_layer(tool)
        assert not os.path.exists(tool.work.outside)
        assert not tool.is_reached()
        check_the_calls(tool)
        if keeps_session:
            go_on(tool, outcome.session)


def check_the_layer(tool: Jailed) -> None:
    assert tuple(tool.layer.changed()) == CHANGED
    seen = tool.seen()
    assert {name: AFTER[name] for name in seen} == seen
    assert DELETED not in seen
    assert tool.live() == PROJECT


def check_the_calls(tool: Jailed) -> None:
    """Every step asked the model once more, in the tool's own dialect and as nobody but the run."""
    asked = [json.loads(received.body) for received in tool.upstream.requests]
    assert sum(bool(body.get("tools")) for body in asked) == len(tool.script.calls(tool.work)) + 1
    assert {received.dialect for received in tool.upstream.requests} == {tool.script.dialect}
    assert all(tool.task.key.encode() not in received.raw for received in tool.upstream.requests)
    assert all(tool.task.key.encode() not in content for content in files_below(tool.task.home))


def go_on(tool: Jailed, session: str) -> None:
    """The conversation is there again, with what is said now."""
    before = len(tool.upstream.requests)
    outcome = tool.resume(session)
    assert outcome.end.status == 0, outcome
    assert outcome.session == session
    body = tool.upstream.requests[before].body.decode()
    assert PROMPT in body
    assert AGAIN in body
    assert tuple(tool.layer.changed()) == CHANGED


def files_below(place: str) -> list[bytes]:
    found = []
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    found.append(file.read())
    return found


def test_the_built_in_agent():
    do_the_work("offline", keeps_session=False)


def test_the_built_in_agent_on_a_copy():
    do_the_work("offline", view="copy", keeps_session=False)


@pytest.mark.needs("offline-model")
def test_the_built_in_agent_with_the_smallest_real_model():
    """It proves the way and no more: what such a model says is not believed, and the last words tell whether a file was written."""

    def model(home: Home) -> None:
        weights = kept_models().weights(MODEL)
        assert home.run("gateway", "models", "import", weights, "--name", MODEL).code == 0

    with scratch_home() as place, jailed("offline", place, model=model) as tool:
        outcome = tool.launch()
        assert outcome.end.cause is EndCause.EXITED, outcome
        last = json.loads(outcome.stdout.splitlines()[-1])
        assert last["type"] == "done"
        written = set(last["changed"])
        assert ("Files written" in last["text"]) == bool(written)
        assert written <= set(tool.seen())
        assert any(said.kind == "usage" for said in outcome.said)
        assert tool.live() == PROJECT
        assert not tool.upstream.requests


def test_codex():
    do_the_work("codex")


def test_gemini():
    do_the_work("gemini")


@pytest.mark.clis
def test_claude():
    do_the_work("claude")


@pytest.mark.clis
def test_opencode():
    do_the_work("opencode")


@pytest.mark.soak
def test_openclaw():
    do_the_work("openclaw", keeps_session=False)
