"""What a test may need from the machine, and what happens where it is missing.

A test that cannot run skips with its reason, which the closing summary repeats. Where ``CI=true`` it fails instead: there a
missing capability is a mistake of the set-up, and a silent skip would pass for a test.

    @pytest.mark.needs("root", "mount namespaces")
    def test_something(): ...

    def test_otherwise(tmp_path):
        needs(supports_holes(tmp_path), "a file system with holes")
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


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
}
"""What ``@pytest.mark.needs`` understands: a name, and the probe that says whether this machine has it."""


@cache
def has_capability(name: str) -> bool:
    """Tell whether this machine has the capability; probed once."""
    return CAPABILITIES[name]()
