"""The small built-in agent (``lastro.agents.offline``): a loop of tools, for when there is no coding tool, or no net."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

import lastro
from lastro.agents.adapters.adapter import Adapter, Launch, Said, Task, ToolInfo
from lastro.agents.adapters.finding import host_of, outermost, toolchains
from lastro.agents.adapters.said import events_of, said, usage
from lastro.agents.adapters.starting import both, refuse_no_task
from lastro.agents.adapters.surroundings import surroundings
from lastro.agents.jail.probing import own_python
from lastro.agents.jail.spec import SYSTEM
from lastro.domain.paths import is_within
from lastro.gateway.environment import KEY_VARIABLE

_EXAMPLE: Final = '--agent offline "write a README"'
_START: Final = "from lastro.agents.offline.__main__ import main; sys.exit(main())"
_KINDS: Final = frozenset({"text", "tool", "tool_result", "error"})


class Offline(Adapter):
    """See ``adapter.Adapter``. ``argv``: its name, and the task."""

    name = "offline"

    @override
    def probe(
        self, argv: tuple[str, ...], environment: Mapping[str, str], project: str = ""
    ) -> ToolInfo | None:
        """See ``adapter.Adapter``. It is the Python of Lastro itself."""
        self.prompt(argv)
        host = host_of(environment, project)
        own = [
            sys.prefix,
            sys.base_prefix,
            os.path.realpath(sys.base_prefix),
            os.path.dirname(lastro.__file__),
        ]
        needed = [
            place
            for place in own
            if not any(is_within(place, one) for one in SYSTEM)
            and not (project and is_within(place, project))
        ]
        return ToolInfo(
            program=sys.executable,
            version=lastro.__version__,
            shown=outermost([*needed, *toolchains(host)]),
        )

    @override
    def launch(self, task: Task, info: ToolInfo) -> Launch:
        """See ``adapter.Adapter``. Nothing is written."""
        return _start(task, info, self.prompt(task.argv))

    @override
    def parse(self, line: bytes) -> Iterable[Said]:
        """See ``adapter.Adapter``."""
        return events_of(line, _understand)

    @override
    def resume(self, task: Task, info: ToolInfo, session: str, prompt: str) -> Launch | None:
        """See ``adapter.Adapter``. It remembers nothing."""
        return _start(task, info, both(self.prompt(task.argv), prompt))

    @override
    def asked(self, prompt: str) -> tuple[str, ...] | None:
        """See ``adapter.Adapter``."""
        return (self.name, prompt)

    @override
    def prompt(self, argv: Sequence[str]) -> str:
        """See ``adapter.Adapter``."""
        prompt = " ".join(argv[1:]).strip()
        if not prompt:
            refuse_no_task("offline", _EXAMPLE)
        return prompt


def _start(task: Task, info: ToolInfo, prompt: str) -> Launch:
    asked = {
        KEY_VARIABLE: task.key,
        "LASTRO_GATEWAY_URL": task.base_url,
        "LASTRO_MODEL": task.model,
        "LASTRO_PROJECT": task.project,
    }
    command = (*own_python(_START), "--", prompt)
    return Launch(command=command, environment=surroundings(task, info, asked))


def _understand(event: Mapping[str, Any]) -> Iterable[Said]:
    kind = event["type"]
    if kind in _KINDS:
        yield said(kind, event.get("text"), event.get("name") or "")
    elif kind == "usage":
        yield usage(event["in"], event["out"])
    elif kind == "done":
        yield said("text", event["text"])
