"""The project's checks, each in a jail without network over a throw-away layer above what the agent made (``agents.checking``)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from lastro.agents.adapters.adapter import Task
from lastro.agents.adapters.registry import adapter_for
from lastro.agents.checking import built_in_checks, project_checks, skipped
from lastro.agents.collecting import Texts
from lastro.agents.jail.probing import COPY
from lastro.agents.jail.spec import JailedProcess, JailSpec
from lastro.agents.jail.starting import start
from lastro.agents.removing import remove_tree
from lastro.agents.supervision_places import RunPlaces
from lastro.app.runs.views import prepared_layer, view_of_jail
from lastro.domain.changes import Change
from lastro.domain.policy import NetworkMode, Role
from lastro.domain.proposal import ChangeNote
from lastro.domain.run import CheckResult
from lastro.filesystem.system import System
from lastro.proposals.checks_file import ProjectCheck

_LONGEST_REASON: Final = 500


class RunChecks:
    """Checks of one run. ``wanted``: false marks the project's own as skipped; ``checks`` are those of the project as it was before."""

    def __init__(
        self,
        checks: Iterable[ProjectCheck],
        *,
        run: str,
        project: str,
        role: Role,
        view: str,
        places: RunPlaces,
        environment: Mapping[str, str],
        wanted: bool,
    ) -> None:
        self._checks = tuple(checks)
        self._run = run
        self._project = project
        self._role = role
        self._view = view
        self._places = places
        self._environment = environment
        self._wanted = wanted

    def __call__(
        self, changes: Sequence[Change], notes: Sequence[ChangeNote], texts: Texts, cut: threading.Event
    ) -> tuple[CheckResult, ...]:
        """See ``agents.running.Checks``."""
        built_in = built_in_checks(changes, notes, texts)
        if not self._wanted:
            return (*built_in, *map(skipped, self._checks))
        directory = self._places.checks
        try:
            return (*built_in, *project_checks(self._checks, changes, self._start, cut))
        finally:
            remove_tree(directory, system=System())

    def _start(self, check: ProjectCheck) -> JailedProcess:
        directory = self._places.checks
        os.makedirs(f"{directory}/home", mode=0o700, exist_ok=True)
        copied = self._view == COPY
        prepared_layer(self._view, f"{self._places.directory}/copy" if copied else self._project, directory)
        adapter = adapter_for(
            ("sh", "-c", "true")
        )  # a check is a command, also when it is called as a coding tool is
        info = adapter.probe(check.command, self._environment, self._project)
        program, shown = (info.program, info.shown) if info else (check.command[0], ())
        task = Task(
            argv=check.command,
            project=self._project,
            home=f"{directory}/home",
            base_url="",
            key="",
            environment=self._environment,
        )
        launch = adapter.launch(task, info) if info else None
        return start(
            JailSpec(
                run=f"{self._run}-check",
                project=self._project,
                directory=directory,
                command=launch.command if launch else (program, *check.command[1:]),
                environment=launch.environment if launch else {},
                read_only=shown,
                deny_read=self._role.deny_read,
                network=NetworkMode.NONE,
                limits=replace(self._role.limits, wall_s=check.timeout_s),
                view=view_of_jail(self._view),
                below=() if copied else (f"{self._places.directory}/upper",),
            )
        )
