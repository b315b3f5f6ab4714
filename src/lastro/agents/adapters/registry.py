"""Which adapter starts which tool. A new tool is one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.agents.adapters.adapter import Adapter
from lastro.agents.adapters.aider import Aider
from lastro.agents.adapters.claude import Claude
from lastro.agents.adapters.codex import Codex
from lastro.agents.adapters.gemini import Gemini
from lastro.agents.adapters.generic import Generic
from lastro.agents.adapters.offline import Offline
from lastro.agents.adapters.openclaw import Openclaw
from lastro.agents.adapters.opencode import Opencode
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_

_TOOLS: Final[tuple[Adapter, ...]] = (Codex(), Claude(), Gemini(), Opencode(), Openclaw(), Aider())
_GENERIC: Final = Generic()
_BY_PROGRAM: Final[Mapping[str, Adapter]] = {adapter.name: adapter for adapter in _TOOLS}
_BY_NAME: Final[Mapping[str, Adapter]] = {
    **_BY_PROGRAM,
    _GENERIC.name: _GENERIC,
    Offline.name: Offline(),
}
AGENTS: Final = (*_BY_PROGRAM, Offline.name)
"""Names of those that can be asked for something."""


def adapter_for(argv: tuple[str, ...]) -> Adapter:
    """The adapter of the tool that ``argv`` starts, by its program's name; ``generic`` for every other."""
    name = argv[0].rpartition("/")[2] if argv else ""
    return _BY_PROGRAM.get(name, _GENERIC)


def adapter_called(name: str) -> Adapter:
    """The adapter ``name``.

    Raises:
        NotFoundError: there is none of that name.
    """
    adapter = _BY_NAME.get(name)
    if adapter is None:
        raise NotFoundError(
            N_("There is no agent called {name}."),
            hint=N_("There are: {names}."),
            name=name,
            names=", ".join(sorted(_BY_NAME)),
        )
    return adapter


def asked_of(name: str, prompt: str) -> tuple[str, ...]:
    """The words with which a user asks the agent ``name`` for ``prompt``.

    Raises:
        NotFoundError: there is none of that name.
        UsageError: nothing can be said to it.
    """
    words = adapter_called(name).asked(prompt)
    if words is None:
        raise UsageError(
            N_("Nothing can be said to {name}."),
            hint=N_("There are: {names}."),
            name=name,
            names=", ".join(AGENTS),
        )
    return words
