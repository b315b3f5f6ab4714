"""Steps of a review in a page: a text that was edited there becomes a revision, and comments are kept until they are sent.

What always holds: what was edited is made of what its author saw, or refused; and a draft belongs to the human who wrote it.
"""

from __future__ import annotations

import secrets

import msgspec
from blake3 import blake3

from lastro.app.drafts import Drafts
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.proposal.cases import case_of
from lastro.app.operations.proposal.editing import rewrite
from lastro.app.operations.proposal.preparing import changed_since, show
from lastro.app.requests.proposals import Edited
from lastro.app.requests.reviewing import AddDraft, Draft, DraftsReply, ListDrafts, RemoveDraft, Rewrite
from lastro.app.services import Services
from lastro.domain.paths import from_bytes
from lastro.domain.proposal import Comment
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.case import Case
from lastro.proposals.line_diff import split_lines
from lastro.proposals.pair import content_of


def rewrite_file(services: Services, request: Rewrite) -> Edited:
    """Make a new revision with another text in a file."""
    from lastro.app.visiting import home_desk  # noqa: PLC0415  it knows every operation

    desk = home_desk(services)
    shown = show(desk, f"proposal-{request.proposal}")
    if shown.digest != request.shown:
        raise changed_since(shown.proposal)
    return rewrite(desk, shown, {request.path: request.content})


def list_drafts(services: Services, request: ListDrafts) -> DraftsReply:
    """The asking human's drafts; those that were sent since are gone."""
    drafts = drafts_in(services).of(services.actor, request.proposal)
    if not drafts:
        return DraftsReply(drafts=())
    case = case_of(services, request.proposal)
    sent = _sent(services, case)
    if any(_sent_since(draft, sent) for draft in drafts):
        drafts = drafts_in(services).change(
            services.actor,
            request.proposal,
            lambda now: tuple(draft for draft in now if not _sent_since(draft, sent)),
        )
    return _judged(services, case, drafts)


def add_draft(services: Services, request: AddDraft) -> DraftsReply:
    """Keep a comment until it is sent."""
    case = case_of(services, request.proposal)
    if not request.text.strip():
        raise UsageError(N_("The comment is empty."), hint=N_("Write what shall be different."))
    if request.path not in {b"", *_paths(case)}:
        raise NotFoundError(
            N_("proposal-{number} does not change {path}."),
            number=request.proposal,
            path=from_bytes(request.path),
        )
    if request.lines is not None and not 0 < request.lines[0] <= request.lines[1]:
        raise UsageError(
            N_("These are no lines: {first} to {last}"), first=request.lines[0], last=request.lines[1]
        )
    draft = Draft(
        id=secrets.token_hex(8),
        text=request.text,
        time_ns=services.clock.wall_ns(),
        revision=case.revision.number,
        path=request.path,
        lines=request.lines,
        quoted=_quoted(services, case, request.path, request.lines),
    )
    drafts = drafts_in(services).change(services.actor, request.proposal, lambda now: (*now, draft))
    return _judged(services, case, drafts)


def remove_draft(services: Services, request: RemoveDraft) -> DraftsReply:
    """Forget a draft."""
    case = case_of(services, request.proposal)
    drafts = drafts_in(services).change(
        services.actor,
        request.proposal,
        lambda now: tuple(draft for draft in now if draft.id != request.id),
    )
    return _judged(services, case, drafts)


def drafts_in(services: Services) -> Drafts:
    """Where drafts are kept."""
    return Drafts(f"{services.places.state}/drafts")


def _judged(services: Services, case: Case, drafts: tuple[Draft, ...]) -> DraftsReply:
    """The drafts, with what became of the lines they are about."""
    return DraftsReply(
        drafts=tuple(
            msgspec.structs.replace(draft, outdated=_is_outdated(services, case, draft)) for draft in drafts
        )
    )


def _is_outdated(services: Services, case: Case, draft: Draft) -> bool:
    if not draft.path or draft.revision == case.revision.number:
        return False
    if draft.path not in _paths(case):
        return True
    return draft.quoted != _quoted(services, case, draft.path, draft.lines)


def _quoted(services: Services, case: Case, path: bytes, lines: tuple[int, int] | None) -> str:
    """The digest of these lines of the new version; empty where nothing is quoted.

    Raises:
        UsageError: there are no such lines.
    """
    if not path or lines is None:
        return ""
    content = content_of(services.repository, case.pair.after, from_bytes(path))
    quoted = split_lines(content or b"")[lines[0] - 1 : lines[1]]
    return blake3(b"".join(quoted)).hexdigest() if quoted else ""


def _paths(case: Case) -> set[bytes]:
    return {change.path.encode("utf-8", "surrogateescape") for change in case.changes.changes}


def _sent(services: Services, case: Case) -> list[tuple[int, Comment]]:
    """What the asking human said in decisions, with when."""
    return [
        (decision.time_ns, comment)
        for decision in case.whole.decisions
        if decision.actor == services.actor
        for comment in decision.comments
    ]


def _sent_since(draft: Draft, sent: list[tuple[int, Comment]]) -> bool:
    said = Comment(text=draft.text, path=draft.path, lines=draft.lines)
    return any(time_ns >= draft.time_ns and comment == said for time_ns, comment in sent)


OPERATIONS = (
    Operation(
        name="proposal.rewrite",
        request=Rewrite,
        reply=Edited,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=rewrite_file,
        summary=N_("Make a new revision with another text in a file."),
        internal=True,
    ),
    Operation(
        name="proposal.drafts",
        request=ListDrafts,
        reply=DraftsReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=list_drafts,
        summary=N_("Comments of the asking human that are not sent yet."),
        internal=True,
    ),
    Operation(
        name="proposal.drafts.add",
        request=AddDraft,
        reply=DraftsReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=add_draft,
        summary=N_("Keep a comment until it is sent."),
        internal=True,
    ),
    Operation(
        name="proposal.drafts.remove",
        request=RemoveDraft,
        reply=DraftsReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=remove_draft,
        summary=N_("Forget a comment that was not sent."),
        internal=True,
    ),
)
