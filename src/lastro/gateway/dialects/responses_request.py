"""The request of OpenAI Responses, read: its items as turns of a conversation.

What always holds: every field of the request is understood, named by a ``Loss``, or refused; a field that says ``null`` says nothing.
Items of one side that follow each other are one turn. System and developer messages are the system prompt wherever they stand; one that
came later than the first turn is named as a loss of its place. Tools that an item adds (``additional_tools``) are offered from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects import responses_tools
from lastro.gateway.dialects.data_urls import image_of_url
from lastro.gateway.dialects.fields import inexpressible
from lastro.gateway.dialects.freeform import wrapped
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    Image,
    Loss,
    OutputFormat,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from lastro.gateway.dialects.reading import is_said, json_text, malformed, read, unknown_fields
from lastro.gateway.dialects.responses_tools import LOCAL_SHELL, full_name
from lastro.gateway.dialects.signatures import unwrap
from lastro.gateway.dialects.turns import Turns

_NOTHING: Final = Raw(b"null")


class _Content(Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None


class _Item(Struct):
    type: str = "message"
    role: str = ""
    content: str | list[_Content] | None = None
    call_id: str | None = None
    id: str | None = None
    name: str = ""
    namespace: str | None = None
    arguments: str = ""
    input: str = ""
    output: str | list[_Content] | None = None
    summary: list[_Content] = []
    encrypted_content: str | None = None
    action: Raw = _NOTHING
    tools: Raw = _NOTHING


class _Reasoning(Struct):
    effort: str | None = None
    summary: Raw = _NOTHING
    generate_summary: Raw = _NOTHING


class _Format(Struct):
    type: str = "text"
    name: str = ""
    schema: Raw = _NOTHING
    strict: bool | None = None


class _TextSettings(Struct):
    format: _Format | None = None
    verbosity: Raw = _NOTHING


class _Request(Struct):
    model: str = ""
    instructions: str | list[_Item] | None = None
    input: str | list[_Item] | None = None
    stream: bool | None = None
    tools: Raw = _NOTHING
    tool_choice: Raw = _NOTHING
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning: _Reasoning | None = None
    text: _TextSettings | None = None


_UNDERSTOOD: Final = frozenset(_Request.__struct_fields__)
_REFUSED: Final = frozenset({"previous_response_id", "conversation", "prompt"})
_HARMLESS: Final[Mapping[str, frozenset[bytes]]] = {
    "background": frozenset({b"false"}),
    "store": frozenset({b"false"}),
    "truncation": frozenset({b'"disabled"'}),
}
"""Values that ask for nothing that another dialect does differently."""
_REQUEST: Final = msgspec.json.Decoder(_Request, strict=True)
_FIELDS: Final = msgspec.json.Decoder(Mapping[str, Raw])


def decode_request(body: bytes, *, model: str, stream: bool) -> tuple[Conversation, list[Loss]]:
    """As ``Codec.decode_request``."""
    request = read(_REQUEST, body)
    losses = _lost_fields(read(_FIELDS, body))
    offered = [("tools", request.tools)]
    if isinstance(request.input, list):
        offered += [
            (f"input.{index}.tools", item.tools)
            for index, item in enumerate(request.input)
            if item.type == "additional_tools"
        ]
    tools, lost_tools = responses_tools.decode_tools(offered)
    choice, lost_choice = responses_tools.decode_choice(request.tool_choice, tools)
    items = _Items(losses)
    if isinstance(request.instructions, str):
        items.system.append(Text(text=request.instructions))
    elif request.instructions is not None:
        items.add_all(request.instructions, "instructions")
    if isinstance(request.input, str):
        items.turns.add("user", Text(text=request.input))
    elif request.input is not None:
        items.add_all(request.input, "input")
    conversation = Conversation(
        model=request.model or model,
        system=tuple(text for text in items.system if text.text),
        turns=items.turns.finish(),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=request.parallel_tool_calls,
        max_tokens=request.max_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        reasoning_effort=_effort(request.reasoning, losses),
        output_format=_output_format(request.text, losses),
        stream=bool(request.stream) or stream,
    )
    return conversation, losses + lost_tools + lost_choice


class _Items:
    """Gathers items into turns and the system prompt."""

    def __init__(self, losses: list[Loss]) -> None:
        self.system: list[Text] = []
        self.turns = Turns()
        self._losses = losses

    def add_all(self, items: list[_Item], path: str) -> None:
        """All items of a list."""
        for index, item in enumerate(items):
            self._add_item(item, f"{path}.{index}")

    def _add_item(self, item: _Item, path: str) -> None:
        match item.type:
            case "message":
                self._add_message(item, path)
            case "function_call":
                name = full_name(item.name, item.namespace)
                self.turns.add(
                    "assistant",
                    ToolCall(id=_call_id(item, path), name=name, arguments=item.arguments or "{}"),
                )
            case "custom_tool_call":
                name = full_name(item.name, item.namespace)
                self.turns.add(
                    "assistant", ToolCall(id=_call_id(item, path), name=name, arguments=wrapped(item.input))
                )
            case "local_shell_call":
                arguments = shell_arguments(item.action)
                self.turns.add(
                    "assistant", ToolCall(id=_call_id(item, path), name=LOCAL_SHELL, arguments=arguments)
                )
            case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
                content = self._content(item.output, f"{path}.output")
                self.turns.add("user", ToolResult(id=_call_id(item, path), content=content))
            case "reasoning":
                self._add_reasoning(item)
            case "additional_tools":
                pass  # they are among the tools already
            case "web_search_call" | "tool_search_call" | "tool_search_output":
                self._losses.append(
                    _loss(f"{path}.{item.type}")
                )  # what was found stands in the words that followed it
            case _:
                raise inexpressible(f"{path}.{item.type}", Dialect.RESPONSES)

    def _add_message(self, item: _Item, path: str) -> None:
        content = self._content(item.content, f"{path}.content")
        if item.role in {"system", "developer"}:
            if self.turns:
                self._losses.append(_loss(f"{path}.role"))
            for part in content:
                if not isinstance(part, Text):
                    raise inexpressible(f"{path}.content", Dialect.RESPONSES)
                self.system.append(part)
        elif item.role in {"user", "assistant"}:
            self.turns.add(item.role, *content)
        else:
            raise malformed(f"{path}.role")

    def _add_reasoning(self, item: _Item) -> None:
        parts = list(item.summary)
        if not parts and isinstance(item.content, list):
            parts = item.content
        text = "\n\n".join(part.text for part in parts)
        if text or item.encrypted_content:
            signature, of = unwrap(item.encrypted_content or "", shown_in=Dialect.RESPONSES)
            thinking = Thinking(text=text, signature=signature, of=of or Dialect.RESPONSES)
            self.turns.add("assistant", thinking)

    def _content(self, content: str | list[_Content] | None, path: str) -> tuple[Text | Image, ...]:
        if content is None or isinstance(content, str):
            return (Text(text=content),) if content else ()
        parts: list[Text | Image] = []
        for index, part in enumerate(content):
            if part.type in {"input_text", "output_text", "text", "summary_text"}:
                parts.append(Text(text=part.text))
            elif part.type == "refusal":
                parts.append(Text(text=part.refusal))
            elif part.type == "input_image" and part.image_url:
                if part.detail not in {None, "auto"}:
                    self._losses.append(_loss(f"{path}.{index}.detail"))
                parts.append(image_of_url(part.image_url))
            else:
                raise inexpressible(f"{path}.{index}.{part.type}", Dialect.RESPONSES)
        return tuple(parts)


def shell_arguments(action: Raw) -> str:
    """The arguments of the function ``local_shell`` for the action of a ``local_shell_call``."""
    fields = read(_FIELDS, action)
    kept = ("command", "working_directory", "timeout_ms")
    return msgspec.json.encode(
        {name: fields[name] for name in kept if name in fields and is_said(fields[name])}
    ).decode()


def _call_id(item: _Item, path: str) -> str:
    identity = item.call_id or item.id
    if not identity:
        raise malformed(f"{path}.call_id")
    return identity


def _lost_fields(fields: Mapping[str, Raw]) -> list[Loss]:
    losses: list[Loss] = []
    for name in unknown_fields(fields, _UNDERSTOOD):
        if bytes(fields[name]) in _HARMLESS.get(name, ()):
            continue
        if name in _REFUSED or name == "background":
            raise inexpressible(name, Dialect.RESPONSES)
        losses.append(_loss(name))
    return losses


def _effort(reasoning: _Reasoning | None, losses: list[Loss]) -> str:
    if reasoning is None:
        return ""
    losses.extend(
        _loss(f"reasoning.{name}")
        for name, value in (("summary", reasoning.summary), ("generate_summary", reasoning.generate_summary))
        if is_said(value)
    )
    effort = reasoning.effort or ""
    if effort in {"none", "xhigh", "max"}:
        losses.append(_loss("reasoning.effort"))
        return "minimal" if effort == "none" else "high"
    return effort


def _output_format(text: _TextSettings | None, losses: list[Loss]) -> OutputFormat | None:
    if text is None:
        return None
    if is_said(text.verbosity):
        losses.append(_loss("text.verbosity"))
    if text.format is None or text.format.type == "text":
        return None
    if text.format.type == "json_object":
        return OutputFormat()
    if text.format.type != "json_schema" or not is_said(text.format.schema):
        raise malformed(f"text.format.type: {text.format.type}")
    schema = json_text(text.format.schema)
    return OutputFormat(name=text.format.name, schema=schema, strict=text.format.strict)


def _loss(what: str) -> Loss:
    return Loss(what=what, dialect=Dialect.RESPONSES)
