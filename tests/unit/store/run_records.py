"""Bodies of the records of runs and proposals, with something in every field: their bytes are in ``tests/golden/format``."""

from __future__ import annotations

import msgspec

from lastro.domain.policy import Policy, ReviewRule, Role, RunLimits
from lastro.domain.proposal import Approval, ChangeNote, ChosenHunks, Comment, Flag, Selection
from lastro.domain.record import (
    ApproverBody,
    DecisionBody,
    ProposalBody,
    ProposalRevisionBody,
    ProposalStateBody,
    RunBody,
    RunStateBody,
)
from lastro.domain.run import CheckResult, CheckVerdict, EndCause, RunEnforcement, RunFacts, RunStep, RunUsage

NAME = "run-bodies.json"
NIL = msgspec.Raw(b"\xc0")


def nested(value):
    return msgspec.Raw(msgspec.msgpack.encode(value, order="sorted"))


FACTS = RunFacts(
    cause=EndCause.EXITED,
    exit_status=0,
    steps=(RunStep(number=1, exchange="x-1", time_ns=5, paths=(b"src/\xff",), exact=False),),
    enforcement=RunEnforcement(
        view="overlay", enforced=("filesystem",), degraded=("disk",), landlock=7, details={"cgroup": "v2"}
    ),
    usage=RunUsage(requests=2, tokens_in=30, tokens_out=4, money=None, wall_ns=6, peak_memory=7),
    session="s",
    last_words="done",
    refused=("example.org:443",),
    commits={"refs/heads/main": "a" * 40},
    outside=(b"etc/x",),
)
CHECK = CheckResult(
    name="tests", command="make test", verdict=CheckVerdict.FAILED, duration_ns=9, output="no"
)
NOTE = ChangeNote(path=b"src/\xff", flags=(Flag.SECRET,), steps=(1, 2))
APPROVAL = Approval(
    alg="ed25519",
    applies=bytes(32),
    digest=bytes(range(32)),
    expires_ns=10,
    key_id="k-1",
    nonce=bytes(16),
    proposal=9,
    revision=2,
    signature=bytes(64),
    time_ns=3,
    verdict="approve",
)
SELECTION = Selection(files=(b"a",), hunks=(ChosenHunks(path=b"b", numbers=(1, 3)),))
POLICY = Policy(
    roles=(Role(name="reviewer", write=("docs/**",), limits=RunLimits(money=5)),),
    review=(ReviewRule(paths=("**",)),),
)

BODIES = {
    "run": RunBody(
        agent="generic",
        command=[b"sh", b"-c", b"\xff"],
        id="0" * 32,
        leases=["src/**"],
        policy_digest=bytes(32),
        project=b"/srv/p\xff",
        purpose="tidy",
        rebases=3,
        resumes=None,
        role="client-agent",
    ),
    "run-state": RunStateBody(after=12, before=10, facts=nested(FACTS), run=1, state="finished"),
    "proposal": ProposalBody(
        after=12,
        before=10,
        change_digest=bytes(32),
        checks=[nested(CHECK)],
        expires_ns=99,
        id="1" * 32,
        kind="run",
        notes=[nested(NOTE)],
        of=None,
        policy_digest=bytes(32),
        purpose="tidy",
        risk="medium",
        run=1,
        target=b"/srv/p\xff",
    ),
    "proposal-revision": ProposalRevisionBody(
        after=14,
        before=10,
        change_digest=bytes(32),
        checks=[nested(CHECK)],
        notes=[nested(NOTE)],
        proposal=9,
        reason="edit",
        revision=2,
        risk="low",
    ),
    "proposal-state": ProposalStateBody(apply=4, detail=b"a/\xff", proposal=9, state="applied"),
    "decision": DecisionBody(
        approval=nested(APPROVAL),
        comments=[nested(Comment(text="well", path=b"a", lines=(1, 2)))],
        policy=nested(POLICY),
        policy_digest=bytes(32),
        proposal=9,
        revision=2,
        selection=nested(SELECTION),
        shown=bytes(32),
        single_user=True,
        verdict="approve",
    ),
    "approver": ApproverBody(
        change="enrolled",
        key_id="k-1",
        name="ana",
        public_key=bytes(32),
        roles=["owner"],
        signature=bytes(64),
        signed_by="k-1",
        uid=1000,
    ),
}
NESTED = {
    "facts": FACTS,
    "checks": CHECK,
    "notes": NOTE,
    "approval": APPROVAL,
    "selection": SELECTION,
    "policy": POLICY,
}
"""Field → what its nested value decodes to."""
