"""Bringing something back: what, whereto, the plan, the word that it shall be done, how it went, and taking that back.

What always holds: nothing is done but by the page that shows a plan and names its digest, and never anything else than that plan; if
anything is different by then, the page says so and shows the plan as it is now.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lastro.app.encoding import decode
from lastro.app.failure import Failure
from lastro.app.operation import find_operation
from lastro.app.permissions import Right, require
from lastro.app.requests import ApplyPair, ApplyReply, Plan, Restoration, Restore, Undo
from lastro.app.visiting import PATIENCE_S
from lastro.domain.ids import LOCAL
from lastro.domain.job import Job, JobState
from lastro.errors import ConflictError, NotFoundError, UsageError
from lastro.faces.console.addresses import unescaped
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.history_pieces import WORDS
from lastro.faces.console.instants import reference_of, with_instant, words_of
from lastro.faces.console.restore_view import ShownJob, view_of
from lastro.faces.wording.shell import command
from lastro.messages import N_

_SOON_S: Final = 2.0
"""So long a page waits for what it asked for before it shows that it goes on."""
_RIGHTS: Final = {"restore": Right.RESTORE, "undo": Right.DECIDE}


def new(asked: Asked) -> Answer:
    """What shall be brought back, and whereto."""
    server, path, at = asked.text("server"), unescaped(asked.text("path")), asked.text("at")
    reference_of(asked, server, path, at)
    only = tuple(unescaped(one) for one in asked.texts("only"))
    values = {
        "server": server,
        "path": path,
        "at": at,
        "only": only,
        "is_here": server == LOCAL,
        "command": command(
            "lastro",
            "restore",
            with_instant(server, path, at),
            *_only(only),
            *(() if server == LOCAL else ("--to", ".")),
        ),
        **WORDS,
    }
    return Page(template="restore_new.html", values=values)


def plan(asked: Asked) -> Answer:
    """Have a plan made: a job, because only a process with the rights for that place can look at it."""
    server, path = asked.text("server"), unescaped(asked.text("path"))
    to = unescaped(asked.text("to")).strip() if asked.text("target") == "directory" else ""
    if asked.text("target") == "directory" and not to.startswith("/"):
        raise UsageError(
            N_("Which directory? Write its absolute path."),
            hint=N_("It begins with a slash, for example /tmp/restored."),
        )
    if not to and server != LOCAL:
        raise UsageError(
            N_("{path} is on {server}, which is another machine."),
            hint=N_(
                "Choose a directory of this machine: nothing is written to other machines from here yet."
            ),
            path=path,
            server=server,
        )
    request = Restore(
        reference=reference_of(asked, server, path, asked.text("at")),
        to=to,
        keep=asked.ticked("keep"),
        only=tuple(unescaped(one) for one in asked.texts("only")),
        plan=True,
    )
    return _planned(asked, "restore", request, subject=f"{server}:{path}")


def plan_undo(asked: Asked) -> Answer:
    """Have the plan of taking an apply back made."""
    number = asked.count("apply", 0, 10**18)
    found = asked.visit.step(Right.DECIDE, "apply.show", ApplyPair(number=number))
    assert isinstance(found, ApplyReply)
    if found.kind == "proposal":
        return Redirect(to=f"/proposals/{found.of}")
    return _planned(asked, "undo", Undo(apply=f"apply-{number}", plan=True), subject=f"apply-{number}")


def _planned(asked: Asked, operation: str, request: Struct, *, subject: str) -> Redirect:
    job = asked.visit.submit(operation, request, subject=subject, repeatable=True)
    asked.visit.jobs.find(
        job.number, until_over_s=_SOON_S
    )  # most are made by then, so nobody has to look twice
    return Redirect(to=f"/restore/{job.number}")


def show(asked: Asked) -> Answer:
    """A plan, or what became of one."""
    job, request = _job(asked)
    return _shown(asked, job, request)


def again(asked: Asked) -> Answer:
    """The same anew: a plan of what it would be by now."""
    job, request = _job(asked)
    return _planned(
        asked, job.order.operation, replace(request, plan=True, approved=""), subject=job.order.subject
    )


def confirm(asked: Asked) -> Answer:
    """The last question before it is done."""
    job, request = _job(asked)
    require(asked.visit.principal, _RIGHTS[job.order.operation])
    if not request.plan or job.state is not JobState.DONE:
        return Redirect(to=f"/restore/{job.number}")
    return _shown(asked, job, request, template="restore_confirm.html")


def carry_out(asked: Asked) -> Answer:
    """Do exactly what the plan with this digest says."""
    job, request = _job(asked)
    require(asked.visit.principal, _RIGHTS[job.order.operation])
    accepted = asked.text("digest")
    if not request.plan or accepted != _plan_of(asked, job).digest:
        return _changed_meanwhile(asked, job, request)
    order = replace(request, plan=False, approved=accepted)
    started = asked.visit.submit(
        job.order.operation, order, subject=job.order.subject, key=f"restore-{job.number}-{accepted}"
    )
    done = asked.visit.jobs.find(started.number, until_over_s=_SOON_S)[0]
    if done.state is JobState.FAILED and decode(done.failure, Failure).code == ConflictError.code:
        return _changed_meanwhile(asked, job, request)
    return Redirect(to=f"/restore/{done.number}")


def _changed_meanwhile(asked: Asked, job: Job, request: Restore | Undo) -> Answer:
    """Nothing was done; the plan as it is now."""
    fresh = replace(request, plan=True, approved="")
    made = asked.visit.submit(job.order.operation, fresh, subject=job.order.subject, repeatable=True)
    made = asked.visit.jobs.find(made.number, until_over_s=PATIENCE_S)[0]
    return _shown(asked, made, fresh, status=409)


def _shown(
    asked: Asked, job: Job, request: Restore | Undo, *, template: str = "restore.html", status: int = 200
) -> Page:
    view: ShownJob = view_of(asked, job, request)
    values = {
        "job": job,
        "view": view,
        "request": request,
        "may": asked.somebody.may(_RIGHTS[job.order.operation]),
        "changed": status == 409,
        "command": _command(request),
        **WORDS,
    }
    part = "detail" if asked.part == "detail" and asked.method == "GET" else ""
    return Page(template=template, values=values, part=part, status=status)


def _job(asked: Asked) -> tuple[Job, Restore | Undo]:
    """The job in the address, if it is one of these, with what was asked.

    Raises:
        NotFoundError: it is not.
    """
    job = asked.visit.jobs.find(asked.number("job"))[0]
    if job.order.operation not in _RIGHTS:
        raise NotFoundError(
            N_("job-{number} brings nothing back."), hint=N_("See it on its own page."), number=job.number
        )
    request = decode(job.order.request, find_operation(job.order.operation).request)
    assert isinstance(request, Restore | Undo)
    return job, request


def _plan_of(asked: Asked, job: Job) -> Plan:
    reply = asked.visit.reply_of(job)
    assert isinstance(reply, Restoration)
    return reply.plan


def _only(only: tuple[str, ...]) -> list[str]:
    return [word for one in only for word in ("--only", one)]


def _command(request: Restore | Undo) -> str:
    if isinstance(request, Undo):
        return command("lastro", "undo", request.apply)
    reference = request.reference
    whole = with_instant(reference.server, reference.path, words_of(reference.at))
    words = ["lastro", "restore", whole, *_only(request.only)]
    if request.to:
        words += ["--to", request.to]
    if request.keep:
        words.append("--keep")
    return command(*words)


WAYS = (
    Way(path="/restore/new", handler=new, right=Right.RESTORE),
    Way(path="/restore", handler=plan, right=Right.RESTORE, methods=("POST",)),
    Way(path="/restore/undo", handler=plan_undo, right=Right.DECIDE, methods=("POST",)),
    Way(path="/restore/{job}", handler=show, right=Right.LOOK),
    Way(path="/restore/{job}/again", handler=again, right=Right.LOOK, methods=("POST",)),
    Way(path="/restore/{job}/confirm", handler=confirm, right=Right.LOOK, dangerous=True),
    Way(
        path="/restore/{job}/confirm", handler=carry_out, right=Right.LOOK, methods=("POST",), dangerous=True
    ),
)
