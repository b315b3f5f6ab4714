"""Audit: who decided what, signed with which key; whether the log is as it was signed; what to give a witness."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from lastro.app.permissions import Right
from lastro.app.requests.happenings import AuditHead, Events, EventsReply, Happened
from lastro.app.requests.policy import Approvers, AuditReply, VerifyAudit
from lastro.domain.job import FINAL_JOB_STATES, Job, JobState
from lastro.errors import LastroError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.happened import Row, behind, rows_of
from lastro.faces.wording.shell import command

PAGE_LENGTH: Final = 50
KINDS: Final = ("decision", "approver", "key")
SUBJECT: Final = "audit"
"""What jobs that verify are about."""
_LATELY: Final = 10


class Signed(NamedTuple):
    """A row with who signed it. ``key_id`` empty: nobody did, because it needs no signature."""

    row: Row
    signer: str
    key_id: str
    single_user: bool
    passkey: bool


def audit(asked: Asked) -> Answer:
    """Decisions and rights, newest first, and how the log is."""
    kind = asked.text("kind") if asked.text("kind") in KINDS else ""
    before = asked.count("before", 0, 2**62)
    request = Events(kind=(kind,) if kind else KINDS, before=before, limit=PAGE_LENGTH)
    waits_for = behind(asked)
    reply = EventsReply(events=()) if waits_for else asked.visit.call("events", request)
    assert isinstance(reply, EventsReply)
    verified, under_way = _verifications(asked)
    values = {
        "rows": _signed(asked, reply.events),
        "behind": waits_for,
        "kind": kind,
        "kinds": KINDS,
        "first": not before,
        "older": reply.events[-1].seq if reply.more else 0,
        "head": asked.visit.call("audit.head", AuditHead()),
        "verified": verified,
        "result": None if verified is None else _result(asked, verified),
        "under_way": under_way,
        "command": command("lastro", "audit", "verify"),
    }
    return Page(template="audit.html", values=values, part="state" if asked.part == "state" else "")


def verify(asked: Asked) -> Answer:
    """Check the whole log again."""
    job = asked.visit.submit("audit.verify", VerifyAudit(), subject=SUBJECT, repeatable=True)
    return Redirect(to=f"/jobs/{job.number}", said="started")


def _verifications(asked: Asked) -> tuple[Job | None, Job | None]:
    """The last time the log was verified, and the one that is under way."""
    jobs = asked.visit.jobs.newest(subject=SUBJECT, limit=_LATELY)
    done = next((job for job in jobs if job.state in {JobState.DONE, JobState.FAILED}), None)
    return done, next((job for job in jobs if job.state not in FINAL_JOB_STATES), None)


def _result(asked: Asked, job: Job) -> AuditReply | LastroError:
    """What it found, or why it found nothing out."""
    try:
        reply = asked.visit.reply_of(job)
    except LastroError as error:
        return error
    assert isinstance(reply, AuditReply)
    return reply


def _signed(asked: Asked, events: tuple[Happened, ...]) -> list[Signed]:
    known: Any = asked.visit.call("approver.list", Approvers())
    names = {one.key_id: one.name for one in known.approvers}
    return [_one(row, names) for row in rows_of(events, asked.zone)]


def _one(row: Row, names: dict[str, str]) -> Signed:
    said = row.happened.parameters
    key_id = str(said.get("signed_by" if row.happened.kind == "approver" else "key_id", ""))
    return Signed(
        row, names.get(key_id, ""), key_id, bool(said.get("single_user")), said.get("alg") == "webauthn"
    )


WAYS = (
    Way(path="/audit", handler=audit, right=Right.LOOK),
    Way(path="/audit/verify", handler=verify, right=Right.AUDIT, methods=("POST",)),
)
