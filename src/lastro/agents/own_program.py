"""The command ``lastro`` inside a jail: a few lines of shell in the run's home, on ``PATH`` behind everything else.

What always holds: it starts the very installation that runs the agent, by what a jail shows of it (real paths, and nothing of the caller's
environment or of the directory it is called in); what an agent puts in its place is its own affair, and is replaced before it is started
again. What Lastro may do there is decided by the keeper, whose socket knows the run.
"""

from __future__ import annotations

import shlex
from typing import Final

from lastro.agents.adapters.home import write_inside
from lastro.agents.adapters.surroundings import OWN_PROGRAMS
from lastro.agents.jail.probing import own_python
from lastro.domain.paths import to_bytes

_START: Final = "sys.argv[0] = 'lastro'; from lastro.faces.cli.main import main; main()"


def write_own_program(home: str) -> None:
    """Write it into the run's ``home``.

    Raises:
        ConflictError: what an earlier agent left is in the way.
        OSError: the disk refused.
    """
    words = " ".join(map(shlex.quote, own_python(_START)))
    write_inside(home, f"{OWN_PROGRAMS}/lastro", to_bytes(f'#!/bin/sh\nexec {words} "$@"\n'), mode=0o700)
