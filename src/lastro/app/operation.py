"""The table of operations: one use case each, offered by every face.

Everything a face needs derives from an ``Operation``: the CLI path, options and help, ``POST /api/v1/<name>``, later MCP tools. The name is
the CLI path with dots (``node.roots.add``). Request and reply are frozen structs; a field's ``Meta(description=...)`` is its help, and
``Meta(extra_json_schema={"cli": ...})`` places it on the command line (``argument``, ``flag``, ...; see ``parameter``).

``Place`` says whose rights an operation needs. KEEPER ones run in the keeper's process (or in the caller's when no keeper runs). CALLER
ones run in the process of whoever asked, because they touch that user's own files; they are made of KEEPER ones, called through a
``Caller``. HOME ones touch no files but Lastro's own: they run as CALLER ones do, and in the keeper's process for whoever asks through a
browser.

An operation whose ``internal`` is set is a step of another one: faces other than the HTTP API of the own machine do not offer it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from msgspec import Meta, Struct

from lastro.errors import UsageError
from lastro.messages import N_


class Effect(StrEnum):
    """Whether an operation changes anything."""

    READ = "read"
    CHANGE = "change"


class Place(StrEnum):
    """Whose process runs it."""

    KEEPER = "keeper"
    CALLER = "caller"
    HOME = "home"


Request = TypeVar("Request", bound=Struct)
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Request, Reply]):
    """One use case. ``run`` takes an ``app.services.Services`` (KEEPER) or an ``app.desk.Desk`` (CALLER, HOME), and the request.

    ``summary`` is the English msgid of its one-line help; ``details`` of what follows in ``--help`` and the API's description.
    """

    name: str
    request: type[Request]
    reply: type[Reply]
    effect: Effect
    place: Place
    run: Callable[[Any, Request], Reply]
    summary: str
    details: str = ""
    internal: bool = False


class Nothing(Struct, frozen=True):
    """A request without fields."""


def parameter(
    description: str, *, cli: str = "option", short: str = "", metavar: str = "", least: int | None = None
) -> Meta:
    """How a request field looks on a command line and in schemas.

    ``cli``: ``argument`` (optional if the field has a default, repeated if it is a tuple), ``option`` (a ``bool`` becomes a flag),
    ``reference`` (an argument read as ``SERVER[:PATH][@AT]``), ``instant`` (an option read as an instant, in nanoseconds), ``secret`` (a
    flag ``--NAME-stdin`` that reads it, so that it stands on no command line), ``hidden`` (faces other than the CLI only).
    ``least``: the smallest number that is taken; a command line takes none below 0.
    """
    return Meta(description=description, ge=least, extra={"cli": cli, "short": short, "metavar": metavar})


_GROUPS: Final[Mapping[str, str]] = {
    "init": "repository",
    "repo": "repository",
    "status": "status",
    "capture": "capture",
    "log": "history",
    "cat": "contents",
    "find": "history",
    "ls": "listing",
    "causes": "listing",
    "tar": "tar",
    "entries": "history",
    "where": "history",
    "content": "contents",
    "contents": "contents",
    "diff": "difference",
    "compare": "difference",
    "restore": "restore",
    "undo": "restore",
    "apply": "applies",
    "server": "servers",
    "node": "nodes",
    "gateway": "gateway",
    "doctor": "doctor",
    "run": "running",
    "runs": "runs",
    "proposal": "proposal",
    "policy": "policy",
    "project": "project",
    "approver": "approvers",
    "audit": "audit",
    "events": "happenings",
    "job": "jobs",
    "notify": "notify",
    "login": "login",
    "invite": "login",
    "session": "sessions",
    "token": "tokens",
    "recovery": "recovery",
}
"""First word of an operation's name → module of ``app/operations`` that holds it, so that a command loads only what it needs."""


def find_operation(name: str) -> Operation[Any, Any]:
    """The operation called ``name``, importing only its group.

    Raises:
        UsageError: there is no such operation.
    """
    for operation in operations_of(name.partition(".")[0]):
        if operation.name == name:
            return operation
    raise UsageError(N_("There is no operation called {name}."), name=name)


def all_operations() -> Iterator[Operation[Any, Any]]:
    """Every operation, importing every group; for schemas, documentation and tests."""
    for module in sorted(set(_GROUPS.values())):
        yield from importlib.import_module(f"lastro.app.operations.{module}").OPERATIONS


def operations_of(word: str) -> tuple[Operation[Any, Any], ...]:
    """The operations whose name starts with the word ``word``, importing only their group; none for an unknown word."""
    module = _GROUPS.get(word)
    if module is None:
        return ()
    operations: tuple[Operation[Any, Any], ...] = importlib.import_module(
        f"lastro.app.operations.{module}"
    ).OPERATIONS
    return tuple(operation for operation in operations if operation.name.partition(".")[0] == word)
