"""A proposal: a pair of snapshots that a human is asked about, and the decisions on it. Nouns and the table of its states.

    open ──► approved | partly_approved ──► applying ──► verifying ──► applied ──► undone
     │                                          │            └──► rolled_back
     ├──► rejected · changes_requested · expired · held
     └──► conflict (nothing was applied; back to open by a rebase or an edit)

Every transition and decision is a record. A decision names the digest of exactly what was shown (``shown_digest``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct


class ProposalState(StrEnum):
    """Where a proposal is."""

    OPEN = "open"
    APPROVED = "approved"
    PARTLY_APPROVED = "partly_approved"
    REJECTED = "rejected"
    CHANGES_REQUESTED = "changes_requested"
    EXPIRED = "expired"
    APPLYING = "applying"
    VERIFYING = "verifying"
    APPLIED = "applied"
    UNDONE = "undone"
    CONFLICT = "conflict"
    """What is live differs from what the agent saw, and cannot be merged. Nothing was applied."""
    HELD = "held"
    """It builds on something that was rejected or undone."""
    ROLLED_BACK = "rolled_back"


_S = ProposalState
PROPOSAL_TRANSITIONS: Final[Mapping[ProposalState, frozenset[ProposalState]]] = {
    _S.OPEN: frozenset(
        {
            _S.APPROVED,
            _S.PARTLY_APPROVED,
            _S.REJECTED,
            _S.CHANGES_REQUESTED,
            _S.EXPIRED,
            _S.CONFLICT,
            _S.HELD,
        }
    ),
    _S.HELD: frozenset({_S.OPEN, _S.REJECTED, _S.EXPIRED}),
    _S.CONFLICT: frozenset({_S.OPEN, _S.REJECTED, _S.CHANGES_REQUESTED, _S.EXPIRED}),
    _S.CHANGES_REQUESTED: frozenset({_S.OPEN, _S.REJECTED, _S.EXPIRED}),
    _S.APPROVED: frozenset({_S.APPLYING, _S.CONFLICT, _S.OPEN, _S.REJECTED, _S.HELD, _S.EXPIRED}),
    _S.PARTLY_APPROVED: frozenset({_S.APPLYING, _S.CONFLICT, _S.OPEN, _S.REJECTED, _S.HELD, _S.EXPIRED}),
    _S.APPLYING: frozenset({_S.VERIFYING, _S.CONFLICT, _S.ROLLED_BACK, _S.APPROVED, _S.PARTLY_APPROVED}),
    _S.VERIFYING: frozenset({_S.APPLIED, _S.ROLLED_BACK}),
    _S.APPLIED: frozenset({_S.UNDONE}),
    _S.UNDONE: frozenset(),
}
"""State → states that may follow. A new revision brings ``conflict``, ``changes_requested`` and ``approved`` back to ``open``."""

FINAL_PROPOSAL_STATES: Final = frozenset({_S.REJECTED, _S.EXPIRED, _S.UNDONE, _S.ROLLED_BACK})


class ProposalKind(StrEnum):
    """Where a proposal comes from."""

    RUN = "run"
    UNDO = "undo"
    MANUAL = "manual"


class Flag(StrEnum):
    """Something to know about one change before saying yes."""

    EXECUTED_LATER = "executed_later"
    """A path that runs later on the host by itself: a hook, an agent's settings, a unit, a workflow. Never approved automatically."""
    EXECUTABLE = "executable"
    """It is, or becomes, executable."""
    SECRET = "secret"  # noqa: S105  the name of a flag
    """It seems to hold a secret."""
    GENERATED = "generated"
    OUTSIDE_ROLE = "outside_role"
    """The role may not write it."""
    LARGE = "large"
    BINARY = "binary"
    ODD_NAME = "odd_name"
    """Its name holds controls, bidirectional marks or bytes that are no UTF-8."""
    SPECIAL = "special"
    """A device, a socket, a fifo, or a file that runs with another's rights."""
    LEADS_OUT = "leads_out"
    """A symbolic link whose target is absolute, or above the proposal's target."""
    BASE_UNCERTAIN = "base_uncertain"
    """The live file changed while the run was beginning, so what the agent saw is not known for sure."""


class Risk(StrEnum):
    """How closely to look."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ChangeNote(Struct, frozen=True, kw_only=True):
    """What is known of one changed path (raw bytes, relative to the proposal's target) beside its two entries."""

    path: bytes
    flags: tuple[Flag, ...] = ()
    steps: tuple[int, ...] = ()


class Verdict(StrEnum):
    """What a human said."""

    APPROVE = "approve"
    REJECT = "reject"
    COMMENT = "comment"
    """Back to the agent."""


class ChosenHunks(Struct, frozen=True, kw_only=True):
    """Some hunks of one file: its path as raw bytes, and their numbers from 1, ascending."""

    path: bytes
    numbers: tuple[int, ...]


class Selection(Struct, frozen=True, kw_only=True):
    """Which part of a change set: whole ``files`` (raw bytes), and single ``hunks`` of others. Empty: all of it."""

    files: tuple[bytes, ...] = ()
    hunks: tuple[ChosenHunks, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is everything."""
        return not self.files and not self.hunks


class Comment(Struct, frozen=True, kw_only=True):
    """Something said about a proposal; ``path`` (raw bytes) and 1-based ``lines`` of the new version where it is about a place."""

    text: str
    path: bytes = b""
    lines: tuple[int, int] | None = None


class Approval(Struct, frozen=True, kw_only=True):
    """A human's signature under a decision. ``signature`` is over ``approval_statement``; ``alg``: ``ed25519``, or ``webauthn`` for one
    made with a passkey (``proposals.passkeys``).

    ``digest``: what was shown. ``applies``: digest of the change set that may be applied by it (that of the chosen part, as it shall be
    written). ``nonce``: 16 random bytes. Times in nanoseconds since 1970.
    """

    alg: str
    applies: bytes
    digest: bytes
    expires_ns: int
    key_id: str
    nonce: bytes
    proposal: int
    revision: int
    signature: bytes
    time_ns: int
    verdict: str
