"""Requests of Anthropic Messages, written.

What always holds: what is left out is named by a ``Loss``, and what this interface is known to refuse is not sent to it: an effort or a
budget for thinking (models differ), thoughts that it did not sign, texts of nothing but white space, ``top_p`` beside ``temperature``.
Results of tools stand first in their turn.

A request must say how much may be answered here: where the conversation does not, it is ``DEFAULT_MAX_TOKENS``, as much as every current
model gives; whoever knows the model better sets ``Conversation.max_tokens`` before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.fields import json_object, unspeakable
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    Image,
    Loss,
    Part,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)

DEFAULT_MAX_TOKENS: Final = 32_000

_Json = dict[str, object]


def encode_request(conversation: Conversation) -> tuple[bytes, list[Loss]]:
    """The request's body, and the settings that this dialect cannot say."""
    writer = RequestWriter()
    body = writer.write(conversation)
    return msgspec.json.encode(body), [Loss(what=what, dialect=Dialect.MESSAGES) for what in writer.losses]


class RequestWriter:
    """Writes one request."""

    def __init__(self) -> None:
        self.losses: list[str] = []

    def write(self, conversation: Conversation) -> Mapping[str, object]:
        """The body."""
        limit = conversation.max_tokens
        body: _Json = {
            "model": conversation.model,
            "max_tokens": DEFAULT_MAX_TOKENS if limit is None else limit,
        }
        system = [self._text(text, f"system.{at}") for at, text in enumerate(conversation.system)]
        if any(system):
            body["system"] = [block for block in system if block]
        turns = [self._turn(turn, f"turns.{at}") for at, turn in enumerate(conversation.turns)]
        body["messages"] = [turn for turn in turns if turn["content"]]
        body |= self._tools(conversation)
        body |= self._settings(conversation)
        return body

    def _settings(self, conversation: Conversation) -> _Json:
        self.losses += ["seed"] * (conversation.seed is not None)
        self.losses += ["reasoning_effort"] * bool(conversation.reasoning_effort)
        temperature, top_p = conversation.temperature, conversation.top_p
        if temperature is not None and temperature > 1:
            self.losses.append("temperature")
            temperature = 1.0
        if temperature is not None and top_p is not None:
            self.losses.append("top_p")
            top_p = None
        stop = [text for text in conversation.stop if text.strip()]
        if len(stop) < len(conversation.stop):
            self.losses.append("stop")
        said: _Json = {
            "temperature": temperature,
            "top_p": top_p,
            "top_k": conversation.top_k,
            "stop_sequences": stop or None,
            "output_config": self._output_config(conversation),
            "stream": conversation.stream or None,
        }
        return {key: value for key, value in said.items() if value is not None}

    def _output_config(self, conversation: Conversation) -> _Json | None:
        form = conversation.output_format
        if form is None:
            return None
        if not form.schema:
            self.losses.append("output_format")
            return None
        if form.name:
            self.losses.append("output_format.name")
        if form.strict is False:
            self.losses.append("output_format.strict")
        return {"format": {"type": "json_schema", "schema": Raw(form.schema.encode())}}

    def _tools(self, conversation: Conversation) -> _Json:
        choice, parallel = conversation.tool_choice, conversation.parallel_tool_calls
        if not conversation.tools:
            self.losses += ["tool_choice"] * (choice is not None)
            self.losses += ["parallel_tool_calls"] * (parallel is not None)
            return {}
        body: _Json = {"tools": [self._tool(tool, at) for at, tool in enumerate(conversation.tools)]}
        if choice is None and parallel is None:
            return body
        written: _Json = {"type": "auto" if choice is None else choice.mode}
        if choice is not None and choice.mode == "tool":
            written["name"] = choice.name
        if parallel is not None and written["type"] != "none":
            written["disable_parallel_tool_use"] = not parallel
        return body | {"tool_choice": written}

    def _tool(self, tool: Tool, at: int) -> _Json:
        if tool.strict:
            self.losses.append(f"tools.{at}.strict")
        written: _Json = {"name": tool.name}
        if tool.description:
            written["description"] = tool.description
        return written | {"input_schema": Raw(tool.parameters.encode())}

    def _turn(self, turn: Turn, where: str) -> _Json:
        order = sorted(enumerate(turn.parts), key=lambda pair: not isinstance(pair[1], ToolResult))
        blocks = [self._part(part, turn.role, f"{where}.parts.{at}") for at, part in order]
        return {"role": turn.role, "content": [block for block in blocks if block]}

    def _part(self, part: Part, role: str, where: str) -> _Json:
        allowed = Text | Image | ToolResult if role == "user" else Text | Thinking | ToolCall
        if not isinstance(part, allowed):
            raise unspeakable(where, Dialect.MESSAGES)
        match part:
            case Text():
                return self._text(part, where)
            case Image():
                return _image(part)
            case Thinking():
                return self._thinking(part, where)
            case ToolCall():
                return self._call(part, where)
            case _:
                return self._result(part, where)

    def _text(self, part: Text, where: str) -> _Json:
        if not part.text.strip():
            self.losses.append(where)
            return {}
        return {"type": "text", "text": part.text}

    def _thinking(self, part: Thinking, where: str) -> _Json:
        if part.of is not Dialect.MESSAGES or not part.signature:
            self.losses.append(where)
            return {}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}

    def _call(self, part: ToolCall, where: str) -> _Json:
        arguments = json_object(part.arguments)
        if arguments is None:
            raise unspeakable(f"{where}.arguments", Dialect.MESSAGES)
        if part.signature:
            self.losses.append(f"{where}.signature")
        return {"type": "tool_use", "id": _call_id(part.id), "name": part.name, "input": arguments}

    def _result(self, part: ToolResult, where: str) -> _Json:
        blocks: list[_Json] = []
        for at, piece in enumerate(part.content):
            block = self._text(piece, f"{where}.{at}") if isinstance(piece, Text) else _image(piece)
            if block:
                blocks.append(block)
        written: _Json = {"type": "tool_result", "tool_use_id": _call_id(part.id)}
        if blocks:
            written["content"] = blocks
        if part.failed:
            written["is_error"] = True
        return written


def _call_id(said: str) -> str:
    """An id that this interface takes, for a call and its result alike: some models make ones with dots and colons."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", said)


def _image(image: Image) -> _Json:
    source = {"type": "url", "url": image.url}
    if image.data:
        source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}
