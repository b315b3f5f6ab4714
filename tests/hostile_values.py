"""Replies with hostile text wherever text can be: what a renderer must make inert."""

from __future__ import annotations

import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

HOSTILE = "a\x1b[31m\n\u202eb\udcff"


def hostile_value(kind: Any, codes: Mapping[Any, Mapping[str, Any]]) -> Any:
    """A value of ``kind``. ``codes``: type → fields that are no text from elsewhere, with what stands there."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        known = codes.get(kind, {})
        values = {
            name: hostile_value(hints[name], codes) for name in kind.__struct_fields__ if name not in known
        }
        return kind(**{**values, **known})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    origin, inside = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return hostile_value(next(one for one in inside if one is not type(None)), codes)
    if origin is tuple:
        return (hostile_value(inside[0], codes), hostile_value(inside[0], codes))
    if origin is not None and issubclass(origin, Mapping):
        return {"a": hostile_value(inside[1], codes)}
    return {
        str: HOSTILE,
        bytes: HOSTILE.encode("utf-8", "surrogateescape"),
        int: 1_234_567,
        float: 12.5,
        bool: True,
    }[kind]
