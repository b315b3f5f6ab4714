"""What a test may need from the machine, and what happens where it is missing.

A test that cannot run skips with its reason, which the closing summary repeats. Where ``CI=true`` it fails instead: there a
missing capability is a mistake of the set-up, and a silent skip would pass for a test.

    @pytest.mark.needs("root", "mount namespaces")
    def test_something(): ...

    def test_otherwise(tmp_path):
        needs(supports_holes(tmp_path), "a file system with holes")
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_AS_ANOTHER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()

WITHOUT_NAMESPACES = (
    *("bwrap", "--die-with-parent", "--dev-bind", "/", "/"),
    *("--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000", "--"),
)
"""What is run behind it is a user's, on a host whose kernel lets users make no namespaces."""


def needs(condition: object, reason: str) -> None:
    """Go on if ``condition`` is true; otherwise skip the running test, or fail it where ``CI=true``."""
    if condition:
        return
    if in_ci():
        pytest.fail(f"CI has to run this test, which needs {reason}", pytrace=False)
    pytest.skip(f"needs {reason}")


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def is_root() -> bool:
    return os.geteuid() == 0


def has_command(name: str) -> bool:
    return shutil.which(name) is not None


def _works(*command: str) -> bool:
    """Tell whether ``command`` exists and ends well."""
    if not has_command(command[0]):
        return False
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _keeps_names_of_any_bytes() -> bool:
    with tempfile.TemporaryDirectory() as directory:
        name = os.path.join(os.fsencode(directory), b"not-utf-8-\xff")
        try:
            Path(os.fsdecode(name)).touch()
            return os.path.basename(name) in os.listdir(os.fsencode(directory))
        except OSError:
            return False


def _has_user_xattrs() -> bool:
    if sys.platform != "linux":
        return False
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.setxattr(file.name, "user.lastro-test", b"1")
        except OSError:
            return False
        return True


@cache
def python_for_others() -> tuple[str, str] | None:
    """An interpreter that runs Lastro and its tests as another user, and its ``PYTHONPATH``: ours, or the system's of the same version
    where ours lies in somebody's home.
    """
    places = os.pathsep.join((str(Path(__file__).parent.parent / "src"), sysconfig.get_path("purelib")))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, f"/usr/bin/python{version}"):
        # By `env`, for setpriv itself starts a program with rights that it is about to lose.
        if _works(
            *_AS_ANOTHER,
            "env",
            f"PYTHONPATH={places}",
            program,
            "-B",
            "-c",
            "import json, msgspec, pytest, lastro",
        ):
            return program, places
    return None


def _has_bubblewrap() -> bool:
    """Whether jails can be made; ``tools/system_packages.sh`` installs bubblewrap if it is missing, one process at a time."""
    if not has_command("bwrap") and is_root():
        script = Path(__file__).parent.parent / "tools" / "system_packages.sh"
        with Path(tempfile.gettempdir(), "lastro-tests-packages.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.run(["sh", script], check=False, timeout=600)
    return _works("bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "--proc", "/proc", "true")


def _can_mount_overlays() -> bool:
    from tests.overlay_mount import can_mount_overlays  # noqa: PLC0415  tries it, which only who asks should pay for

    return can_mount_overlays()


def _has_offline_model() -> bool:
    from tests.offline_model import has_offline_model  # noqa: PLC0415  imports a package that an installation may lack

    return has_offline_model()


CAPABILITIES: dict[str, Callable[[], bool]] = {
    "linux": lambda: sys.platform == "linux",
    "root": is_root,
    "another user": lambda: is_root() and _works("setpriv", "--reuid=65534", "--clear-groups", "true"),
    "an interpreter that others may run": lambda: (
        not is_root() or _works("setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", "")
    ),
    "setpriv": lambda: has_command("setpriv"),
    "acl": lambda: has_command("setfacl") and has_command("getfacl"),
    "mount namespaces": lambda: is_root() and _works("unshare", "--mount", "true"),
    "network namespaces": lambda: is_root() and _works("unshare", "--net", "true"),
    "names of any bytes": _keeps_names_of_any_bytes,
    "user xattrs": _has_user_xattrs,
    "offline-model": _has_offline_model,
    "overlays": _can_mount_overlays,
    "bubblewrap": _has_bubblewrap,
    "a host without namespaces": lambda: _has_bubblewrap() and _works(*WITHOUT_NAMESPACES, "true"),
    "a python for others": lambda: python_for_others() is not None,
    "user namespaces": lambda: _works(*_AS_ANOTHER, "unshare", "--user", "--mount", "true"),
}
"""What ``@pytest.mark.needs`` understands: a name, and the probe that says whether this machine has it."""


@cache
def has_capability(name: str) -> bool:
    """Tell whether this machine has the capability; probed once."""
    return CAPABILITIES[name]()
