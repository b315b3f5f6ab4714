"""What operations on providers are asked and answer. A key is never in a reply."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.messages import N_

_PROVIDER = parameter(N_("The provider."), cli="argument", metavar="NAME")


class ProvidersAdd(Struct, frozen=True, kw_only=True):
    """Add a provider."""

    name: Annotated[
        str,
        parameter(
            N_(
                "How to call it; openai, anthropic, google, openrouter, mistral and deepseek need nothing more than a key."
            ),
            cli="argument",
            metavar="NAME",
        ),
    ]
    kind: Annotated[
        str,
        parameter(
            N_(
                "openai, anthropic, google, openrouter, mistral, deepseek, or compatible for any other with OpenAI's addresses."
            ),
            metavar="KIND",
        ),
    ] = ""
    base_url: Annotated[
        str, parameter(N_("Where it answers, such as http://127.0.0.1:11434/v1 for Ollama."), metavar="URL")
    ] = ""
    key_env: Annotated[
        str, parameter(N_("The environment variable of the gateway that holds the key."), metavar="VARIABLE")
    ] = ""
    key_file: Annotated[
        str, parameter(N_("The file that holds the key, read again at each use."), metavar="PATH")
    ] = ""
    key_command: Annotated[
        str,
        parameter(
            N_("A program whose first line of output is the key, such as 'pass show openai'."),
            metavar="COMMAND",
        ),
    ] = ""
    key: Annotated[
        str,
        parameter(N_("Read the key from standard input and keep it encrypted."), cli="secret"),
    ] = ""
    dialects: Annotated[
        tuple[str, ...],
        parameter(N_("chat, responses, messages or gemini; the best one first."), metavar="DIALECT"),
    ] = ()
    local: Annotated[
        bool,
        parameter(
            N_("It runs on this machine or network: nothing leaves, no secret is replaced, it costs nothing.")
        ),
    ] = False
    no_test: Annotated[bool, parameter(N_("Do not ask it anything now."))] = False


class ProviderName(Struct, frozen=True, kw_only=True):
    """One provider."""

    name: Annotated[str, _PROVIDER]


class ProvidersTest(Struct, frozen=True, kw_only=True):
    """Ask providers what they speak."""

    names: Annotated[
        tuple[str, ...], parameter(N_("The providers (default: all)."), cli="argument", metavar="NAME")
    ] = ()


class ProviderState(Struct, frozen=True, kw_only=True):
    """A provider as it is configured and as the last probe found it.

    ``key``: ``none``, ``environment``, ``file``, ``command`` or ``stored``, and where; never the key. ``key_there``: whether it is found
    now, ``None`` where that was not tried. ``circuit``: ``closed``, ``open``, ``half_open``, empty when no gateway runs.
    """

    name: str
    kind: str
    base_url: str
    key: str
    key_where: str
    key_there: bool | None
    dialects: tuple[str, ...]
    models: int
    local: bool
    enabled: bool
    probed_ns: int | None = None
    tools: str = "unknown"
    context: int = 0
    streams: bool | None = None
    circuit: str = ""
    problem: Sentence | None = None
    notes: tuple[Sentence, ...] = ()


class ProviderList(Struct, frozen=True, kw_only=True):
    """Providers in the order of the configuration. ``failed``: how many of those that were tested now cannot be used."""

    providers: tuple[ProviderState, ...]
    failed: int = 0
    problems: tuple[Sentence, ...] = ()
    """What could not be read, and was left out."""


class ProviderRemoved(Struct, frozen=True, kw_only=True):
    """A provider that is configured no more. ``key_removed``: its stored key was removed too."""

    name: str
    key_removed: bool
