"""Humans at a console with keys of both kinds, and what their browsers send."""

from __future__ import annotations

import base64
import html
import re

from lastro.app.operations.approvers import request_of
from lastro.app.permissions import Principal, rights_of
from lastro.app.visiting import Visit
from lastro.domain.record import Actor, ApproverBody
from lastro.proposals.approvals import key_id_of, sign_approver
from lastro.proposals.approver_keys import unlock
from tests.decision_kit import PASSPHRASE
from tests.passkey_kit import base64url


def visit_of(kit, name, *roles, uid=-1):
    actor = Actor(kind="human", name=name, uid=uid if uid >= 0 else None)
    return Visit(
        kit.services, kit.jobs, Principal(actor=actor, rights=rights_of(roles or ("owner",)), how="session")
    )


def enrol_passkey(office, desk, authenticator, name, *, roles=("owner",), uid=-1):
    """A passkey that the office's owner signs for; its key id."""
    signer = unlock(office.places.approver_keys, office.owner, PASSPHRASE)
    body = ApproverBody(
        alg="webauthn",
        change="enrolled",
        key_id=key_id_of(authenticator.public_key),
        name=name,
        public_key=authenticator.public_key,
        roles=list(roles),
        signature=b"",
        signed_by=key_id_of(signer.public_key().public_bytes_raw()),
        uid=uid,
    )
    desk.caller.call("approver.enrol", request_of(sign_approver(signer, body)))
    return body.key_id


def passkey_forms(page):
    """The forms of a page that a passkey answers: attributes of each."""
    return [form for form in page.all("form") if form.get("data-passkey")]


def answer_with(authenticator, page, *, form=None, **said):
    """What ``passkeys.js`` puts into the first such form of ``page``, with what stands in that form already."""
    form = form or passkey_forms(page)[0]
    challenge = form["data-challenge"]
    signed = authenticator.sign(decoded(challenge), **said)
    return {
        **hidden_fields(page, form["action"]),
        "credential": base64url(authenticator.credential),
        "authenticator_data": base64url(signed.authenticator_data),
        "client_data": base64url(signed.client_data),
        "signature": base64url(signed.signature),
    }


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hidden_fields(page, action):
    """The hidden fields of the first form with this action, with their values."""
    body = re.search(rf'<form[^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', page.raw, re.DOTALL)[1]
    found = {}
    for tag in re.findall(r"<input[^>]*>", body):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if 'type="hidden"' in tag and value and name[1] != "csrf":
            found[name[1]] = html.unescape(value[1])
    return found
