"""Gemini's own schemas (OpenAPI 3.0: types in capitals, ``nullable``, counts as strings) as JSON Schema.

The other way is not needed: Gemini takes JSON Schema too (``parametersJsonSchema``, ``responseJsonSchema``). What always holds: what was
JSON Schema already stays as it is; ``propertyOrdering`` is left out, it is a hint about order and no constraint.

Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.reading import malformed, read

_SCHEMA: Final = msgspec.json.Decoder(dict[str, object])
_COUNTS: Final = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
_LEFT_OUT: Final = frozenset({"nullable", "propertyOrdering"})


def json_schema(raw: Raw) -> str:
    """The JSON text of the JSON Schema that means the same.

    Raises:
        MalformedError: it is no schema.
    """
    return msgspec.json.encode(_translate(read(_SCHEMA, raw))).decode()


def _translate(schema: dict[str, object]) -> dict[str, object]:
    translated: dict[str, object] = {}
    for name, value in schema.items():
        if name in _LEFT_OUT or value is None:
            continue
        match name, value:
            case "type", str():
                if value != "TYPE_UNSPECIFIED":
                    translated["type"] = value.lower()
            case "format", "enum":
                pass  # says only that ``enum`` follows
            case "example", _:
                translated["examples"] = [value]
            case (("properties" | "$defs" | "defs"), dict()):
                translated[name] = {key: _inner(inner, name) for key, inner in value.items()}
            case (("items" | "additionalProperties"), dict()):
                translated[name] = _inner(value, name)
            case (("anyOf" | "prefixItems"), list()):
                translated[name] = [_inner(inner, name) for inner in value]
            case _:
                is_count = name in _COUNTS and isinstance(value, str) and value.isdigit()
                translated[name] = int(str(value)) if is_count else value
    return _with_null(translated) if schema.get("nullable") is True else translated


def _inner(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise malformed(f"schema.{name}")
    return _translate(value)


def _with_null(schema: dict[str, object]) -> dict[str, object]:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        schema["anyOf"] = [*choices, {"type": "null"}]
    values = schema.get("enum")
    if isinstance(values, list):
        schema["enum"] = [*values, None]
    return schema
