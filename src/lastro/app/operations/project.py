"""``project.init``: the files by which people and agents share a project.

What always holds: a file that is there stays as it is, whatever it is; nothing is written through a link; a file appears whole or not at
all. So it may be run again at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Any, Final

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Operation, Place
from lastro.app.project_place import project_directory, read_project_file
from lastro.app.project_texts import POLICY, README, ROLES, agents_text, project_text
from lastro.app.requests.policy import InitProject, ProjectMade
from lastro.domain.paths import name_of, parent_of, printable
from lastro.errors import ConfigError, DeniedError, LastroError, StorageFullError, UsageError
from lastro.filesystem.beneath import open_beneath, open_root
from lastro.filesystem.system import System
from lastro.messages import N_
from lastro.proposals.checks_file import PROJECT_FILE
from lastro.proposals.policy import POLICY_FILE

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY

Checks = tuple[tuple[str, tuple[str, ...]], ...]


def init(desk: Desk, request: InitProject) -> ProjectMade:
    """Make what is missing."""
    project = project_directory(desk.places, request.project)
    made: list[str] = []
    kept: list[str] = []
    top = open_root(project)
    try:
        for path, text in project_files(project):
            there = _is_there(top, path, project)
            if not there and not request.plan:
                there = not _make(top, path, text.encode(), project, System())
            (kept if there else made).append(path)
    finally:
        os.close(top)
    return ProjectMade(project=project, made=tuple(made), kept=tuple(kept), plan=request.plan)


def project_files(project: str) -> tuple[tuple[str, str], ...]:
    """Paths below the project, and what they hold."""
    checks = guess_checks(project)
    return (
        ("AGENTS.md", agents_text(printable(name_of(project)), checks)),
        (".lastro/README.md", README),
        (POLICY_FILE, POLICY),
        (PROJECT_FILE, project_text(checks)),
        *((f".lastro/roles/{role}.md", text) for role, text in ROLES.items()),
    )


def guess_checks(project: str) -> Checks:
    """Commands that look like the project's own tests, by what lies at its top."""
    makefile = _peek(project, "Makefile")
    found: list[tuple[str, tuple[str, ...]]] = [
        (target, ("make", target))
        for target in ("check", "test", "lint")
        if re.search(rf"^{target}\s*:(?!=)", makefile, re.MULTILINE)
    ]
    if not found and ("pytest" in _peek(project, "pyproject.toml") or _peek(project, "pytest.ini")):
        found.append(("tests", ("python3", "-m", "pytest", "-q")))
    if "test" in _scripts(_peek(project, "package.json")):
        found.append(("npm test", ("npm", "test")))
    if _peek(project, "Cargo.toml"):
        found.append(("cargo test", ("cargo", "test", "--offline")))
    if _peek(project, "go.mod"):
        found.append(("go test", ("go", "test", "./...")))
    return tuple(found)


def _scripts(text: str) -> dict[str, Any]:
    try:
        scripts = json.loads(text)["scripts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return scripts if isinstance(scripts, dict) else {}


def _peek(project: str, path: str) -> str:
    """The text of a file; empty for what cannot be read, for this is only to guess by."""
    with contextlib.suppress(ConfigError):
        return read_project_file(project, path)
    return ""


def _is_there(top: int, path: str, project: str) -> bool:
    """Whether anything is at ``path``; a link counts, and is not followed."""
    try:
        os.close(open_beneath(top, path, os.O_PATH))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _refused(error, path, project) from error
    return True


def _make(top: int, path: str, data: bytes, project: str, system: System) -> bool:
    """Write the file with all directories above it; whether it was made: somebody may have been faster."""
    try:
        directory = _directories(top, parent_of(path), system)
        try:
            return _write_new(directory, os.fsencode(name_of(path)), data, system)
        finally:
            os.close(directory)
    except OSError as error:
        raise _refused(error, path, project) from error


def _directories(top: int, path: str, system: System) -> int:
    """The directory ``path``, made where it is missing; a descriptor."""
    here = os.dup(top)
    for name in path.split("/") if path else ():
        try:
            with contextlib.suppress(FileExistsError):
                system.make_directory(here, os.fsencode(name), 0o777)
            below = open_beneath(here, name, _DIRECTORY)
        finally:
            os.close(here)
        here = below
    return here


def _write_new(directory: int, name: bytes, data: bytes, system: System) -> bool:
    temporary = b".%s.%d.tmp" % (name, os.getpid())
    descriptor = system.open(directory, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            system.write(descriptor, data)
            system.sync(descriptor)
        finally:
            os.close(descriptor)
        system.rename_new(directory, temporary, directory, name)
    except OSError as error:
        with contextlib.suppress(OSError):
            system.remove(directory, temporary)
        if isinstance(error, FileExistsError):
            return False
        raise
    system.sync(directory)
    return True


def _refused(error: OSError, path: str, project: str) -> LastroError:
    """The system's answer in our words."""
    import errno  # noqa: PLC0415  only for a failure

    reason = error.strerror or str(error)
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return UsageError(
            N_("{path} cannot be made in {project}: something above it is a link or no directory."),
            hint=N_("Lastro writes through no link. Move it away, then run it again."),
            path=path,
            project=project,
        )
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError(
            N_("{path} cannot be made in {project}: {reason}"),
            hint=N_("Make room and run it again; files that were made stay."),
            path=path,
            project=project,
            reason=reason,
        )
    return DeniedError(
        N_("{path} cannot be made in {project}: {reason}"),
        hint=N_("Run it as the user whose project it is; files that were made stay."),
        path=path,
        project=project,
        reason=reason,
    )


OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="project.init",
        request=InitProject,
        reply=ProjectMade,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=init,
        summary=N_("Make the files by which people and agents share a project: AGENTS.md and .lastro/."),
        details=N_("Files that are there stay as they are."),
    ),
)
