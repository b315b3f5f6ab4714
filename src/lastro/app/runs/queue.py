"""Runs that wait for ``lastro runner serve``: the keeper's log says that they wait, a file beside it what else was asked for.

What always holds: what the log says wins; without the file a run is still run, with what its record says and the role's own limits.
"""

from __future__ import annotations

import json
import os
from typing import Final

import msgspec

from lastro.agents.supervision_places import make_run_directory, run_places
from lastro.app.places import Places
from lastro.app.requests.runs import Run, RunDetail
from lastro.filesystem.atomic_write import write_atomically
from lastro.filesystem.system import System

_NAME: Final = "request.json"


def keep_request(places: Places, run: int, request: Run) -> None:
    """Remember what was asked for."""
    directory = make_run_directory(places.state, run).directory
    text = json.dumps(msgspec.to_builtins(request))
    write_atomically(os.path.join(directory, _NAME), text.encode("ascii"), mode=0o600, system=System())


def request_of(places: Places, detail: RunDetail) -> Run:
    """What a queued run was asked for."""
    try:
        with open(os.path.join(run_places(places.state, detail.run).directory, _NAME), "rb") as file:
            kept = msgspec.convert(json.loads(file.read()), Run)
    except (OSError, ValueError, msgspec.ValidationError):
        kept = Run()
    # The record's command begins with the agent's name where one was asked for by name.
    named = bool(kept.agent)
    return msgspec.structs.replace(
        kept,
        command=detail.command[1:] if named else detail.command,
        agent=detail.agent if named else "",
        role=detail.role,
        project=detail.project,
        lease=detail.leases,
        queue=False,
    )
