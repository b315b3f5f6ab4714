"""What this host can enforce, for this user: found out by trying, once.

What always holds: nothing raises; what cannot be tried, or fails, is absent, with the reason in ``missing``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from lastro.agents.jail import kernel, seccomp
from lastro.agents.jail.cgroups import GroupPlace, find_place
from lastro.agents.jail.remembering import key_of_host, read_memory, remove_memory, write_memory
from lastro.agents.jail.spec import SEARCHED
from lastro.domain.paths import is_within, to_bytes

OVERLAY: Final = "overlay"
OVERLAY_USER: Final = "overlay-user"
LANDLOCK_HOLDS_WRITES: Final = 3
"""The ABI of Landlock from which on no content of a file elsewhere can be changed, cutting it off included (landlock(7))."""
COPY: Final = "copy"

_PATIENCE_S: Final = 20.0
_PACKAGES: Final = frozenset({"site-packages", "dist-packages"})


class HostAbilities(Struct, frozen=True, kw_only=True):
    """What a jail may be made of here. ``bubblewrap``: its path, empty when it is missing or cannot make namespaces.

    ``overlay``: the view of a layer in the probed directory (``overlay``, ``overlay-user``), empty when it takes none. ``missing``: code of
    what is absent (``bubblewrap``, ``namespaces``, ``network``, ``overlay``, ``cgroup``, ``landlock``, ``seccomp``) → why.
    """

    root: bool
    bubblewrap: str = ""
    overlay: str = ""
    network: bool = False
    sized: bool = False
    """Bubblewrap can limit the size of a ``tmpfs`` (0.7)."""
    groups: GroupPlace = GroupPlace()
    landlock: int = 0
    seccomp: bool = False
    missing: Mapping[str, str] = {}

    @property
    def namespaces(self) -> bool:
        """Whether the agent sees nothing of the host but what is shown to it."""
        return bool(self.bubblewrap)

    @property
    def best_view(self) -> str:
        """The best view of a project: ``overlay``, ``overlay-user`` or ``copy``."""
        return self.overlay if self.bubblewrap and self.overlay else COPY


_probed: Final[dict[int, HostAbilities]] = {}
_remembered_at: Final[set[str]] = set()
_turn: Final = threading.Lock()


def probe(directory: str = "", *, remembered: str = "") -> HostAbilities:
    """What can be done here, found out once per file system. ``directory``: of this user, where layers are going to lie.

    ``remembered``: a file of this user's that keeps the answer until the next start of the machine (see ``remembering``).
    """
    try:
        device = os.stat(directory).st_dev if directory else 0
    except OSError:
        device = 0
    with _turn:
        if device not in _probed:
            _probed[device] = _probe(directory if device else "", remembered)
        return _probed[device]


def forget() -> None:
    """What was found out does not hold any more: the next ``probe`` tries again."""
    with _turn:
        _probed.clear()
        while _remembered_at:
            remove_memory(_remembered_at.pop())


def _probe(directory: str, remembered: str) -> HostAbilities:
    bubblewrap = shutil.which("bwrap", path=":".join(SEARCHED)) or shutil.which("bwrap") or ""
    root = os.geteuid() == 0
    key = key_of_host(bubblewrap, program(), directory) if remembered else ""
    tried = read_memory(remembered, key) if key else None
    if tried is None:
        tried = _try_in_child(bubblewrap, directory)
        if key and bubblewrap and not any(tried.values()):
            write_memory(remembered, key, tried)
    if key:
        _remembered_at.add(remembered)
    missing = {name: reason for name, reason in tried.items() if reason and name != "sized"}
    if not bubblewrap:
        missing["bubblewrap"] = "not installed"
    overlay = not tried.get("overlay", "not tried")
    groups, landlock = find_place(), kernel.landlock_abi()
    filtered = bool(seccomp.instructions(os.uname().machine))
    if not groups.kind:
        missing["cgroup"] = "no control group that this user may divide"
    if not landlock:
        missing["landlock"] = "the kernel has none"
    if not filtered:
        missing["seccomp"] = f"no table for {os.uname().machine}"
    return HostAbilities(
        root=root,
        bubblewrap="" if missing.get("bubblewrap") else bubblewrap,
        overlay=(OVERLAY if root else OVERLAY_USER) if overlay else "",
        network=not missing.get("bubblewrap") and not missing.get("network"),
        sized=not tried.get("sized", "not tried"),
        groups=groups,
        landlock=landlock,
        seccomp=filtered,
        missing=missing,
    )


def _try_in_child(bubblewrap: str, directory: str) -> dict[str, str]:
    """``NAME`` → why it cannot, empty when it can: a namespace can only be tried by a process that stays in it."""
    try:
        ended = subprocess.run(
            interpreter("enter", "probe", bubblewrap, directory),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={},
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return dict.fromkeys(("namespaces", "network", "overlay", "bubblewrap"), str(error))
    lines = (line.partition(" ") for line in ended.stdout.decode(errors="replace").splitlines())
    tried = {name: reason for name, _, reason in lines}
    for name in ("namespaces", "network", *(["bubblewrap"] if bubblewrap else [])):
        tried.setdefault(name, "the probe ended early")
    return tried


def interpreter(module: str, verb: str, *arguments: str) -> list[bytes]:
    """The command line of ``VERB`` in a module of this package that imports the standard library alone: Python without site-packages."""
    start = f"import sys; sys.path.append({package_root()!r}); from lastro.agents.jail.{module} import {verb}; {verb}()"
    return [
        to_bytes(program()),
        b"-I",
        b"-S",
        b"-c",
        to_bytes(start),
        *map(to_bytes, arguments),
    ]


def program() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(sys.executable)


def package_root() -> str:
    """The directory that holds the package ``lastro``."""
    return os.path.realpath(__file__).rsplit("/", 4)[0]


def python_places() -> tuple[str, ...]:
    """What has to be seen for Python and Lastro to run: the interpreter's own directory, the virtual environment, the package, and where
    packages lie that it needs (a user's own, if they were installed there).
    """
    packages = (place for place in sys.path if os.path.basename(place) in _PACKAGES)
    found = (sys.base_prefix, sys.prefix, os.path.join(package_root(), "lastro"), *packages)
    places = dict.fromkeys(os.path.realpath(path) for path in found)
    return tuple(one for one in places if not any(one != other and is_within(one, other) for other in places))


def own_python(start: str) -> tuple[str, ...]:
    """The command line of ``start``, Python source, with Lastro and what it needs, from the places where this process finds its modules and
    that a jail shows: whatever the environment and the working directory are, and however Lastro was installed.
    """
    shown = python_places()
    found = (os.path.realpath(place) for place in sys.path if place.startswith("/"))
    places = list(dict.fromkeys(place for place in found if any(is_within(place, one) for one in shown)))
    # By its own path: the directory above the package may hold anything, so a jail does not show it.
    package = f"{package_root()}/lastro/__init__.py"
    code = (
        f"import sys; sys.path[:] = {places!a}; import importlib.util as u;"
        f" s = u.spec_from_file_location('lastro', {package!a}); m = u.module_from_spec(s);"
        f" sys.modules['lastro'] = m; s.loader.exec_module(m); {start}"
    )
    return program(), "-I", "-S", "-B", "-c", code
