"""Who may do what: the rights of every role, and trying it out for one human or one agent's role before it matters."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from lastro.app.operation import all_operations
from lastro.app.permissions import Right, right_of, rights_of
from lastro.app.requests.policy import ApproverItem, Approvers, ApproversReply, ExplainPolicy, Explanation
from lastro.domain.policy import BUILT_IN_ROLES, HumanRole
from lastro.errors import DeniedError
from lastro.faces.console.asked import Answer, Asked, Page, Way
from lastro.faces.wording import right_words, shell


def rights(asked: Asked) -> Answer:
    """The grid, and the answer to what was tried."""
    human, path, role = asked.text("human"), asked.text("path").strip(), asked.text("role").strip()
    options = [
        word
        for name, value in (("--role", role), ("--project", asked.text("project")))
        if value
        for word in (name, value)
    ]
    values = {
        "roles": tuple(HumanRole),
        "rights": tuple(Right),
        "held": {one: rights_of([one]) for one in HumanRole},
        "word": right_words.right,
        "explained": right_words.explained,
        "humans": sorted({key.name for key in _good_keys(asked)}),
        "agent_roles": BUILT_IN_ROLES,
        "asked_human": human,
        "human_rights": _rights_of(asked, human),
        "operations": _operations(),
        "path": path,
        "role": role,
        "project": asked.text("project"),
        "explanation": _explanation(asked, path, role) if path else None,
        "command": shell.command("lastro", "policy", "explain", path or "FILE", *options),
    }
    return Page(template="rights.html", values=values)


def _good_keys(asked: Asked) -> list[ApproverItem]:
    reply = asked.visit.call("approver.list", Approvers())
    assert isinstance(reply, ApproversReply)
    return [key for key in reply.approvers if not key.revoked_ns]


def _rights_of(asked: Asked, name: str) -> frozenset[Right]:
    return rights_of([role for key in _good_keys(asked) if key.name == name for role in key.roles])


def _operations() -> Mapping[Right, list[str]]:
    """What people may ask for, by the right that it takes."""
    found: dict[Right, list[str]] = {right: [] for right in Right}
    for operation in all_operations():
        with suppress(DeniedError):  # nobody who is signed in may ask for it
            found[right_of(operation)].append(operation.name.replace(".", " "))
    return {right: sorted(names) for right, names in found.items()}


def _explanation(asked: Asked, path: str, role: str) -> Explanation:
    request = ExplainPolicy(path=path, role=role, project=asked.text("project"))
    reply = asked.visit.ask("policy.explain", request)
    assert isinstance(reply, Explanation)
    return reply


WAYS = (Way(path="/rights", handler=rights, right=Right.LOOK),)
