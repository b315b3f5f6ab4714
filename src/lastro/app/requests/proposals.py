"""What operations on proposals are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.history import RecordedEntry
from lastro.app.requests.restore import Restoration
from lastro.domain.entry import Entry
from lastro.domain.proposal import Approval, ChangeNote, Comment, Selection
from lastro.domain.run import CheckResult, RunEnforcement, RunStep, RunUsage
from lastro.messages import N_

_PROPOSAL = parameter(
    N_("Which: proposal-N; the only open one if not given."), cli="argument", metavar="PROPOSAL"
)
_FILE = parameter(N_("Only this file (may be repeated)."), metavar="FILE")
_HUNK = parameter(N_("Only this hunk, as show numbers them: FILE:N (may be repeated)."), metavar="FILE:N")
_PLAN = parameter(N_("Only show what would change."))
_HIDDEN = parameter(N_("Digest of what was shown and accepted."), cli="hidden")
_PASSPHRASE = parameter(N_("Read the approver key's passphrase from standard input."), cli="secret")
_AGENT = parameter(N_("Have this agent go on instead: codex, claude, offline..."), metavar="NAME")
_APPROVER = parameter(N_("Sign as this approver."), metavar="NAME")


class Proposals(Struct, frozen=True, kw_only=True):
    """The inbox: what waits for a human, then what was decided."""

    all: Annotated[bool, parameter(N_("Also those that are decided."), short="-a")] = False
    project: Annotated[str, parameter(N_("Only of this project."), metavar="DIR")] = ""
    state: Annotated[str, parameter(N_("Only those in this state."), metavar="STATE")] = ""
    risk: Annotated[str, parameter(N_("Only of this risk: low, medium or high."), metavar="RISK")] = ""
    agent: Annotated[str, parameter(N_("Only of this agent: codex, claude, offline..."), metavar="NAME")] = ""
    role: Annotated[str, parameter(N_("Only of agents in this role."), metavar="ROLE")] = ""
    actor: Annotated[str, parameter(N_("Only what this one asked for."), metavar="NAME")] = ""
    text: Annotated[str, parameter(N_("Only where what was asked holds this."), metavar="TEXT")] = ""
    order: Annotated[
        str, parameter(N_("By risk, then age; or newest, or expiry: what runs out first."), metavar="ORDER")
    ] = "risk"
    after: Annotated[
        int,
        parameter(
            N_("Only what comes after the proposal with this number (0: from the first on)."), metavar="N"
        ),
    ] = 0
    limit: Annotated[int, parameter(N_("Show at most this many (0: all)."), short="-n", least=0)] = 50


class ProposalSummary(Struct, frozen=True, kw_only=True):
    """A proposal in a list. ``approvals`` of ``needed`` were given."""

    proposal: int
    revision: int
    state: str
    kind: str
    risk: str
    target: str
    purpose: str
    actor: str
    run: int
    time_ns: int
    expires_ns: int
    files: int
    failed_checks: int
    approvals: int = 0
    needed: int = 1


class ProposalsReply(Struct, frozen=True, kw_only=True):
    """By risk, then by age. ``more``: there are more; the next page is asked for with the last one's number as ``after``."""

    proposals: tuple[ProposalSummary, ...]
    more: bool = False
    open: int = 0
    """How many wait for a human in all, whatever was asked for."""


class ShowProposal(Struct, frozen=True, kw_only=True):
    """One proposal, as a human decides on it."""

    proposal: Annotated[str, _PROPOSAL] = ""
    file: Annotated[tuple[str, ...], _FILE] = ()
    names: Annotated[bool, parameter(N_("Only the names of what changes."))] = False


class ShownHunk(Struct, frozen=True, kw_only=True):
    """A hunk: its number from 1, first lines and counts of both sides (1-based, as in a unified diff), and its lines with their marks."""

    number: int
    before_line: int
    before_count: int
    after_line: int
    after_count: int
    lines: tuple[str, ...]


class ShownFile(Struct, frozen=True, kw_only=True):
    """One changed path, relative to the target. ``kind``: ``added``, ``removed``, ``changed``, ``renamed`` (then ``old_path``).

    ``fields``: what differs beside or instead of content. ``text``: its content can be shown in hunks. ``flags``, ``steps``: of its note.
    ``needed``: approvals this path wants.
    """

    path: str
    kind: str
    old_path: str = ""
    fields: tuple[str, ...] = ()
    before: Entry | None = None
    after: Entry | None = None
    text: bool = False
    hunks: tuple[ShownHunk, ...] = ()
    flags: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    needed: int = 1
    by: tuple[str, ...] = ()


class ShownDecision(Struct, frozen=True, kw_only=True):
    """A decision that was made. ``signed``: with an approver key. ``counts``: for the revision that stands now."""

    time_ns: int
    actor: str
    verdict: str
    revision: int
    signed: bool
    counts: bool
    single_user: bool
    key_id: str = ""
    signer: str = ""
    """Whose approver key it is."""
    selection: Selection = Selection()
    comments: tuple[Comment, ...] = ()


