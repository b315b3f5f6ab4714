"""What the inbox answers with: runs, proposals, decisions and approvers as the log has them. Nouns, and how they are packed into records.

What always holds: nothing here was judged; a row says what was recorded. Strings that agents and their tools wrote are kept whatever they
hold: what is no Unicode in them is replaced, because a record holds text.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from lastro.domain.policy import HumanRole
from lastro.domain.proposal import (
    PROPOSAL_TRANSITIONS,
    Approval,
    ChangeNote,
    Comment,
    ProposalKind,
    ProposalState,
    Risk,
    Selection,
    Verdict,
)
from lastro.domain.record import Actor
from lastro.domain.run import CheckResult, RunFacts, RunState

NIL: Final = msgspec.Raw(b"\xc0")
"""msgpack's nil: where a record has nothing to say."""

REVISABLE: Final = frozenset(
    state for state, following in PROPOSAL_TRANSITIONS.items() if ProposalState.OPEN in following
) | {ProposalState.OPEN}
"""States in which a new revision may come; it opens the proposal again."""

UNDECIDED: Final = frozenset(
    state for state, following in PROPOSAL_TRANSITIONS.items() if ProposalState.EXPIRED in following
)
"""States that end by themselves when their time is over."""


LIVE: Final = (RunState.PREPARING, RunState.RUNNING, RunState.COLLECTING, RunState.CHECKING)
"""States in which a run has a supervisor."""


class RunRow(Struct, frozen=True, kw_only=True):
    """A run. ``before`` and ``after`` are ``seq``; ``changed_ns``: when it came into its state; ``proposal`` 0: it has none."""

    number: int
    seq: int
    id: str
    project: str
    role: str
    agent: str
    command: tuple[str, ...]
    purpose: str
    actor: Actor
    policy_digest: bytes
    leases: tuple[str, ...]
    resumes: int | None
    rebases: int | None
    state: RunState
    began_ns: int
    changed_ns: int
    before: int | None = None
    after: int | None = None
    proposal: int = 0


class RunPassage(Struct, frozen=True, kw_only=True):
    """A state that a run was in from ``time_ns`` on."""

    seq: int
    state: RunState
    time_ns: int


class RunWhole(Struct, frozen=True, kw_only=True):
    """A run with all that is known of it."""

    run: RunRow
    passages: tuple[RunPassage, ...]
    facts: RunFacts | None


class ProposalRow(Struct, frozen=True, kw_only=True):
    """A proposal as its newest revision has it. ``before`` and ``after`` are ``seq``; ``state`` is ``expired`` once its time is over, also
    before that is recorded.
    """

    number: int
    seq: int
    id: str
    state: ProposalState
    revision: int
    kind: ProposalKind
    risk: Risk
    target: str
    purpose: str
    actor: Actor
    run: int | None
    of: int | None
    time_ns: int
    expires_ns: int
    before: int
    after: int
    change_digest: bytes
    policy_digest: bytes
    """Of the policy that was in force when it was proposed."""
    files: int
    failed_checks: int


class Revision(Struct, frozen=True, kw_only=True):
    """What is proposed from ``seq`` on. ``paths``: those that differ, relative to the target. ``intact``: the two snapshots differ exactly
    by ``change_digest``.
    """

    number: int
    seq: int
    time_ns: int
    actor: Actor
    reason: str
    before: int
    after: int
    change_digest: bytes
    risk: Risk
    notes: tuple[ChangeNote, ...]
    checks: tuple[CheckResult, ...]
    paths: tuple[str, ...]
    intact: bool


class ProposalPassage(Struct, frozen=True, kw_only=True):
    """A state that a proposal was in from ``time_ns`` on. ``apply``: number of what did it."""

    seq: int
    state: ProposalState
    time_ns: int
    apply: int | None = None
    detail: str = ""


class Decision(Struct, frozen=True, kw_only=True):
    """Something that a human decided."""

    number: int
    seq: int
    proposal: int
    revision: int
    time_ns: int
    actor: Actor
    verdict: Verdict
    shown: bytes
    single_user: bool
    approval: Approval | None
    selection: Selection
    comments: tuple[Comment, ...]
    policy_digest: bytes


class ProposalWhole(Struct, frozen=True, kw_only=True):
    """A proposal with all that is known of it; everything oldest first. ``applies``: numbers of the applies that carried it out."""

    proposal: ProposalRow
    revisions: tuple[Revision, ...]
    passages: tuple[ProposalPassage, ...]
    decisions: tuple[Decision, ...]
    applies: tuple[int, ...]

    @property
    def newest(self) -> Revision:
        """The revision that stands."""
        return self.revisions[-1]


class HappeningKind(StrEnum):
    """What kind of thing happened; the same words as events have."""

    RUN = "run"
    PROPOSAL = "proposal"
    DECISION = "decision"


class Happening(Struct, frozen=True, kw_only=True):
    """Something to tell of: run or proposal ``number`` is in the state ``word``, or somebody decided ``word`` on proposal ``number``.

    ``revision`` and ``actor`` are of a decision.
    """

    kind: HappeningKind
    seq: int
    time_ns: int
    number: int
    word: str
    revision: int = 0
    actor: str = ""


class ApproverRow(Struct, frozen=True, kw_only=True):
    """An approver key, with the roles that its human has now. ``public_key``: see ``ApproverBody``. ``uid`` -1: its human has no account
    here. ``revoked_seq`` is ``None`` while it is good.
    """

    key_id: str
    name: str
    uid: int
    roles: tuple[HumanRole, ...]
    public_key: bytes
    since_seq: int
    since_ns: int
    signed_by: str
    revoked_seq: int | None = None
    revoked_ns: int = 0

    @property
    def human(self) -> str:
        """Who it is: keys of one human count once. The account where there is one, else the name."""
        return f"uid {self.uid}" if self.uid >= 0 else f"name {self.name}"


def pack(value: object) -> msgspec.Raw:
    """``value`` as it stands in a record: canonical msgpack, keys sorted. What is no Unicode in its strings is replaced."""
    try:
        return msgspec.Raw(msgspec.msgpack.encode(value, order="sorted"))
    except UnicodeEncodeError:
        plain = _clean(msgspec.to_builtins(value, builtin_types=(bytes,)))
        return msgspec.Raw(msgspec.msgpack.encode(plain, order="sorted"))


Packed = TypeVar("Packed")


def unpack(raw: msgspec.Raw | bytes, kind: type[Packed]) -> Packed:
    """The inverse of ``pack``. Unknown fields are ignored.

    Raises:
        msgspec.DecodeError: it is no such thing.
    """
    return msgspec.msgpack.decode(raw, type=kind)


def clean_text(text: str) -> str:
    """``text`` as a record can hold it."""
    return _NO_TEXT.sub("\ufffd", text)


_NO_TEXT: Final = re.compile("[\ud800-\udfff]")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
