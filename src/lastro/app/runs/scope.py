"""What of history a run may see: its own project, and there what its role may read."""

from __future__ import annotations

from dataclasses import dataclass

from lastro.domain.entry import EntryType
from lastro.domain.paths import is_within, join, relative_to
from lastro.domain.policy import Role
from lastro.domain.reference import normal
from lastro.errors import DeniedError
from lastro.messages import N_
from lastro.proposals.globs import first_match, glob
from lastro.proposals.policy import may_read


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """A run, its project (absolute, links resolved), and the role it has by the policy that was in force when it began."""

    run: int
    project: str
    role: Role

    def may_read(self, path: str) -> bool:
        """Whether the absolute ``path`` lies in the project, and the role may see what is there."""
        if not self.holds(path):
            return False
        relative = relative_to(path, self.project)
        return not relative or may_read(self.role, relative).allowed

    def may_list(self, path: str, kind: EntryType) -> bool:
        """As ``may_read``; also a directory above what may be read, for that is how one gets there."""
        if self.may_read(path):
            return True
        if kind is not EntryType.DIRECTORY or not self.holds(path):
            return False
        relative = relative_to(path, self.project)
        if first_match(self.role.deny_read, relative, loose=True):
            return False
        return any(glob(pattern).leads_to(relative) for pattern in self.role.read)

    def holds(self, path: str) -> bool:
        """Whether the absolute ``path`` is written plainly, and is the project or lies in it."""
        return path.startswith("/") and normal(path) == path and is_within(path, self.project)

    def absolute(self, path: str) -> str:
        """A path as a run writes it: absolute, or relative to the project."""
        return normal(path if path.startswith("/") else join(self.project, path))

    def outside(self, path: str) -> DeniedError:
        """What to say of a path that this run may not see."""
        if self.holds(path):
            return DeniedError(
                N_("The role {role} may not read {path}."),
                hint=N_("'lastro policy explain {path}' says why, outside of the run."),
                role=self.role.name,
                path=path,
            )
        return DeniedError(
            N_("{path} is not in the project of this run, {project}."),
            hint=N_("Inside a run only the history of its own project can be asked."),
            path=path,
            project=self.project,
        )