class ShownTransition(Struct, frozen=True, kw_only=True):
    """A state the proposal was in from ``time_ns`` on. ``apply``: what did it."""

    state: str
    time_ns: int
    apply: int = 0
    detail: str = ""


class ShownRevision(Struct, frozen=True, kw_only=True):
    """A revision that was proposed, and why: ``run``, ``edit``..."""

    number: int
    time_ns: int
    actor: str
    reason: str
    paths: int


class ProposalReply(Struct, frozen=True, kw_only=True):
    """A proposal. ``digest`` (hex): of exactly this, what a decision names."""

    proposal: int
    revision: int
    state: str
    kind: str
    risk: str
    target: str
    purpose: str
    actor: str
    time_ns: int
    expires_ns: int
    run: int
    of: int
    before: int
    after: int
    before_seq: int
    after_seq: int
    policy_digest: str
    change_digest: str
    digest: str
    files: tuple[ShownFile, ...]
    checks: tuple[CheckResult, ...]
    decisions: tuple[ShownDecision, ...]
    transitions: tuple[ShownTransition, ...]
    approvals: int
    needed: int
    """Approvals that the most demanding of its paths wants."""
    agent: str = ""
    role: str = ""
    steps: tuple[RunStep, ...] = ()
    enforcement: RunEnforcement | None = None
    usage: RunUsage | None = None
    last_words: str = ""
    outside: tuple[str, ...] = ()
    applies: tuple[int, ...] = ()
    """Numbers of the applies that carried it out."""
    revisions: tuple[ShownRevision, ...] = ()
    """Oldest first."""


class ProposalPair(Struct, frozen=True, kw_only=True):
    """Ask for both sides of a proposal, with where their content is."""

    proposal: int


class ProposalPairReply(Struct, frozen=True, kw_only=True):
    """The two sides: every changed path, relative to ``target``, as it was and as it is proposed. Hard links name their group's first
    member relative to ``target``.
    """

    proposal: int
    revision: int
    state: str
    target: str
    before_seq: int
    after_seq: int
    before: tuple[RecordedEntry, ...]
    after: tuple[RecordedEntry, ...]
    shown: str
    run: int
    of: int


class ApproveProposal(Struct, frozen=True, kw_only=True):
    """Approve a proposal, or part of it, and apply it here. Asks for the approver key's passphrase."""

    proposal: Annotated[str, _PROPOSAL] = ""
    file: Annotated[tuple[str, ...], _FILE] = ()
    hunk: Annotated[tuple[str, ...], _HUNK] = ()
    rest: Annotated[
        str,
        parameter(N_("Send what was not chosen back to the agent, with this comment."), metavar="TEXT"),
    ] = ""
    agent: Annotated[str, _AGENT] = ""
    plan: Annotated[bool, _PLAN] = False
    approver: Annotated[str, _APPROVER] = ""
    passphrase: Annotated[str, _PASSPHRASE] = ""
    approved: Annotated[str, _HIDDEN] = ""


class UndoProposal(Struct, frozen=True, kw_only=True):
    """Propose to take a proposal back, whole or in part; somebody decides on it like on any other."""

    proposal: Annotated[str, _PROPOSAL] = ""
    file: Annotated[tuple[str, ...], _FILE] = ()
    hunk: Annotated[tuple[str, ...], _HUNK] = ()
    plan: Annotated[bool, _PLAN] = False
    approved: Annotated[str, _HIDDEN] = ""


class Decided(Restoration, frozen=True, kw_only=True):
    """What became of a decision: a ``Restoration`` (plan from live to wanted, ``done``, ``apply``…) with what belongs to its proposal.

    ``acceptance``: what an answer to the plan names. ``asks``: whether an answer is wanted; ``signs`` and ``signer``: id and name of the
    approver key that signs it. ``waiting``: approvals that are still missing. ``merged``: paths whose live version had changed too.
    ``conflicts``: paths where that could not be merged; then nothing was applied. ``rest``: paths that were not chosen. ``state``: the
    proposal's now. ``settled``: paths that are live already as they are wanted.
    """

    proposal: int
    revision: int
    state: str
    acceptance: str = ""
    asks: bool = False
    signs: str = ""
    signer: str = ""
    waiting: int = 0
    single_user: bool = False
    merged: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    """Those of ``conflicts`` that changed here while the run began, so that a human's work could be lost: to be chosen by name."""
    rest: tuple[str, ...] = ()
    brought: tuple[str, ...] = ()
    """Paths that nobody named, but that something named cannot do without."""
    undoes: int = 0
    """The proposal that this one takes back."""
    sent_back: int = 0
    """The run that took the rest back to its agent, or on to another one."""


class RejectProposal(Struct, frozen=True, kw_only=True):
    """Reject a proposal; its content stays in the history."""

    proposal: Annotated[str, _PROPOSAL] = ""
    reason: Annotated[
        str, parameter(N_("Why; its agent and others can read it."), short="-m", metavar="TEXT")
    ] = ""
    digest: Annotated[str, _HIDDEN] = ""


