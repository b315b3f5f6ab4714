"""The loop of the offline agent: ask, carry out, tell, ask again, and stop honestly.

It stops when the model has nothing more to do (``finished``), repeats itself (``repeats``), asks for nothing that makes sense
(``nonsense``), has had all its turns (``turns``), or does not answer (``model``). What always holds: it ends; its last words say whether a
file was changed, whatever the model claims.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from lastro.agents.offline.answers import Answer, read_answer, without_calls
from lastro.agents.offline.asking import RefusedByModelError
from lastro.agents.offline.files import Files
from lastro.agents.offline.tools import Call, Tools, described, in_words

TURNS: Final = 40
_SAME: Final = 3
_SENSELESS: Final = 3
_RESULT: Final = 12_000
_HISTORY: Final = 120_000
_SHORTEST: Final = 1_500
_CHARACTERS: Final = 8
"""Of a description of tools, in one token: more than any tokenizer takes."""
_WORDS: Final = 2048
"""Tokens of an answer by a model without tools: such a one may not find its end."""
_INSTRUCTIONS: Final = (
    "You work on the software project in {project}. Use the tools to read and change its files; do what you are asked and no more. "
    "When you are done, say in a few words what you changed."
)
_REASONS: Final = {
    "finished": "",
    "repeats": "It stopped: the model asked for the same again and again.",
    "nonsense": "It stopped: the model asked for nothing that can be done.",
    "turns": "It stopped: the model had all its turns.",
    "model": "It stopped: no model answered.",
}

Event = dict[str, Any]


class Asks(Protocol):
    """Who answers: ``asking.Asker``."""

    def ask(self, body: Mapping[str, Any]) -> object:
        """One reply of Chat Completions; ``RefusedByModelError``: there is none."""
        ...


@dataclass(slots=True)
class _Talk:
    """The conversation so far. ``structured``: tools are offered as such, not in words."""

    system: str
    task: str
    messages: list[Mapping[str, Any]]
    structured: bool = True
    room: int = _HISTORY

    def body(self) -> dict[str, Any]:
        """The next request: the task, and as much of the end as there is room for."""
        system = self.system if self.structured else f"{self.system}\n\n{in_words()}"
        kept: list[Mapping[str, Any]] = []
        left = self.room
        for message in reversed(self.messages):
            left -= len(str(message))
            if left < 0:
                if not kept:  # the newest is never left out whole
                    kept.append({**message, "content": f"{message['content'][: self.room]}\n[cut]"})
                break
            kept.append(message)
        while kept and kept[-1]["role"] == "tool":  # a result without its call is no conversation
            kept.pop()
        first = [{"role": "system", "content": system}, {"role": "user", "content": self.task}]
        body: dict[str, Any] = {"messages": [*first, *reversed(kept)], "stream": False}
        return {**body, "tools": described()} if self.structured else {**body, "max_tokens": _WORDS}

    def is_deaf(self, answer: Answer) -> bool:
        """Whether the model was not even shown its tools: what it read is shorter than they are. Some servers drop them in silence."""
        untouched = self.structured and not self.messages
        return untouched and 0 < answer.tokens_in < len(json.dumps(described())) // _CHARACTERS

    def give_way(self) -> bool:
        """Ask for less after a refusal; false: there is nothing less to ask for."""
        if self.structured:
            self.structured = False
            self.messages = [_plain(message) for message in self.messages]
            return True
        self.room //= 4
        return self.room >= _SHORTEST


def work(task: str, *, files: Files, asker: Asks, emit: Callable[[Event], None], turns: int = TURNS) -> str:
    """Work on ``task`` and tell of it by ``emit``. Returns why it stopped (see the module)."""
    tools = Tools(files)
    worker = _Worker(asker, tools, emit)
    try:
        reason = worker.take_turns(_Talk(_INSTRUCTIONS.format(project=files.project), task, []), turns)
    except RefusedByModelError as error:
        emit({"type": "error", "text": str(error)})
        reason = "model"
    emit(
        {
            "type": "done",
            "reason": reason,
            "changed": sorted(files.changed),
            "text": last_words(reason, files.changed, tools.commands),
        }
    )
    return reason


def last_words(reason: str, changed: Collection[str], commands: int) -> str:
    """What is true in the end, whatever the model said."""
    if changed:
        fact = f"Files written: {len(changed)}."
    elif commands:
        fact = "No file was written but by the commands that it ran, if at all."
    else:
        fact = "Nothing was changed."
    return f"{_REASONS[reason]} {fact}".strip()


class _Worker:
    """One piece of work."""

    def __init__(self, asker: Asks, tools: Tools, emit: Callable[[Event], None]) -> None:
        self._asker, self._tools, self._emit = asker, tools, emit
        self._asked: Counter[tuple[str, str, str]] = Counter()
        self._senseless = 0

    def take_turns(self, talk: _Talk, turns: int) -> str:
        """Go on until there is a reason to stop.

        Raises:
            RefusedByModelError: no model answers.
        """
        for _ in range(turns):
            answer = self._ask(talk)
            words = without_calls(answer.text) if answer.written else answer.text
            if words.strip() and not answer.written:
                self._emit({"type": "text", "text": words})
            if not answer.calls and talk.is_deaf(answer):
                talk.give_way()
                continue
            if not answer.calls:
                return "finished" if words.strip() else "nonsense"
            talk.messages.append(answer.message)
            for call in answer.calls:
                talk.messages.append(self._carry_out(call))
            if self._senseless >= _SENSELESS:
                return "nonsense"
            if any(count >= _SAME for count in self._asked.values()):
                return "repeats"
        return "turns"

    def _ask(self, talk: _Talk) -> Answer:
        while True:
            try:
                reply = self._asker.ask(talk.body())
            except RefusedByModelError as error:
                # Refused as it is: too long, or a model without tools. A spent budget or a wrong key stays what it is.
                if error.status not in {400, 404, 413, 422} or not talk.give_way():
                    raise
                continue
            answer = read_answer(reply)
            if answer is None:
                raise RefusedByModelError(200, "the answer of the model cannot be read")
            self._emit({"type": "usage", "in": answer.tokens_in, "out": answer.tokens_out})
            return answer

    def _carry_out(self, call: Call) -> Mapping[str, Any]:
        """Do it, and put its result into words for the model."""
        self._emit({"type": "tool", "name": call.name, "text": call.text})
        result = self._tools.carry_out(call)
        self._emit({"type": "tool_result", "name": call.name, "text": result.text, "ok": result.ok})
        # The same call with the same result: nothing is learnt from it. (A test that is run again after an edit has another.)
        self._asked[call.name, call.text, result.text] += 1
        self._senseless = 0 if result.understood else self._senseless + 1
        text = result.text[:_RESULT]
        if call.id:
            return {"role": "tool", "tool_call_id": call.id, "content": text}
        return {"role": "user", "content": f"Result of {call.name}:\n{text}"}


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message of a conversation with tools, for one without."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"Result:\n{message['content']}"}
    calls = message.get("tool_calls") or ()
    written = "\n".join(str(call["function"]["arguments"]) for call in calls)
    return {"role": message["role"], "content": f"{message['content']}\n{written}".strip()}
