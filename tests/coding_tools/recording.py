"""Records what a coding tool prints when it does the scripted work, for ``tests/golden/streams``.

    python -m tests.coding_tools.recording codex

Nothing of this machine stays in it: paths are replaced. What the adapter understands of it is written beside it by
``LASTRO_GOLDEN=1 pytest tests/unit/agents/adapters/test_parsing.py``; read both before they are committed.
"""

from __future__ import annotations

import os
import sys

from tests.coding_tools import scratch_home
from tests.coding_tools.jailed import jailed

STREAMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "streams")


def record(name: str) -> str:
    """Run the tool, and write what it printed. The path of the file."""
    with scratch_home() as place, jailed(name, place) as tool:
        outcome = tool.launch()
        project, shown = tool.work.project, tool.info.shown
        text = outcome.stdout.decode("utf-8", "surrogateescape")
        version = tool.info.version
    for old, new in (
        (project, "/srv/project"),
        (project[1:], "srv/project"),  # as seen from the root
        (project.replace("/", "-").replace(".", "-"), "-srv-project"),
    ):
        text = text.replace(old, new)
    for directory in shown:
        text = text.replace(directory, "/opt/tool")
    path = os.path.join(STREAMS, f"{name}-{version}.jsonl")
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    return path


if __name__ == "__main__":
    for named in sys.argv[1:]:
        sys.stdout.write(record(named) + "\n")
