"""What coding tools print is understood as it was recorded from the real ones, and never trusted."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.adapters.registry import adapter_called
from lastro.agents.adapters.said import TEXT_LIMIT, bounded

STREAMS = os.path.join(os.path.dirname(__file__), "../../../golden/streams")
NAMES = ("aider", "claude", "codex", "gemini", "generic", "offline", "openclaw", "opencode")
RECORDED = sorted(name for name in os.listdir(STREAMS) if name.endswith(".jsonl"))


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_stream(name):
    """``NAME.said`` holds what is understood of each line; written anew with ``LASTRO_GOLDEN=1``."""
    adapter = adapter_called(name.partition("-")[0])
    with open(os.path.join(STREAMS, name), "rb") as file:
        said = [one for line in file for one in adapter.parse(line)]
    text = "".join(json.dumps([one.kind, one.name, one.text]) + "\n" for one in said)
    golden = os.path.join(STREAMS, name.removesuffix(".jsonl") + ".said")
    if os.environ.get("LASTRO_GOLDEN") == "1":
        with open(golden, "w", encoding="ascii") as file:
            file.write(text)
    with open(golden, encoding="ascii") as file:
        assert text == file.read()
    kinds = {one.kind for one in said}
    assert {"text"} <= kinds
    if adapter.name not in {"aider", "openclaw"}:
        assert {"text", "tool", "tool_result", "usage"} <= kinds
        assert "raw" not in kinds


KEYS = st.sampled_from(
    [
        "type",
        "message",
        "content",
        "item",
        "text",
        "usage",
        "error",
        "part",
        "state",
        "tokens",
        "role",
        "name",
        "input",
        "session_id",
        "thread_id",
        "sessionID",
        "stats",
        "subtype",
        "id",
        "output",
        "arguments",
        "changes",
        "tool",
        "in",
    ]
)
KINDS = st.sampled_from(
    [
        "item.completed",
        "item.started",
        "turn.completed",
        "turn.failed",
        "error",
        "assistant",
        "user",
        "result",
        "system",
        "tool_use",
        "tool_result",
        "text",
        "step_start",
        "step_finish",
        "init",
        "message",
        "command_execution",
        "done",
        "file_change",
        "agent_message",
        "thread.started",
        "usage",
        "mcp_tool_call",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
EVENTS = st.builds(
    lambda kind, rest: {**rest, "type": kind}, KINDS, st.dictionaries(KEYS, VALUES, max_size=6)
)
LINES = (
    st.binary(max_size=200)
    | EVENTS.map(lambda event: json.dumps(event).encode())
    | st.sampled_from(
        [b"[" * 100_000, b'{"a":' * 50_000, b'{"type": ' + b"9" * 5000 + b"}", b'{"type":"\\ud800"}']
    )
)


@pytest.mark.parametrize("name", NAMES)
@given(line=LINES)
def test_no_line_is_too_strange(name, line):
    for said in adapter_called(name).parse(line):
        assert said.kind in {"text", "tool", "tool_result", "usage", "session", "error", "raw"}
        assert len(said.text) <= TEXT_LIMIT
        assert len(said.name) <= 128
        (said.text + said.name).encode("utf-8")  # can be stored


@given(st.text(st.characters()) | st.integers() | st.lists(st.text(st.characters(categories=["Cs"]))))
def test_what_is_said_can_be_stored(value):
    """JSON can hold half a surrogate pair; no file can."""
    bounded(value).encode("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_long_line_is_cut(name):
    for line in (b"x" * 20_000_000, json.dumps({"type": "text", "text": "y" * 9_000_000}).encode()):
        assert all(len(said.text) <= TEXT_LIMIT for said in adapter_called(name).parse(line))
