"""One's own passkeys: adding one (signed for with a key one has), what it is called, removing it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from lastro.accounts.nouns import Passkey
from lastro.app.operations.approvers import body_about
from lastro.app.permissions import Right
from lastro.app.requests.policy import ApproverItem, Approvers, ApproversReply
from lastro.app.signing_desk import own_keys, prepare_change, record_change
from lastro.domain.record import ApproverBody
from lastro.errors import ConflictError, NotFoundError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.console.signing import bytes_in, host_of, signed_in, text_of
from lastro.faces.wording import shell
from lastro.messages import N_
from lastro.proposals.approvals import ENROLLED, REVOKED, key_id_of
from lastro.proposals.passkeys import (
    COSE_ALGORITHMS,
    WEBAUTHN,
    key_of_registration,
    pack_key,
    unpack_key,
)
from lastro.proposals.rows import ApproverRow
from lastro.transport.address import is_loopback

LONGEST_LABEL: Final = 64
_TRANSPORTS: Final = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal"})


def passkeys(asked: Asked) -> Answer:
    """One's passkeys, and the form that makes one."""
    own = own_keys(asked.visit)
    kept = {passkey.key_id: passkey for passkey in _of(asked, own)}
    mine = [key for key in own if key.key_id in kept]
    here = [key.credential for key in kept.values() if unpack_key(key.public_key).rp_id == host_of(asked)]
    return Page(
        template="passkeys.html",
        values={
            "passkeys": [kept[key.key_id] for key in mine],
            "hosts": {key.key_id: unpack_key(key.public_key).rp_id for key in mine},
            "can": _is_name(host_of(asked)) and bool(own),
            "host": host_of(asked),
            "challenge": secrets.token_bytes(32),
            "user": text_of(key_id_of(own[0].name.encode()).encode()) if own else "",
            "algorithms": " ".join(str(one) for one in COSE_ALGORITHMS),
            "credentials": " ".join(text_of(one) for one in here),
            "command": shell.command("lastro", "approver", "list"),
        },
    )


def add(asked: Asked) -> Answer:
    """A passkey that the browser just made: one of the human's other keys signs for it."""
    own = own_keys(asked.visit)
    if not own:
        raise NotFoundError(N_("You have no key yet that could sign for this one."))
    ticket = asked.text("ticket")
    # The form that signs has an ``authenticator_data`` of its own: that of the key which signs.
    about = "new_authenticator_data" if ticket else "authenticator_data"
    made = key_of_registration(bytes_in(asked, "public_key"), bytes_in(asked, about), host_of(asked))
    public_key = pack_key(made)
    body = ApproverBody(
        alg=WEBAUTHN,
        change=ENROLLED,
        key_id=key_id_of(public_key),
        name=own[0].name,
        public_key=public_key,
        roles=[role.value for role in own[0].roles],
        signature=b"",
        signed_by="",
        uid=own[0].uid,
    )
    to_sign = prepare_change(asked.visit, body, host=host_of(asked), ticket=ticket, own=True)
    label = _label(asked)
    if not ticket:
        fields = {
            "public_key": asked.text("public_key"),
            "new_authenticator_data": asked.text(about),
            "transports": asked.text("transports"),
            "label": label,
        }
        values = {"to_sign": to_sign, "fields": fields, "own_labels": _labels(asked, own)}
        return Page(template="passkey_add.html", values=values)
    record_change(asked.visit, Right.LOOK, signed_in(asked, to_sign))
    asked.door.accounts.passkeys.add(
        Passkey(
            credential=made.credential,
            human=body.name,
            key_id=body.key_id,
            public_key=public_key,
            label=label,
            transports=tuple(one for one in asked.text("transports").split() if one in _TRANSPORTS),
            began_ns=asked.now_ns,
        )
    )
    return Redirect(to="/settings/passkeys", said="passkey_added")


def rename(asked: Asked) -> Answer:
    """What a passkey is called."""
    asked.door.accounts.passkeys.rename(_mine(asked).credential, _label(asked))
    return Redirect(to="/settings/passkeys", said="saved")


def remove(asked: Asked) -> Answer:
    """A passkey approves nothing and opens nothing any more; another key of the human's signs that, or this one itself."""
    passkey = _mine(asked)
    own = own_keys(asked.visit)
    if len(own) == 1:
        raise ConflictError(
            N_("This is your only key; without it you could not sign in any more."),
            hint=N_("Add another one first."),
        )
    key = _item(asked, passkey.key_id)
    body = body_about(key, REVOKED, list(key.roles))
    ticket = asked.text("ticket") if asked.method == "POST" else ""
    to_sign = prepare_change(asked.visit, body, host=host_of(asked), ticket=ticket, own=True)
    if asked.method == "POST":
        record_change(asked.visit, Right.LOOK, signed_in(asked, to_sign))
        asked.door.accounts.passkeys.remove(passkey.credential)
        return Redirect(to="/settings/passkeys", said="removed")
    return Page(
        template="passkey_remove.html",
        values={
            "to_sign": to_sign,
            "passkey": passkey,
            "own_labels": _labels(asked, own),
            "command": shell.command("lastro", "approver", "remove", key.key_id),
        },
    )


def _of(asked: Asked, own: Sequence[ApproverRow]) -> list[Passkey]:
    return asked.door.accounts.passkeys.of(own[0].name) if own else []


def _labels(asked: Asked, own: Sequence[ApproverRow]) -> dict[str, str]:
    return {passkey.key_id: passkey.label for passkey in _of(asked, own)}


def _mine(asked: Asked) -> Passkey:
    own = own_keys(asked.visit)
    good = {key.key_id for key in own}
    found = next(
        (one for one in _of(asked, own) if one.key_id == asked.parameters["key"] and one.key_id in good), None
    )
    if found is None:
        raise NotFoundError(N_("You have no such passkey."), hint=N_("It may be removed already."))
    return found


def _item(asked: Asked, key_id: str) -> ApproverItem:
    reply = asked.visit.call("approver.list", Approvers())
    assert isinstance(reply, ApproversReply)
    return next(key for key in reply.approvers if key.key_id == key_id)


def _label(asked: Asked) -> str:
    return "".join(one for one in asked.text("label") if one.isprintable()).strip()[:LONGEST_LABEL]


def _is_name(host: str) -> bool:
    """Whether a passkey can be made for this host: browsers make none for a bare address."""
    return host == "localhost" or (
        not is_loopback(host) and not host.replace(".", "").isdigit() and ":" not in host
    )


WAYS = (
    Way(path="/settings/passkeys", handler=passkeys, right=Right.LOOK),
    Way(path="/settings/passkeys/add", handler=add, right=Right.LOOK, methods=("POST",)),
    Way(path="/settings/passkeys/{key}/name", handler=rename, right=Right.LOOK, methods=("POST",)),
    Way(
        path="/settings/passkeys/{key}/remove",
        handler=remove,
        right=Right.LOOK,
        methods=("GET", "POST"),
    ),
)
