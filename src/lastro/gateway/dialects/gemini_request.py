"""The request of Gemini, read: ``generateContent``, ``streamGenerateContent`` and ``countTokens``.

What always holds: every field of the request is understood, named by a ``Loss``, or refused (``gemini_turns`` reads the conversation).
Hosted tools that are offered beside functions are left out and named; alone, they are what the request is about, and it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects.fields import inexpressible
from lastro.gateway.dialects.gemini_nouns import (
    NOTHING,
    Content,
    camel,
)
from lastro.gateway.dialects.gemini_schema import json_schema
from lastro.gateway.dialects.gemini_turns import ContentsReader
from lastro.gateway.dialects.neutral import (
    Conversation,
    Dialect,
    Loss,
    OutputFormat,
    Text,
    Tool,
    ToolChoice,
)
from lastro.gateway.dialects.reading import is_said, json_text, malformed, read, unknown_fields

BUDGETS: Final = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
"""Tokens to think with, for models that count them instead of naming a level."""

_OFFERED_ONLY: Final = frozenset(
    {
        "googleSearch",
        "googleSearchRetrieval",
        "urlContext",
        "codeExecution",
        "googleMaps",
        "enterpriseWebSearch",
    }
)


class _Declaration(Struct, rename="camel"):
    name: str = ""
    description: str | None = None
    parameters: Raw = NOTHING
    parameters_json_schema: Raw = NOTHING


class _Calling(Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class _ToolConfig(Struct, rename="camel"):
    function_calling_config: _Calling | None = None


class _Thinking(Struct, rename="camel"):
    thinking_budget: int | None = None
    thinking_level: str | None = None
    include_thoughts: bool | None = None


class _Generation(Struct, rename="camel"):
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    response_mime_type: str | None = None
    response_schema: Raw = NOTHING
    response_json_schema: Raw = NOTHING
    response_modalities: list[str] | None = None
    thinking_config: _Thinking | None = None


class _Request(Struct, rename="camel"):
    contents: list[Content] | Content | None = None
    system_instruction: Content | str | None = None
    tools: list[dict[str, Raw]] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _Generation | None = None
    model: str | None = None
    """Within ``generateContentRequest``; the URL's counts."""


class _Counted(Struct, rename="camel"):
    generate_content_request: Raw = NOTHING


_REQUEST: Final = msgspec.json.Decoder(_Request)
_COUNTED: Final = msgspec.json.Decoder(_Counted)
_FIELDS: Final = msgspec.json.Decoder(Mapping[str, Raw])
_DECLARATIONS: Final = msgspec.json.Decoder(list[_Declaration] | None)
_OBJECTS: Final = msgspec.json.Decoder(list[Mapping[str, Raw]] | None)
_DECLARED: Final = frozenset(_Declaration.__struct_encode_fields__)
_UNDERSTOOD: Final = frozenset(_Request.__struct_encode_fields__)
_SETTINGS: Final = frozenset(_Generation.__struct_encode_fields__)


def request_body(body: bytes) -> bytes:
    """The request itself, in the first spelling: ``countTokens`` may wrap it."""
    spelled = camel(body)
    inner = read(_COUNTED, spelled).generate_content_request
    return bytes(inner) if is_said(inner) else spelled


def decode_request(body: bytes, *, model: str, stream: bool) -> tuple[Conversation, list[Loss]]:
    """As ``Codec.decode_request``."""
    spelled = request_body(body)
    request = read(_REQUEST, spelled)
    fields = read(_FIELDS, spelled)
    losses: list[Loss] = []
    for name in unknown_fields(fields, _UNDERSTOOD):
        if name == "cachedContent":
            raise inexpressible(name, Dialect.GEMINI)
        losses.append(_loss(name))
    if "generationConfig" in fields and is_said(fields["generationConfig"]):
        settings = unknown_fields(read(_FIELDS, fields["generationConfig"]), _SETTINGS)
        losses.extend(_loss(f"generationConfig.{name}") for name in settings)
    generation = request.generation_config or _Generation()
    _refuse_other_answers(generation)
    conversation = Conversation(
        model=model or (request.model or "").removeprefix("models/"),
        system=_system(request.system_instruction),
        turns=ContentsReader().read(request.contents),
        tools=_tools(request.tools or [], losses),
        tool_choice=_choice(request.tool_config, losses),
        max_tokens=generation.max_output_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        top_k=None if generation.top_k is None else int(generation.top_k),
        stop=tuple(generation.stop_sequences or ()),
        seed=generation.seed,
        reasoning_effort=_effort(generation.thinking_config, losses),
        output_format=_output_format(generation),
        stream=stream,
    )
    return conversation, losses


