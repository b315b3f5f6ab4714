"""``main`` with ``-- TASK`` as its arguments: started in a jail by ``adapters.offline``, which reads what it prints.

Its output is lines of JSON: ``text``, ``tool``, ``tool_result``, ``usage``, ``error``, and ``done`` as the last one. It exits 0 when the
model says that it is finished, 1 otherwise; what counts is what it changed.
"""

from __future__ import annotations

import json
import os
import sys

from lastro.agents.offline.asking import Asker
from lastro.agents.offline.files import Files
from lastro.agents.offline.loop import Event, work


def main() -> int:
    """Work on the task that the command line says."""
    task = " ".join(word for word in sys.argv[1:] if word != "--").strip()
    if not task:
        emit({"type": "error", "text": "there is no task"})
        return 2
    asker = Asker(
        url=os.environ.get("LASTRO_GATEWAY_URL", ""),
        key=os.environ.get("LASTRO_GATEWAY_KEY", ""),
        model=os.environ.get("LASTRO_MODEL", "auto"),
    )
    files = Files(os.environ.get("LASTRO_PROJECT") or os.getcwd())
    try:
        return 0 if work(task, files=files, asker=asker, emit=emit) == "finished" else 1
    finally:
        files.close()


def emit(event: Event) -> None:
    """Print one event, at once."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
