"""The tools of OpenAI Responses, as functions that every dialect has, and back in the form in which they were offered.

``Tool.native`` holds that form: empty for a function, ``custom`` for free text, ``local_shell`` for the shell that Codex runs itself, and
``function@NAMESPACE`` or ``custom@NAMESPACE`` for one of a namespace, whose name is then put before its own. What always holds: ``form_of``
of a name that ``decode_tools`` gave names the same tool again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects.fields import inexpressible
from lastro.gateway.dialects.freeform import PARAMETERS
from lastro.gateway.dialects.neutral import Dialect, Loss, Tool, ToolChoice
from lastro.gateway.dialects.reading import is_said, json_text, malformed, read, unknown_fields

LOCAL_SHELL: Final = "local_shell"
"""Name and form of the shell tool that the client runs itself."""
CUSTOM: Final = "custom"
"""Form of a tool that takes free text."""
FUNCTION: Final = "function"
"""Form of an ordinary tool."""

_SHELL_PARAMETERS: Final = (
    '{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"}},'
    '"working_directory":{"type":"string"},"timeout_ms":{"type":"integer"}},"required":["command"]}'
)
_SHELL_DESCRIPTION: Final = "Runs a command on the user's machine and returns its output."
_OFFERED_ONLY: Final = ("web_search", "image_generation", "tool_search", "programmatic_tool_calling")
"""Hosted tools without which a model can still work; newer versions of them carry a date behind the name."""


class _Tool(Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: Raw = Raw(b"null")
    strict: bool | None = None
    format: Raw = Raw(b"null")
    tools: list[Raw] = []


class _Choice(Struct):
    type: str
    name: str = ""
    mode: str = "auto"
    tools: list[Raw] = []


class _Grammar(Struct):
    type: str = "text"
    syntax: str = ""
    definition: str = ""


class Form(Struct, frozen=True, kw_only=True):
    """How a call of a tool is written in this dialect."""

    kind: str = FUNCTION
    name: str
    namespace: str = ""


_TOOLS: Final = msgspec.json.Decoder(list[_Tool] | None)
_TOOL: Final = msgspec.json.Decoder(_Tool)
_FIELDS: Final = msgspec.json.Decoder(list[Mapping[str, Raw]] | None)
_UNDERSTOOD: Final = frozenset(_Tool.__struct_fields__)
_CHOICE: Final = msgspec.json.Decoder(str | _Choice | None)
_GRAMMAR: Final = msgspec.json.Decoder(_Grammar | None)


def decode_tools(lists: Sequence[tuple[str, Raw]]) -> tuple[tuple[Tool, ...], list[Loss]]:
    """The tools as functions, and what is left out. ``lists``: where a list of tools stands in the request, and the list.

    Raises:
        MalformedError: these are no tools.
        InexpressibleError: a hosted tool that no other dialect has, or hosted tools alone.
    """
    tools: list[Tool] = []
    losses: list[Loss] = []
    hosted = ""
    for where, raw in lists:
        kinds = read(_TOOLS, raw) or ()
        for index, (tool, fields) in enumerate(zip(kinds, read(_FIELDS, raw) or (), strict=True)):
            path = f"{where}.{index}"
            if tool.type.startswith(_OFFERED_ONLY):
                hosted = tool.type
                losses.append(_loss(f"{path}.{tool.type}"))
                continue
            losses.extend(_loss(f"{path}.{name}") for name in unknown_fields(fields, _UNDERSTOOD))
            if tool.type == "namespace":
                if tool.description:
                    losses.append(_loss(f"{path}.description"))
                inner = [read(_TOOL, one) for one in tool.tools]
                tools.extend(_decode(one, path, losses, namespace=tool.name) for one in inner)
            else:
                tools.append(_decode(tool, path, losses))
    if hosted and not tools:
        raise inexpressible(hosted, Dialect.RESPONSES)
    return tuple(tools), losses


def decode_choice(raw: Raw, tools: Sequence[Tool]) -> tuple[ToolChoice | None, list[Loss]]:
    """Which tools the model may or must use.

    Raises:
        MalformedError: this is no choice.
        InexpressibleError: it demands a hosted tool.
    """
    choice = read(_CHOICE, raw)
    if choice is None:
        return None, []
    if isinstance(choice, str):
        if choice not in _MODES:
            raise malformed(f"tool_choice: {choice}")
        return ToolChoice(mode=_MODES[choice]), []
    if choice.type == "allowed_tools":
        mode = _MODES.get(choice.mode, "auto")
        return ToolChoice(mode=mode), [Loss(what="tool_choice.tools", dialect=Dialect.RESPONSES)]
    if choice.type == LOCAL_SHELL:
        return ToolChoice(mode="tool", name=LOCAL_SHELL), []
    if choice.type not in {FUNCTION, CUSTOM}:
        raise inexpressible(f"tool_choice.{choice.type}", Dialect.RESPONSES)
    names = [tool.name for tool in tools if form_of(tool.name, tools).name == choice.name]
    return ToolChoice(mode="tool", name=names[0] if names else choice.name), []


def encode_tools(tools: Sequence[Tool]) -> list[dict[str, object]]:
    """The tools in the form in which they were offered. Said strictness stays; unsaid is false, this API's own default is true."""
    encoded: list[dict[str, object]] = []
    namespaces: dict[str, list[dict[str, object]]] = {}
    for tool in tools:
        form = form_of(tool.name, tools)
        one = _encode(tool, form)
        if not form.namespace:
            encoded.append(one)
        elif form.namespace in namespaces:
            namespaces[form.namespace].append(one)
        else:
            namespaces[form.namespace] = [one]
            members = namespaces[form.namespace]
            encoded.append({"type": "namespace", "name": form.namespace, "description": "", "tools": members})
    return encoded


