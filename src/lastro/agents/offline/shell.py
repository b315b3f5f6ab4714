"""Running a command of the offline agent: bounded in time and in what it says, and gone with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from typing import Final

LONGEST_S: Final = 300.0
USUAL_S: Final = 60.0
_HEAD: Final = 4_000
_TAIL: Final = 8_000
SECRET: Final = "LASTRO_GATEWAY_KEY"  # noqa: S105  its name
"""What commands are not told."""


def run_command(command: str, *, directory: str, timeout_s: float = USUAL_S) -> tuple[int | None, str]:
    """Run ``command`` by the shell. Its exit status (``None``: it took too long), and the beginning and the end of what it said."""
    environment = {name: value for name, value in os.environ.items() if name != SECRET}
    with (
        tempfile.TemporaryFile() as said
    ):  # no pipe: a process that it left behind would keep its reader waiting
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status: int | None = None
        try:
            status = process.wait(min(max(timeout_s, 1.0), LONGEST_S))
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end_group(process.pid)
            process.wait()
        size = os.fstat(said.fileno()).st_size
        head = os.pread(said.fileno(), _HEAD, 0)
        rest = os.pread(said.fileno(), _TAIL, max(len(head), size - _TAIL))
    cut = b"\n[...]\n" if size > len(head) + len(rest) else b""
    return status, (head + cut + rest).decode("utf-8", "replace")


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:  # nothing was left of it
        return
