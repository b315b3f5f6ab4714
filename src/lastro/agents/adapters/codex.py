"""Codex CLI. Traps: its own sandbox fails inside another and then changes nothing while it says it is done; a home below a temporary
directory loses ``apply_patch``; it waits for standard input unless that is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from lastro.agents.adapters.adapter import Launch, Said, Task, ToolInfo
from lastro.agents.adapters.said import events_of, said, usage
from lastro.agents.adapters.starting import (
    Product,
    launched,
    refuse_earlier,
    refuse_no_task,
    refuse_word,
    settings_inside,
)
from lastro.agents.adapters.tool import ToolAdapter
from lastro.agents.adapters.versions import Known
from lastro.agents.adapters.words import Grammar, Typed, take_apart
from lastro.agents.jail.spec import HOME
from lastro.gateway.environment import CodingTool, FileForm, FileSettings

_PRODUCT: Final = Product(
    name="Codex",
    tool=CodingTool.CODEX,
    known=Known(oldest=(0, 100, 0)),
    packages=frozenset({"@openai/codex"}),
)
_EXAMPLE: Final = 'codex exec "fix the failing test"'
_GRAMMAR: Final = Grammar(
    valued=frozenset(
        {
            "-c",
            "--config",
            "--enable",
            "--disable",
            "-m",
            "--model",
            "--local-provider",
            "-p",
            "--profile",
            "-s",
        }
        | {
            "--sandbox",
            "-C",
            "--cd",
            "--add-dir",
            "--thread-source",
            "--cyber-access-program",
            "--output-schema",
        }
        | {"--color", "-o", "--output-last-message", "-a", "--ask-for-approval", "--remote"}
        | {"--remote-auth-token-env"}
    ),
    greedy=frozenset({"-i", "--image"}),
)
_REPLACED: Final = frozenset(
    {
        "-s",
        "--sandbox",
        "-a",
        "--ask-for-approval",
        "--full-auto",
        "--approve-for-me",
        "--yolo",
        "--json",
        "--color",
    }
    | {
        "--dangerously-bypass-approvals-and-sandbox",
        "--skip-git-repo-check",
        "--no-alt-screen",
        "--no-daemon",
    }
)
"""Its sandbox and its questions are ours here; and what stands in ``_ALWAYS`` must not stand twice."""
_ALWAYS: Final = ("--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
_COMMANDS: Final = frozenset(
    {"agents", "app-server", "apply", "a", "archive", "cloud", "completion", "debug", "delete", "doctor"}
    | {"exec-server", "features", "help", "login", "logout", "mcp", "mcp-server", "plugin", "proto", "queue"}
    | {"remote-control", "sandbox", "unarchive", "update"}
)
_SETTINGS: Final = FileSettings(
    path=f"{HOME}/.codex/config.toml",
    form=FileForm.TOML,
    values={
        "check_for_update_on_startup": False,
        "analytics": {"enabled": False},
        "feedback": {"enabled": False},
        "cli_auth_credentials_store": "file",
    },
)


class Codex(ToolAdapter):
    """See ``tool.ToolAdapter``."""

    name = "codex"
    product = _PRODUCT
    words = ("exec", "--")

    @override
    def typed(self, argv: Sequence[str]) -> tuple[Typed, str]:
        """See ``tool.ToolAdapter``."""
        typed = take_apart(argv[1:], _GRAMMAR)
        words = typed.words
        if words[:1] in {("exec",), ("e",)}:
            words = words[1:]
        elif words and words[0] in _COMMANDS:
            refuse_word(self.product.name, words[0], _EXAMPLE)
        if words and words[0] in {"resume", "fork"}:
            refuse_earlier(self.product.name, words[0])
        prompt = " ".join(words)
        if prompt in {"", "-", "review"}:
            refuse_no_task(self.product.name, _EXAMPLE)
        for name in ("-h", "--help", "-V", "--version"):
            if typed.has(name):
                refuse_word(self.product.name, name, _EXAMPLE)
        return typed.without(_REPLACED), prompt

    @override
    def start(self, task: Task, info: ToolInfo, typed: Typed, end: tuple[str, ...]) -> Launch:
        """See ``tool.ToolAdapter``."""
        settings = settings_inside(self.product, task, _SETTINGS)
        arguments = ("exec", *_ALWAYS, *typed.flat, *end)
        return launched(task, info, arguments, settings, {"CODEX_HOME": f"{HOME}/.codex"})

    @override
    def going_on(self, session: str, prompt: str) -> tuple[str, ...]:
        """See ``tool.ToolAdapter``."""
        return ("resume", session, "--", prompt)

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """See ``adapter.Adapter``."""
        return events_of(line, _understand)


def _understand(event: Mapping[str, Any]) -> Iterable[Said]:
    kind = event["type"]
    if kind == "thread.started":
        yield said("session", event["thread_id"])
    elif kind == "turn.completed":
        used = event["usage"]
        yield usage(used["input_tokens"], used["output_tokens"])
    elif kind == "turn.failed":
        yield said("error", event["error"]["message"])
    elif kind == "error":
        yield said("error", event["message"])
    elif kind in {"item.started", "item.completed"}:
        yield from _item(event["item"], done=kind == "item.completed")


def _item(item: Mapping[str, Any], *, done: bool) -> Iterable[Said]:
    kind = item["type"]
    if kind == "command_execution":
        yield (
            said("tool_result", item["aggregated_output"], "shell")
            if done
            else said("tool", item["command"], "shell")
        )
    elif not done:
        return
    elif kind == "agent_message":
        yield said("text", item["text"])
    elif kind == "file_change":
        changes = "\n".join(f"{change['kind']} {change['path']}" for change in item["changes"])
        yield said("tool", changes, "edit")
    elif kind == "mcp_tool_call":
        yield said("tool", item.get("arguments"), item["tool"])
    elif kind == "error":
        yield said("error", item["message"])
