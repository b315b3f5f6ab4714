"""opencode. Traps: it asks for updates, models and plugins over the net when it starts; its own snapshots can fill a disk."""

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
from lastro.gateway.environment import PROVIDER, CodingTool, FileForm, FileSettings

_PRODUCT: Final = Product(
    name="opencode",
    tool=CodingTool.OPENCODE,
    known=Known(oldest=(1, 15, 0)),
    packages=frozenset({"opencode-ai", "opencode-linux-x64", "opencode-linux-arm64"}),
)
_EXAMPLE: Final = 'opencode run "fix the failing test"'
_GRAMMAR: Final = Grammar(
    valued=frozenset(
        {"--log-level", "--command", "-s", "--session", "-m", "--model", "--agent", "--format", "--title"}
        | {"--attach", "-p", "--password", "-u", "--username", "--dir", "--port", "--variant", "--prompt"}
        | {"--hostname", "--mdns-domain", "--replay-limit"}
    ),
    greedy=frozenset({"-f", "--file", "--cors"}),
)
_REPLACED: Final = frozenset(
    {"--format", "--auto", "--share", "--port", "--prompt", "--print-logs", "--log-level"}
)
_EARLIER: Final = ("-c", "--continue", "-s", "--session", "--fork")
_IMPOSSIBLE: Final = (
    "--attach",
    "-p",
    "--password",
    "-i",
    "--interactive",
    "-h",
    "--help",
    "-v",
    "--version",
)
_SETTINGS: Final = FileSettings(
    path=f"{HOME}/.config/opencode/opencode.json",
    form=FileForm.JSON,
    values={"autoupdate": False, "share": "disabled", "snapshot": False, "permission": "allow"},
)
_ENVIRONMENT: Final = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
}


class Opencode(ToolAdapter):
    """See ``tool.ToolAdapter``."""

    name = "opencode"
    product = _PRODUCT
    words = ("run", "--")

    @override
    def typed(self, argv: Sequence[str]) -> tuple[Typed, str]:
        """See ``tool.ToolAdapter``."""
        typed = take_apart(argv[1:], _GRAMMAR)
        refuse_options(self.product.name, typed, earlier=_EARLIER, impossible=_IMPOSSIBLE, example=_EXAMPLE)
        if typed.words[:1] == ("run",):
            prompt = " ".join(typed.words[1:])
        elif typed.words:  # a folder to open its own screen in, or another command
            refuse_word(self.product.name, typed.words[0], _EXAMPLE)
        else:
            prompt = typed.value("--prompt") or ""
        if not prompt and not typed.has("--command"):
            refuse_no_task(self.product.name, _EXAMPLE)
        return typed.without(_REPLACED), prompt

    @override
    def start(self, task: Task, info: ToolInfo, typed: Typed, end: tuple[str, ...]) -> Launch:
        """See ``tool.ToolAdapter``."""
        settings = settings_inside(self.product, task, _SETTINGS)
        model = () if typed.has("-m", "--model") else ("--model", f"{PROVIDER}/{task.model}")
        arguments = ("run", "--format", "json", "--auto", *model, *typed.flat, *end)
        return launched(task, info, arguments, settings, _ENVIRONMENT)

    @override
    def going_on(self, session: str, prompt: str) -> tuple[str, ...]:
        """See ``tool.ToolAdapter``."""
        return ("--session", session, "--", prompt)

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """See ``adapter.Adapter``."""
        return events_of(line, _understand)


def _understand(event: Mapping[str, Any]) -> Iterable[Said]:
    kind = event["type"]
    if kind == "step_start":
        yield said("session", event["sessionID"])
    elif kind == "text":
        yield said("text", event["part"]["text"])
    elif kind == "tool_use":
        part = event["part"]
        state = part["state"]
        yield said("tool", state["input"], part["tool"])
        yield said("tool_result", state.get("output") or state.get("error"), part["tool"])
    elif kind == "step_finish":
        used = event["part"]["tokens"]
        yield usage(used["input"], used["output"])
    elif kind == "error":
        yield said("error", event["error"])
