"""The processes that stay, by the names that faces call them. Each is loaded alone: a node carries neither keeper nor gateway."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Final

_MODULES: Final[Mapping[str, str]] = {
    "up": "up",
    "serve_keeper": "keeper_process",
    "serve_node": "node_process",
    "pair_node": "node_process",
    "serve_gateway": "gateway.process",
    "serve_runner": "runner_process",
}


def process_called(name: str) -> Callable[..., int]:
    """The function that runs the process ``name``; it takes the places, ``emit`` and its own options, and gives an exit code."""
    process: Callable[..., int] = getattr(importlib.import_module(f"lastro.app.{_MODULES[name]}"), name)
    return process
