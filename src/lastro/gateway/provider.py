"""Providers and their models, as they are configured and as a probe found them. Pure nouns.

A model's full name is ``PROVIDER/MODEL`` (the model's own name may hold slashes too). What always holds: a key is never part of a
noun; ``KeySource`` says only where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from lastro.gateway.dialects.neutral import Dialect


class ProviderKind(StrEnum):
    """Who is behind a base URL: decides addresses, how a key is sent, and where prices are looked up."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    OPENROUTER = "openrouter"
    MISTRAL = "mistral"
    DEEPSEEK = "deepseek"
    COMPATIBLE = "compatible"
    """Anything with OpenAI's addresses: Ollama, vLLM, llama-server, a proxy."""
    OFFLINE = "offline"
    """The engine on this machine that the gateway runs itself; no network, no key."""


class KeySource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a provider's key comes from; exactly one is set, or none for a provider that takes no key."""

    environment: str = ""
    """Name of a variable of the gateway's process."""
    file: str = ""
    """Absolute path; read at each use, so that a rotated key holds at once."""
    command: tuple[str, ...] = ()
    """A program and its arguments, without a shell; its first line of output is the key, kept in memory for ``KEY_LIFE_S``."""
    stored: bool = False
    """Encrypted in ``config/secrets/gateway``."""


KEY_LIFE_S: Final = 300


class ToolSupport(StrEnum):
    """Whether a model calls tools by itself."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class ModelFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a model. Tokens; 0 means unknown."""

    context: int = 0
    output: int = 0
    """The most tokens of one answer."""
    tools: ToolSupport = ToolSupport.UNKNOWN
    images: bool | None = None
    kinds: tuple[str, ...] = ()
    """Task kinds it is good for (``route.TaskKind`` values); empty: any."""


class Provider(Struct, frozen=True, kw_only=True):
    """One configured provider. ``name`` is its own in configuration and headers: ``[a-z0-9][a-z0-9_-]*``."""

    name: str
    kind: ProviderKind
    base_url: str
    """Without a trailing slash, with a version where the kind's addresses want one (``https://api.openai.com/v1``)."""
    key: KeySource = KeySource()
    dialects: tuple[Dialect, ...] = ()
    """Spoken by it, best first. From configuration, else from the probe, else the kind's own."""
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request (an organisation, a project); never a key."""
    price_provider: str = ""
    """Under which id its prices stand in the price data; the kind's own if empty."""
    local: bool = False
    """On this machine or network: what goes there does not leave, needs no redaction and no internet."""
    enabled: bool = True


BASE_URLS: Final[Mapping[ProviderKind, str]] = {
    ProviderKind.OPENAI: "https://api.openai.com/v1",
    ProviderKind.ANTHROPIC: "https://api.anthropic.com/v1",
    ProviderKind.GOOGLE: "https://generativelanguage.googleapis.com/v1beta",
    ProviderKind.OPENROUTER: "https://openrouter.ai/api/v1",
    ProviderKind.MISTRAL: "https://api.mistral.ai/v1",
    ProviderKind.DEEPSEEK: "https://api.deepseek.com/v1",
}
"""Where each kind answers unless configuration says otherwise."""

DIALECTS: Final[Mapping[ProviderKind, tuple[Dialect, ...]]] = {
    ProviderKind.OPENAI: (Dialect.RESPONSES, Dialect.CHAT),
    ProviderKind.ANTHROPIC: (Dialect.MESSAGES,),
    ProviderKind.GOOGLE: (Dialect.GEMINI,),
    ProviderKind.OPENROUTER: (Dialect.CHAT,),
    ProviderKind.MISTRAL: (Dialect.CHAT,),
    ProviderKind.DEEPSEEK: (Dialect.CHAT,),
    ProviderKind.COMPATIBLE: (Dialect.CHAT,),
    ProviderKind.OFFLINE: (Dialect.CHAT,),
}
"""What each kind speaks, before a probe found more."""

OFFLINE_PROVIDER: Final = "offline"
"""Name of the provider that the gateway's own engine is. It is always there; its models are the pulled and imported ones."""
