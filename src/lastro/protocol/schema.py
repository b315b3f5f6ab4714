"""JSON Schema of every message, from its type: ``python -m lastro.protocol.schema > docs/protocol.schema.json`` writes it anew."""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec

from lastro.protocol.entries import WireSkipped
from lastro.protocol.members import Member
from lastro.protocol.messages import Message

MESSAGES: Final[tuple[type[msgspec.Struct], ...]] = get_args(Message)


def protocol_schema() -> dict[str, Any]:
    """One schema: ``$defs`` has every message and noun by its class name, ``anyOf`` the messages."""
    _, components = msgspec.json.schema_components(
        [*MESSAGES, WireSkipped, Member], ref_template="#/$defs/{name}"
    )
    components["TreePart"]["properties"]["items"]["items"] = {
        "anyOf": [{"$ref": "#/$defs/WireEntry"}, {"$ref": "#/$defs/WireSkipped"}]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lastro node protocol, lastro.v1",
        "anyOf": [{"$ref": f"#/$defs/{message.__name__}"} for message in MESSAGES],
        "$defs": _with_clean_texts(components),
    }


def _with_clean_texts(part: Any) -> Any:
    """The same schema with docstrings without their indentation, which Python keeps before 3.13 and drops from then on."""
    if isinstance(part, dict):
        return {
            key: cleandoc(value)
            if key == "description" and isinstance(value, str)
            else _with_clean_texts(value)
            for key, value in part.items()
        }
    return [_with_clean_texts(item) for item in part] if isinstance(part, list) else part


def protocol_schema_text() -> str:
    """The file's content."""
    return json.dumps(protocol_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(protocol_schema_text())
