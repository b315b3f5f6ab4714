"""A small reader of JSON Schema 2020-12: as much of it as our schemas use. A keyword that it does not know is an error."""

from __future__ import annotations

import re

_IGNORED = {"$schema", "$defs", "title", "description", "default"}
_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def accepts(schema, value, root=None):
    """Whether ``value`` is what ``schema`` describes."""
    root = schema if root is None else root
    return all(_RULES[word](schema, value, root) for word in schema if word not in _IGNORED)


def _is(kind, value):
    return isinstance(value, _TYPES[kind]) and not (isinstance(value, bool) and kind in {"integer", "number"})


def _type(schema, value, _):
    kinds = schema["type"]
    return any(_is(kind, value) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _properties(schema, value, root):
    known = schema["properties"]
    return not isinstance(value, dict) or all(
        accepts(known[name], one, root) for name, one in value.items() if name in known
    )


def _additional(schema, value, root):
    rule = schema["additionalProperties"]
    others = (
        [one for name, one in value.items() if name not in schema.get("properties", {})]
        if isinstance(value, dict)
        else []
    )
    return not others if rule is False else all(accepts(rule, one, root) for one in others)


def _reference(schema, value, root):
    return accepts(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root)


def _numbers(value):
    return not isinstance(value, int | float) or isinstance(value, bool)


_RULES = {
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "$ref": _reference,
    "required": lambda schema, value, _: not isinstance(value, dict) or set(schema["required"]) <= set(value),
    "items": lambda schema, value, root: (
        not isinstance(value, list) or all(accepts(schema["items"], one, root) for one in value)
    ),
    "anyOf": lambda schema, value, root: any(accepts(one, value, root) for one in schema["anyOf"]),
    "enum": lambda schema, value, _: value in schema["enum"],
    "minimum": lambda schema, value, _: _numbers(value) or value >= schema["minimum"],
    "maximum": lambda schema, value, _: _numbers(value) or value <= schema["maximum"],
    "exclusiveMinimum": lambda schema, value, _: _numbers(value) or value > schema["exclusiveMinimum"],
    "minLength": lambda schema, value, _: not isinstance(value, str) or len(value) >= schema["minLength"],
    "maxLength": lambda schema, value, _: not isinstance(value, str) or len(value) <= schema["maxLength"],
    "minItems": lambda schema, value, _: not isinstance(value, list) or len(value) >= schema["minItems"],
    "maxItems": lambda schema, value, _: not isinstance(value, list) or len(value) <= schema["maxItems"],
    "pattern": lambda schema, value, _: (
        not isinstance(value, str) or re.search(schema["pattern"], value) is not None
    ),
    "propertyNames": lambda schema, value, root: (
        not isinstance(value, dict) or all(accepts(schema["propertyNames"], name, root) for name in value)
    ),
}
