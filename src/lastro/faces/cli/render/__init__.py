"""Replies as people read them: one small renderer per reply type, imported when that reply comes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

from lastro.faces.cli.context import Context

RENDERERS: Final[Mapping[str, str]] = {
    "Initialized": "repository:initialized",
    "CheckReply": "repository:checked",
    "RepositoryStatistics": "repository:statistics",
    "CaptureReply": "captured:captured",
    "LogReply": "log:log",
    "FindReply": "find:found",
    "Difference": "difference:difference",
    "Restoration": "restoration:restoration",
    "ServerList": "servers:servers",
    "ServerState": "servers:server",
    "StatusReply": "status:status",
    "NodeInitialized": "nodes:initialized",
    "Roots": "nodes:roots",
}
"""Name of the reply's type → module and function. A reply that no command gives has none."""


def render(reply: Any, request: Any, context: Context) -> None:
    """Show ``reply``, the answer to ``request``: data to standard output, notes to standard error."""
    module, _separator, function = RENDERERS[type(reply).__name__].partition(":")
    getattr(importlib.import_module(f"lastro.faces.cli.render.{module}"), function)(reply, request, context)