class EditProposal(Struct, frozen=True, kw_only=True):
    """Edit what is proposed, and make a new revision of it. Opens the editor ($VISUAL, $EDITOR) on a copy."""

    proposal: Annotated[str, _PROPOSAL] = ""
    file: Annotated[
        tuple[str, ...], parameter(N_("Which files to edit; all text files if not given."), metavar="FILE")
    ] = ()
    drop: Annotated[
        tuple[str, ...], parameter(N_("Leave this change out (may be repeated)."), metavar="FILE")
    ] = ()


class CommentProposal(Struct, frozen=True, kw_only=True):
    """Send the agent back with comments; it runs again."""

    proposal: Annotated[str, _PROPOSAL] = ""
    message: Annotated[
        tuple[str, ...], parameter(N_("What shall be different."), short="-m", metavar="TEXT")
    ] = ()
    at: Annotated[
        tuple[str, ...],
        parameter(N_("A comment about a place: FILE:LINE:TEXT or FILE:FIRST-LAST:TEXT."), metavar="PLACE"),
    ] = ()
    run: Annotated[bool, parameter(N_("Run the agent again now; with --no-run it is only recorded."))] = True
    agent: Annotated[str, _AGENT] = ""
    placed: Annotated[tuple[Comment, ...], parameter(N_("Comments with their places."), cli="hidden")] = ()
    digest: Annotated[str, _HIDDEN] = ""


class RebaseProposal(Struct, frozen=True, kw_only=True):
    """Have the agent bring its work onto what is live now, in a run of its own."""

    proposal: Annotated[str, _PROPOSAL] = ""


class RejectedOrCommented(Struct, frozen=True, kw_only=True):
    """A decision that applies nothing. ``run``: the run that was begun for it (0: none)."""

    proposal: int
    revision: int
    state: str
    run: int = 0
    new_proposal: int = 0


class Edited(Struct, frozen=True, kw_only=True):
    """A new revision, or none because nothing was changed (``revision`` as before)."""

    proposal: int
    revision: int
    changed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


# Steps, between a caller and the keeper -------------------------------------------------------------------------------------------------


class Propose(Struct, frozen=True, kw_only=True):
    """Record a proposal. ``before`` and ``after`` are ``seq``; ``change_digest`` hex as ``runs.after`` said it."""

    id: str
    kind: str
    target: str
    before: int
    after: int
    change_digest: str
    purpose: str
    run: int | None = None
    of: int | None = None
    checks: tuple[CheckResult, ...] = ()
    notes: tuple[ChangeNote, ...] = ()
    risk: str = "low"


class Proposed(Struct, frozen=True, kw_only=True):
    """The number of a recorded proposal, and its revision."""

    proposal: int
    revision: int = 1


class Revise(Struct, frozen=True, kw_only=True):
    """Record a new revision. ``was``: the revision it is made from; if that is not the newest any more, it is refused."""

    proposal: int
    was: int
    reason: str
    before: int
    after: int
    change_digest: str
    checks: tuple[CheckResult, ...] = ()
    notes: tuple[ChangeNote, ...] = ()
    risk: str = "low"


class Decide(Struct, frozen=True, kw_only=True):
    """Record a decision. ``shown``: digest (hex) of what the human saw; another one is refused. ``approval`` is checked."""

    proposal: int
    revision: int
    verdict: str
    shown: str
    selection: Selection = Selection()
    comments: tuple[Comment, ...] = ()
    approval: Approval | None = None


class DecisionRecorded(Struct, frozen=True, kw_only=True):
    """What a decision did. ``waiting``: approvals still missing (0: it may be applied now, or is over)."""

    state: str
    waiting: int = 0
    single_user: bool = False


class RecordProposalState(Struct, frozen=True, kw_only=True):
    """A proposal is in another state: ``applying``, ``verifying``, ``applied`` (with the apply's number), ``conflict``, ``undone``...

    ``applies``: for ``applying``, digest (hex) of the chosen part of the change set; refused if another one is approved.
    """

    proposal: int
    state: str
    apply: int | None = None
    applies: str = ""
    detail: str = ""


class Allowed(Struct, frozen=True, kw_only=True):
    """Ask what the policy says about approving ``paths`` of a proposal as the asking human (its ``approver`` key, or any of theirs)."""

    proposal: int
    selection: Selection = Selection()
    approver: str = ""


class AllowedReply(Struct, frozen=True, kw_only=True):
    """``may``: an approval of this human counts. ``reason``: a code when it does not: ``author``, ``role``, ``no_key``, ``outside``,
    ``blocked``. ``missing``: approvals that would still be missing after this one. ``cool_down_s``: to wait before applying.
    ``key_id`` is empty where the policy asks for nobody's approval.
    """

    may: bool
    reason: str = ""
    path: str = ""
    missing: int = 0
    single_user: bool = False
    cool_down_s: int = 0
    key_id: str = ""
    signer: str = ""
    """Whose key that is."""