def encode_choice(choice: ToolChoice, tools: Sequence[Tool]) -> object:
    """Which tools the model may or must use."""
    if choice.mode != "tool":
        return "required" if choice.mode == "any" else choice.mode
    form = form_of(choice.name, tools)
    return {"type": LOCAL_SHELL} if form.kind == LOCAL_SHELL else {"type": form.kind, "name": form.name}


def form_of(name: str, tools: Sequence[Tool]) -> Form:
    """How a call of the tool called ``name`` is written; a function where no such tool is known."""
    for tool in tools:
        if tool.name == name and tool.native:
            kind, _, namespace = tool.native.partition("@")
            return Form(kind=kind, name=name.removeprefix(_prefix(namespace)), namespace=namespace)
    return Form(name=name)


def full_name(name: str, namespace: str | None) -> str:
    """The name under which other dialects know a tool of a namespace."""
    return _prefix(namespace) + name if namespace else name


_MODES: Final = {"auto": "auto", "none": "none", "required": "any"}


def _prefix(namespace: str | None) -> str:
    if not namespace:
        return ""
    return namespace if namespace.endswith("__") else namespace + "__"


def _decode(tool: _Tool, path: str, losses: list[Loss], *, namespace: str = "") -> Tool:
    if tool.type == LOCAL_SHELL and not namespace:
        return Tool(
            name=LOCAL_SHELL,
            description=_SHELL_DESCRIPTION,
            parameters=_SHELL_PARAMETERS,
            native=LOCAL_SHELL,
        )
    if tool.type not in {FUNCTION, CUSTOM}:
        raise inexpressible(f"{path}.{tool.type}", Dialect.RESPONSES)
    if not tool.name:
        raise malformed(f"{path}.name")
    name = full_name(tool.name, namespace)
    at = f"@{namespace}" if namespace else ""
    if tool.type == CUSTOM:
        grammar = read(_GRAMMAR, tool.format)
        described = tool.description or ""
        if grammar is not None and grammar.definition:
            losses.append(_loss(f"{path}.format"))
            described = f"{described}\n\nThe input follows this {grammar.syntax} grammar:\n{grammar.definition}".lstrip()
        return Tool(name=name, description=described, parameters=PARAMETERS, native=CUSTOM + at)
    parameters = json_text(tool.parameters) if is_said(tool.parameters) else Tool(name="").parameters
    return Tool(
        name=name,
        description=tool.description or "",
        parameters=parameters,
        strict=tool.strict or None,  # false is everybody else's default
        native=FUNCTION + at if at else "",
    )


def _encode(tool: Tool, form: Form) -> dict[str, object]:
    if form.kind == LOCAL_SHELL:
        return {"type": LOCAL_SHELL}
    if form.kind == CUSTOM:
        return {
            "type": CUSTOM,
            "name": form.name,
            "description": tool.description,
            "format": {"type": "text"},
        }
    return {
        "type": FUNCTION,
        "name": form.name,
        "description": tool.description,
        "parameters": Raw(tool.parameters.encode()),
        "strict": bool(tool.strict),
    }


def _loss(what: str) -> Loss:
    return Loss(what=what, dialect=Dialect.RESPONSES)
