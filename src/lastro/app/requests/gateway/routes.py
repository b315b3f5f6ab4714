"""What operations on routes are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.messages import N_


class RoutesExplain(Struct, frozen=True, kw_only=True):
    """Which models would answer a call, and why."""

    task: Annotated[
        str,
        parameter(
            N_(
                "What the call is for: plan, edit, refine, expand, test, review, summarise, chat, server-routine."
            ),
            metavar="KIND",
        ),
    ] = ""
    model: Annotated[str, parameter(N_("The model that is asked for."), metavar="MODEL")] = "auto"
    dialect: Annotated[str, parameter(N_("chat, responses, messages or gemini."), metavar="DIALECT")] = "chat"
    key: Annotated[str, parameter(N_("The gateway key that asks, by name or id."), metavar="KEY")] = ""
    header: Annotated[
        tuple[str, ...], parameter(N_("A header of the call, as 'name: value'."), metavar="HEADER")
    ] = ()
    tools: Annotated[bool, parameter(N_("The call brings tools."))] = False
    images: Annotated[bool, parameter(N_("The call brings pictures."))] = False
    tokens: Annotated[int, parameter(N_("How long the conversation is, in tokens."), metavar="N")] = 0


class RouteChoice(Struct, frozen=True, kw_only=True):
    """A model that was looked at. ``place``: when it would be asked, from 1; 0 if it would not."""

    model: str
    reason: str
    detail: str = ""
    place: int = 0
    dialect: str = ""
    degraded: bool = False


class RouteExplained(Struct, frozen=True, kw_only=True):
    """The route that is taken, those passed before it, and its models in order."""

    route: str
    kind: str
    passed: tuple[str, ...]
    choices: tuple[RouteChoice, ...]
    redaction: bool
    recording: bool
    origin: str
    live: bool
    """Whether circuits of the running gateway were looked at."""
    problems: tuple[Sentence, ...] = ()


class RoutesList(Struct, frozen=True, kw_only=True):
    """The routes."""


class RouteState(Struct, frozen=True, kw_only=True):
    """One route: its conditions as text and its models in order."""

    name: str
    match: str
    models: tuple[str, ...]
    redaction: bool
    recording: bool
    origin: str


class RouteList(Struct, frozen=True, kw_only=True):
    """Routes in the order in which they are tried. ``problem``: why the file as it is now is not in use; empty if it is."""

    routes: tuple[RouteState, ...]
    path: str
    problem: str = ""
