"""aider. Traps: it commits by itself, and writes its own files and a line of ``.gitignore`` into the project; it prints plain text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import structs
from typing_extensions import override

from lastro.agents.adapters.adapter import Launch, Said, Task, ToolInfo
from lastro.agents.adapters.said import raw, said, usage
from lastro.agents.adapters.starting import (
    Product,
    launched,
    refuse_no_task,
    refuse_word,
    settings_inside,
)
from lastro.agents.adapters.tool import ToolAdapter
from lastro.agents.adapters.versions import Known
from lastro.agents.adapters.words import Grammar, Typed, take_apart
from lastro.agents.jail.spec import HOME
from lastro.domain.paths import to_bytes
from lastro.gateway.environment import CodingTool

_PRODUCT: Final = Product(name="aider", tool=CodingTool.AIDER, known=Known(oldest=(0, 80, 0)))
_EXAMPLE: Final = 'aider --message "fix the failing test" src/calc.py'
_GRAMMAR: Final = Grammar(
    valued=frozenset(
        {
            "-m",
            "--msg",
            "--message",
            "-f",
            "--message-file",
            "--model",
            "--weak-model",
            "--editor-model",
            "--file",
        }
        | {
            "--read",
            "--edit-format",
            "--chat-mode",
            "--map-tokens",
            "--map-refresh",
            "--max-chat-history-tokens",
        }
        | {"--lint-cmd", "--test-cmd", "-c", "--config", "--env-file", "--encoding", "--timeout", "--set-env"}
        | {"--reasoning-effort", "--thinking-tokens", "--aiderignore", "--chat-language", "--commit-language"}
        | {"--input-history-file", "--chat-history-file", "--llm-history-file", "--model-settings-file"}
        | {"--model-metadata-file", "--alias", "--editor", "--editor-edit-format", "--load", "--line-endings"}
    )
)
_PROMPTS: Final = ("-m", "--msg", "--message")
_IMPOSSIBLE: Final = (
    *("-f", "--message-file", "--gui", "--browser", "--watch-files", "--apply", "--load", "--copy-paste"),
    *("-h", "--help", "--version", "--upgrade", "--update", "--install-main-branch", "--voice-input-device"),
)
_ALWAYS: Final = (
    *("--yes-always", "--no-check-update", "--no-show-release-notes", "--no-pretty", "--no-stream"),
    *(
        "--no-gitignore",
        "--no-auto-commits",
        "--no-dirty-commits",
        "--no-analytics",
        "--no-suggest-shell-commands",
    ),
    *("--no-detect-urls", "--no-fancy-input", "--no-show-model-warnings"),
)
"""What it changes is looked at as a proposal; a commit of it would only hide that from ``git diff``."""
_ENVIRONMENT: Final = {
    "AIDER_CHAT_HISTORY_FILE": f"{HOME}/.aider.chat.history.md",
    "AIDER_INPUT_HISTORY_FILE": f"{HOME}/.aider.input.history",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the net for prices
}
_TIDY: Final = (
    'had=$(ls -d .aider.tags.cache.v* 2>/dev/null); "$@"; status=$?; '
    '[ -n "$had" ] || rm -rf .aider.tags.cache.v*; exit $status'
)
"""Its cache of symbols cannot be put anywhere but into the project, where it would be proposed with the work."""
_TOKENS: Final = re.compile(r"Tokens: ([\d.]+)(k?) sent, (?:.* )?([\d.]+)(k?) received")
_EDIT: Final = re.compile(r"Applied edit to (.+)")


class Aider(ToolAdapter):
    """See ``tool.ToolAdapter``. It has no conversation that can be called by an id."""

    name = "aider"
    product = _PRODUCT
    words = ("--message",)

    @override
    def typed(self, argv: Sequence[str]) -> tuple[Typed, str]:
        """See ``tool.ToolAdapter``."""
        typed = take_apart(argv[1:], _GRAMMAR)
        for name in _IMPOSSIBLE:
            if typed.has(name):
                refuse_word(self.product.name, name, _EXAMPLE)
        prompt = typed.value(*_PROMPTS) or ""
        if not prompt:
            refuse_no_task(self.product.name, _EXAMPLE)
        return typed, prompt

    @override
    def start(self, task: Task, info: ToolInfo, typed: Typed, end: tuple[str, ...]) -> Launch:
        """See ``tool.ToolAdapter``."""
        settings = settings_inside(self.product, task)
        # Where there is no repository it would make one, and a .gitignore; it knows of none above the project, which is not shown.
        always = _ALWAYS if os.path.lexists(to_bytes(f"{task.project}/.git")) else (*_ALWAYS, "--no-git")
        own = tuple(option for option in always if not typed.has(option, option.replace("--no-", "--")))
        arguments = (*own, *typed.without(_PROMPTS).flat, *end, "--", *typed.words)
        started = launched(task, info, arguments, settings, _ENVIRONMENT)
        return structs.replace(started, command=("/bin/sh", "-c", _TIDY, "aider", *started.command))

    @override
    def asking(self, prompt: str) -> tuple[str, ...]:
        """See ``tool.ToolAdapter``."""
        return (f"--message={prompt}",)

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """See ``adapter.Adapter``."""
        text = raw(line.rstrip(b"\r\n")).text
        if not text.strip():
            return ()
        if tokens := _TOKENS.search(text):
            return (usage(_count(tokens[1], tokens[2]), _count(tokens[3], tokens[4])),)
        if edit := _EDIT.fullmatch(text):
            return (said("tool", edit[1], "edit"),)
        return (said("text", text, "line"),)


def _count(number: str, thousands: str) -> int:
    try:
        return int(float(number) * (1000 if thousands else 1))
    except (ValueError, OverflowError):
        return 0
