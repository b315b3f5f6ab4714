"""Overlays for tests, mounted as root over a directory of their own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

OPTIONS = "redirect_dir=off,metacopy=off,index=off"


@contextmanager
def mounted(project: str, directory: str, view: str) -> Iterator[str]:
    """The overlay of ``directory/upper`` over ``project``, at ``view``."""
    os.makedirs(view, exist_ok=True)
    options = f"lowerdir={project},upperdir={directory}/upper,workdir={directory}/work,{OPTIONS}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, view], check=True, timeout=30)
    try:
        yield view
    finally:
        subprocess.run(["umount", view], check=True, timeout=30)


def can_mount_overlays() -> bool:
    """Whether this process may, and the temporary directory's file system can hold an upper."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as top:
        for name in ("project", "upper", "work"):
            os.mkdir(f"{top}/{name}")
        try:
            with mounted(f"{top}/project", top, f"{top}/view"):
                return True
        except (OSError, subprocess.SubprocessError):
            return False
