"""The exact settings with which each coding tool asks this gateway instead of its own provider. Pure; ``environment_files`` writes them.

Each was tried with the real tool. What always holds: the key of the gateway is in the environment alone, in no file; by the variable
``LASTRO_GATEWAY_KEY`` where a tool can be told a name, by the tool's own where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct, field

from lastro.messages import N_, Message

KEY_VARIABLE: Final = "LASTRO_GATEWAY_KEY"
"""Holds the text of a gateway key in the environment of a tool."""
PROVIDER: Final = "lastro"
"""What the gateway is called in a tool's own settings."""


class CodingTool(StrEnum):
    """The tools whose settings are known."""

    CODEX = "codex"
    CLAUDE = "claude"
    GEMINI = "gemini"
    OPENCODE = "opencode"
    OPENCLAW = "openclaw"
    AIDER = "aider"


class FileForm(StrEnum):
    """How a file of settings is written."""

    TOML = "toml"
    JSON = "json"


class FileSettings(Struct, frozen=True, kw_only=True):
    """What has to stand in one file. ``values`` are merged: tables into tables, everything else replaces what was there."""

    path: str
    form: FileForm
    values: Mapping[str, Any]


class ToolSettings(Struct, frozen=True, kw_only=True):
    """Everything that makes one tool ask the gateway: either ``files`` with ``variables``, or ``environment`` alone.

    ``environment`` is complete by itself where ``complete`` is true; otherwise the files are needed too. ``variables`` is what the
    environment still has to hold when the files are written: mostly the key.
    """

    tool: CodingTool
    files: tuple[FileSettings, ...]
    environment: Mapping[str, str]
    variables: Mapping[str, str]
    command: str
    complete: bool = False
    notes: tuple[Message, ...] = field(default_factory=tuple)


class Asked(Struct, frozen=True, kw_only=True):
    """What settings are made for. ``base_url`` is the gateway's, without a version or a trailing slash."""

    base_url: str
    key: str
    model: str
    home: str
    variables: Mapping[str, str]

    def directory(self, variable: str, usual: str) -> str:
        """The absolute directory that ``variable`` names, else ``usual`` below the home directory."""
        named = self.variables.get(variable, "")
        return named.rstrip("/") if named.startswith("/") else f"{self.home}/{usual}"


def settings_for(
    tool: CodingTool,
    *,
    base_url: str,
    key: str,
    model: str = "auto",
    home: str,
    variables: Mapping[str, str] | None = None,
) -> ToolSettings:
    """The settings of ``tool``.

    Args:
        tool: for which one.
        base_url: the gateway's address, such as ``http://127.0.0.1:8421``; a trailing ``/v1`` is taken off.
        key: the text of a gateway key; it stands in ``environment`` and ``variables``, never in ``files``.
        model: ``auto``, ``auto:KIND``, a model's name, or ``PROVIDER/MODEL``.
        home: the user's home directory, absolute.
        variables: the user's environment, for tools that keep their files elsewhere (``CODEX_HOME`` and the like).
    """
    asked = Asked(
        base_url=base_url.rstrip("/").removesuffix("/v1"),
        key=key,
        model=model,
        home=home.rstrip("/"),
        variables=variables or {},
    )
    return _MAKERS[tool](asked)


def _codex(asked: Asked) -> ToolSettings:
    directory = asked.directory("CODEX_HOME", ".codex")
    key = {KEY_VARIABLE: asked.key}
    return ToolSettings(
        tool=CodingTool.CODEX,
        files=(
            FileSettings(
                path=f"{directory}/config.toml",
                form=FileForm.TOML,
                values={
                    "model": asked.model,
                    "model_provider": PROVIDER,
                    "model_providers": {
                        PROVIDER: {
                            "name": "Lastro",
                            "base_url": f"{asked.base_url}/v1",
                            "env_key": KEY_VARIABLE,
                            "wire_api": "responses",
                        }
                    },
                },
            ),
        ),
        environment=key,
        variables=key,
        command="codex",
        notes=(
            Message(
                msgid=N_(
                    "Codex reads these from the user's own configuration only; those of a project are ignored."
                )
            ),
        ),
    )


def _claude(asked: Asked) -> ToolSettings:
    directory = asked.directory("CLAUDE_CONFIG_DIR", ".claude")
    settings = {
        "ANTHROPIC_BASE_URL": asked.base_url,
        "ANTHROPIC_MODEL": asked.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": asked.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": asked.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": asked.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return ToolSettings(
        tool=CodingTool.CLAUDE,
        files=(
            FileSettings(
                path=f"{directory}/settings.json",
                form=FileForm.JSON,
                values={"env": settings, "apiKeyHelper": f'printf %s "${KEY_VARIABLE}"'},
            ),
        ),
        environment={**settings, "ANTHROPIC_AUTH_TOKEN": asked.key},
        variables={KEY_VARIABLE: asked.key},
        command="claude",
        complete=True,
        notes=(
            Message(
                msgid=N_(
                    "ANTHROPIC_API_KEY must not be set: Claude Code would send that key to the gateway instead."
                )
            ),
        ),
    )


