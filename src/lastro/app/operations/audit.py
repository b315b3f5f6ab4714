"""``audit verify``: the whole log checked again (``proposals.auditing``); ``audit head``: what a witness keeps."""

from __future__ import annotations

from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests.happenings import AuditHead, HeadReply
from lastro.app.requests.policy import AuditFinding, AuditReply, VerifyAudit
from lastro.app.requests.sentence import told
from lastro.app.services import Services
from lastro.messages import N_
from lastro.proposals.auditing import audit


def verify(services: Services, _: VerifyAudit) -> AuditReply:
    """Check every record, transition, decision and approval."""
    services.repository.refresh()
    found = audit(services.repository)
    return AuditReply(
        sound=not found.findings,
        records=found.records,
        runs=found.runs,
        proposals=found.proposals,
        decisions=found.decisions,
        approvals=found.approvals,
        applies=found.applies,
        head=services.repository.head()[1].hex(),
        findings=tuple(
            AuditFinding(seq=finding.seq, sentence=told(finding.message)) for finding in found.findings
        ),
    )


def head(services: Services, _: AuditHead) -> HeadReply:
    """The newest record."""
    services.repository.refresh()
    seq, identity = services.repository.head()
    return HeadReply(seq=seq, id=identity.hex())


OPERATIONS = (
    Operation(
        name="audit.head",
        request=AuditHead,
        reply=HeadReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=head,
        summary=N_("The newest record's number and id, to be kept elsewhere as a witness."),
        details=N_(
            "'lastro audit verify' proves the chain; an id that was kept elsewhere proves that it is still the same chain."
        ),
    ),
    Operation(
        name="audit.verify",
        request=VerifyAudit,
        reply=AuditReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=verify,
        summary=N_("Check the whole log: chain, signatures, transitions, approvals and rights."),
        details=N_(
            "Ends with 6 when something is not right. The head it names can be kept elsewhere, as a witness."
        ),
    ),
)
