"""The words of restores and undos: what to know before saying yes, and what was not exactly as recorded afterwards."""

from __future__ import annotations

from typing import Final

from lastro.app.requests import AppliedNote, Plan, PlanWarning
from lastro.domain.changes import ChangeKind
from lastro.domain.paths import join, printable
from lastro.faces.translation import gettext as _
from lastro.messages import N_

WARNINGS: Final = {
    "changed_since": N_("{path} was changed by somebody since; that change is lost (a snapshot keeps it)"),
    "not_empty": N_("{path} is left: it holds something newer"),
    "not_stored": N_("{path}: its content could not be read when it was captured, so it is left out"),
    "torn": N_("{path} changed while it was captured: its content may mix two states"),
    "no_room": N_("{path}: there is less room than this would write"),
    "last_version": N_("{path} is deleted now; this is its last version"),
}
NOTES: Final = {
    "not_permitted": N_("{path}: not permitted to set {detail}"),
    "not_supported": N_("{path}: the file system there cannot hold {detail}"),
    "in_place": N_("{path}: written in place"),
    "skipped": N_("{path}: left out ({detail})"),
    "conflict": N_("{path}: something else changed it meanwhile, so it was left alone"),
    "edited_since": N_("{path}: somebody changed it as soon as it was written; their change is kept"),
    "commits": N_("its commits are here as {detail}"),
    "commits_gone": N_("the commits of {detail} are not kept any more; its files are applied"),
    "commits_refused": N_("its commits could not be brought: {detail}"),
}
VERBS: Final = {
    ChangeKind.ADDED: N_("add"),
    ChangeKind.CHANGED: N_("change"),
    ChangeKind.REMOVED: N_("delete"),
}


def warning_text(warning: PlanWarning, plan: Plan) -> str:
    """What to know before saying yes."""
    path = join(plan.destination, warning.path)
    text = WARNINGS.get(warning.code, "{path}: {code} {detail}")
    return _(text, path=printable(path), code=printable(warning.code), detail=printable(warning.detail))


def note_text(note: AppliedNote, plan: Plan) -> str:
    """What is not exactly as recorded, or was in the way."""
    path = join(plan.destination, note.path)
    text = NOTES.get(note.kind, "{path}: {kind} {detail}")
    return _(text, path=printable(path), kind=printable(note.kind), detail=printable(note.detail))
