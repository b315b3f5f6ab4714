"""``.lastro/project.toml``: the checks of a project, as whoever runs them needs them (``docs/reference/project.toml.md``).

What always holds: the file is read from the project as it was *before* the run, never from what an agent made; else an agent could pass
every check by taking it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from msgspec import Struct

from lastro.proposals.globs import glob
from lastro.proposals.policy_reader import PolicyReader, parse
from lastro.proposals.policy_tables import ProjectTables
from lastro.proposals.values import to_seconds

PROJECT_FILE: Final = ".lastro/project.toml"
TIMEOUT_S: Final = 600
"""Of a check that names none."""


class ProjectCheck(Struct, frozen=True, kw_only=True):
    """A command that says by its exit status whether a result is good. ``paths``: only when one of them changed; empty: always."""

    name: str
    command: tuple[str, ...]
    timeout_s: int = TIMEOUT_S
    paths: tuple[str, ...] = ()

    def concerns(self, changed: Iterable[str]) -> bool:
        """Whether it is to be run on a result that changed the paths ``changed``."""
        return not self.paths or any(
            glob(pattern).matches(path) for path in changed for pattern in self.paths
        )


def load_checks(text: str, origin: str = PROJECT_FILE) -> tuple[ProjectCheck, ...]:
    """The checks that ``text`` says, in its order; ``origin`` is the file, for errors.

    Raises:
        ConfigError: it is no TOML, or says something impossible.
    """
    return _ChecksReader(origin, text).checks()


class _ChecksReader(PolicyReader):
    page: ClassVar = "docs/reference/project.toml.md"

    def checks(self) -> tuple[ProjectCheck, ...]:
        file = self.table(parse(self._text, self._path), ProjectTables, ())
        found: list[ProjectCheck] = []
        for number, table in enumerate(file.check):
            place = ("check", number)
            self.check_patterns(table.paths, (*place, "paths"))
            if any(check.name == table.name for check in found):
                self.wrong((*place, "name"), f'"{table.name}" is the name of another check')
            for position, argument in enumerate(table.command):
                if "\0" in argument or not table.command[0]:
                    self.wrong((*place, "command", position), "expected a program and its arguments")
            timeout = table.timeout
            found.append(
                ProjectCheck(
                    name=table.name,
                    command=table.command,
                    timeout_s=TIMEOUT_S
                    if timeout is None
                    else self.read(to_seconds, timeout, (*place, "timeout")),
                    paths=table.paths,
                )
            )
        return tuple(found)
