"""``lastro proposal approve`` and the other decisions: the plan before, and what became of it."""

from __future__ import annotations

from typing import Any

from lastro.app.requests.proposals import Decided, Edited, RejectedOrCommented
from lastro.domain.changes import ChangeKind
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.cli.render.changes import SIGNS, in_words
from lastro.faces.cli.render.restoration import NOTES, VERBS
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import plain, review_words

_MOST = 30


def decided(reply: Decided, request: Any, context: Context) -> None:
    """See the module."""
    if reply.conflicts:
        _conflicts(reply, context)
    elif reply.asks:
        _planned(reply, context)
    elif reply.waiting:
        _waiting(reply, context)
    else:
        _done(reply, context)
    del request


def _name(reply: Decided) -> str:
    return review_words.proposal(reply.proposal, reply.revision)


def _planned(reply: Decided, context: Context) -> None:
    terminal = context.terminal
    place = plain.place(reply.plan.server, reply.plan.destination)
    if reply.undoes:
        title = _("Take {name} back in {place}:", name=review_words.proposal(reply.undoes), place=place)
    else:
        title = _("Apply {name} to {place}:", name=_name(reply), place=place)
    terminal.line(terminal.style(title, bold=True))
    rows = []
    for change in reply.plan.changes.changes:
        path = printable(change.path) or "."
        note = in_words(change.before, change.after)
        if change.path in reply.merged:
            note = "; ".join(filter(None, (note, _("merged with what was changed here meanwhile"))))
        if change.path in reply.brought:
            note = "; ".join(filter(None, (note, _("not named, but what is named needs it"))))
        rows.append([SIGNS[change.kind][0], _(VERBS[ChangeKind(change.kind)]), path, note])
    for change, line in zip(reply.plan.changes.changes, words.columns(rows), strict=True):
        terminal.line("  " + terminal.style(line, fg=SIGNS[change.kind][1]))
    if reply.settled:
        text = ngettext("{count} path is so already", "{count} paths are so already", len(reply.settled))
        terminal.note(text)
    if reply.rest:
        text = ngettext("{count} path is not chosen", "{count} paths are not chosen", len(reply.rest))
        terminal.note(text)
    if reply.single_user:
        terminal.note(
            _("You asked for it yourself, and nobody else is enrolled to approve: you approve alone.")
        )
    if reply.signer:
        terminal.note(_("It is signed with the approver key of {name}.", name=reply.signer))


def _conflicts(reply: Decided, context: Context) -> None:
    terminal = context.terminal
    terminal.line(_("{name}: nothing was applied.", name=_name(reply)))
    for path in reply.conflicts[:_MOST]:
        if path in reply.uncertain:
            text = _(
                "{path} was changed here while the run began: your change may be missing in it", path=path
            )
        else:
            text = _("{path} was changed here too, in the same place", path=path)
        terminal.warn(words.warning(text, context))
    if reply.uncertain:
        terminal.note(
            _(
                "Look at its diff and choose it by name (--file), or bring it up to date: lastro proposal rebase {name}",
                name=f"proposal-{reply.proposal}",
            )
        )
    elif reply.undoes:
        terminal.note(_("Undo less of it with --file or --hunk, or restore the file: lastro restore"))
    else:
        terminal.note(
            _("Bring it up to date: lastro proposal rebase {name}", name=f"proposal-{reply.proposal}")
        )


def _waiting(reply: Decided, context: Context) -> None:
    text = ngettext(
        "{name}: {count} more approval is wanted before it is applied.",
        "{name}: {count} more approvals are wanted before it is applied.",
        reply.waiting,
        name=_name(reply),
    )
    context.terminal.line(text)
    context.terminal.note(
        _("Another approver gives it (lastro approver list); policy.toml says how many it takes.")
    )


def _done(reply: Decided, context: Context) -> None:
    terminal, count = context.terminal, len(reply.plan.changes.changes)
    place = plain.place(reply.plan.server, reply.plan.destination)
    if not reply.done:
        state = words.colored(review_words.PROPOSAL_STATES, reply.state, context)
        terminal.line(f"{_name(reply)}  {state}")
        return
    if reply.undoes:
        text = ngettext(
            "{name}: {undone} is taken back, {count} path in {place}.",
            "{name}: {undone} is taken back, {count} paths in {place}.",
            count,
            name=_name(reply),
            undone=review_words.proposal(reply.undoes),
            place=place,
        )
    else:
        text = ngettext(
            "{name}: applied, {count} path in {place}.",
            "{name}: applied, {count} paths in {place}.",
            count,
            name=_name(reply),
            place=place,
        )
    terminal.line(text)
    for note in reply.notes[:_MOST]:
        said = _(
            NOTES.get(note.kind, "{path}: {kind} {detail}"),
            path=note.path,
            kind=note.kind,
            detail=note.detail,
        )
        terminal.warn(words.warning(said, context))
    if reply.sent_back:
        terminal.line(_("The rest went back to its agent: {run}", run=review_words.run(reply.sent_back)))
    terminal.note(_("Take it back: lastro undo {name}", name=review_words.proposal(reply.proposal)))


def rejected(reply: RejectedOrCommented, request: Any, context: Context) -> None:
    """``reject``, ``comment`` and ``rebase``."""
    terminal = context.terminal
    state = words.colored(review_words.PROPOSAL_STATES, reply.state, context)
    terminal.line(f"{review_words.proposal(reply.proposal, reply.revision)}  {state}")
    if reply.new_proposal:
        name = review_words.proposal(reply.new_proposal)
        terminal.line(_("The agent ran again ({run}): {name}", run=review_words.run(reply.run), name=name))
        terminal.note(_("Look at it: lastro proposal show {name}", name=name))
    elif reply.run:
        terminal.line(_("The agent ran again ({run}) and proposes nothing.", run=review_words.run(reply.run)))
    del request


def edited(reply: Edited, request: Any, context: Context) -> None:
    """``edit``."""
    terminal = context.terminal
    if not reply.changed and not reply.dropped:
        terminal.line(_("Nothing was changed; {name} stands.", name=_proposal(reply)))
        return
    terminal.line(
        _("{name}: your revision stands from now on; earlier approvals fell.", name=_proposal(reply))
    )
    for path in reply.changed:
        terminal.line(f"  ~ {printable(path)}")
    for path in reply.dropped:
        terminal.line(f"  - {_('left out: {path}', path=path)}")
    terminal.note(_("Look at it: lastro proposal show {name}", name=review_words.proposal(reply.proposal)))
    del request


def _proposal(reply: Edited) -> str:
    return review_words.proposal(reply.proposal, reply.revision)
