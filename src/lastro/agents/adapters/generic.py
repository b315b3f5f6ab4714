"""Any other command: started as it was typed. It is told where the gateway is by the names that most programs look for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from typing_extensions import override

from lastro.agents.adapters.adapter import Adapter, Launch, Said, Task, ToolInfo
from lastro.agents.adapters.finding import find_program, host_of, outermost, shown_for, toolchains
from lastro.agents.adapters.said import bounded, said
from lastro.agents.adapters.surroundings import surroundings
from lastro.errors import UsageError
from lastro.gateway.environment import KEY_VARIABLE
from lastro.messages import N_


class Generic(Adapter):
    """See ``adapter.Adapter``."""

    name = "generic"

    @override
    def probe(
        self, argv: tuple[str, ...], environment: Mapping[str, str], project: str = ""
    ) -> ToolInfo | None:
        """See ``adapter.Adapter``. The version is not asked for: who knows what the program would do."""
        _check(argv)
        host = host_of(environment, project)
        program = find_program(argv[0], host)
        if program is None:
            return None
        shown = outermost([*shown_for(program, host), *toolchains(host)])
        return ToolInfo(program=program, version="", shown=shown)

    @override
    def launch(self, task: Task, info: ToolInfo) -> Launch:
        """See ``adapter.Adapter``. Nothing is written."""
        _check(task.argv)
        asked = _gateway(task) if task.key else {}
        return Launch(command=(info.program, *task.argv[1:]), environment=surroundings(task, info, asked))

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """Every line is text."""
        text = line.rstrip(b"\r\n").decode("utf-8", "replace")
        return (said("text", text, "line"),) if text.strip() else ()

    @override
    def resume(self, task: Task, info: ToolInfo, session: str, prompt: str) -> Launch | None:
        """Nobody knows how to say anything to it."""
        return None

    @override
    def asked(self, prompt: str) -> tuple[str, ...] | None:
        """Nor to ask it for anything."""
        return None

    @override
    def prompt(self, argv: Sequence[str]) -> str:
        """The command itself."""
        return bounded(os.fsencode(" ".join(argv)).decode("utf-8", "replace"))


def _check(argv: Sequence[str]) -> None:
    if not argv or not argv[0]:
        raise UsageError(
            N_("There is nothing to run."),
            hint=N_("Say what: lastro run -- COMMAND, or lastro run --agent offline TASK."),
        )


def _gateway(task: Task) -> dict[str, str]:
    base = task.base_url.rstrip("/").removesuffix("/v1")
    return {
        KEY_VARIABLE: task.key,
        "OPENAI_BASE_URL": f"{base}/v1",
        "OPENAI_API_BASE": f"{base}/v1",
        "OPENAI_API_KEY": task.key,
        "ANTHROPIC_BASE_URL": base,
        "ANTHROPIC_AUTH_TOKEN": task.key,
        "GOOGLE_GEMINI_BASE_URL": base,
        "GEMINI_API_KEY": task.key,
    }
