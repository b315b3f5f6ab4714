"""Users: who may sign in and what they are, their keys, inviting somebody, and signing for what changes in that.

What is signed needs no other proof of who asks: the signature is that proof, made for this one act.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from lastro.accounts.nouns import Enrolment
from lastro.app.operations.approvers import body_about
from lastro.app.permissions import Right
from lastro.app.requests.accounts import Invite, OneTimeLink
from lastro.app.requests.policy import ApproverItem, Approvers, ApproversReply
from lastro.app.signing_desk import prepare_change, record_change
from lastro.domain.policy import HumanRole
from lastro.domain.record import ApproverBody
from lastro.errors import NotFoundError, UsageError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.signing import host_of, signed_in
from lastro.faces.wording import shell
from lastro.messages import N_
from lastro.proposals.approvals import CHANGED_ROLES, REVOKED
from lastro.proposals.approver_keys import remove_key

PAGE_LENGTH: Final = 50


class HumanKeys(NamedTuple):
    """A human with their good keys. ``key_id``: of the first, by which pages name the human."""

    name: str
    uid: int
    roles: tuple[str, ...]
    keys: tuple[ApproverItem, ...]
    key_id: str
    since_ns: int
    used_ns: int


def users(asked: Asked) -> Answer:
    """Everybody, and who waits for an owner."""
    everybody = _humans(asked)
    first = asked.count("from", 0, len(everybody))
    return Page(
        template="users.html",
        values={
            "humans": everybody[first : first + PAGE_LENGTH],
            "first": first,
            "length": PAGE_LENGTH,
            "count": len(everybody),
            "waiting": asked.door.accounts.enrolments.waiting(),
            "administers": asked.somebody.may(Right.ADMINISTER),
            "command": shell.command("lastro", "approver", "list"),
        },
    )


def user(asked: Asked) -> Answer:
    """One human: their keys, and what they are."""
    human = _human(asked)
    return Page(
        template="user.html",
        values={
            "human": human,
            "labels": labels_of(asked, human.name),
            "all_roles": tuple(HumanRole),
            "administers": asked.somebody.may(Right.ADMINISTER),
            "is_last_owner": _is_last_owner(_humans(asked), human),
            "command": shell.command("lastro", "approver", "list"),
        },
    )


# Inviting -----------------------------------------------------------------------------------------------------------------------------


def invite(asked: Asked) -> Answer:
    """Who shall come, as what; then the link for them, once."""
    values = {
        "all_roles": tuple(HumanRole),
        "link": "",
        "name": "",
        "command": shell.command("lastro", "invite", "NAME", "--role", "approver"),
    }
    if asked.method != "POST":
        return Page(template="user_invite.html", values=values)
    made = asked.visit.step(
        Right.ADMINISTER, "invite", Invite(name=asked.text("name").strip(), role=_roles(asked))
    )
    assert isinstance(made, OneTimeLink)
    # Where this page was reached from, they can reach it too; the operation knows one address of the console alone.
    link = f"{asked.origin}{made.path}#{made.fragment}"
    return Page(
        template="user_invite.html",
        values={**values, "link": link, "name": made.human, "until_ns": made.ends_ns},
    )


def confirm(asked: Asked) -> Answer:
    """An owner signs for the key that somebody invited made; or sends them away."""
    waiting = _waiting(asked)
    if asked.method == "POST" and asked.ticked("refuse"):
        _forget(asked, waiting.key_id, waiting.human)
        asked.door.accounts.enrolments.drop(waiting.key_id)
        return Redirect(to="/users", said="removed")
    body = ApproverBody(
        alg=waiting.alg,
        change="enrolled",
        key_id=waiting.key_id,
        name=waiting.human,
        public_key=waiting.public_key,
        roles=list(waiting.roles),
        signature=b"",
        signed_by="",
        uid=waiting.uid,
    )
    answer = _signed(asked, body, "user_confirm.html", {"waiting": waiting}, to="/users", said="enrolled")
    if isinstance(answer, Redirect):
        asked.door.accounts.enrolments.drop(waiting.key_id)
    return answer


# Changing -----------------------------------------------------------------------------------------------------------------------------


def roles(asked: Asked) -> Answer:
    """An owner signs that somebody is something else from now on."""
    human, wanted = _human(asked), _roles(asked)
    body = body_about(human.keys[0], CHANGED_ROLES, list(wanted))
    options = [word for role in wanted for word in ("--role", role)]
    values = {
        "human": human,
        "wanted": wanted,
        "command": shell.command("lastro", "approver", "roles", human.name, *options),
    }
    return _signed(asked, body, "user_roles.html", values, to=f"/users/{human.key_id}", said="saved")


def revoke(asked: Asked) -> Answer:
    """An owner signs that a key is good no more."""
    key = next((key for human in _humans(asked) for key in human.keys if key.key_id == _key(asked)), None)
    if key is None:
        raise _nobody()
    body = body_about(key, REVOKED, list(key.roles))
    values = {
        "key": key,
        "labels": labels_of(asked, key.name),
        "command": shell.command("lastro", "approver", "remove", key.key_id),
    }
    answer = _signed(asked, body, "user_revoke.html", values, to="/users", said="removed")
    if isinstance(answer, Redirect):
        _forget(asked, key.key_id, key.name)
    return answer


def _signed(
    asked: Asked, body: ApproverBody, template: str, values: Mapping[str, object], *, to: str, said: str
) -> Answer:
    """The page on which ``body`` is signed; once it is, it is recorded."""
    to_sign = prepare_change(
        asked.visit, body, host=host_of(asked), ticket=asked.text("ticket") if asked.method == "POST" else ""
    )
    if asked.method == "POST":
        record_change(asked.visit, Right.ADMINISTER, signed_in(asked, to_sign))
        return Redirect(to=to, said=said)
    own = labels_of(asked, asked.somebody.session.human)
    return Page(template=template, values={"to_sign": to_sign, "own_labels": own, **values})


def _forget(asked: Asked, key_id: str, human: str) -> None:
    """What lies here of a key that is good no more."""
    remove_key(asked.visit.services.places.approver_keys, key_id)
    for passkey in asked.door.accounts.passkeys.of(human):
        if passkey.key_id == key_id:
            asked.door.accounts.passkeys.remove(passkey.credential)


# Asked for ----------------------------------------------------------------------------------------------------------------------------


def labels_of(asked: Asked, human: str) -> dict[str, str]:
    """What a human calls their passkeys, by key id."""
    return {passkey.key_id: passkey.label for passkey in asked.door.accounts.passkeys.of(human)}


def _humans(asked: Asked) -> list[HumanKeys]:
    reply = asked.visit.call("approver.list", Approvers())
    assert isinstance(reply, ApproversReply)
    used = {passkey.key_id: passkey.used_ns for passkey in asked.door.accounts.passkeys.of("")}
    found: dict[str, list[ApproverItem]] = {}
    for key in reply.approvers:
        if not key.revoked_ns:
            last = max(key.used_ns, used.get(key.key_id, 0))
            found.setdefault(key.name, []).append(msgspec.structs.replace(key, used_ns=last))
    return [_grouped(name, keys) for name, keys in found.items()]


def _grouped(name: str, keys: Sequence[ApproverItem]) -> HumanKeys:
    return HumanKeys(
        name=name,
        uid=max(key.uid for key in keys),
        roles=tuple(dict.fromkeys(role for key in keys for role in key.roles)),
        keys=tuple(keys),
        key_id=keys[0].key_id,
        since_ns=min(key.since_ns for key in keys),
        used_ns=max(key.used_ns for key in keys),
    )


def _is_last_owner(everybody: Sequence[HumanKeys], human: HumanKeys) -> bool:
    owners = [one.name for one in everybody if HumanRole.OWNER in one.roles]
    return owners == [human.name]


def _human(asked: Asked) -> HumanKeys:
    found = next(
        (human for human in _humans(asked) if any(key.key_id == _key(asked) for key in human.keys)), None
    )
    if found is None:
        raise _nobody()
    return found


def _waiting(asked: Asked) -> Enrolment:
    waiting = asked.door.accounts.enrolments.waiting()
    found = next((one for one in waiting if one.key_id == _key(asked)), None)
    if found is None:
        raise _nobody()
    return found


def _key(asked: Asked) -> str:
    return asked.parameters["key"]


def _nobody() -> NotFoundError:
    return NotFoundError(
        N_("Nobody here has this key, or has it any more."), hint=N_("See 'Users' for who there is.")
    )


def _roles(asked: Asked) -> tuple[str, ...]:
    wanted = tuple(role.value for role in HumanRole if role.value in asked.texts("role"))
    if not wanted:
        raise UsageError(
            N_("Choose at least one role."), hint=N_("A viewer may look at everything, and change nothing.")
        )
    return wanted


_BOTH: Final = ("GET", "POST")
WAYS = (
    Way(path="/users", handler=users, right=Right.LOOK),
    Way(path="/users/invite", handler=invite, right=Right.ADMINISTER, methods=_BOTH, dangerous=True),
    Way(path="/users/waiting/{key}", handler=confirm, right=Right.ADMINISTER, methods=_BOTH),
    Way(path="/users/{key}", handler=user, right=Right.LOOK),
    Way(path="/users/{key}/roles", handler=roles, right=Right.ADMINISTER, methods=_BOTH),
    Way(path="/users/{key}/revoke", handler=revoke, right=Right.ADMINISTER, methods=_BOTH),
)
