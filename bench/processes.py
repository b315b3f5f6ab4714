"""Runs ``lastro`` as a process in a scratch home, and measures it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def lastro(home: str, *arguments: str) -> Any:
    """The reply of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "lastro", *arguments, "--json"],
        env={**os.environ, "LASTRO_HOME": home},
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])["reply"]


def cpu_seconds(*command: str) -> float:
    """User and system CPU time of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


@contextmanager
def up(home: str, *paths: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any], float]]:
    """``lastro up`` while the context lasts: the process, its ``ready`` event, and the seconds until that."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "lastro", "up", "--json", *paths],
        env={**os.environ, "LASTRO_HOME": home},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            event = json.loads(line).get("event", {})
            if event.get("kind") == "ready":
                yield process, event["parameters"], time.monotonic() - started
                break
        else:
            raise RuntimeError("lastro up ended before it was ready")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def snapshots(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """The ``snapshot`` events of a running ``lastro up``, as they come."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line).get("event", {})
        if event.get("kind") == "snapshot":
            yield event["parameters"]
