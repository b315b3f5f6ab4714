"""Proving to be a human of the log: the passphrase opens one of their keys, or a passkey that is one of their keys answers.

What always holds: a password takes the same time whether the name has a key or not.
"""

from __future__ import annotations

import base64
import binascii
import contextlib

import msgspec

from lastro.accounts.accounts import Accounts
from lastro.app.door import PasskeyUse, Password
from lastro.app.humans import human_named
from lastro.app.services import Services
from lastro.errors import DeniedError, LastroError
from lastro.proposals.approvals import ALGORITHM, algorithm_of, standing
from lastro.proposals.approver_keys import KeyCost, local_keys, try_in_vain, unlock
from lastro.proposals.passkeys import Assertion, unpack_key, verify_assertion
from lastro.proposals.rows import ApproverRow


def password_proves(services: Services, proof: Password, *, cost: KeyCost) -> ApproverRow | None:
    """The key of that human that the password opens."""
    directory = services.places.approver_keys
    here = {key.key_id for key in local_keys(directory)}
    human = human_named(services, proof.name)
    keys = [
        key
        for key in (human.keys if human else ())
        if key.key_id in here and algorithm_of(key.public_key) == ALGORITHM
    ]
    if not keys:
        try_in_vain(proof.password, cost=cost)
        return None
    with contextlib.suppress(LastroError):  # a file that was removed meanwhile, or is damaged, opens nothing
        unlock(directory, keys[0].key_id, proof.password)
        return keys[0]
    return None


def passkey_proves(
    services: Services, accounts: Accounts, proof: PasskeyUse, now_ns: int
) -> ApproverRow | None:
    """The key that the passkey is, if it answered a challenge that was asked lately, and is no copy of itself."""
    challenge = challenge_in(proof.client_data)
    if not accounts.challenges.take(challenge, now_ns):
        return None
    passkey = accounts.passkeys.find(proof.credential)
    good = standing(services.inbox.approvers())
    key = next((row for row in good if passkey is not None and row.key_id == passkey.key_id), None)
    if key is None:
        return None
    try:
        held = unpack_key(key.public_key)
        count = verify_assertion(held, assertion_of(proof), challenge)
    except DeniedError:
        return None
    if held.credential != proof.credential:
        return None
    return key if accounts.passkeys.used(proof.credential, count=count, now_ns=now_ns) else None


def assertion_of(use: PasskeyUse) -> Assertion:
    """As the log keeps it."""
    return Assertion(
        authenticator_data=use.authenticator_data, client_data=use.client_data, signature=use.signature
    )


def challenge_in(client_data: bytes) -> bytes:
    """What a browser says was asked; empty where it says nothing."""
    try:
        said = msgspec.json.decode(client_data)
        text = said["challenge"]
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (msgspec.DecodeError, binascii.Error, KeyError, TypeError, ValueError):
        return b""
