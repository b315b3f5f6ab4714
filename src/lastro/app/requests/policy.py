"""What operations on the policy, approvers, the audit and projects are asked and answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.domain.policy import Policy, Role
from lastro.messages import N_

_PASSPHRASE = parameter(N_("Read the approver key's passphrase from standard input."), cli="secret")


class CheckPolicy(Struct, frozen=True, kw_only=True):
    """Whether the policy files are well formed: the keeper's, and the project's, which may only narrow it."""

    project: Annotated[
        str, parameter(N_("The project's directory; the current one if not given."), metavar="DIR")
    ] = ""


class ShowPolicy(Struct, frozen=True, kw_only=True):
    """The policy that is in force for a project."""

    project: Annotated[
        str, parameter(N_("The project's directory; the current one if not given."), metavar="DIR")
    ] = ""


class PolicyReply(Struct, frozen=True, kw_only=True):
    """The policy that is in force for a project. ``files``: those it was read from; none: the built-in one."""

    policy: Policy
    digest: str
    files: tuple[str, ...] = ()


class EffectivePolicy(Struct, frozen=True, kw_only=True):
    """Ask for the policy with a project's own file narrowing it. ``narrowing``: that file's text, empty for none."""

    narrowing: str = ""
    origin: str = ""
    """The narrowing file's path, for errors."""


class ExplainPolicy(Struct, frozen=True, kw_only=True):
    """Whether a role may write a path, and who has to approve it."""

    path: Annotated[
        str,
        parameter(N_("A file of the project, from its top; need not exist."), cli="argument", metavar="FILE"),
    ]
    role: Annotated[str, parameter(N_("Which role; the default one if not given."), metavar="ROLE")] = ""
    project: Annotated[
        str, parameter(N_("The project's directory; the current one if not given."), metavar="DIR")
    ] = ""


class Explanation(Struct, frozen=True, kw_only=True):
    """``read`` and ``write``: whether the role may; each ``because`` of a rule (a glob and where it stands)."""

    path: str
    role: Role
    read: bool
    read_because: Sentence
    write: bool
    write_because: Sentence
    approvals: int
    by: tuple[str, ...]
    not_author: bool
    review_because: Sentence
    executed_later: bool


class AddApprover(Struct, frozen=True, kw_only=True):
    """Make an approver key for a human, locked with a passphrase, and enrol it."""

    name: Annotated[
        str, parameter(N_("Whose; your user name if not given."), cli="argument", metavar="NAME")
    ] = ""
    role: Annotated[
        tuple[str, ...],
        parameter(N_("What they are: owner, approver, operator, auditor, viewer."), metavar="ROLE"),
    ] = ()
    passphrase: Annotated[str, _PASSPHRASE] = ""
    owner: Annotated[str, parameter(N_("The owner who signs for it."), metavar="NAME")] = ""
    owner_passphrase: Annotated[
        str, parameter(N_("Read the signing owner's passphrase from standard input."), cli="secret")
    ] = ""


class RemoveApprover(Struct, frozen=True, kw_only=True):
    """Let a key approve nothing from now on."""

    name: Annotated[str, parameter(N_("Whose, or the key's id."), cli="argument", metavar="NAME")]
    owner: Annotated[str, parameter(N_("The owner who signs for it."), metavar="NAME")] = ""
    passphrase: Annotated[str, _PASSPHRASE] = ""


class ChangeRoles(Struct, frozen=True, kw_only=True):
    """Let a human be something else from now on, with all their keys."""

    name: Annotated[str, parameter(N_("Whose."), cli="argument", metavar="NAME")]
    role: Annotated[
        tuple[str, ...],
        parameter(N_("What they are: owner, approver, operator, auditor, viewer."), metavar="ROLE"),
    ] = ()
    owner: Annotated[str, parameter(N_("The owner who signs for it."), metavar="NAME")] = ""
    passphrase: Annotated[str, _PASSPHRASE] = ""


class Approvers(Struct, frozen=True, kw_only=True):
    """Who may approve."""


class ApproverItem(Struct, frozen=True, kw_only=True):
    """An approver key. ``here``: its private half lies on this machine, locked. ``alg``: ``ed25519`` or ``webauthn`` (a passkey).

    ``used_ns``: when it last signed an approval (0: never).
    """

    name: str
    key_id: str
    roles: tuple[str, ...]
    uid: int
    since_ns: int
    revoked_ns: int = 0
    here: bool = False
    alg: str = "ed25519"
    used_ns: int = 0


class ApproversReply(Struct, frozen=True, kw_only=True):
    """By name."""

    approvers: tuple[ApproverItem, ...]


class EnrolApprover(Struct, frozen=True, kw_only=True):
    """Record an approver key, other roles, or its end (``domain.record.ApproverBody``)."""

    change: str
    name: str
    key_id: str
    public_key: bytes
    roles: tuple[str, ...]
    uid: int
    signed_by: str
    signature: bytes
    alg: str = "ed25519"
    nonce: bytes = b""


class VerifyAudit(Struct, frozen=True, kw_only=True):
    """Check the whole log: chain and signatures, every transition, every approval against the key and policy of its time."""


class AuditFinding(Struct, frozen=True, kw_only=True):
    """Something that is not right: the record's ``seq``, and a sentence."""

    seq: int
    sentence: Sentence


class AuditReply(Struct, frozen=True, kw_only=True):
    """What was verified. ``sound``: nothing was found. ``head``: the id of the newest record, for a witness."""

    sound: bool
    records: int
    runs: int
    proposals: int
    decisions: int
    approvals: int
    applies: int
    head: str
    findings: tuple[AuditFinding, ...] = ()


class InitProject(Struct, frozen=True, kw_only=True):
    """Make ``.lastro/`` and AGENTS.md in a project. Files that are there stay as they are."""

    project: Annotated[
        str,
        parameter(
            N_("The project's directory; the current one if not given."), cli="argument", metavar="DIR"
        ),
    ] = ""
    plan: Annotated[bool, parameter(N_("Only show what would be made."))] = False


class ProjectMade(Struct, frozen=True, kw_only=True):
    """``made`` and ``kept``: paths relative to the project."""

    project: str
    made: tuple[str, ...]
    kept: tuple[str, ...]
    plan: bool = False
