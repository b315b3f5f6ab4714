"""Bringing the Git commits of an approved run: as refs of their own in the live repository, never as files below ``.git``."""

from __future__ import annotations

import os

from lastro.agents.supervision_places import run_places
from lastro.app.desk import Desk
from lastro.app.requests.restore import AppliedNote
from lastro.app.requests.runs import RunDetail, ShowRun
from lastro.errors import LastroError


def bring_commits(desk: Desk, run: int, target: str) -> tuple[AppliedNote, ...]:
    """Fetch what the run committed into ``refs/lastro/run-N/``; a note for each ref, or for why that could not be done.

    The files are applied by then, with or without their commits.
    """
    detail = desk.caller.call("runs.show", ShowRun(run=f"run-{run}"))
    assert isinstance(detail, RunDetail)
    if detail.facts is None or not detail.facts.commits:
        return ()
    from lastro.agents.commits import BUNDLE, fetch_commits  # noqa: PLC0415  few runs commit

    bundle = f"{run_places(desk.places.state, run).directory}/{BUNDLE}"
    if not os.path.exists(bundle):
        return (AppliedNote(path=".git", kind="commits_gone", detail=f"run-{run}"),)
    try:
        refs = fetch_commits(target, bundle, run)
    except LastroError as error:
        return (AppliedNote(path=".git", kind="commits_refused", detail=str(error)),)
    return tuple(AppliedNote(path=".git", kind="commits", detail=name) for name in sorted(refs))
