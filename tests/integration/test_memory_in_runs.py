"""``lastro`` by its name inside a run, as an agent types it: the past can be asked, lost files come back, and nothing is decided."""

from __future__ import annotations

import os

import pytest

from tests.integration.test_runs import files_of, run, world

__all__ = ["world"]

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("linux", "bubblewrap")]

ASKS = """
set -e
lastro log ./edited | grep -q 'added' && echo log >> asked
lastro cat ./edited | cmp - edited && echo cat >> asked
echo more >> edited
lastro diff . | grep -qx '+more' && echo diff >> asked
lastro find edited | grep -q '/edited' && echo find >> asked
rm gone && lastro restore ./gone --yes && test -s gone && echo restore >> asked
cd docs && lastro cat ./kept | cmp - kept && echo below >> ../asked
sh -c 'PATH=/usr/bin:$PATH; lastro cat ./kept' | cmp - kept && echo again >> ../asked
for words in 'proposal approve proposal-1' 'run -- true' 'undo' 'status'; do
    if lastro $words </dev/null 2>> ../refused; then echo "$words was let through" >> ../asked; fi
done
"""


@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_the_past_of_the_project_is_asked_by_name(world, view):
    home, project = world
    reply = run(home, project, ASKS, "--view", view)
    assert (reply["state"], reply["exit_status"]) == ("finished", 0), home.ask("runs", "show", "run-1")
    assert files_of(home, reply["proposal"]) == {"edited": "changed", "asked": "added", "refused": "added"}
    shown = home.ask("proposal", "show", f"proposal-{reply['proposal']}")
    lines = {
        file["path"]: [line for hunk in file["hunks"] for line in hunk["lines"]] for file in shown["files"]
    }
    assert lines["asked"] == [
        f"+{word}" for word in ("log", "cat", "diff", "find", "restore", "below", "again")
    ]
    assert sum("is not available inside a run" in line for line in lines["refused"]) == 4
    assert sorted(os.listdir(project)) == ["docs", "edited", "gone", "link", "moved", "script"]
