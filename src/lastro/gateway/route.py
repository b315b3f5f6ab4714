"""Routes: which models answer what, in which order. Pure nouns; ``routing`` decides with them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import ModelFacts, Provider


class TaskKind(StrEnum):
    """What a call is for."""

    PLAN = "plan"
    EDIT = "edit"
    REFINE = "refine"
    EXPAND = "expand"
    TEST = "test"
    REVIEW = "review"
    SUMMARISE = "summarise"
    EMBED = "embed"
    CHAT = "chat"
    SERVER_ROUTINE = "server-routine"


TASK_HEADER: Final = "x-lastro-task"
"""Says the task kind of a call; never sent on."""


class Origin(StrEnum):
    """How an answer tells who gave it: in headers alone, or also inside it (``lastro`` in the JSON, a last comment in a stream)."""

    HEADERS = "transparent"
    EXPLICIT = "explicit"


class RouteModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One choice of a route: ``model`` is ``PROVIDER/MODEL``. Among neighbours of the same ``rank`` the weight decides by chance."""

    model: str
    weight: int = 1
    rank: int = 0
    """Lower ones first; choices without ranks are tried in their order."""
    max_concurrent: int = 0
    """Calls at once through this choice; 0: no limit. A full choice is passed over."""
    max_input_tokens: int = 0
    """Longer conversations pass this choice over; 0: the model's context decides."""


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a route is taken: everything that is set must hold (a list: one of its members)."""

    kinds: tuple[TaskKind, ...] = ()
    keys: tuple[str, ...] = ()
    """Names or ids of keys, globs."""
    roles: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Globs over the asked model name."""
    dialects: tuple[Dialect, ...] = ()
    headers: dict[str, str] = {}
    """Header name → glob over its value."""
    has_tools: bool | None = None
    has_images: bool | None = None
    min_input_tokens: int = 0
    max_input_tokens: int = 0


class Route(Struct, frozen=True, kw_only=True):
    """One route. The first whose ``match`` holds is taken, in the order of configuration; ``default`` has an empty one and stands last."""

    name: str
    match: Match
    models: tuple[RouteModel, ...]
    redaction: bool = True
    """Secrets are replaced before a request leaves to a provider that is not local."""
    recording: bool = True
    origin: Origin = Origin.HEADERS
    offline: bool = True
    """With the network down, the offline model may answer, marked degraded."""
    max_output_tokens: int = 0
    """The most that is asked of a model; 0: no limit of the route's."""
    attempts: int = 4
    """The most calls to providers for one exchange."""


class Candidate(Struct, frozen=True, kw_only=True):
    """One model that may answer an exchange, with the dialect it is going to be asked in."""

    provider: Provider
    model: str
    """The provider's own name for it."""
    facts: ModelFacts
    dialect: Dialect
    max_concurrent: int = 0
    degraded: bool = False
    """Stands in only because the network is down."""

    @property
    def name(self) -> str:
        """``PROVIDER/MODEL``."""
        return f"{self.provider.name}/{self.model}"


class Considered(Struct, frozen=True, kw_only=True):
    """A choice that was looked at and how it fared: for ``lastro gateway routes explain`` and errors.

    ``reason`` is a code: ``chosen``, ``unknown_provider``, ``disabled``, ``circuit_open``, ``full``, ``context``, ``tools``, ``images``,
    ``no_key``, ``not_pulled``, ``network_down``, ``not_allowed``.
    """

    model: str
    reason: str
    detail: str = ""


class Routed(Struct, frozen=True, kw_only=True):
    """What routing says: the candidates in order, and why they stand so."""

    route: Route
    kind: TaskKind
    candidates: tuple[Candidate, ...]
    considered: tuple[Considered, ...]
    passed: tuple[str, ...] = ()
    """Routes that were looked at before and did not match, with the first condition that failed: ``edit: kinds``."""