def _gemini(asked: Asked) -> ToolSettings:
    directory = f"{asked.directory('GEMINI_CLI_HOME', '').rstrip('/')}/.gemini"
    environment = {"GOOGLE_GEMINI_BASE_URL": asked.base_url, "GEMINI_API_KEY": asked.key}
    # Gemini CLI takes the plain name auto for itself, and asks models of its own choice.
    model = f"{PROVIDER}/{asked.model}" if asked.model.startswith("auto") else asked.model
    return ToolSettings(
        tool=CodingTool.GEMINI,
        files=(
            FileSettings(
                path=f"{directory}/settings.json",
                form=FileForm.JSON,
                values={"security": {"auth": {"selectedType": "gemini-api-key"}}, "model": {"name": model}},
            ),
        ),
        environment=environment,
        variables=environment,
        command="gemini",
        notes=(
            Message(
                msgid=N_(
                    "Gemini CLI takes the address and the key from the environment: export them where it is started."
                )
            ),
        ),
    )


def _opencode(asked: Asked) -> ToolSettings:
    directory = f"{asked.directory('XDG_CONFIG_HOME', '.config')}/opencode"
    key = {KEY_VARIABLE: asked.key}
    return ToolSettings(
        tool=CodingTool.OPENCODE,
        files=(
            FileSettings(
                path=f"{directory}/opencode.json",
                form=FileForm.JSON,
                values={
                    "$schema": "https://opencode.ai/config.json",
                    "model": f"{PROVIDER}/{asked.model}",
                    "small_model": f"{PROVIDER}/{asked.model}",
                    "provider": {
                        PROVIDER: {
                            "npm": "@ai-sdk/openai-compatible",
                            "name": "Lastro",
                            "options": {
                                "baseURL": f"{asked.base_url}/v1",
                                "apiKey": f"{{env:{KEY_VARIABLE}}}",
                            },
                            "models": {asked.model: {"name": asked.model}},
                        }
                    },
                },
            ),
        ),
        environment=key,
        variables=key,
        command="opencode",
    )


def _openclaw(asked: Asked) -> ToolSettings:
    directory = asked.directory("OPENCLAW_STATE_DIR", ".openclaw")
    key = {KEY_VARIABLE: asked.key}
    return ToolSettings(
        tool=CodingTool.OPENCLAW,
        files=(
            FileSettings(
                path=f"{directory}/openclaw.json",
                form=FileForm.JSON,
                values={
                    "models": {
                        "mode": "merge",
                        "providers": {
                            PROVIDER: {
                                "baseUrl": f"{asked.base_url}/v1",
                                "apiKey": f"${{{KEY_VARIABLE}}}",
                                "api": "openai-completions",
                                "models": [{"id": asked.model, "name": asked.model, "input": ["text"]}],
                            }
                        },
                    },
                    "agents": {"defaults": {"model": {"primary": f"{PROVIDER}/{asked.model}"}}},
                },
            ),
        ),
        environment=key,
        variables=key,
        command=f"openclaw agent exec --model {PROVIDER}/{asked.model} PROMPT",
    )


def _aider(asked: Asked) -> ToolSettings:
    environment = {
        "OPENAI_API_BASE": f"{asked.base_url}/v1",
        "OPENAI_API_KEY": asked.key,
        "AIDER_MODEL": f"openai/{asked.model}",
        "AIDER_WEAK_MODEL": f"openai/{asked.model}",
        "AIDER_ANALYTICS": "false",
        "AIDER_SHOW_MODEL_WARNINGS": "false",
    }
    return ToolSettings(
        tool=CodingTool.AIDER,
        files=(),
        environment=environment,
        variables=environment,
        command="aider",
        complete=True,
        notes=(
            Message(msgid=N_("aider takes these from the environment; nothing of its files is changed.")),
        ),
    )


_MAKERS: Final[Mapping[CodingTool, Callable[[Asked], ToolSettings]]] = {
    CodingTool.CODEX: _codex,
    CodingTool.CLAUDE: _claude,
    CodingTool.GEMINI: _gemini,
    CodingTool.OPENCODE: _opencode,
    CodingTool.OPENCLAW: _openclaw,
    CodingTool.AIDER: _aider,
}
