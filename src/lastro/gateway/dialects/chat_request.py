"""Requests of OpenAI Chat Completions, read into neutral words.

What always holds: every key of a request, and of its messages and tools, is understood, named by a ``Loss``, or refused. A system message
between turns moves to the others at the beginning, which is said as the loss of its place. Hosted tools, sounds, files, several
alternatives and the calls of before 2023 (``functions``) are refused: only this dialect has words for them.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from lastro.gateway.dialects.data_urls import image_of_url
from lastro.gateway.dialects.fields import Fields, inexpressible, read_object, wrong
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
)
from lastro.gateway.dialects.turns import Turns

_REFUSED: Final = ("functions", "function_call", "audio", "web_search_options")
_DEFAULTS: Final[Mapping[str, object]] = {
    "store": False,
    "logprobs": False,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "service_tier": "auto",
    "modalities": ["text"],
    "logit_bias": {},
    "metadata": {},
}
"""Settings whose value says no more than their absence."""
_EFFORTS: Final = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
_MODES: Final = {"auto": "auto", "none": "none", "required": "any"}


def decode_request(body: bytes) -> tuple[Conversation, list[Loss]]:
    """The conversation, and the settings that the neutral words cannot say."""
    return RequestReader(read_object(body)).read()


class RequestReader:
    """Reads one request."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._losses: list[str] = []
        self._system: list[Text] = []
        self._turns = Turns()

    def read(self) -> tuple[Conversation, list[Loss]]:
        """The conversation, and what is lost."""
        fields = self._fields
        for key in _REFUSED:
            if fields.take(key):
                raise inexpressible(key, Dialect.CHAT)
        self._read_defaults()
        for message in fields.inners("messages"):
            self._read_message(message)
        limit, older = fields.integer("max_completion_tokens"), fields.integer("max_tokens")
        conversation = Conversation(
            model=fields.needed_text("model"),
            system=tuple(self._system),
            turns=self._turns.finish(),
            tools=tuple(self._tool(tool) for tool in fields.inners("tools")),
            tool_choice=self._tool_choice(),
            parallel_tool_calls=fields.boolean("parallel_tool_calls"),
            max_tokens=older if limit is None else limit,
            temperature=fields.number("temperature"),
            top_p=fields.number("top_p"),
            top_k=fields.integer("top_k"),
            stop=self._stop(),
            seed=fields.integer("seed"),
            reasoning_effort=self._effort(),
            output_format=self._output_format(),
            stream=fields.boolean("stream") or False,
        )
        self._read_stream_options()
        self._lose(fields)
        return conversation, [Loss(what=what, dialect=Dialect.CHAT) for what in self._losses]

    def _lose(self, fields: Fields) -> None:
        self._losses += fields.left()

    def _read_defaults(self) -> None:
        for key, default in _DEFAULTS.items():
            value = self._fields.take(key)
            if value is None or value == default:
                continue
            if key == "modalities":
                raise inexpressible(key, Dialect.CHAT)
            self._losses.append(key)
        if (self._fields.integer("n") or 1) > 1:
            raise inexpressible("n", Dialect.CHAT)

    def _read_stream_options(self) -> None:
        options = self._fields.inner("stream_options")
        if options is not None:
            options.boolean("include_usage")
            self._lose(options)

    def _read_message(self, message: Fields) -> None:
        role = message.needed_text("role")
        if role in {"system", "developer"}:
            if self._turns:
                self._losses.append(message.path("role"))
            self._system += self._texts(message)
        elif role == "user":
            self._turns.add("user", *self._content(message))
        elif role == "assistant":
            self._turns.add("assistant", *self._assistant(message))
        elif role == "tool":
            id_, name = message.needed_text("tool_call_id"), message.text("name")
            content = tuple(self._content(message))
            self._turns.add("user", ToolResult(id=id_, name=name, content=content))
        else:
            raise inexpressible(f"{message.path('role')} {role}", Dialect.CHAT)
        self._lose(message)

    def _assistant(self, message: Fields) -> Iterator[Part]:
        for key in ("function_call", "audio"):
            if message.take(key):
                raise inexpressible(message.path(key), Dialect.CHAT)
        thoughts = [message.text(key) for key in ("reasoning_content", "reasoning")]
        if any(thoughts):
            yield Thinking(text=thoughts[0] or thoughts[1])
        yield from self._texts(message)
        refusal = message.text("refusal")
        if refusal:
            yield Text(text=refusal)
        for call in message.inners("tool_calls"):
            if call.text("type") not in {"", "function"}:
                raise inexpressible(call.path("type"), Dialect.CHAT)
            function = call.inner("function")
            if function is None:
                raise wrong(call.path("function"), "an object")
            yield ToolCall(
                id=call.needed_text("id"),
                name=function.needed_text("name"),
                arguments=function.text("arguments"),
            )
            call.take("index")
            self._lose(call)
            self._lose(function)

    def _texts(self, message: Fields) -> Iterator[Text]:
        for part in self._content(message):
            if not isinstance(part, Text):
                raise wrong(message.path("content"), "text")
            yield part

    def _content(self, message: Fields) -> Iterator[Text | Image]:
        value = message.take("content")
        if value is None or isinstance(value, str):
            if value:
                yield Text(text=value)
            return
        if not isinstance(value, list):
            raise wrong(message.path("content"), "a string or a list")
        for number, item in enumerate(value):
            part = Fields(item, f"{message.path('content')}.{number}")
            yield from self._part(part)
            self._lose(part)

    def _part(self, part: Fields) -> Iterator[Text | Image]:
        kind = part.needed_text("type")
        if kind in {"text", "refusal"}:
            text = part.needed_text(kind)
            if text:
                yield Text(text=text)
        elif kind == "image_url":
            image = part.inner("image_url")
            if image is None:
                raise wrong(part.path("image_url"), "an object")
            yield image_of_url(image.needed_text("url"))
            if image.text("detail") not in {"", "auto"}:
                self._losses.append(image.path("detail"))
            self._lose(image)
        else:
            raise inexpressible(f"{part.path('type')} {kind}", Dialect.CHAT)

    def _tool(self, tool: Fields) -> Tool:
        kind = tool.text("type")
        function = tool.inner("function")
        if kind not in {"", "function"} or function is None:
            raise inexpressible(f"{tool.path('type')} {kind}", Dialect.CHAT)
        read = Tool(
            name=function.needed_text("name"),
            description=function.text("description"),
            parameters=function.json("parameters") or Tool(name="").parameters,
            strict=function.boolean("strict"),
        )
        self._lose(function)
        self._lose(tool)
        return read

    def _tool_choice(self) -> ToolChoice | None:
        value = self._fields.take("tool_choice")
        if value is None:
            return None
        if isinstance(value, str):
            if value not in _MODES:
                raise wrong("tool_choice", "auto, none, required or an object")
            return ToolChoice(mode=_MODES[value])
        choice = Fields(value, "tool_choice")
        function = choice.inner("function")
        if choice.text("type") != "function" or function is None:
            self._losses.append("tool_choice")
            return None
        name = function.needed_text("name")
        self._lose(choice)
        self._lose(function)
        return ToolChoice(mode="tool", name=name)

    def _stop(self) -> tuple[str, ...]:
        value = self._fields.take("stop")
        items = value if isinstance(value, list) else [value]
        stops = tuple(item for item in items if isinstance(item, str))
        if len(stops) < len([item for item in items if item is not None]):
            raise wrong("stop", "a string or a list of strings")
        return stops

    def _effort(self) -> str:
        effort = self._fields.text("reasoning_effort")
        if effort and _EFFORTS.get(effort) != effort:
            self._losses.append("reasoning_effort")
        return _EFFORTS.get(effort, "")

    def _output_format(self) -> OutputFormat | None:
        form = self._fields.inner("response_format")
        if form is None:
            return None
        kind = form.needed_text("type")
        schema = form.inner("json_schema")
        self._lose(form)
        if kind == "text":
            return None
        if kind == "json_object":
            return OutputFormat()
        if kind != "json_schema" or schema is None:
            raise wrong("response_format.type", "text, json_object or json_schema")
        read = OutputFormat(
            name=schema.text("name"), schema=schema.json("schema"), strict=schema.boolean("strict")
        )
        self._lose(schema)
        return read
