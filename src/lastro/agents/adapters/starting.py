"""What the adapters of all coding tools share: finding the tool, refusing what cannot work, and putting a launch together.

What always holds: the key of the run is in the environment alone; every path in a tool's settings is the one it has inside the jail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from msgspec import Struct, structs

from lastro.agents.adapters.adapter import Launch, Task, ToolInfo
from lastro.agents.adapters.finding import (
    Host,
    find_program,
    host_of,
    interpreter_of,
    outermost,
    real_program,
    shown_for,
    toolchains,
)
from lastro.agents.adapters.home import write_settings_inside
from lastro.agents.adapters.surroundings import surroundings
from lastro.agents.adapters.versions import Known, Package, ask_version, package_of, problem_with, satisfies
from lastro.agents.adapters.words import Typed
from lastro.agents.jail.spec import HOME
from lastro.domain.paths import from_bytes, is_within, to_bytes
from lastro.errors import UsageError
from lastro.gateway.environment import CodingTool, FileSettings, ToolSettings, settings_for
from lastro.messages import N_, Message

_PROMPT: Final = 60_000
"""Bytes of each part of a prompt."""
_SESSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


class Product(Struct, frozen=True, kw_only=True):
    """A coding tool as it is installed. ``packages``: its names on npm. ``known``: the versions that its adapter was written for."""

    name: str
    tool: CodingTool
    known: Known
    packages: frozenset[str] = frozenset()


def probe_product(
    product: Product, argv: Sequence[str], environment: Mapping[str, str], project: str
) -> ToolInfo | None:
    """The installed ``product`` that ``argv`` would start, ``None``: there is none."""
    host = host_of(environment, project)
    found = find_program(argv[0], host)
    if found is None:
        return None
    program = real_program(found)
    package = package_of(program, product.packages)
    planted = bool(project) and is_within(program, project)
    version = package.version if package else ""
    if not version and not planted:
        version = ask_version((program, "--version"), environment)
    problem = problem_with(product.name, version, product.known) or _node_problem(
        product.name, program, package, host, environment
    )
    shown = outermost([*shown_for(program, host), *toolchains(host)])
    return ToolInfo(program=program, version=version, shown=shown, problem=problem)


def _node_problem(
    name: str, program: str, package: Package | None, host: Host, environment: Mapping[str, str]
) -> Message | None:
    """Why the Node.js of this host cannot run ``program``; ``None``: it can, or is not needed."""
    if package is None or not program.endswith(("js", "cjs", "mjs")):
        return None
    node = interpreter_of(program, host)
    if node is None:
        return Message(
            msgid=N_("{tool} needs Node.js, and there is no node on PATH."), parameters={"tool": name}
        )
    if not package.node:
        return None
    version = ask_version((real_program(node), "--version"), environment)
    if satisfies(version, package.node):
        return None
    return Message(
        msgid=N_("{tool} needs Node.js {wanted}; the node on PATH is {version}."),
        parameters={"tool": name, "wanted": package.node, "version": version},
    )


def settings_inside(product: Product, task: Task, added: FileSettings | None = None) -> ToolSettings:
    """What makes the tool ask the run's gateway, in paths of the jail. ``added`` goes into the file of the same path."""
    settings = settings_for(product.tool, base_url=task.base_url, key=task.key, model=task.model, home=HOME)
    if added is None:
        return settings
    files = {file.path: file for file in settings.files}
    old = files.get(added.path)
    files[added.path] = added if old is None else structs.replace(old, values=_both(old.values, added.values))
    return structs.replace(settings, files=tuple(files.values()))


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged into tables; of anything else, the other's."""
    result = dict(one)
    for key, value in other.items():
        old = result.get(key)
        result[key] = _both(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def launched(
    task: Task, info: ToolInfo, arguments: Sequence[str], settings: ToolSettings, added: Mapping[str, str]
) -> Launch:
    """Write ``settings`` into the run's home and start the tool with ``arguments``."""
    write_settings_inside(task.home, HOME, settings)
    own = settings.environment if settings.complete else settings.variables
    return Launch(command=(info.program, *arguments), environment=surroundings(task, info, {**own, **added}))


def both(first: str, more: str) -> str:
    """One prompt that asks for the earlier task, and for what is said to it now."""
    return f"{fitting(first)}\n\n{fitting(more)}"


def fitting(prompt: str) -> str:
    """``prompt``, cut to what fits on a command line (the kernel takes no word of 128 KiB)."""
    raw = to_bytes(prompt.replace("\0", ""))
    return from_bytes(raw) if len(raw) <= _PROMPT else raw[:_PROMPT].decode("utf-8", "ignore") + "\n[cut]"


def is_session(session: str) -> bool:
    """Whether ``session`` may stand on a command line: it was printed by an agent."""
    return _SESSION.fullmatch(session) is not None


def refuse_no_task(name: str, example: str) -> NoReturn:
    """Nothing was asked of the tool, and inside a run nobody can type.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        N_("{tool} was given no task, and inside a run nobody can type one."),
        hint=N_("Say what it shall do: lastro run -- {example}"),
        tool=name,
        example=example,
    )


def refuse_word(name: str, word: str, example: str) -> NoReturn:
    """A command or an option of the tool that makes no sense in a run.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        N_("'{word}' of {tool} cannot be used inside a run."),
        hint=N_("Give it one task: lastro run -- {example}"),
        tool=name,
        word=word,
        example=example,
    )


def refuse_options(
    name: str, typed: Typed, *, earlier: Sequence[str], impossible: Sequence[str], example: str
) -> None:
    """Refuse options that go on with a conversation of the user's own, and those that make no sense in a run.

    Raises:
        UsageError: one was typed.
    """
    for word in earlier:
        if typed.has(word):
            refuse_earlier(name, word)
    for word in impossible:
        if typed.has(word):
            refuse_word(name, word, example)


def refuse_earlier(name: str, word: str) -> NoReturn:
    """An option that goes on with a conversation of the user's own, which is not in the home of a run.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        N_("'{word}' of {tool} goes on with an earlier conversation, and a run has none of yours."),
        hint=N_("Comment on the proposal of an earlier run instead: its agent goes on from there."),
        tool=name,
        word=word,
    )
