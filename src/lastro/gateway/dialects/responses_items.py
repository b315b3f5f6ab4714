"""A conversation, written as a request of OpenAI Responses.

What always holds: what these words cannot say of the conversation is named by a ``Loss`` or refused. Thoughts of other dialects are left
out, because this API takes none but its own. Whether a tool failed is told by its output alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec
from msgspec import Raw

from lastro.gateway.dialects import responses_tools
from lastro.gateway.dialects.data_urls import url_of_image
from lastro.gateway.dialects.fields import unspeakable
from lastro.gateway.dialects.freeform import input_of
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    Image,
    Loss,
    OutputFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from lastro.gateway.dialects.responses_tools import CUSTOM, LOCAL_SHELL, Form, form_of


def encode_request(conversation: Conversation) -> tuple[bytes, list[Loss]]:
    """As ``Codec.encode_request``. ``store`` is false: what a client did not ask to be kept is not kept."""
    losses: list[Loss] = []
    body: dict[str, object] = {"model": conversation.model}
    if conversation.system:
        body["instructions"] = "\n\n".join(text.text for text in conversation.system)
    tools = conversation.tools
    custom = _custom_calls(conversation)
    body["input"] = [item for turn in conversation.turns for item in _items(turn, tools, custom, losses)]
    if conversation.tools:
        body["tools"] = responses_tools.encode_tools(conversation.tools)
    if conversation.tool_choice is not None:
        body["tool_choice"] = responses_tools.encode_choice(conversation.tool_choice, conversation.tools)
    settings = {
        "parallel_tool_calls": conversation.parallel_tool_calls,
        "max_output_tokens": conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
    }
    body |= {name: value for name, value in settings.items() if value is not None}
    if conversation.reasoning_effort:
        body["reasoning"] = {"effort": conversation.reasoning_effort}
    if conversation.output_format is not None:
        body["text"] = {"format": _encode_format(conversation.output_format)}
    body["store"] = False
    body["stream"] = conversation.stream
    for name, said in (
        ("top_k", conversation.top_k is not None),
        ("stop", bool(conversation.stop)),
        ("seed", conversation.seed is not None),
    ):
        if said:
            losses.append(_loss(name))
    return msgspec.json.encode(body), losses


def _encode_format(wanted: OutputFormat) -> dict[str, object]:
    if not wanted.schema:
        return {"type": "json_object"}
    encoded: dict[str, object] = {
        "type": "json_schema",
        "name": wanted.name or "answer",
        "schema": Raw(wanted.schema.encode()),
    }
    if wanted.strict is not None:
        encoded["strict"] = wanted.strict
    return encoded


def _items(
    turn: Turn, tools: Sequence[Tool], custom: AbstractSet[str], losses: list[Loss]
) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    content: list[dict[str, object]] = []
    for part in turn.parts:
        if isinstance(part, Text | Image):
            if not content:
                items.append({"type": "message", "role": turn.role, "content": content})
            content.append(_encode_content(part, turn.role))
            continue
        content = []
        items.extend(_encode_part(part, tools, custom, losses))
    return items


def _custom_calls(conversation: Conversation) -> frozenset[str]:
    names = {tool.name for tool in conversation.tools if tool.native.partition("@")[0] == CUSTOM}
    return frozenset(
        part.id
        for turn in conversation.turns
        for part in turn.parts
        if isinstance(part, ToolCall) and part.name in names
    )


def _encode_content(part: Text | Image, role: str) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part.text}
    if role == "assistant":
        raise unspeakable("image of the assistant", Dialect.RESPONSES)
    return {"type": "input_image", "image_url": url_of_image(part)}


def _encode_part(
    part: Thinking | ToolCall | ToolResult,
    tools: Sequence[Tool],
    custom: AbstractSet[str],
    losses: list[Loss],
) -> list[dict[str, object]]:
    if isinstance(part, Thinking):
        if part.of is not Dialect.RESPONSES:
            losses.append(_loss("thinking"))
            return []
        item: dict[str, object] = {"type": "reasoning", "summary": []}
        if part.text:
            item["summary"] = [{"type": "summary_text", "text": part.text}]
        if part.signature:
            item["encrypted_content"] = part.signature
        return [item]
    if isinstance(part, ToolCall):
        return [call_item(form_of(part.name, tools), call_id=part.id, arguments=part.arguments)]
    if part.failed:
        losses.append(_loss("tool_result.failed"))
    kind = "custom_tool_call_output" if part.id in custom else "function_call_output"
    return [{"type": kind, "call_id": part.id, "output": _output(part)}]


def _output(result: ToolResult) -> object:
    if not result.content:
        return ""
    if len(result.content) == 1 and isinstance(result.content[0], Text):
        return result.content[0].text
    return [_encode_content(part, "user") for part in result.content]


def call_item(form: Form, *, call_id: str, arguments: str) -> dict[str, object]:
    """A complete call in the form of its tool, as an item without an id of its own."""
    if form.kind == LOCAL_SHELL:
        action = shell_action(arguments)
        return {"type": "local_shell_call", "call_id": call_id, "status": "completed", "action": action}
    item: dict[str, object] = {"type": "function_call", "call_id": call_id, "name": form.name}
    if form.namespace:
        item["namespace"] = form.namespace
    if form.kind == CUSTOM:
        return item | {"type": "custom_tool_call", "input": input_of(arguments)}
    return item | {"arguments": arguments or "{}"}


def shell_action(arguments: str) -> dict[str, object]:
    """The action of a ``local_shell_call``; free text is given to a shell."""
    try:
        fields: dict[str, object] = msgspec.json.decode(arguments, type=dict[str, object])
    except msgspec.DecodeError:
        fields = {}
    command = fields.get("command")
    if isinstance(command, str):
        command = ["sh", "-c", command]
    if not isinstance(command, list):
        command = ["sh", "-c", input_of(arguments)]
    return {"type": "exec", "env": {}} | fields | {"command": command}


def _loss(what: str) -> Loss:
    return Loss(what=what, dialect=Dialect.RESPONSES)