def _system(said: Content | str | None) -> tuple[Text, ...]:
    if said is None or isinstance(said, str):
        return (Text(text=said),) if said else ()
    parts = said.parts or ()
    if any(part.text is None for part in parts):
        raise inexpressible("systemInstruction", Dialect.GEMINI)
    return tuple(Text(text=part.text) for part in parts if part.text)


def _tools(groups: list[dict[str, Raw]], losses: list[Loss]) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    hosted: list[str] = []
    for number, group in enumerate(groups):
        for kind, value in group.items():
            path = f"tools.{number}.{kind}"
            if kind == "functionDeclarations":
                tools.extend(_tool(one, path) for one in read(_DECLARATIONS, value) or ())
                for index, fields in enumerate(read(_OBJECTS, value) or ()):
                    unknown = unknown_fields(fields, _DECLARED)
                    losses.extend(_loss(f"{path}.{index}.{name}") for name in unknown)
            elif kind in _OFFERED_ONLY:
                hosted.append(path)
            elif is_said(value):
                raise inexpressible(path, Dialect.GEMINI)
    if hosted and not tools:
        raise inexpressible(hosted[0], Dialect.GEMINI)
    losses.extend(_loss(path) for path in hosted)
    return tuple(tools)


def _tool(declaration: _Declaration, path: str) -> Tool:
    if not declaration.name:
        raise malformed(f"{path}.name")
    parameters = Tool(name="").parameters
    if is_said(declaration.parameters_json_schema):
        parameters = json_text(declaration.parameters_json_schema)
    elif is_said(declaration.parameters):
        parameters = json_schema(declaration.parameters)
    return Tool(name=declaration.name, description=declaration.description or "", parameters=parameters)


def _choice(config: _ToolConfig | None, losses: list[Loss]) -> ToolChoice | None:
    calling = config.function_calling_config if config is not None else None
    if calling is None or calling.mode in {None, "MODE_UNSPECIFIED"}:
        return None
    mode = (calling.mode or "").upper()
    if mode not in {"AUTO", "NONE", "ANY", "VALIDATED"}:
        raise malformed(f"toolConfig.functionCallingConfig.mode: {mode}")
    names = calling.allowed_function_names or []
    if mode == "ANY" and len(names) == 1:
        return ToolChoice(mode="tool", name=names[0])
    if names:
        losses.append(_loss("toolConfig.functionCallingConfig.allowedFunctionNames"))
    if mode == "VALIDATED":
        losses.append(_loss("toolConfig.functionCallingConfig.mode"))
    return ToolChoice(mode={"NONE": "none", "ANY": "any"}.get(mode, "auto"))


def _refuse_other_answers(generation: _Generation) -> None:
    if (generation.candidate_count or 1) > 1:
        raise inexpressible("generationConfig.candidateCount", Dialect.GEMINI)
    if any(modality.upper() != "TEXT" for modality in generation.response_modalities or ()):
        raise inexpressible("generationConfig.responseModalities", Dialect.GEMINI)


def _effort(thinking: _Thinking | None, losses: list[Loss]) -> str:
    if thinking is None:
        return ""
    if thinking.include_thoughts:
        losses.append(_loss("generationConfig.thinkingConfig.includeThoughts"))
    if thinking.thinking_level and thinking.thinking_level != "THINKING_LEVEL_UNSPECIFIED":
        return thinking.thinking_level.lower()
    budget = thinking.thinking_budget
    if budget is None or budget < 0:  # -1: as the model likes
        return ""
    if budget not in BUDGETS.values():
        losses.append(_loss("generationConfig.thinkingConfig.thinkingBudget"))
    return next((name for name, tokens in BUDGETS.items() if budget <= tokens), "high")


def _output_format(generation: _Generation) -> OutputFormat | None:
    if is_said(generation.response_json_schema):
        return OutputFormat(schema=json_text(generation.response_json_schema))
    if is_said(generation.response_schema):
        return OutputFormat(schema=json_schema(generation.response_schema))
    kind = generation.response_mime_type
    if kind in {None, "text/plain"}:
        return None
    if kind != "application/json":
        raise inexpressible("generationConfig.responseMimeType", Dialect.GEMINI)
    return OutputFormat()


def _loss(what: str) -> Loss:
    return Loss(what=what, dialect=Dialect.GEMINI)
