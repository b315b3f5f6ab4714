"""The lists of models that providers give, and what each form of them says of a model. Pure.

Forms read here: OpenAI's (``data``: OpenAI, OpenRouter, Mistral, DeepSeek, vLLM, llama-server, Ollama), Anthropic's (``data`` with pages),
Google's (``models`` with pages), llama-server's ``/props`` and Ollama's ``/api/show``. What always holds: whatever a list says, reading it
gives facts or nothing; a field of an unknown shape is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from lastro.gateway.provider import ModelFacts, ProviderKind, ToolSupport

MOST_MODELS: Final = 5000
"""Of one list; what comes after is passed over."""
LONGEST_NAME: Final = 200

_CONTEXT_FIELDS: Final = (
    "context_length",
    "max_context_length",
    "max_model_len",
    "context_window",
    "max_input_tokens",
)
_OUTPUT_FIELDS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_NO_TALK: Final = re.compile(
    r"embed|whisper|tts|dall-?e|image|moderation|audio|realtime|rerank|transcri|sora|imagen|veo|aqa|ocr|guard|clip",
    re.IGNORECASE,
)
_SMALL: Final = re.compile(r"nano|mini(?!max)|flash|haiku|small|lite|tiny|instruct|chat", re.IGNORECASE)


def parse_json(raw: bytes) -> Any:
    """The JSON in ``raw``; ``None`` if it is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def read_list(kind: ProviderKind, said: Any) -> dict[str, ModelFacts] | None:
    """The models in the parsed answer ``said``, in its order; ``None`` if it is no list of models."""
    if not isinstance(said, dict):
        return None
    if kind is ProviderKind.GOOGLE:
        return _google(said.get("models"))
    entries = said.get("data")
    if not isinstance(entries, list):
        return None
    models: dict[str, ModelFacts] = {}
    for entry in entries[:MOST_MODELS]:
        name = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable():
            models[name] = _facts(entry)
    return models


def next_page(kind: ProviderKind, said: Any) -> str:
    """The query that asks for the rest of a list; empty if this was all."""
    if not isinstance(said, dict):
        return ""
    if kind is ProviderKind.GOOGLE:
        token = said.get("nextPageToken")
        return f"pageToken={token}" if isinstance(token, str) and re.fullmatch(r"[\w=+/.-]+", token) else ""
    last = said.get("last_id")
    more = kind is ProviderKind.ANTHROPIC and said.get("has_more") is True
    return f"after_id={last}" if more and isinstance(last, str) and re.fullmatch(r"[\w.:-]+", last) else ""


def read_props(said: Any) -> ModelFacts | None:
    """What llama-server's ``/props`` says of the model that it runs; ``None`` if this is no llama-server."""
    settings = said.get("default_generation_settings") if isinstance(said, dict) else None
    if not isinstance(settings, dict):
        return None
    modalities = said.get("modalities")
    vision = modalities.get("vision") if isinstance(modalities, dict) else None
    return ModelFacts(
        context=_count(settings.get("n_ctx")), images=vision if isinstance(vision, bool) else None
    )


def read_show(said: Any) -> ModelFacts | None:
    """What Ollama's ``/api/show`` says of a model; ``None`` if this is no Ollama.

    The context is the one that it is run with where its parameters set one: Ollama cuts longer conversations without a word.
    """
    info = said.get("model_info") if isinstance(said, dict) else None
    if not isinstance(info, dict):
        return None
    trained = next(
        (_count(value) for name, value in info.items() if str(name).endswith(".context_length")), 0
    )
    parameters = said.get("parameters")
    run_with = (
        re.search(r"^num_ctx\s+(\d+)", parameters, re.MULTILINE) if isinstance(parameters, str) else None
    )
    abilities = said.get("capabilities")
    known = isinstance(abilities, list)
    return ModelFacts(
        context=int(run_with[1]) if run_with else trained,
        tools=(ToolSupport.YES if "tools" in abilities else ToolSupport.NO) if known else ToolSupport.UNKNOWN,
        images="vision" in abilities if known else None,
    )


def pick_model(names: Iterable[str]) -> str:
    """The model that a probe asks: a small one that talks, if the names tell; else the first that talks; else empty."""
    talking = [name for name in names if not _NO_TALK.search(name)]
    small = next((name for name in talking if _SMALL.search(name)), "")
    return small or next(iter(talking), "")


def _google(entries: Any) -> dict[str, ModelFacts] | None:
    if not isinstance(entries, list):
        return None
    models: dict[str, ModelFacts] = {}
    for entry in entries[:MOST_MODELS]:
        name = entry.get("name") if isinstance(entry, dict) else None
        methods = entry.get("supportedGenerationMethods") if isinstance(entry, dict) else None
        talks = "generateContent" in methods if isinstance(methods, list) else True
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and talks:
            models[name.removeprefix("models/")] = ModelFacts(
                context=_count(entry.get("inputTokenLimit")), output=_count(entry.get("outputTokenLimit"))
            )
    return models


def _facts(entry: Mapping[str, Any]) -> ModelFacts:
    return ModelFacts(
        context=next((found for name in _CONTEXT_FIELDS if (found := _count(entry.get(name)))), 0),
        output=_output(entry),
        tools=_tools(entry),
        images=_images(entry),
    )


def _output(entry: Mapping[str, Any]) -> int:
    inner = entry.get("top_provider")
    for table in (inner if isinstance(inner, dict) else {}, entry):
        for name in _OUTPUT_FIELDS:
            if found := _count(table.get(name)):
                return found
    return 0


def _tools(entry: Mapping[str, Any]) -> ToolSupport:
    parameters = entry.get("supported_parameters")
    if isinstance(parameters, list):
        return ToolSupport.YES if "tools" in parameters else ToolSupport.NO
    abilities = entry.get("capabilities")
    calls = abilities.get("function_calling") if isinstance(abilities, dict) else None
    if isinstance(calls, bool):
        return ToolSupport.YES if calls else ToolSupport.NO
    return ToolSupport.UNKNOWN


def _images(entry: Mapping[str, Any]) -> bool | None:
    architecture = entry.get("architecture")
    modalities = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    if isinstance(modalities, list):
        return "image" in modalities
    abilities = entry.get("capabilities")
    vision = abilities.get("vision") if isinstance(abilities, dict) else None
    return vision if isinstance(vision, bool) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0
