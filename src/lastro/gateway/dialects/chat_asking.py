"""Requests of OpenAI Chat Completions, written so that the many servers that imitate it understand them too.

What always holds: what is left out is named by a ``Loss``. Texts of one message are one string, since many servers take nothing else; a
picture in a result of a tool follows in a message of the user, since a result holds only words here. ``max_tokens`` is said in the way
that all know, but to OpenAI's models that refuse it. Thoughts are given back (``reasoning_content``) only where their turn calls
tools and no other dialect has signed them: those who think aloud here want them back there, and the others do not know the word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.data_urls import url_of_image
from lastro.gateway.dialects.fields import unspeakable
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    Image,
    Loss,
    OutputFormat,
    Part,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

_NEWER: Final = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-[5-9])")
"""Models that refuse ``max_tokens``."""
_MODES: Final = {"auto": "auto", "none": "none", "any": "required"}

_Json = dict[str, object]


def encode_request(conversation: Conversation) -> tuple[bytes, list[Loss]]:
    """The request's body, and the settings that this dialect cannot say."""
    losses: list[str] = []
    messages: list[_Json] = []
    if conversation.system:
        messages.append({"role": "system", "content": _joined(conversation.system)})
    for number, turn in enumerate(conversation.turns):
        write = _assistant if turn.role == "assistant" else _user
        messages.extend(write(turn, f"turns.{number}", losses))
    body: _Json = {"model": conversation.model, "messages": messages}
    body |= _tools(conversation, losses)
    body |= _settings(conversation)
    if conversation.top_k is not None:
        losses.append("top_k")
    return msgspec.json.encode(body), [Loss(what=what, dialect=Dialect.CHAT) for what in losses]


def _settings(conversation: Conversation) -> _Json:
    limit = "max_completion_tokens" if _NEWER.match(conversation.model) else "max_tokens"
    said: _Json = {
        limit: conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop": list(conversation.stop) or None,
        "seed": conversation.seed,
        "reasoning_effort": conversation.reasoning_effort or None,
        "response_format": _output_format(conversation.output_format),
        "stream": conversation.stream or None,
        "stream_options": {"include_usage": True} if conversation.stream else None,
    }
    return {key: value for key, value in said.items() if value is not None}


def _tools(conversation: Conversation, losses: list[str]) -> _Json:
    choice, parallel = conversation.tool_choice, conversation.parallel_tool_calls
    if not conversation.tools:
        losses += ["tool_choice"] * (choice is not None) + ["parallel_tool_calls"] * (parallel is not None)
        return {}
    body: _Json = {"tools": [_tool(tool) for tool in conversation.tools]}
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice)
    if parallel is not None:
        body["parallel_tool_calls"] = parallel
    return body


def _tool(tool: Tool) -> _Json:
    function: _Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = Raw(tool.parameters.encode())
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> object:
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return _MODES[choice.mode]


def _output_format(form: OutputFormat | None) -> _Json | None:
    if form is None:
        return None
    if not form.schema:
        return {"type": "json_object"}
    schema: _Json = {"name": form.name or "answer", "schema": Raw(form.schema.encode())}
    if form.strict is not None:
        schema["strict"] = form.strict
    return {"type": "json_schema", "json_schema": schema}


def _user(turn: Turn, where: str, losses: list[str]) -> Iterator[_Json]:
    said: list[Text | Image] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            texts = [piece for piece in part.content if isinstance(piece, Text)]
            images = [piece for piece in part.content if isinstance(piece, Image)]
            yield {"role": "tool", "tool_call_id": part.id, "content": _joined(texts)}
            if part.failed:
                losses.append(f"{where}.failed")
            if images:
                said += [Text(text=f"Pictures of the result {part.id}:"), *images]
    for number, part in enumerate(turn.parts):
        if isinstance(part, Text | Image):
            said.append(part)
        elif not isinstance(part, ToolResult):
            raise unspeakable(f"{where}.parts.{number}", Dialect.CHAT)
    if said:
        yield {"role": "user", "content": _content(said)}


def _content(parts: Sequence[Text | Image]) -> object:
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) == len(parts):
        return _joined(texts)
    return [
        {"type": "text", "text": part.text}
        if isinstance(part, Text)
        else {"type": "image_url", "image_url": {"url": url_of_image(part)}}
        for part in parts
    ]


def _assistant(turn: Turn, where: str, losses: list[str]) -> Iterator[_Json]:
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    texts = [part for part in turn.parts if isinstance(part, Text)]
    thoughts: list[str] = []
    for number, part in enumerate(turn.parts):
        if isinstance(part, Image | ToolResult):
            raise unspeakable(f"{where}.parts.{number}", Dialect.CHAT)
        if isinstance(part, Thinking) and not (part.signature or not calls):
            thoughts.append(part.text)
        elif _unsaid(part):
            losses.append(f"{where}.parts.{number}")
    message: _Json = {"role": "assistant", "content": _joined(texts) if texts else None}
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in calls
        ]
    if texts or calls:
        yield message


def _unsaid(part: Part) -> bool:
    return isinstance(part, Thinking) or (isinstance(part, ToolCall) and bool(part.signature))


def _joined(texts: Iterable[Text]) -> str:
    return "\n\n".join(text.text for text in texts)
