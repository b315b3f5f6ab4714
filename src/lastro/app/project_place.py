"""A project on this machine: which directory it is, and the small files of its own that Lastro reads.

What always holds: a project is never the whole machine, a user's home itself, what holds that, nor anything that has to do with Lastro's
own places: an agent's view of it would show keys, or a repository that is being written. Whatever in a project could be a planted link is
opened without following, and no file is read beyond its limit.
"""

from __future__ import annotations

import contextlib
import os
import pwd

from lastro.app.caller import Caller
from lastro.app.places import Places
from lastro.app.requests.policy import EffectivePolicy, PolicyReply
from lastro.domain.paths import is_within, join
from lastro.errors import ConfigError, NotFoundError, UsageError
from lastro.filesystem.beneath import read_at_most
from lastro.messages import N_
from lastro.proposals.checks_file import PROJECT_FILE, ProjectCheck, load_checks
from lastro.proposals.policy import POLICY_FILE
from lastro.proposals.policy_file import LARGEST_FILE, decode


def project_directory(places: Places, named: str = "") -> str:
    """The real path of the project that ``named`` says; of the current directory if it says nothing.

    Raises:
        NotFoundError: there is no such directory.
        UsageError: it can be no project.
    """
    try:
        project = os.path.realpath(named or os.getcwd())
    except FileNotFoundError:
        raise UsageError(
            N_("The current directory no longer exists."),
            hint=N_("Go to another one, or write the whole path."),
        ) from None
    except ValueError:  # a NUL, or what no name can be written with
        project = named
    if not os.path.isdir(project):
        raise NotFoundError(
            N_("There is no directory {path}."), hint=N_("Name the project's directory."), path=project
        )
    if any(is_within(home, project) for home in ("/", *_homes())):
        raise UsageError(
            N_("{path} can be no project: it holds far more than one."),
            hint=N_("Go into the project's own directory, or name it with --project."),
            path=project,
        )
    for own in _own_places(places):
        if is_within(project, own) or is_within(own, project):
            raise UsageError(
                N_("{path} can be no project: Lastro keeps its own things in {own}."),
                hint=N_(
                    "Work in a directory that neither lies in it nor holds it, or move LASTRO_HOME (--home)."
                ),
                path=project,
                own=own,
            )
    return project


def read_project_file(project: str, path: str) -> str:
    """The text of the file at the relative ``path`` of the project at the real path ``project``; empty if there is none.

    Raises:
        ConfigError: it is a link or no ordinary file, larger than ``LARGEST_FILE``, no UTF-8, or may not be read.
    """
    where = join(project, path)
    try:
        raw = read_at_most(project, path, LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigError(
            N_("{path} cannot be read: {reason}"),
            hint=N_("It has to be an ordinary file that you may read, reached by no link."),
            path=where,
            reason=error.strerror or str(error),
        ) from error
    if raw is None:
        raise ConfigError(
            N_("{path} is no ordinary file."), hint=N_("Move it away, or write it as one."), path=where
        )
    return decode(raw, where)


def policy_for(caller: Caller, project: str) -> PolicyReply:
    """The policy in force for the project at the real path ``project``: the keeper's, narrowed by its own file as it is now.

    Raises:
        ConfigError: one of the files cannot be used.
    """
    text = read_project_file(project, POLICY_FILE)
    request = EffectivePolicy(narrowing=text, origin=join(project, POLICY_FILE))
    reply = caller.call("policy.effective", request)
    assert isinstance(reply, PolicyReply)
    return reply


def project_checks(project: str) -> tuple[ProjectCheck, ...]:
    """The checks that the project at the real path ``project`` wants of each run.

    Raises:
        ConfigError: its file cannot be used.
    """
    return load_checks(read_project_file(project, PROJECT_FILE), join(project, PROJECT_FILE))


def _homes() -> frozenset[str]:
    homes = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):
        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    return frozenset(os.path.realpath(home) for home in homes if home.startswith("/"))


def _own_places(places: Places) -> tuple[str, ...]:
    """The directories of this installation; not the home above them, for the sample project lies in that."""
    return tuple(map(os.path.realpath, (places.config, places.data, places.state, places.run)))
