"""Proposals to decide on without a run: a real home, a real project, real keys; what an agent would have done is done by a function."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from lastro.app.desk import Desk
from lastro.app.operation import find_operation
from lastro.app.operations.capture import capture, offer_paths
from lastro.app.operations.repository import init
from lastro.app.places import Places, places_of
from lastro.app.requests import Capture, Init, Undo
from lastro.app.requests.policy import EnrolApprover, VerifyAudit
from lastro.app.requests.proposals import ApproveProposal, Proposals, Propose, ShowProposal
from lastro.app.requests.runs import BeginRun, CaptureLayer, RecordRunState
from lastro.app.wiring import open_desk
from lastro.domain.ids import LOCAL
from lastro.domain.record import Actor, ApproverBody
from lastro.domain.reference import Reference
from lastro.domain.snapshot import Reason
from lastro.proposals.approvals import key_id_of, sign_approver
from lastro.proposals.approver_keys import KeyCost, make_key, unlock

PASSPHRASE = "correct horse battery"
CHEAP = KeyCost(memory=64, passes=1, lanes=1)


@dataclass
class Office:
    """A home with one project, in which an owner decides. ``root``: the project's absolute path."""

    places: Places
    root: str
    owner: str = ""

    @classmethod
    def made(cls, top: str, files: dict[str, bytes], *, owner: str | None = "") -> Office:
        top = os.path.realpath(top)
        office = cls(places_of(f"{top}/home"), f"{top}/project")
        for path, content in files.items():
            office.write(path, content)
        with office.desk() as desk:
            init(desk, Init())
            capture(desk, Capture(references=(Reference(server=LOCAL, path=office.root, at=None),)))
            if owner is not None:
                office.enrol(desk, owner or desk.actor.name, ("owner",))
        return office

    @contextmanager
    def desk(self, **changed: Any) -> Iterator[Desk]:
        """At a desk, as whoever runs the tests; ``changed`` replaces parts of it."""
        with open_desk(self.places) as desk:
            yield replace(desk, **changed) if changed else desk

    def policy(self, text: str) -> None:
        os.makedirs(self.places.config, exist_ok=True)
        with open(self.places.policy_file, "w", encoding="utf-8") as file:
            file.write(text)

    def enrol(self, desk: Desk, name: str, roles: tuple[str, ...] = ("approver",)) -> str:
        """A cheap key for the human ``name``; signed by the owner, who is the first."""
        made = make_key(self.places.approver_keys, name, PASSPHRASE, cost=CHEAP)
        signer = unlock(self.places.approver_keys, self.owner or made.key_id, PASSPHRASE)
        body = sign_approver(
            signer,
            ApproverBody(
                change="enrolled",
                key_id=made.key_id,
                name=name,
                public_key=made.public_key,
                roles=list(roles),
                signature=b"",
                signed_by=key_id_of(signer.public_key().public_bytes_raw()),
                uid=os.geteuid() if name == desk.actor.name else -1,
            ),
        )
        fields = {**msgspec.structs.asdict(body), "roles": tuple(body.roles)}
        desk.caller.call("approver.enrol", EnrolApprover(**fields))
        self.owner = self.owner or made.key_id
        return made.key_id

    # The live project

    def write(self, path: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(f"{self.root}/{path}"), exist_ok=True)
        with open(f"{self.root}/{path}", "wb") as file:
            file.write(content)

    def read(self, path: str) -> bytes:
        with open(f"{self.root}/{path}", "rb") as file:
            return file.read()

    def live(self) -> dict[str, Any]:
        """Everything below the project: path → content, ``None`` for a directory, ``(target,)`` for a link."""
        return {path: what for path, (_mode, what) in self.live_with_modes().items()}

    def live_with_modes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parent, directories, names in os.walk(self.root):
            for name in (*directories, *names):
                place = os.path.join(parent, name)
                mode = os.lstat(place).st_mode
                path = os.path.relpath(place, self.root)
                if os.path.islink(place):
                    found[path] = mode, (os.readlink(place),)
                elif os.path.isdir(place):
                    found[path] = mode, None
                else:
                    with open(place, "rb") as file:
                        found[path] = mode, file.read()
        return found

    # What an agent did

    def propose(self, desk: Desk, work: Callable[[], object] | dict[str, bytes | None], **fields: Any) -> int:
        """A proposal of what ``work`` does to the project, which is as before afterwards; its number."""
        before = self.capture(desk)
        kept = f"{self.root}.kept-{secrets.token_hex(4)}"
        subprocess.run(["cp", "-a", self.root, kept], check=True)
        try:
            paths = set(self.live())
            if callable(work):
                work()
            else:
                self.edit(work)
            paths |= set(self.live())
            with desk.caller.offer(desk.local_source(self.root)) as offer:
                layered = CaptureLayer(
                    offer=offer, project=self.root, before=before, changed=tuple(sorted(paths))
                )
                layer: Any = desk.caller.call("capture.layer", layered)
        finally:
            subprocess.run(["rm", "-rf", self.root], check=True)
            os.rename(kept, self.root)
        request = Propose(
            **{
                "id": secrets.token_hex(16),
                "kind": "manual",
                "target": self.root,
                "before": before,
                "after": layer.after,
                "change_digest": layer.digest,
                "purpose": "add a health check",
                **fields,
            }
        )
        reply: Any = desk.caller.call("proposal.record", request)
        return int(reply.proposal)

    def run(self, desk: Desk, agent: str = "codex", *command: str) -> int:
        """A run of ``agent`` whose work is being proposed; its number."""
        request = BeginRun(
            id=secrets.token_hex(16),
            project=self.root,
            role="client-agent",
            agent=agent,
            command=command or (agent, "exec", "add a health check"),
            purpose="add a health check",
            policy_digest="00" * 32,
        )
        begun: Any = desk.caller.call("runs.begin", request)
        for state in ("running", "collecting"):
            desk.caller.call("runs.state", RecordRunState(run=begun.run, state=state))
        return int(begun.run)

    def edit(self, edits: dict[str, bytes | None]) -> None:
        for path, content in edits.items():
            if content is None:
                os.unlink(f"{self.root}/{path}")
            else:
                self.write(path, content)

    def capture(self, desk: Desk) -> int:
        """The project as it is; the ``seq`` of the snapshot."""
        return offer_paths(desk, self.root, [""], recursive=True, reason=Reason.REQUEST).seq

    # Deciding

    def approve(self, desk: Desk, number: int, *, yes: bool = True, **fields: Any) -> Any:
        """Plan, and answer it, as the command line does."""
        return answered(
            desk, "proposal.approve", ApproveProposal(proposal=f"proposal-{number}"), fields, yes=yes
        )

    def undo(self, desk: Desk, what: str = "", *, yes: bool = True, **fields: Any) -> Any:
        return answered(desk, "undo", Undo(apply=what), fields, yes=yes)

    def show(self, desk: Desk, number: int) -> Any:
        return desk.caller.call("proposal.show", ShowProposal(proposal=f"proposal-{number}"))

    def state(self, desk: Desk, number: int) -> str:
        return str(self.show(desk, number).state)

    def proposals(self, desk: Desk) -> Any:
        reply: Any = desk.caller.call("proposal.list", Proposals(all=True))
        return reply.proposals

    def sound(self, desk: Desk) -> bool:
        reply: Any = desk.caller.call("audit.verify", VerifyAudit())
        assert reply.sound, reply
        return True


def answered(desk: Desk, name: str, request: Any, fields: dict[str, Any], *, yes: bool) -> Any:
    run = find_operation(name).run
    request = msgspec.structs.replace(request, **{"passphrase": PASSPHRASE, **fields})
    planned = run(desk, msgspec.structs.replace(request, plan=True))
    if not yes:
        return planned
    if not planned.asks:
        return run(desk, request) if planned.conflicts else planned
    return run(desk, msgspec.structs.replace(request, approved=planned.acceptance))


def as_human(desk: Desk, name: str, uid: int) -> Desk:
    """The same desk with somebody else at it. Only for what is decided in this process."""
    return replace(desk, actor=Actor(kind="human", name=name, uid=uid))
