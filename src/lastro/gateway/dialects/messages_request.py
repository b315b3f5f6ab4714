"""Requests of Anthropic Messages, and of its count_tokens, read into neutral words.

What always holds: every key of a request, and of its blocks and tools, is understood, named by a ``Loss``, or refused. Hosted tools, tools
without a schema, documents, files and search results are refused: only this dialect has words for them. A budget for thinking is a
``Loss`` rather than an effort, since models that do not think refuse to be asked for one; ``output_config.effort`` is an effort.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

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
from lastro.gateway.dialects.signatures import unwrap
from lastro.gateway.dialects.turns import Turns

_REFUSED: Final = ("mcp_servers", "container")
_DEFAULTS: Final[Mapping[str, object]] = {
    "thinking": {"type": "disabled"},
    "service_tier": "auto",
    "metadata": {},
}
"""Settings whose value says no more than their absence."""
_EFFORTS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_MODES: Final = {"auto": "auto", "any": "any", "none": "none", "tool": "tool"}


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
                raise inexpressible(key, Dialect.MESSAGES)
        for key, default in _DEFAULTS.items():
            if fields.take(key) not in (None, default):
                self._losses.append(key)
        self._system += self._texts(fields, "system")
        for message in fields.inners("messages"):
            self._read_message(message)
        tool_choice, parallel = self._tool_choice()
        effort, output_format = self._output_config()
        conversation = Conversation(
            model=fields.needed_text("model"),
            system=tuple(self._system),
            turns=self._turns.finish(),
            tools=tuple(self._tool(tool) for tool in fields.inners("tools")),
            tool_choice=tool_choice,
            parallel_tool_calls=parallel,
            max_tokens=fields.integer("max_tokens"),
            temperature=fields.number("temperature"),
            top_p=fields.number("top_p"),
            top_k=fields.integer("top_k"),
            stop=self._stop(),
            reasoning_effort=effort,
            output_format=output_format,
            stream=fields.boolean("stream") or False,
        )
        self._lose(fields)
        return conversation, [
            Loss(what=what, dialect=Dialect.MESSAGES) for what in dict.fromkeys(self._losses)
        ]

    def _lose(self, fields: Fields) -> None:
        """What nobody took is lost; marks for the cache, which stand in every other block, are named once."""
        if fields.take("cache_control") is not None:
            self._losses.append("cache_control")
        self._losses += fields.left()

    def _read_message(self, message: Fields) -> None:
        role = message.needed_text("role")
        if role == "system":
            self._losses.append(message.path("role"))
            self._system += self._texts(message, "content")
        elif role in {"user", "assistant"}:
            self._turns.add(role, *self._content(message, "content"))
        else:
            raise inexpressible(f"{message.path('role')} {role}", Dialect.MESSAGES)
        self._lose(message)

    def _texts(self, fields: Fields, key: str) -> Iterator[Text]:
        for part in self._content(fields, key):
            if not isinstance(part, Text):
                raise wrong(fields.path(key), "text")
            yield part

    def _content(self, fields: Fields, key: str) -> Iterator[Part]:
        value = fields.take(key)
        if value is None or isinstance(value, str):
            if value:
                yield Text(text=value)
            return
        if not isinstance(value, list):
            raise wrong(fields.path(key), "a string or a list")
        for number, item in enumerate(value):
            block = Fields(item, f"{fields.path(key)}.{number}")
            part = self._part(block)
            self._lose(block)
            if part is not None:
                yield part

    def _part(self, block: Fields) -> Part | None:  # noqa: PLR0911  one case for each kind of block
        kind = block.needed_text("type")
        match kind:
            case "text":
                text = block.needed_text("text")
                if not block.items("citations"):
                    return Text(text=text) if text else None
                self._losses.append(block.path("citations"))
                return Text(text=text)
            case "image":
                return self._image(block)
            case "tool_use":
                block.take("caller")
                arguments = block.json("input") or "{}"
                return ToolCall(
                    id=block.needed_text("id"), name=block.needed_text("name"), arguments=arguments
                )
            case "tool_result":
                return self._result(block)
            case "thinking":
                signature, of = unwrap(block.text("signature"), shown_in=Dialect.MESSAGES)
                return Thinking(text=block.text("thinking"), signature=signature, of=of)
            case "redacted_thinking":  # nobody but its provider could read it
                block.take("data")
                self._losses.append(block.where)
                return None
            case _:
                raise inexpressible(f"{block.path('type')} {kind}", Dialect.MESSAGES)

    def _image(self, block: Fields) -> Image:
        source = block.inner("source")
        if source is None:
            raise wrong(block.path("source"), "an object")
        kind = source.needed_text("type")
        if kind == "base64":
            image = Image(media_type=source.needed_text("media_type"), data=source.needed_text("data"))
        elif kind == "url":
            image = Image(url=source.needed_text("url"))
        else:
            raise inexpressible(f"{source.path('type')} {kind}", Dialect.MESSAGES)
        self._lose(source)
        return image

    def _result(self, block: Fields) -> ToolResult:
        content: list[Text | Image] = []
        for part in self._content(block, "content"):
            if not isinstance(part, Text | Image):
                raise inexpressible(block.path("content"), Dialect.MESSAGES)
            content.append(part)
        return ToolResult(
            id=block.needed_text("tool_use_id"),
            content=tuple(content),
            failed=block.boolean("is_error") or False,
        )

    def _tool(self, tool: Fields) -> Tool:
        kind = tool.text("type")
        if kind not in {"", "custom"}:
            raise inexpressible(f"{tool.path('type')} {kind}", Dialect.MESSAGES)
        read = Tool(
            name=tool.needed_text("name"),
            description=tool.text("description"),
            parameters=tool.json("input_schema") or Tool(name="").parameters,
            strict=tool.boolean("strict"),
        )
        self._lose(tool)
        return read

    def _tool_choice(self) -> tuple[ToolChoice | None, bool | None]:
        choice = self._fields.inner("tool_choice")
        if choice is None:
            return None, None
        kind, name = choice.needed_text("type"), choice.text("name")
        if kind not in _MODES:
            raise wrong("tool_choice.type", "auto, any, none or tool")
        alone = choice.boolean("disable_parallel_tool_use")
        self._lose(choice)
        return ToolChoice(mode=_MODES[kind], name=name), None if alone is None else not alone

    def _stop(self) -> tuple[str, ...]:
        stops = self._fields.items("stop_sequences")
        texts = tuple(stop for stop in stops if isinstance(stop, str))
        if len(texts) < len(stops):
            raise wrong("stop_sequences", "a list of strings")
        return texts

    def _output_config(self) -> tuple[str, OutputFormat | None]:
        config = self._fields.inner("output_config")
        form = self._fields.inner("output_format")
        effort = ""
        if config is not None:
            said = config.text("effort")
            effort = _EFFORTS.get(said, "")
            if effort != said:
                self._losses.append(config.path("effort"))
            form = config.inner("format") or form
            self._lose(config)
        if form is None:
            return effort, None
        if form.needed_text("type") != "json_schema":
            raise wrong(form.path("type"), "json_schema")
        output_format = OutputFormat(schema=form.json("schema"))
        self._lose(form)
        return effort, output_format
