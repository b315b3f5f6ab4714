"""The models that may be asked for, in the form of whoever asks. Pure.

What always holds: a context or an output that is not known is left out, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import ModelFacts

_MADE: Final = "2026-01-01T00:00:00Z"
_MADE_S: Final = 1_767_225_600
"""Some clients insist on a date; a route has none."""

Models = Sequence[tuple[str, ModelFacts]]


def model_list(models: Models, dialect: Dialect) -> dict[str, Any]:
    """The whole list, as JSON."""
    if dialect is Dialect.GEMINI:
        return {"models": [_gemini(name, facts) for name, facts in models]}
    if dialect is Dialect.MESSAGES:
        entries = [_messages(name) for name, _ in models]
        return {
            "data": entries,
            "has_more": False,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
        }
    return {"object": "list", "data": [_openai(name, facts) for name, facts in models]}


def model_entry(models: Models, name: str, dialect: Dialect) -> dict[str, Any] | None:
    """One model of the list; ``None`` if it is not in it."""
    for listed, facts in models:
        if listed == name:
            if dialect is Dialect.GEMINI:
                return _gemini(listed, facts)
            return _messages(listed) if dialect is Dialect.MESSAGES else _openai(listed, facts)
    return None


def _openai(name: str, facts: ModelFacts) -> dict[str, Any]:
    entry = {"id": name, "object": "model", "created": _MADE_S, "owned_by": name.partition("/")[0]}
    return {**entry, **_known("context_length", facts.context), **_known("max_output_tokens", facts.output)}


def _messages(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _MADE}


def _gemini(name: str, facts: ModelFacts) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "displayName": name,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        **_known("inputTokenLimit", facts.context),
        **_known("outputTokenLimit", facts.output),
    }


def _known(name: str, value: int) -> dict[str, int]:
    return {name: value} if value else {}
