"""The processes that stay, by the names that faces call them. Each is loaded alone: a node carries neither keeper nor gateway."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Final

from lastro.errors import ConfigError
from lastro.messages import N_

_MODULES: Final[Mapping[str, str]] = {
    "up": "up",
    "serve_keeper": "keeper_process",
    "serve_node": "node_process",
    "pair_node": "node_process",
    "serve_gateway": "gateway.process",
    "serve_runner": "runner_process",
    "follow_job": "jobs.following",
}


_EXTRAS: Final[Mapping[str, str]] = {"serve_gateway": "gateway", "serve_runner": "agents"}
"""Which extra brings what a process is made of, where that is not the keeper's."""


def process_called(name: str) -> Callable[..., int]:
    """The function that runs the process ``name``; it takes the places, ``emit`` and its own options, and gives an exit code.

    Raises:
        ConfigError: Lastro was installed without what it needs.
    """
    try:
        process: Callable[..., int] = getattr(importlib.import_module(f"lastro.app.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "lastro":
            raise
        raise ConfigError(
            N_("This installation cannot do that: {module} is missing."),
            hint=N_("Install it with: pip install 'lastro[{extra}]'"),
            module=error.name,
            extra=_EXTRAS.get(name, "keeper"),
        ) from error
    return process
