"""Gemini CLI. Traps: without ``yolo`` it does not even offer its tools, and reports success; an untrusted folder makes it ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from lastro.agents.adapters.adapter import Launch, Said, Task, ToolInfo
from lastro.agents.adapters.said import events_of, said, usage
from lastro.agents.adapters.starting import (
    Product,
    launched,
    refuse_no_task,
    refuse_options,
    refuse_word,
    settings_inside,
)
from lastro.agents.adapters.tool import ToolAdapter
from lastro.agents.adapters.versions import Known
from lastro.agents.adapters.words import Grammar, Typed, take_apart
from lastro.agents.jail.spec import HOME
from lastro.gateway.environment import CodingTool, FileForm, FileSettings

_PRODUCT: Final = Product(
    name="Gemini CLI",
    tool=CodingTool.GEMINI,
    known=Known(oldest=(0, 40, 0)),
    packages=frozenset({"@google/gemini-cli"}),
)
_EXAMPLE: Final = 'gemini -p "fix the failing test"'
_GRAMMAR: Final = Grammar(
    valued=frozenset(
        {"-m", "--model", "-p", "--prompt", "-i", "--prompt-interactive", "--approval-mode", "-o"}
        | {"--output-format", "--session-id", "--session-file", "--delete-session"}
    ),
    greedy=frozenset(
        {"--policy", "--admin-policy", "--allowed-mcp-server-names", "--allowed-tools", "-e", "--extensions"}
        | {"--include-directories"}
    ),
    maybe=frozenset({"-r", "--resume", "-w", "--worktree"}),
)
_PROMPTS: Final = ("-p", "--prompt", "-i", "--prompt-interactive")
_REPLACED: Final = frozenset(
    {*_PROMPTS, "-o", "--output-format", "--approval-mode", "-y", "--yolo", "-s", "--sandbox", "--skip-trust"}
    | {"--raw-output", "--accept-raw-output-risk"}
)
_EARLIER: Final = ("-r", "--resume", "--session-file", "--list-sessions", "--delete-session")
_IMPOSSIBLE: Final = (
    *("--acp", "--experimental-acp", "-w", "--worktree", "-l", "--list-extensions"),
    *("-h", "--help", "-v", "--version"),
)
_COMMANDS: Final = frozenset({"mcp", "extensions", "extension", "skills", "skill", "hooks", "hook", "gemma"})
_SETTINGS: Final = FileSettings(
    path=f"{HOME}/.gemini/settings.json",
    form=FileForm.JSON,
    values={
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
    },
)
_ENVIRONMENT: Final = {
    "GEMINI_SANDBOX": "false",
    "TERM": "xterm-256color",
    "COLORTERM": "truecolor",
}  # it complains of less


class Gemini(ToolAdapter):
    """See ``tool.ToolAdapter``."""

    name = "gemini"
    product = _PRODUCT
    words = ("-p",)

    @override
    def typed(self, argv: Sequence[str]) -> tuple[Typed, str]:
        """See ``tool.ToolAdapter``."""
        typed = take_apart(argv[1:], _GRAMMAR)
        refuse_options(self.product.name, typed, earlier=_EARLIER, impossible=_IMPOSSIBLE, example=_EXAMPLE)
        if typed.words and typed.words[0] in _COMMANDS:
            refuse_word(self.product.name, typed.words[0], _EXAMPLE)
        given = typed.value(*_PROMPTS)
        prompt = " ".join(typed.words) if given is None else given
        if not prompt:
            refuse_no_task(self.product.name, _EXAMPLE)
        return typed.without(_REPLACED), prompt

    @override
    def start(self, task: Task, info: ToolInfo, typed: Typed, end: tuple[str, ...]) -> Launch:
        """See ``tool.ToolAdapter``."""
        settings = settings_inside(self.product, task, _SETTINGS)
        arguments = (
            "--output-format",
            "stream-json",
            "--approval-mode",
            "yolo",
            "--skip-trust",
            *typed.flat,
            *end,
        )
        return launched(task, info, arguments, settings, _ENVIRONMENT)

    @override
    def asking(self, prompt: str) -> tuple[str, ...]:
        """See ``tool.ToolAdapter``."""
        return (f"--prompt={prompt}",)

    @override
    def going_on(self, session: str, prompt: str) -> tuple[str, ...]:
        """See ``tool.ToolAdapter``."""
        return ("--resume", session, f"--prompt={prompt}")

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """See ``adapter.Adapter``."""
        return events_of(line, _understand)


def _understand(event: Mapping[str, Any]) -> Iterable[Said]:
    kind = event["type"]
    if kind == "init":
        yield said("session", event["session_id"])
    elif kind == "message":
        if event["role"] == "assistant":
            yield said("text", event["content"], "delta" if event.get("delta") else "")
    elif kind == "tool_use":
        yield said("tool", event["parameters"], event["tool_name"])
    elif kind == "tool_result":
        result = event.get("output") or event.get("error")
        yield said("tool_result", result, event.get("status"))
    elif kind == "error":
        yield said("error", event["message"])
    elif kind == "result":
        used = event["stats"]
        yield usage(used.get("input_tokens"), used.get("output_tokens"))
        if event.get("status") == "error":
            yield said("error", event.get("error"))
