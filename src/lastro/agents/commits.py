"""Commits that a run made: out of its view as a bundle, and into the live repository as ``refs/lastro/run-N/*``.

The files below ``.git`` are never taken over. Nor does Git ever run on them: their configuration, hooks, alternates and attributes are an
agent's, and several of them name programs. Instead the refs are read as plain files, and the objects that the live repository lacks are
copied, by names that objects have and nothing else, into a fresh bare repository whose configuration is ours. Packs are indexed anew
there, as if they came from the network, and everything is checked like a fetch from a stranger (``fsckObjects``). So what a hostile view
can do is what a hostile remote can do. That needs no jail, and works after the supervisor was killed and on a copy alike.

What always holds: the live repository's branches, index and files stay as they are; no hook runs; nothing is fetched by a network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from lastro.agents.git_objects import blocks, is_object, is_pack, objects, read_refs
from lastro.agents.layer_walk import GIT
from lastro.agents.removing import remove_tree
from lastro.capture.local import LocalSource
from lastro.capture.source import FileBegin, FileData, FileEnd, FileFailed, Root, Source
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import join, to_bytes
from lastro.errors import DamagedError, NotFoundError
from lastro.filesystem.system import System
from lastro.messages import N_

BUNDLE: Final = "commits.bundle"
_BARE: Final = "commits.git"
_TIMEOUT_S: Final = 120.0
_NO_COMMIT: Final = "empty bundle"
_CONFIG: Final = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.alternateRefsCommand", "true"),
    ("transfer.fsckObjects", "true"),
    ("fetch.fsckObjects", "true"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.allow", "never"),
    ("protocol.file.allow", "always"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("pack.threads", "1"),
    ("pack.windowMemory", "256m"),
    ("core.bigFileThreshold", "16m"),
)


class Commits(Struct, frozen=True, kw_only=True):
    """What a run committed: ``refs`` (of the view) → object ids, and the absolute path of the ``bundle`` that holds the new commits.

    Both are empty when there is nothing new.
    """

    refs: Mapping[str, str] = {}
    bundle: str = ""


def bundle_commits(project: str, source: Source, directory: str, *, system: System | None = None) -> Commits:
    """Make ``directory/commits.bundle`` of the commits that the view of ``project`` (``source``, as a ``Layer`` gives it) has and the live
    repository has not.

    Nothing comes of a view without a repository of its own, of a host without Git, and of refs that lead to no object. Doing it again
    makes it anew.

    Raises:
        DamagedError: Git refuses what the agent made, or takes too long over it.
        OSError: the disk refuses.
    """
    live = LocalSource([Root(path=project)])
    if not (_has_repository(source, project) and _has_repository(live, project) and _has_git()):
        return Commits()
    present = read_refs(live, project)
    wanted = {name: made for name, made in read_refs(source, project).items() if present.get(name) != made}
    if not wanted:
        return Commits()
    system = system or System()
    fresh = [
        entry
        for entry in objects(source, project)
        if not os.path.lexists(to_bytes(join(project, entry.path)))
    ]
    if not fresh:
        return Commits()
    with _bare(directory, project, system=system) as git:
        git.take(source, project, fresh)
        refs = git.write_refs(wanted)
        bundle = join(directory, BUNDLE)
        if not refs or not git.bundle(bundle, refs, present.values()):
            return Commits()
    return Commits(refs=refs, bundle=bundle)


def fetch_commits(project: str, bundle: str, run: int) -> Mapping[str, str]:
    """Bring the commits of ``bundle`` into the live repository of ``project``, as ``refs/lastro/run-N/heads/*`` and ``.../tags/*``.

    The refs that stand there now, by name. Doing it again changes nothing.

    Raises:
        DamagedError: the bundle is not sound, or the repository lacks what it builds on.
        NotFoundError: there is no Git here.
    """
    if not _has_git():
        raise NotFoundError(
            N_("There is no Git here, so the commits of run-{run} stay in {path}."), run=run, path=bundle
        )
    # Root may look after a project of another user's. Nothing of its configuration that names a program is used here.
    here = ("-c", f"safe.directory={project}", "-C", project)
    _git(*here, "bundle", "verify", "--quiet", bundle)
    prefix = f"refs/lastro/run-{run}"
    _git(
        *here,
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
        bundle,
        *(f"+refs/{kind}/*:{prefix}/{kind}/*" for kind in ("heads", "tags")),
    )
    listed = _git(*here, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return dict(line.split(" ", 1) for line in listed.decode().splitlines())


def _has_repository(source: Source, project: str) -> bool:
    """Whether the repository lies in the project itself; a worktree's lies elsewhere, where an agent cannot write."""
    found = next(iter(source.list(project, (GIT,), recursive=False)), None)
    return isinstance(found, Entry) and found.path == GIT and found.type is EntryType.DIRECTORY


class _Bare:
    """The fresh repository at ``path``, which sees the objects of the live one too."""

    def __init__(self, path: str, project: str, *, system: System) -> None:
        self._path = path
        self._environment = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(join(project, f"{GIT}/objects"))}
        self._system = system

    def take(self, source: Source, project: str, entries: Sequence[Entry]) -> None:
        """Copy objects; packs are indexed here."""
        for entry in entries:
            os.makedirs(os.path.dirname(self._place(entry.path)), mode=0o700, exist_ok=True)
        file = -1
        packs = []
        try:
            for event in blocks(source, project, entries):
                if isinstance(event, FileBegin):
                    file = self._reopened(file, self._place(event.path))
                elif isinstance(event, FileData):
                    self._system.write_at(file, event.data, event.offset)
                elif isinstance(event, FileEnd) and is_pack(event.path):
                    packs.append(event.path)
                elif isinstance(event, FileFailed):
                    continue  # Git says so if it is needed
        finally:
            if file >= 0:
                os.close(file)
        for pack in packs:
            self.run("index-pack", "--strict", self._place(pack))

    def _place(self, path: str) -> str:
        assert is_object(path)
        return join(self._path, path[len(GIT) + 1 :])

    def _reopened(self, file: int, path: str) -> int:
        if file >= 0:
            os.close(file)
        return os.open(
            to_bytes(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )

    def write_refs(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        """Make those of the wanted refs that lead to an object of the right type."""
        types = self._types(wanted.values())
        refs = {
            name: identity
            for name, identity in wanted.items()
            if types.get(identity) == "commit" or (identity in types and name.startswith("refs/tags/"))
        }
        self.run(
            "update-ref", "--stdin", said=_lines(*(f"create {name} {made}" for name, made in refs.items()))
        )
        return refs

    def _types(self, identities: Iterable[str]) -> Mapping[str, str]:
        """The types of those objects that are there."""
        said = self.run("cat-file", "--batch-check=%(objectname) %(objecttype)", said=_lines(*identities))
        pairs = (line.split(" ") for line in said.decode().splitlines())
        return {pair[0]: pair[1] for pair in pairs if pair[1] != "missing"}

    def bundle(self, path: str, refs: Mapping[str, str], present: Iterable[str]) -> bool:
        """Whether there was anything to put into a bundle of ``refs`` without what the ``present`` objects lead to."""
        known = self._types(present)
        try:
            self.run(
                "bundle",
                "create",
                "--quiet",
                path,
                "--stdin",
                said=_lines(*refs, *(f"^{each}" for each in known)),
            )
        except DamagedError as error:
            if _NO_COMMIT in str(error.parameters.get("reason")):
                return False
            raise
        return True

    def run(self, *arguments: str, said: bytes = b"") -> bytes:
        """Git in this repository."""
        return _git(f"--git-dir={self._path}", *arguments, said=said, environment=self._environment)


@contextmanager
def _bare(directory: str, project: str, *, system: System) -> Iterator[_Bare]:
    path = join(directory, _BARE)
    remove_tree(path, system=system)
    shape = "sha256" if _is_sha256(project) else "sha1"
    try:
        _git("init", "--quiet", "--bare", "--template=", f"--object-format={shape}", path)
        yield _Bare(path, project, system=system)
    finally:
        remove_tree(path, system=system)


def _is_sha256(project: str) -> bool:
    live = LocalSource([Root(path=project)])
    return any(len(identity) == 64 for identity in read_refs(live, project).values())


def _lines(*lines: str) -> bytes:
    return b"".join(to_bytes(line) + b"\n" for line in lines)


def _quoted(path: str) -> str:
    """A path in ``GIT_ALTERNATE_OBJECT_DIRECTORIES``, which splits at colons."""
    return '"{}"'.format(path.replace("\\", "\\\\").replace('"', '\\"')) if set(':"') & set(path) else path


def _has_git() -> bool:
    return shutil.which("git") is not None


def _git(*arguments: str, said: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
    """Run Git with nobody's configuration but ours (and, with ``-C``, that of the live repository).

    Raises:
        DamagedError: it failed, or took too long.
    """
    settings = [part for key, value in _CONFIG for part in ("-c", f"{key}={value}")]
    variables = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        **(environment or {}),
    }
    try:
        ended = subprocess.run(
            [shutil.which("git") or "git", *settings, *arguments],
            input=said,
            capture_output=True,
            env=variables,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise DamagedError(N_("Git took too long over what the agent committed.")) from None
    if ended.returncode != 0:
        raise DamagedError(
            N_("Git refuses what the agent committed: {reason}"),
            hint=N_("The files are not concerned; look at the commits in the run's own view."),
            reason=ascii(ended.stderr[-2000:].decode("utf-8", "replace").strip()),
        )
    return ended.stdout
