"""A scratch project, a prepared layer, and agents that run in a jail over it. What a jail must leave alone is compared by itself."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import psutil

from lastro.agents.jail.probing import COPY, HostAbilities, probe, program
from lastro.agents.jail.spec import JailSpec
from lastro.agents.jail.starting import choose_view, start
from lastro.domain.policy import RunLimits

PATIENCE_S = 60.0
MARK = "LASTRO_TEST_JAIL"


class Laboratory:
    """A project with some files, beside it the run's directory; ``outside`` is what an agent must never touch."""

    def __init__(self, tmp_path: Path, *, abilities: HostAbilities | None = None, view: str = "") -> None:
        top = Path(os.path.realpath(tmp_path))
        self.project, self.directory, self.outside = top / "project", top / "run", top / "outside"
        self.abilities, self.view = abilities, view
        self._number = 0
        for path in (
            self.project / "src",
            self.project / ".lastro/roles",
            self.project / ".git/hooks",
            self.outside,
        ):
            path.mkdir(parents=True)
        (self.project / "a.txt").write_text("as it was\n")
        (self.project / "src/main.py").write_text("print('hello')\n")
        (self.project / ".lastro/policy.toml").write_text("version = 1\n")
        (self.project / ".git/config").write_text("[core]\n")
        (self.project / ".env").write_text("PASSWORD=hunter2\n")
        (self.outside / "secret").write_text("hunter3\n")

    def spec(self, *command, **fields):
        self._number += 1
        directory = Path(f"{self.directory}-{self._number}")
        for name in ("upper", "work"):
            (directory / name).mkdir(parents=True)
        shutil.copytree(self.project, directory / "copy", symlinks=True, ignore=_sockets)
        fields.setdefault("limits", RunLimits(wall_s=int(PATIENCE_S)))
        environment = {"LANG": "C.UTF-8", MARK: str(directory), **fields.pop("environment", {})}
        return JailSpec(
            run=f"run-{self._number}",
            project=str(self.project),
            directory=str(directory),
            command=command,
            environment=environment,
            view=fields.pop("view", self.view),
            **fields,
        )

    def start(self, spec):
        return start(spec, abilities=self.abilities or probe(str(self.project)))

    def run(self, *command, stop=None, **fields):
        """Run to the end; what came out. Nothing of the host was touched. ``stop``: called with the jail once it said something."""
        spec = self.spec(*command, **fields)
        before = self.fingerprint()
        jail = self.start(spec)
        said = {"stdout": b"", "stderr": b""}
        deadline = time.monotonic() + PATIENCE_S + 15
        while (piece := jail.read(0.1)) is None or piece[0] != "end":
            if piece is not None:
                said[piece[0]] += piece[1]
            if stop is not None and said["stdout"]:
                stop(jail)
                stop = None
            assert time.monotonic() < deadline, "the agent did not end"
        end = jail.wait()
        assert self.fingerprint() == before
        assert not marked(spec.directory), "processes were left behind"
        copied = choose_view(spec, self.abilities or probe(str(self.project))) == COPY
        layer = Path(spec.directory, "copy" if copied else "upper")
        return SimpleNamespace(
            end=end,
            out=said["stdout"],
            err=said["stderr"],
            layer=layer,
            jail=jail,
            enforcement=jail.enforcement,
        )

    def python(self, script, **fields):
        """Run ``script`` by the interpreter that the jail shows."""
        return self.run(program(), "-I", "-c", script, **fields)

    def fingerprint(self):
        """What no agent may change: the live project, what lies outside, and what is mounted there."""
        files = {
            str(path): (
                path.lstat().st_mtime_ns,
                path.lstat().st_mode,
                path.lstat().st_ino,
                path.lstat().st_nlink,
            )
            for top in (self.project, self.outside)
            for path in sorted(top.rglob("*"))
        }
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return files, [line for line in mounts if str(self.project.parent) in line]


def _sockets(directory, names):
    return [name for name in names if Path(directory, name).is_socket()]


def marked(directory):
    """Processes that carry the mark of the run in ``directory``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == directory and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
