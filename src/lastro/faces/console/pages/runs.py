"""Runs: what agents did and do; start one, watch it, stop it."""

from __future__ import annotations

import shlex
from typing import Final

from lastro.app.permissions import Right
from lastro.app.requests.runs import (
    ProposeRun,
    Run,
    RunDetail,
    Runs,
    RunsReply,
    RunTranscript,
    ShowRun,
    StopRun,
    Transcript,
)
from lastro.app.requests.servers import Status, StatusReply
from lastro.domain.ids import LOCAL
from lastro.domain.run import FINAL_RUN_STATES, RunState
from lastro.errors import UsageError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.wording.shell import command
from lastro.messages import N_

PAGE_LENGTH: Final = 50
MOST_LINES: Final = 200
"""Of what an agent said, the newest."""


def runs(asked: Asked) -> Answer:
    """The newest runs."""
    request = Runs(project=asked.text("project"), state=asked.text("state"), limit=PAGE_LENGTH)
    reply = asked.visit.call("runs.list", request)
    assert isinstance(reply, RunsReply)
    values = {
        "reply": reply,
        "chosen": request,
        "states": tuple(RunState),
        "command": command("lastro", "runs", "list"),
    }
    return Page(template="runs.html", values=values, part="rows" if asked.part == "rows" else "")


def run(asked: Asked) -> Answer:
    """One run, whole."""
    number = asked.number("run")
    detail = asked.visit.call("runs.show", ShowRun(run=f"run-{number}"))
    assert isinstance(detail, RunDetail)
    said = asked.visit.call("runs.transcript", Transcript(run=f"run-{number}", limit=MOST_LINES))
    assert isinstance(said, RunTranscript)
    values = {
        "detail": detail,
        "over": RunState(detail.state) in {*FINAL_RUN_STATES, RunState.INTERRUPTED},
        "said": said,
        "paused": asked.ticked("paused"),
        "command": command("lastro", "runs", "show", f"run-{number}"),
        "said_command": command("lastro", "runs", "transcript", f"run-{number}"),
    }
    return Page(
        template="run.html", values=values, part=asked.part if asked.part in {"detail", "said"} else ""
    )


def new(asked: Asked) -> Answer:
    """The form that starts a run."""
    status = asked.visit.call("status", Status())
    assert isinstance(status, StatusReply)
    projects = [root.path for server in status.servers if server.name == LOCAL for root in server.roots]
    return Page(template="run_new.html", values={"projects": projects})


def start(asked: Asked) -> Answer:
    """Have a run started: it waits in the queue until a runner takes it."""
    try:
        words = tuple(shlex.split(asked.text("command")))
    except ValueError as error:
        raise UsageError(N_("This is no command line: {reason}"), reason=str(error)) from error
    offline = asked.text("kind") == "offline"
    if not words:
        raise UsageError(
            N_("What shall be run?"), hint=N_("Type a command, or what the offline agent shall do.")
        )
    request = Run(
        command=(asked.text("command"),) if offline else words,
        agent="offline" if offline else "",
        role=asked.text("role"),
        project=asked.text("project"),
        model=asked.text("model") or "auto",
        wall=asked.text("wall"),
        queue=True,
    )
    reply = asked.visit.ask("run", request, subject=request.project)
    return Redirect(to=f"/runs/{reply.run}", said="started")


def stop(asked: Asked) -> Answer:
    """End a run; its work is kept and proposed."""
    number = asked.number("run")
    asked.visit.submit("runs.stop", StopRun(run=f"run-{number}"), subject=f"run-{number}")
    return Redirect(to=f"/runs/{number}", said="stopping")


def propose(asked: Asked) -> Answer:
    """Collect and propose what an interrupted run left."""
    number = asked.number("run")
    job = asked.visit.submit("runs.propose", ProposeRun(run=f"run-{number}"), subject=f"run-{number}")
    return Redirect(to=f"/jobs/{job.number}", said="started")


WAYS = (
    Way(path="/runs", handler=runs, right=Right.LOOK),
    Way(path="/runs/new", handler=new, right=Right.OPERATE),
    Way(path="/runs/new", handler=start, right=Right.OPERATE, methods=("POST",)),
    Way(path="/runs/{run}", handler=run, right=Right.LOOK),
    Way(path="/runs/{run}/stop", handler=stop, right=Right.OPERATE, methods=("POST",)),
    Way(path="/runs/{run}/propose", handler=propose, right=Right.OPERATE, methods=("POST",)),
)
