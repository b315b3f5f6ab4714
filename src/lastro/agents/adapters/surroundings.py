"""The environment in which every agent is started: what it needs to work, and nothing that is a secret of its caller. Pure.

What always holds: a variable of the caller is passed on only when it is listed here; ``PATH`` names only what can be seen inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lastro.agents.adapters.adapter import Task, ToolInfo
from lastro.agents.jail.spec import HOME, SEARCHED, SYSTEM
from lastro.domain.paths import is_within

OWN_PROGRAMS: Final = ".local/bin"
"""Below the run's home: Lastro's own command. The last place that is searched."""
_PASSED: Final = frozenset({"LANG", "LANGUAGE", "TZ", "COLUMNS", "LINES", "SOURCE_DATE_EPOCH"})
_AGENT: Final = (("NAME", "agent"), ("EMAIL", "agent@localhost"))
_PLACES: Final = ("VIRTUAL_ENV", "JAVA_HOME", "GOROOT", "RUSTUP_HOME")
"""Variables that name a directory: passed on when it can be seen inside."""


def _git(project: str) -> dict[str, str]:
    """For commits of an agent: they name nobody else, and a project that belongs to another user is no reason to refuse."""
    who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _AGENT}
    trusted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": project}
    return {**who, **trusted, "GIT_TERMINAL_PROMPT": "0"}


def surroundings(task: Task, info: ToolInfo, added: Mapping[str, str]) -> dict[str, str]:
    """The environment of a launch. ``added``: what the tool itself needs; it wins."""
    caller = task.environment

    def seen(path: str) -> bool:
        return path.startswith("/") and any(
            is_within(path.rstrip("/") or "/", shown) for shown in (*SYSTEM, *info.shown, task.project)
        )

    own = info.program.rpartition("/")[0]
    search = [own] if own and seen(own) and not is_within(own, "/usr") else []
    search += [place for place in caller.get("PATH", "").split(":") if place and seen(place)]
    search += (*SEARCHED, f"{HOME}/{OWN_PROGRAMS}")
    passed = {name: value for name, value in caller.items() if name in _PASSED or name.startswith("LC_")}
    places = {name: caller[name] for name in _PLACES if seen(caller.get(name, ""))}
    return {
        "LANG": "C.UTF-8",
        **passed,
        **places,
        "HOME": HOME,
        "PATH": ":".join(dict.fromkeys(search)),
        "PWD": task.project,
        "SHELL": "/bin/sh",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "TMPDIR": "/tmp",  # noqa: S108  the jail's own
        **_git(task.project),
        "PYTHONDONTWRITEBYTECODE": "1",  # what only running a program leaves behind is no work to look at
        **added,
    }
