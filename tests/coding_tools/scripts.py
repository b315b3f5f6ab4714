"""One piece of work, done by every coding tool with its own means, because a scripted provider tells it to.

    script = SCRIPTS["claude"]
    with provider(script.answers(work)) as upstream: ...     # tests.integration.providers
    script.argv("Do it.")                                    # what a user types

The work is: a file is written by the tool's own way of editing, another is edited and a third one is deleted by its shell; then it tries to
write what is locked and what is outside the project, and to reach the network; then it says that it is done. What has to come of it is
``CHANGED``, whatever the tool.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.upstreams import Call, Received, Says, Turn

NATIVE, EDITED, DELETED, KEPT, LOCKED = "native.txt", "edited.txt", "deleted.txt", "kept.txt", "locked.txt"
PROJECT = {EDITED: "one\n", DELETED: "to be deleted\n", KEPT: "as it was\n", LOCKED: "nobody's\n"}
"""What is in the project before."""
NATIVE_CONTENT = "written by the tool itself\n"
AFTER = {NATIVE: NATIVE_CONTENT, EDITED: "one\ntwo\n", KEPT: "as it was\n", LOCKED: "nobody's\n"}
"""What is in it afterwards, as the agent sees it."""
CHANGED = (DELETED, EDITED, NATIVE)
"""In tree order."""
DONE = "All is done."


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where it is done. ``LOCKED`` in it is read-only. ``outside``: a file that must not come to be; ``port``: on the host's loopback, must
    not be reached.
    """

    project: str
    outside: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Script:
    """How one tool is made to do it. ``native`` and ``shell`` make its calls."""

    name: str
    dialect: str
    command: tuple[str, ...]
    native: Callable[[str], tuple[str, dict[str, Any]]]
    shell: Callable[[str], tuple[str, dict[str, Any]]]

    def argv(self, prompt: str) -> tuple[str, ...]:
        """What a user types."""
        return tuple(word.format(prompt=prompt) for word in self.command)

    def calls(self, work: Work) -> list[tuple[str, dict[str, Any]]]:
        """What it is told to do, one after the other."""
        return [
            self.native(work.project),
            self.shell(f"echo two >> {EDITED} && rm {DELETED}"),
            self.shell(f"echo caught > {LOCKED}; echo caught > {work.outside}"),
            self.shell(f"bash -c 'echo caught > /dev/tcp/127.0.0.1/{work.port}'"),
        ]

    def answers(self, work: Work) -> Callable[[Received], Turn]:
        """The provider's part of the conversation."""
        calls = self.calls(work)

        def answer(received: Received) -> Turn:
            body = json.loads(received.body)
            if not body.get("tools"):
                return Turn(says=Says(text="A title"))  # asked for beside the work
            done = results(received.dialect, body)
            if done >= len(calls):
                return Turn(says=Says(text=DONE))
            name, arguments = calls[done]
            call = Call(id=f"call_{done}", name=name, arguments=json.dumps(arguments))
            return Turn(says=Says(text=f"Step {done + 1}.", calls=(call,)))

        return answer


def results(dialect: str, body: Any) -> int:
    """How many results of calls a request brings."""
    if dialect == "chat":
        return sum(one["role"] == "tool" for one in body["messages"])
    if dialect == "responses":
        return sum(str(one.get("type")).endswith("_call_output") for one in body["input"])
    if dialect == "messages":
        contents = [one["content"] for one in body["messages"] if isinstance(one["content"], list)]
        return sum(part["type"] == "tool_result" for content in contents for part in content)
    found = [
        part["functionResponse"]
        for one in body["contents"]
        for part in one["parts"]
        if "functionResponse" in part
    ]
    # A conversation that Gemini CLI goes on with brings each result twice.
    return len({one.get("id") or position for position, one in enumerate(found)})


def _written(name: str, path_argument: str) -> Callable[[str], tuple[str, dict[str, Any]]]:
    return lambda project: (name, {path_argument: f"{project}/{NATIVE}", "content": NATIVE_CONTENT})


def _said(name: str, argument: str) -> Callable[[str], tuple[str, dict[str, Any]]]:
    return lambda command: (name, {argument: command, "description": "a step of the work"})


def _patched(_project: str) -> tuple[str, dict[str, Any]]:
    patch = f"*** Begin Patch\n*** Add File: {NATIVE}\n+{NATIVE_CONTENT}*** End Patch\n"
    return "exec_command", {"cmd": f"apply_patch <<'E'\n{patch}E\n"}


SCRIPTS = {
    script.name: script
    for script in (
        Script(
            name="codex",
            dialect="responses",
            command=("codex", "exec", "{prompt}"),
            native=_patched,
            shell=lambda command: ("exec_command", {"cmd": command}),
        ),
        Script(
            name="claude",
            dialect="messages",
            command=("claude", "{prompt}"),
            native=_written("Write", "file_path"),
            shell=_said("Bash", "command"),
        ),
        Script(
            name="gemini",
            dialect="gemini",
            command=("gemini", "-p", "{prompt}"),
            native=_written("write_file", "file_path"),
            shell=_said("run_shell_command", "command"),
        ),
        Script(
            name="opencode",
            dialect="chat",
            command=("opencode", "run", "{prompt}"),
            native=_written("write", "filePath"),
            shell=_said("bash", "command"),
        ),
        Script(
            name="openclaw",
            dialect="chat",
            command=("openclaw", "agent", "exec", "{prompt}"),
            native=_written("write", "path"),
            shell=_said("exec", "command"),
        ),
        Script(
            name="offline",
            dialect="chat",
            command=("offline", "{prompt}"),
            native=_written("write", "path"),
            shell=_said("run", "command"),
        ),
    )
}
