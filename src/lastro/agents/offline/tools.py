"""The tools of the offline agent: what the model is told of them, and carrying out one call of it.

What always holds: a call never raises. Whatever a model asks for, it gets an answer in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lastro.agents.offline.files import Files, RefusedError
from lastro.agents.offline.shell import LONGEST_S, USUAL_S, run_command


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that a model asked for. ``id`` is empty where it stood in a text."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""

    @property
    def text(self) -> str:
        """Its arguments as JSON."""
        return json.dumps(self.arguments, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it. ``understood``: there is such a tool, and its arguments were right."""

    text: str
    ok: bool
    understood: bool = True


_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}
_DESCRIBED: Final[tuple[tuple[str, str, dict[str, Any], tuple[str, ...]], ...]] = (
    ("list", "List the files of the project.", {"path": _TEXT}, ()),
    ("read", "Read a text file.", {"path": _TEXT, "start": _NUMBER}, ("path",)),
    ("search", "Find lines that contain a text.", {"text": _TEXT, "path": _TEXT}, ("text",)),
    (
        "edit",
        "Replace a text in a file. old must be there exactly once.",
        {"path": _TEXT, "old": _TEXT, "new": _TEXT},
        ("path", "old", "new"),
    ),
    ("write", "Write a whole file.", {"path": _TEXT, "content": _TEXT}, ("path", "content")),
    (
        "run",
        "Run a shell command in the project.",
        {"command": _TEXT, "timeout_s": _NUMBER},
        ("command",),
    ),
)
NAMES: Final = frozenset(name for name, _, _, _ in _DESCRIBED)


def described() -> list[dict[str, Any]]:
    """The tools as Chat Completions describes them."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": text,
                "parameters": {"type": "object", "properties": properties, "required": list(required)},
            },
        }
        for name, text, properties, required in _DESCRIBED
    ]


def in_words() -> str:
    """The tools for a model that can only write text."""
    lines = [
        json.dumps({"name": name, "arguments": dict.fromkeys((*required,), "...")}) + f"  {text}"
        for name, text, _, required in _DESCRIBED
    ]
    return "To use a tool, answer with one line of JSON and nothing else:\n" + "\n".join(lines)


class Tools:
    """The tools at work in one project."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.commands = 0
        """How many were run."""
        self._ways: Mapping[str, Callable[[Mapping[str, Any]], Result]] = {
            "list": lambda given: _fine(files.names(_text(given, "path", "."))),
            "read": lambda given: _fine(files.read(_text(given, "path"), _number(given, "start", 1))),
            "search": lambda given: _fine(files.search(_text(given, "text"), _text(given, "path", "."))),
            "edit": lambda given: _fine(
                files.edit(_text(given, "path"), _text(given, "old"), _text(given, "new"))
            ),
            "write": lambda given: _fine(files.write(_text(given, "path"), _text(given, "content"))),
            "run": self._run,
        }

    def carry_out(self, call: Call) -> Result:
        """Do what the model asked for."""
        way = self._ways.get(call.name)
        if way is None:
            return Result(text=f"there is no tool {call.name}", ok=False, understood=False)
        try:
            return way(call.arguments)
        except RefusedError as error:
            return Result(text=str(error), ok=False)
        except _MisfitError as error:
            return Result(text=str(error), ok=False, understood=False)
        except OSError as error:
            return Result(text=error.strerror or "it failed", ok=False)

    def _run(self, given: Mapping[str, Any]) -> Result:
        command = _text(given, "command")
        if "\0" in command or not command.strip():
            raise _MisfitError("run needs a command")
        limit = _number(given, "timeout_s", int(USUAL_S))
        self.commands += 1
        status, said = run_command(command, directory=self._files.project, timeout_s=float(limit))
        if status is None:
            return Result(text=f"{said}\n[stopped: at most {LONGEST_S:g} seconds]", ok=False)
        return Result(text=f"{said}\n[exit status {status}]", ok=status == 0)


class _MisfitError(Exception):
    """The arguments are not what the tool takes."""


def _fine(text: str) -> Result:
    return Result(text=text, ok=True)


def _text(given: Mapping[str, Any], name: str, usual: str | None = None) -> str:
    value = given.get(name, usual)
    if not isinstance(value, str):
        raise _MisfitError(f"{name} has to be a text")
    return value


def _number(given: Mapping[str, Any], name: str, usual: int) -> int:
    value = given.get(name, usual)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _MisfitError(f"{name} has to be a number")
    return min(max(value, 0), 1_000_000_000)
