"""OpenClaw. Traps: it needs a very new Node.js; without a state directory it forgets; it says everything at the end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

from typing_extensions import override

from lastro.agents.adapters.adapter import Launch, Said, Task, ToolInfo
from lastro.agents.adapters.said import said, understood
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
from lastro.gateway.environment import PROVIDER, CodingTool

_PRODUCT: Final = Product(
    name="OpenClaw",
    tool=CodingTool.OPENCLAW,
    known=Known(oldest=(2026, 5, 0)),
    packages=frozenset({"openclaw"}),
)
_EXAMPLE: Final = 'openclaw agent exec "fix the failing test"'
_GRAMMAR: Final = Grammar(
    valued=frozenset(
        {
            "--code-mode",
            "--config",
            "--cwd",
            "--fallback",
            "--message-file",
            "--model",
            "--state-dir",
            "--thinking",
        }
        | {"--timeout", "-m", "--message"}
    )
)
_REPLACED: Final = frozenset({"--json", "--config", "--state-dir", "--isolated", "-m", "--message"})
_IMPOSSIBLE: Final = ("--cwd", "--message-file", "-h", "--help", "-V", "--version")
_LONGEST_S: Final = "86400"
"""Its own deadline; the run has one that counts."""
_STATE: Final = f"{HOME}/.openclaw"
_LINE: Final = re.compile(rb'  (?:  )?"(sessionId|final|message)": (".*"),?')


class Openclaw(ToolAdapter):
    """See ``tool.ToolAdapter``. Its ``agent exec`` starts a conversation of its own each time."""

    name = "openclaw"
    product = _PRODUCT
    words = ("agent", "exec", "--")

    @override
    def typed(self, argv: Sequence[str]) -> tuple[Typed, str]:
        """See ``tool.ToolAdapter``."""
        typed = take_apart(argv[1:], _GRAMMAR)
        for name in _IMPOSSIBLE:
            if typed.has(name):
                refuse_word(self.product.name, name, _EXAMPLE)
        words = typed.words
        if words[:2] == ("agent", "exec"):
            words = words[2:]
        elif words[:1] == ("agent",):
            words = words[1:]
        elif words:
            refuse_word(self.product.name, words[0], _EXAMPLE)
        prompt = " ".join(words) or typed.value("-m", "--message") or ""
        if not prompt:
            refuse_no_task(self.product.name, _EXAMPLE)
        return typed.without(_REPLACED), prompt

    @override
    def start(self, task: Task, info: ToolInfo, typed: Typed, end: tuple[str, ...]) -> Launch:
        """See ``tool.ToolAdapter``."""
        settings = settings_inside(self.product, task)
        given = (
            *(() if typed.has("--model") else ("--model", f"{PROVIDER}/{task.model}")),
            *(() if typed.has("--code-mode") else ("--code-mode", "direct")),
            *(() if typed.has("--timeout") else ("--timeout", _LONGEST_S)),
        )
        arguments = (
            *("agent", "exec", "--json", "--config", f"{_STATE}/openclaw.json", "--state-dir", _STATE),
            *("--cwd", task.project, *given, *typed.flat, *end),
        )
        return launched(task, info, arguments, settings, {"OPENCLAW_STATE_DIR": _STATE})

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """See ``adapter.Adapter``."""
        return understood(line, _understand)


def _understand(line: bytes) -> Iterable[Said]:
    """One line of the JSON that it prints in the end, with an indentation of two, over many lines."""
    found = _LINE.fullmatch(line.rstrip())
    if found is None:
        return
    name, value = found[1].decode(), json.loads(found[2])
    if name == "sessionId":
        yield said("session", value)
    elif name == "final":
        yield said("text", value)
    elif name == "message":
        yield said("error", value)
