"""A keeper's log side without disks, jails and sockets: synthetic snapshots, humans with keys, and the real operations on them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lastro.app.events import Event
from lastro.app.operation import find_operation
from lastro.app.places import places_of
from lastro.app.requests.policy import EnrolApprover, VerifyAudit
from lastro.app.requests.proposals import (
    Decide,
    ProposalPair,
    Propose,
    RecordProposalState,
    Revise,
    ShowProposal,
)
from lastro.app.requests.runs import BeginRun, RecordRunState
from lastro.app.services import Services
from lastro.domain.changes import ChangeSet
from lastro.domain.entry import EntryType
from lastro.domain.paths import to_bytes
from lastro.domain.proposal import Selection, Verdict
from lastro.domain.record import Actor, ApplyBody, ApproverBody, RecordKind, RecordTarget
from lastro.domain.snapshot import SnapshotBody, Statistics
from lastro.history.projection import Projection
from lastro.history.timeline import Timeline
from lastro.keeper.capture_cycle import CaptureCycle
from lastro.keeper.capture_state import CaptureState
from lastro.proposals.approvals import key_id_of, sign_approval, sign_approver, unsigned_approval
from lastro.proposals.inbox import Inbox
from lastro.proposals.pair import PairContents, read_pair
from lastro.proposals.selecting import select
from lastro.store.content import ContentWriter
from lastro.store.repository import RecordDraft
from lastro.store.tree import TreeEntry, encode_tree_entry, update
from tests.store_kit import Kit

PROJECT = "/srv/app"
RUN_ID = "{:032x}"


def human(name="ana", uid=1000):
    return Actor(kind="human", name=name, uid=uid)


ANA, BIA, CAIO = human(), human("bia", 1001), human("caio", 1002)


def key_of(name):
    """The same private key for the same name, in every test."""
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")[:32])


@dataclass
class Hall:
    """A repository in memory with what the keeper's operations need. ``home`` holds nothing but ``config/policy.toml``, if at all."""

    home: str
    cache: str | None = None
    kit: Kit = field(default_factory=Kit)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self):
        self.repository = self.kit.create()
        self.ids = 0
        self.nonces = 0
        self._open_rest()

    def _open_rest(self):
        self.projection = Projection(self.repository, None)
        self.inbox = Inbox(self.repository, self.cache)
        self.state = CaptureState(self.repository, None)
        self.services = Services(
            places=places_of(self.home),
            repository=self.repository,
            timeline=Timeline(self.projection),
            inbox=self.inbox,
            state=self.state,
            cycle=CaptureCycle(self.repository, self.state, self.kit.clock),
            clock=self.kit.clock,
            actor=ANA,
            publish=self.events.append,
        )

    def close(self):
        self.inbox.close()
        self.projection.close()
        self.state.close()
        self.repository.close()

    def reopen(self, *, forget=False):
        """Restart the keeper; ``forget``: its cache is lost too."""
        self.close()
        if forget and self.cache:
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(self.cache + suffix):
                    os.unlink(self.cache + suffix)
        self.repository = self.kit.open(writable=True)
        self._open_rest()

    def policy(self, text):
        os.makedirs(f"{self.home}/config", exist_ok=True)
        with open(f"{self.home}/config/policy.toml", "w", encoding="utf-8") as file:
            file.write(text)

    def call(self, name, request, actor=ANA):
        return find_operation(name).run(self.services.for_actor(actor), request)

    @property
    def now(self):
        return self.kit.clock.wall

    # Snapshots

    def base(self, files, *, target=PROJECT):
        """A snapshot of the live project with these files, by path; its ``seq``."""
        return self._snapshot(TreeEntry(type=EntryType.DIRECTORY, mode=0o755), files, target, "files")

    def layer(self, before, edits, *, target=PROJECT):
        """What a run made of the snapshot ``before``; a path with ``None`` is gone."""
        root = next(self.repository.records(after=before - 1)).record
        tree = msgspec.msgpack.decode(root.body, type=SnapshotBody).root
        return self._snapshot(msgspec.msgpack.decode(tree, type=TreeEntry), edits, target, "run")

    def _snapshot(self, root, edits, target, kind):
        with self.repository.begin() as made:
            trees = {}
            for path, content in edits.items():
                for above in _above(path):
                    if content is not None:
                        trees.setdefault(
                            above, TreeEntry(type=EntryType.DIRECTORY, mode=0o755, name=_name(above))
                        )
                trees[path] = None if content is None else self._file(made, path, content)
            tree = update(made, made, root, dict(sorted(trees.items())))
            body = SnapshotBody(
                node_time_ns=None,
                reason="run",
                root=encode_tree_entry(tree),
                statistics=Statistics(),
                warnings=[],
            )
            record = RecordDraft(
                kind=RecordKind.SNAPSHOT,
                actor=ANA,
                server="local",
                body=body,
                target=RecordTarget(kind=kind, path=to_bytes(target)),
            )
            return made.commit(record)[0].seq

    def _file(self, made, path, content):
        if isinstance(content, TreeEntry):
            return content
        writer = ContentWriter(made, made.chunker)
        writer.write(0, content)
        written = writer.finish()
        return TreeEntry(
            type=EntryType.FILE,
            mode=0o644,
            name=_name(path),
            content=written.content,
            digest=written.digest,
            size=written.size,
        )

    # Runs and proposals

    def run(self, *states, actor=ANA, project=PROJECT, leases=(), identity=None, queued=False):
        """A run that went through ``states`` after ``preparing``; its number."""
        self.ids += 1
        request = BeginRun(
            id=identity or RUN_ID.format(self.ids),
            project=project,
            role="client-agent",
            agent="generic",
            command=("sh", "-c", "true"),
            purpose="add a health check",
            policy_digest="00" * 32,
            leases=leases,
            queued=queued,
        )
        number = self.call("runs.begin", request, actor).run
        for state in states:
            self.call("runs.state", RecordRunState(run=number, state=state), actor)
        return number

    def propose(self, edits, *, before=None, files=None, run=None, actor=ANA, identity=None, **fields):
        """A proposal of ``edits`` on a base with ``files``; its number."""
        self.ids += 1
        before = self.base(files or {"a": b"one\n"}) if before is None else before
        after = self.layer(before, edits)
        request = Propose(
            id=identity or RUN_ID.format(self.ids),
            kind="run" if run else "manual",
            target=PROJECT,
            before=before,
            after=after,
            change_digest=self.changes(before, after).digest.hex(),
            purpose="add a health check",
            run=run,
            **fields,
        )
        return self.call("proposal.record", request, actor).proposal

    def revise(self, number, edits, *, actor=ANA):
        """A human's edit of what is proposed."""
        shown = self.show(number)
        after = self.layer(shown.after_seq, edits)
        return self.call(
            "proposal.revise",
            Revise(
                proposal=number,
                was=shown.revision,
                reason="edit",
                before=shown.before_seq,
                after=after,
                change_digest=self.changes(shown.before_seq, after).digest.hex(),
            ),
            actor,
        ).revision

    def changes(self, before, after) -> ChangeSet:
        return read_pair(self.repository, before=before, after=after, target=PROJECT).changes

    def show(self, number, **fields):
        return self.call("proposal.show", ShowProposal(proposal=f"proposal-{number}", **fields))

    def pair(self, number):
        return self.call("proposal.pair", ProposalPair(proposal=number))

    def state_of(self, number):
        return self.inbox.proposal(number, now_ns=self.now).proposal.state.value

    # Humans

    def enrol(self, actor, *roles, by=None):
        """Enrol this human's key, signed by ``by`` (itself, for the first)."""
        signer = key_of((by or actor).name)
        body = sign_approver(signer, approver_body(actor, roles or ("approver",), signer))
        self.call("approver.enrol", as_request(body), by or actor)
        return body.key_id

    def revoke(self, actor, *, by):
        signer = key_of(by.name)
        body = msgspec.structs.replace(approver_body(actor, ("approver",), signer), change="revoked")
        self.call("approver.enrol", as_request(sign_approver(signer, body)), by)

    def approval(self, number, who, *, selection=None, shown=None, **changed):
        """A signed approval of what stands; ``changed`` replaces fields before it is signed."""
        shown = shown or self.show(number, names=True)
        self.nonces += 1
        chosen = self.chosen(shown, selection or Selection())
        key = key_of(who.name)
        fields = {
            "key_id": key_id_of(key.public_key().public_bytes_raw()),
            "proposal": number,
            "revision": shown.revision,
            "verdict": Verdict.APPROVE,
            "digest": bytes.fromhex(shown.digest),
            "applies": chosen.digest,
            "nonce": self.nonces.to_bytes(16, "big"),
            "time_ns": self.now,
            "expires_ns": self.now + 600_000_000_000,
        }
        return sign_approval(key, unsigned_approval(**{**fields, **changed}))

    def chosen(self, shown, selection) -> ChangeSet:
        pair = read_pair(self.repository, before=shown.before_seq, after=shown.after_seq, target=shown.target)
        return select(pair.changes, selection, PairContents(self.repository, pair)).changes

    def approve(self, number, who=ANA, *, selection=None, shown=None, approval=None, **changed):
        """Approve as ``who``; what was shown can be an older ``shown``."""
        shown = shown or self.show(number, names=True)
        approval = approval or self.approval(number, who, selection=selection, shown=shown, **changed)
        return self.call(
            "proposal.decide",
            Decide(
                proposal=number,
                revision=shown.revision,
                verdict="approve",
                shown=shown.digest,
                selection=selection or Selection(),
                approval=approval,
            ),
            who,
        )

    def say(self, number, verdict, who=ANA, *comments):
        shown = self.show(number, names=True)
        return self.call(
            "proposal.decide",
            Decide(
                proposal=number,
                revision=shown.revision,
                verdict=verdict,
                shown=shown.digest,
                comments=comments,
            ),
            who,
        )

    def enter(self, number, state, actor=ANA, **fields):
        return self.call("proposal.state", RecordProposalState(proposal=number, state=state, **fields), actor)

    def apply(self, number, actor=ANA):
        """Carry an approved proposal out, as far as the log is concerned; the number of the apply."""
        self.enter(number, "applying", actor)
        apply = self.record_apply(number)
        self.enter(number, "verifying", actor, apply=apply)
        self.enter(number, "applied", actor, apply=apply)
        return apply

    def record_apply(self, number, *, paths=None, after=None):
        shown = self.show(number, names=True)
        body = ApplyBody(
            after=self.base({}) if after is None else after,
            before=shown.before_seq,
            change_digest=bytes.fromhex(shown.change_digest),
            destination=to_bytes(PROJECT),
            kind="proposal",
            of=number,
            outcome="applied",
            paths=[to_bytes(path) for path in (paths or [file.path for file in shown.files])],
            warnings=[],
        )
        draft = RecordDraft(kind=RecordKind.APPLY, actor=ANA, server="local", body=body)
        return self.repository.append(draft).record.number

    def audit(self):
        return self.call("audit.verify", VerifyAudit())

    def append(self, kind, body, actor=ANA):
        """A record as a dishonest keeper would write it."""
        return self.repository.append(RecordDraft(kind=kind, actor=actor, server="local", body=body))


def approver_body(actor, roles, signer):
    public = key_of(actor.name).public_key().public_bytes_raw()
    return ApproverBody(
        change="enrolled",
        key_id=key_id_of(public),
        name=actor.name,
        public_key=public,
        roles=list(roles),
        signature=b"",
        signed_by=key_id_of(signer.public_key().public_bytes_raw()),
        uid=actor.uid,
    )


def as_request(body):
    fields = msgspec.structs.asdict(body)
    return EnrolApprover(**{**fields, "roles": tuple(body.roles)})


def _above(path):
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _name(path):
    return to_bytes(path.rpartition("/")[2])
