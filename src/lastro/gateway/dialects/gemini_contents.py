"""A conversation, written as a request of Gemini.

What always holds: what these words cannot say of the conversation is named by a ``Loss`` or refused. Schemas are passed as the JSON Schema
that they are. Thoughts of other dialects are left out. Model and stream stand in the URL, not here.

Google's third generation of models refuses a call in the history without its ``thoughtSignature``; for calls that another model made,
it documents a value that skips the check, which is set on the first call of a turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.fields import unspeakable
from lastro.gateway.dialects.freeform import object_text
from lastro.gateway.dialects.gemini_request import BUDGETS
from lastro.gateway.dialects.gemini_signatures import SKIPPED_SIGNATURE
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
    ToolChoice,
    ToolResult,
    Turn,
)

_GENERATION: Final = re.compile(r"gemini-(\d+)")
_FIRST_SIGNED: Final = 3
"""The generation of models that demands signatures and takes levels of thinking."""


def encode_request(conversation: Conversation) -> tuple[bytes, list[Loss]]:
    """As ``Codec.encode_request``."""
    losses: list[Loss] = []
    names = {
        part.id: part.name for turn in conversation.turns for part in turn.parts if isinstance(part, ToolCall)
    }
    signed = _generation(conversation.model) >= _FIRST_SIGNED
    contents = [_content(turn, names, losses, signed=signed) for turn in conversation.turns]
    body: dict[str, object] = {"contents": [content for content in contents if content["parts"]]}
    if conversation.system:
        body["systemInstruction"] = {"parts": [{"text": text.text} for text in conversation.system]}
    if conversation.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in conversation.tools]}]
    if conversation.tool_choice is not None:
        body["toolConfig"] = {"functionCallingConfig": _calling(conversation.tool_choice)}
    generation = _settings(conversation)
    if generation:
        body["generationConfig"] = generation
    if conversation.parallel_tool_calls is False:
        losses.append(_loss("parallel_tool_calls"))
    return msgspec.json.encode(body), losses


def _content(turn: Turn, names: Mapping[str, str], losses: list[Loss], *, signed: bool) -> dict[str, object]:
    parts: list[dict[str, object]] = []
    for part in turn.parts:
        if isinstance(part, Thinking) and part.of is not Dialect.GEMINI:
            losses.append(_loss("thinking"))
            continue
        written = _part(part, names)
        if isinstance(part, ToolCall):
            if signed and not part.signature:
                written["thoughtSignature"] = SKIPPED_SIGNATURE
            signed = False  # the first call of a turn alone
        parts.append(written)
    return {"role": "model" if turn.role == "assistant" else "user", "parts": parts}


def _part(part: Part, names: Mapping[str, str]) -> dict[str, object]:
    match part:
        case Text():
            return {"text": part.text}
        case Image():
            return _image(part)
        case Thinking():
            return _signed({"text": part.text, "thought": True}, part.signature)
        case ToolCall():
            call = {"id": part.id, "name": part.name, "args": Raw(object_text(part.arguments).encode())}
            return _signed({"functionCall": call}, part.signature)
        case ToolResult():
            return {"functionResponse": _result(part, part.name or names.get(part.id, ""))}


def _result(result: ToolResult, name: str) -> dict[str, object]:
    if not name:
        raise unspeakable("a tool's result without its call", Dialect.GEMINI)
    text = "\n".join(part.text for part in result.content if isinstance(part, Text))
    response = {"error" if result.failed else "output": text}
    written: dict[str, object] = {"id": result.id, "name": name, "response": response}
    images = [_image(part) for part in result.content if isinstance(part, Image)]
    return written | ({"parts": images} if images else {})


def _image(image: Image) -> dict[str, object]:
    if image.data:
        return {"inlineData": {"mimeType": image.media_type, "data": image.data}}
    file = {"fileUri": image.url}
    return {"fileData": ({"mimeType": image.media_type} if image.media_type else {}) | file}


def _signed(part: dict[str, object], signature: str) -> dict[str, object]:
    return part | {"thoughtSignature": signature} if signature else part


def _declaration(tool: Tool) -> dict[str, object]:
    declaration: dict[str, object] = {"name": tool.name, "description": tool.description}
    return declaration | {"parametersJsonSchema": Raw(tool.parameters.encode())}


def _calling(choice: ToolChoice) -> dict[str, object]:
    if choice.mode == "tool":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": choice.mode.upper()}


def _settings(conversation: Conversation) -> dict[str, object]:
    settings: dict[str, object] = {
        "temperature": conversation.temperature,
        "topP": conversation.top_p,
        "topK": conversation.top_k,
        "maxOutputTokens": conversation.max_tokens,
        "stopSequences": list(conversation.stop) or None,
        "seed": conversation.seed,
    }
    if conversation.reasoning_effort:
        settings["thinkingConfig"] = _thinking(conversation.reasoning_effort, conversation.model)
    if conversation.output_format is not None:
        settings["responseMimeType"] = "application/json"
        if conversation.output_format.schema:
            settings["responseJsonSchema"] = Raw(conversation.output_format.schema.encode())
    return {name: value for name, value in settings.items() if value is not None}


def _thinking(effort: str, model: str) -> dict[str, object]:
    if _generation(model) >= _FIRST_SIGNED or effort not in BUDGETS:
        return {"thinkingLevel": effort}
    return {"thinkingBudget": BUDGETS[effort]}


def _generation(model: str) -> int:
    match = _GENERATION.search(model)
    return 0 if match is None else int(match[1])


def _loss(what: str) -> Loss:
    return Loss(what=what, dialect=Dialect.GEMINI)
