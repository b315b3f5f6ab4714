"""What a request is for, and which route takes it. Pure.

What always holds: the first route whose ``match`` holds is taken, in the order of configuration, and ``default`` holds for everything; for
each route that did not hold there is the first condition that failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from lastro.errors import NotFoundError
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.keys import GatewayKey
from lastro.gateway.route import TASK_HEADER, Match, Route, TaskKind
from lastro.messages import N_

AUTO: Final = "auto"
"""The model name that lets the route decide; ``auto:KIND`` says the task kind too, for tools that can set no header."""
_PREFIXES: Final = ("lastro/", "models/")
"""What some tools write before a model's name."""


class Wanted(Struct, frozen=True, kw_only=True):
    """One request as routing sees it. ``model`` is without what tools write before it; ``auto:KIND`` became ``auto`` and ``kind``."""

    model: str
    kind: TaskKind
    dialect: Dialect
    headers: Mapping[str, str]
    key: GatewayKey
    input_tokens: int
    has_tools: bool
    has_images: bool


def wanted(
    *,
    model: str,
    dialect: Dialect,
    headers: Mapping[str, str],
    key: GatewayKey,
    input_tokens: int,
    has_tools: bool,
    has_images: bool,
) -> Wanted:
    """A request with its task kind: from the header ``x-lastro-task``, else from ``auto:KIND``, else the key's role where that is a kind,
    else ``chat``. ``headers`` have lower-case names.

    Raises:
        NotFoundError: there is no such task kind.
    """
    for prefix in _PREFIXES:
        model = model.removeprefix(prefix)
    name, _, suffix = model.partition(":")
    if name == AUTO or not name:
        model = AUTO
    said = headers.get(TASK_HEADER, "").strip().lower() or (suffix if model == AUTO else "")
    if said and said not in _KINDS:
        raise NotFoundError(
            N_("There is no task kind {kind}."),
            hint=N_("These are known: {known}"),
            kind=said,
            known=", ".join(_KINDS),
        )
    return Wanted(
        model=model,
        kind=_KINDS.get(said or key.role, TaskKind.CHAT),
        dialect=dialect,
        headers=headers,
        key=key,
        input_tokens=input_tokens,
        has_tools=has_tools,
        has_images=has_images,
    )


def taken_route(routes: tuple[Route, ...], request: Wanted) -> tuple[Route, tuple[str, ...]]:
    """The route of a request, and those looked at before with the first condition that failed, as ``edit: kinds``.

    Raises:
        NotFoundError: none holds, which cannot be with settings that were read from a file.
    """
    passed: list[str] = []
    for route in routes:
        failed = failing_condition(route.match, request)
        if not failed:
            return route, tuple(passed)
        passed.append(f"{route.name}: {failed}")
    raise NotFoundError(
        N_("No route takes this request."), hint=N_("Add a route called default to gateway.toml.")
    )


def failing_condition(match: Match, request: Wanted) -> str:
    """The first condition of ``match`` that does not hold, by its name in configuration; empty if all hold."""
    key = request.key
    names = [name for name in (key.name, key.id) if name]  # none without a key
    conditions = (
        ("kinds", not match.kinds or request.kind in match.kinds),
        ("keys", not match.keys or any(_matches(match.keys, name) for name in names)),
        ("roles", not match.roles or (bool(key.role) and _matches(match.roles, key.role))),
        ("models", not match.models or _matches(match.models, request.model)),
        ("dialects", not match.dialects or request.dialect in match.dialects),
        (
            "headers",
            not match.headers
            or all(
                fnmatchcase(request.headers.get(name.lower(), ""), glob) and name.lower() in request.headers
                for name, glob in match.headers.items()
            ),
        ),
        ("has_tools", match.has_tools in {None, request.has_tools}),
        ("has_images", match.has_images in {None, request.has_images}),
        ("min_input_tokens", request.input_tokens >= match.min_input_tokens),
        ("max_input_tokens", not match.max_input_tokens or request.input_tokens <= match.max_input_tokens),
    )
    return next((name for name, holds in conditions if not holds), "")


def _matches(globs: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


_KINDS: Final = {str(kind): kind for kind in TaskKind}
