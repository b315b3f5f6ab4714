"""What is asked and answered about the settings of coding tools."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.messages import N_


class Environment(Struct, frozen=True, kw_only=True):
    """The settings with which a coding tool uses the gateway."""

    tool: Annotated[
        str,
        parameter(N_("codex, claude, gemini, opencode, openclaw or aider."), cli="argument", metavar="TOOL"),
    ]
    model: Annotated[
        str, parameter(N_("Which model it asks for (default: the route decides)."), metavar="MODEL")
    ] = "auto"
    write: Annotated[bool, parameter(N_("Write them into the tool's own files."))] = False


class SettingsFile(Struct, frozen=True, kw_only=True):
    """A file of a tool, as it should be or now is. ``backup``: the copy of what was there; empty if nothing was."""

    path: str
    content: str
    written: bool
    backup: str = ""


class EnvironmentReply(Struct, frozen=True, kw_only=True):
    """Environment variables, files, and how to call the tool."""

    tool: str
    address: str
    variables: dict[str, str]
    files: tuple[SettingsFile, ...]
    command: str
    notes: tuple[Sentence, ...] = ()
