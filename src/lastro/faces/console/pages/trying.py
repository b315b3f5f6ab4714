"""The last step of the first run: a harmless change in the sample project, to approve and to take back."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from lastro.app.permissions import Right
from lastro.app.requests.proposals import Proposals, ProposalsReply
from lastro.app.requests.runs import Run, Runs, RunsReply, RunSummary
from lastro.app.requests.servers import Status, StatusReply
from lastro.domain.ids import LOCAL
from lastro.domain.run import FINAL_RUN_STATES, RunState
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.pages.first_run import STEPS
from lastro.faces.wording.shell import command

CHANGE: Final = ("sh", "-c", "printf '%s\\n' '- Lastro was here.' >> docs/notes.md")
DONE: Final = "demo"
_ENDED: Final = frozenset({*FINAL_RUN_STATES, RunState.INTERRUPTED})


class Trial(Struct, frozen=True, kw_only=True):
    """How far it is. ``state``: ``none`` (there is no sample project), ``new``, ``running``, ``ended`` (without a proposal), ``waits``,
    ``live``, ``undone``, ``other``.
    """

    state: str
    run: int = 0
    proposal: int = 0


def trial(asked: Asked) -> Answer:
    """The page, whatever stands."""
    sample = asked.visit.services.places.sample
    found = _trial(asked, sample)
    values = {
        "menu": (),
        "step": STEPS.index("demo") + 1,
        "of": len(STEPS),
        "trial": found,
        "sample": sample,
        "may_run": asked.somebody.may(Right.OPERATE),
        "command": command("lastro", "run", "--project", sample, "--", *CHANGE),
    }
    return Page(template="setup_demo.html", values=values, part="trial" if asked.part == "trial" else "")


def begin(asked: Asked) -> Answer:
    """Have the change made, in a copy."""
    sample = asked.visit.services.places.sample
    if _trial(asked, sample).state in {"new", "ended", "undone", "other"}:
        request = Run(command=CHANGE, project=sample, check=False, queue=True)
        asked.visit.ask("run", request, subject=sample)
    return Redirect(to="/setup/demo")


def done(asked: Asked) -> Answer:
    """That was all."""
    asked.door.accounts.first_run.done(DONE, asked.now_ns)
    return Page(template="setup_done.html", values={"menu": ()})


def _trial(asked: Asked, sample: str) -> Trial:
    status = asked.visit.call("status", Status())
    assert isinstance(status, StatusReply)
    roots = [root.path for server in status.servers if server.name == LOCAL for root in server.roots]
    if sample not in roots:
        return Trial(state="none")
    reply = asked.visit.call("runs.list", Runs(project=sample, limit=20))
    assert isinstance(reply, RunsReply)
    run = next((one for one in reply.runs if one.purpose or one.run), None)
    if run is None:
        return Trial(state="new")
    if run.proposal:
        return Trial(state=_proposal_state(asked, sample, run), run=run.run, proposal=run.proposal)
    ended = RunState(run.state) in _ENDED
    return Trial(state="ended" if ended else "running", run=run.run)


def _proposal_state(asked: Asked, sample: str, run: RunSummary) -> str:
    reply = asked.visit.call("proposal.list", Proposals(all=True, project=sample, limit=50))
    assert isinstance(reply, ProposalsReply)
    state = next((one.state for one in reply.proposals if one.proposal == run.proposal), "")
    words = {"open": "waits", "partly_approved": "waits", "applied": "live", "undone": "undone"}
    return words.get(state, "other")


WAYS = (
    Way(path="/setup/demo", handler=trial, right=Right.LOOK),
    Way(path="/setup/demo", handler=begin, right=Right.OPERATE, methods=("POST",), limit=4096),
    Way(path="/setup/done", handler=done, right=Right.LOOK),
)
