"""Reading a model's answer: what it says, and which tools it asks for. Pure.

Weak models write a call into their text, in a fence or a tag, or halfway right. What always holds: whatever the answer is, this never
raises; no more than ``CALLS`` calls come of one answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lastro.agents.offline.tools import NAMES, Call

CALLS: Final = 8
_TRIES: Final = 64
_SEARCHED: Final = 100_000
_DECODER: Final = json.JSONDecoder()
_NOISE: Final = re.compile(r"```(?:json|tool_call)?|</?tool_call>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. ``message`` goes into the conversation, as Chat Completions writes it. ``written``: its calls stood in its text."""

    text: str
    calls: tuple[Call, ...]
    message: Mapping[str, Any]
    tokens_in: int = 0
    tokens_out: int = 0
    written: bool = False


def read_answer(reply: object) -> Answer | None:
    """The answer in a reply of Chat Completions; ``None``: there is none in it."""
    choice = _first(_get(reply, "choices"))
    message = _get(choice, "message")
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    calls = tuple(_structured(message.get("tool_calls")))[:CALLS]
    written = not calls
    if written:
        calls = tuple(written_calls(text))[:CALLS]
    kept: dict[str, Any] = {"role": "assistant", "content": text}
    if calls and not written:
        kept["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
            for call in calls
        ]
    usage = _get(reply, "usage")
    return Answer(
        text=text,
        calls=calls,
        message=kept,
        tokens_in=_count(_get(usage, "prompt_tokens")),
        tokens_out=_count(_get(usage, "completion_tokens")),
        written=written and bool(calls),
    )


def written_calls(text: str) -> Iterator[Call]:
    """The calls of known tools that stand in ``text`` as JSON objects."""
    text = text[:_SEARCHED]
    place = 0
    for _ in range(_TRIES):
        place = text.find("{", place)
        if place < 0:
            return
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        call = _call_in(value)
        if call is not None:
            yield call


def without_calls(text: str) -> str:
    """What is left of ``text`` to be read by a human, when its calls stood in it."""
    return _NOISE.sub("", text).strip()


def _structured(calls: object) -> Iterator[Call]:
    for place, one in enumerate(calls if isinstance(calls, list) else ()):
        function = _get(one, "function")
        name = _get(function, "name")
        if not isinstance(name, str):
            continue
        given = _get(one, "id")
        identity = given if isinstance(given, str) and given else f"call_{place}"
        yield Call(id=identity, name=name, arguments=_arguments(_get(function, "arguments")))


def _call_in(value: object) -> Call | None:
    """The call that a JSON object in a text is; several spellings are known."""
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    name = value.get("name") or value.get("tool") or value.get("function")
    if not isinstance(name, str) or name not in NAMES:
        return None
    for key in ("arguments", "parameters", "args", "input"):
        if key in value:
            return Call(name=name, arguments=_arguments(value[key]))
    rest = {key: one for key, one in value.items() if key not in {"name", "tool", "function"}}
    return Call(name=name, arguments=rest)


def _arguments(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else 0
