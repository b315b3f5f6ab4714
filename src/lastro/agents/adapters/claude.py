"""Claude Code. Trap: as root it refuses to work without asking unless ``IS_SANDBOX`` is set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import structs
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
from lastro.gateway.environment import CodingTool

_PRODUCT: Final = Product(
    name="Claude Code",
    tool=CodingTool.CLAUDE,
    known=Known(oldest=(2, 0, 0)),
    packages=frozenset({"@anthropic-ai/claude-code"}),
)
_EXAMPLE: Final = 'claude -p "fix the failing test"'
_GRAMMAR: Final = Grammar(
    valued=frozenset(
        {"--agent", "--agents", "--append-system-prompt", "--append-system-prompt-file", "--autocompact"}
        | {"--debug-file", "--effort", "--environment", "--fallback-model", "--input-format", "--json-schema"}
        | {
            "--max-budget-usd",
            "--max-turns",
            "--model",
            "-n",
            "--name",
            "--output-format",
            "--permission-mode",
        }
        | {"--permission-prompt-tool", "--permission-prompts", "--plugin-dir", "--plugin-url", "--session-id"}
        | {"--setting-sources", "--settings", "--system-prompt", "--system-prompt-file"}
        | {"--system-prompt-snapshot", "--remote-control-session-name-prefix"}
    ),
    greedy=frozenset(
        {
            "--add-dir",
            "--allowedTools",
            "--allowed-tools",
            "--betas",
            "--disallowedTools",
            "--disallowed-tools",
        }
        | {"--file", "--mcp-config", "--tools"}
    ),
    maybe=frozenset(
        {"-r", "--resume", "--from-pr", "-w", "--worktree", "--teleport", "--cloud", "-d", "--debug"}
    ),
)
_REPLACED: Final = frozenset(
    {"-p", "--print", "--output-format", "--input-format", "--verbose", "--dangerously-skip-permissions"}
    | {"--allow-dangerously-skip-permissions", "--strict-mcp-config", "--permission-prompts", "--ide"}
)
_ALWAYS: Final = (
    *("-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config"),
    "--dangerously-skip-permissions",
)
_EARLIER: Final = ("-c", "--continue", "-r", "--resume", "--from-pr", "--teleport", "--fork-session")
_IMPOSSIBLE: Final = (
    *(
        "--bg",
        "--background",
        "--chrome",
        "--cloud",
        "--desktop",
        "--environment",
        "--remote-control",
        "--tmux",
    ),
    *("-w", "--worktree", "-h", "--help", "-v", "--version"),
)
_COMMANDS: Final = frozenset(
    {
        "agents",
        "attach",
        "auth",
        "auto-mode",
        "config",
        "doctor",
        "gateway",
        "import",
        "install",
        "logs",
        "mcp",
    }
    | {"plugin", "plugins", "purge", "respawn", "rm", "setup-token", "stop", "kill", "ultrareview", "update"}
    | {"upgrade"}
)
_ENVIRONMENT: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "IS_SANDBOX": "1",
}


class Claude(ToolAdapter):
    """See ``tool.ToolAdapter``."""

    name = "claude"
    product = _PRODUCT
    words = ("-p", "--")

    @override
    def typed(self, argv: Sequence[str]) -> tuple[Typed, str]:
        """See ``tool.ToolAdapter``."""
        typed = take_apart(argv[1:], _GRAMMAR)
        refuse_options(self.product.name, typed, earlier=_EARLIER, impossible=_IMPOSSIBLE, example=_EXAMPLE)
        if typed.words and typed.words[0] in _COMMANDS and not typed.has("-p", "--print"):
            refuse_word(self.product.name, typed.words[0], _EXAMPLE)
        prompt = " ".join(typed.words)
        if not prompt:
            refuse_no_task(self.product.name, _EXAMPLE)
        # A mode in which it plans only is the user's own wish; any other would leave it asking, and nobody answers.
        if typed.value("--permission-mode") != "plan":
            typed = typed.without({"--permission-mode"})
        return typed.without(_REPLACED), prompt

    @override
    def start(self, task: Task, info: ToolInfo, typed: Typed, end: tuple[str, ...]) -> Launch:
        """See ``tool.ToolAdapter``."""
        settings = settings_inside(self.product, task)
        # Everything is in the environment: a file would only be one more thing that an agent of an earlier run can have changed.
        settings = structs.replace(settings, files=())
        always = _ALWAYS[:-1] if typed.has("--permission-mode") else _ALWAYS
        return launched(task, info, (*always, *typed.flat, *end), settings, _ENVIRONMENT)

    @override
    def going_on(self, session: str, prompt: str) -> tuple[str, ...]:
        """See ``tool.ToolAdapter``."""
        return ("--resume", session, "--", prompt)

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """See ``adapter.Adapter``."""
        return events_of(line, _understand)


def _understand(event: Mapping[str, Any]) -> Iterable[Said]:
    kind = event["type"]
    if kind == "system":
        if event.get("subtype") == "init":
            yield said("session", event["session_id"])
    elif kind in {"assistant", "user"}:
        content = event["message"]["content"]
        for block in content if isinstance(content, list) else ():
            yield from _block(block)
    elif kind == "result":
        used = event["usage"]
        read = sum(
            used.get(name) or 0
            for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        )
        yield usage(read, used["output_tokens"])
        if event.get("is_error"):
            yield said("error", event.get("result") or event.get("subtype"))


def _block(block: Mapping[str, Any]) -> Iterable[Said]:
    kind = block["type"]
    if kind == "text":
        yield said("text", block["text"])
    elif kind == "tool_use":
        yield said("tool", block["input"], block["name"])
    elif kind == "tool_result":
        content = block.get("content")
        if isinstance(content, list):
            content = "\n".join(part["text"] for part in content if part.get("type") == "text")
        yield said("tool_result", content)
