"""A console behind a real door: browsers with cookies, real keys (cheap ones), passkeys of a software authenticator."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from base64 import urlsafe_b64encode
from contextlib import contextmanager

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lastro.accounts import totp
from lastro.accounts.accounts import opened_accounts
from lastro.accounts.nouns import LinkPurpose
from lastro.app.door import Password, Where
from lastro.app.keeper_door import KeeperDoor
from lastro.app.operations.enrolling import enrol
from lastro.app.requests.policy import EnrolApprover
from lastro.domain.record import ApproverBody
from lastro.proposals.approvals import sign_approver
from lastro.proposals.approver_keys import make_key, unlock
from tests.console_kit import COOKIE, Browser, Html, Kit, services_of_home
from tests.decision_kit import CHEAP

HERE = Where(address="127.0.0.1", browser="test", origin="http://localhost:8420")
PASSWORD = "correct horse battery"
AFAR = Where(address="203.0.113.9", browser="test", origin="https://console.test:8420")


class Time:
    """What time it is, as a test says: at first an hour after what is being recorded meanwhile."""

    def __init__(self):
        self.now_ns = time.time_ns() + 3600 * 1_000_000_000

    def __call__(self):
        return self.now_ns

    def pass_s(self, seconds):
        self.now_ns += int(seconds * 1_000_000_000)


class SignedIn(Browser):
    """A browser without scripts that keeps its cookie, and sends the token of the forms that it was given."""

    def __init__(self, client, *, address="127.0.0.1"):
        super().__init__(client, "")
        self.token, self.address, self.seen = "", address, None

    def get(self, path, *, status=200, follow=True, **headers):
        page = super().get(path, status=status, follow=follow, **headers)
        return self._saw(page)

    def post(self, path, fields=None, *, status=200, token=True, **headers):
        answer = self.send(path, fields, token=token, **headers)
        if answer.status_code == 303:
            return self.get(answer.headers["location"], status=status)
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        return self._saw(Html(answer.text))

    def send(self, path, fields=None, *, token=True, **headers):
        data = {"csrf": self.token, **(fields or {})} if token else dict(fields or {})
        answer = super().send(path, data, token=False, **headers)
        if (cookie := answer.cookies.get(COOKIE)) is not None:
            self.cookie = cookie
        if any(f'{COOKIE}="";' in one for one in answer.headers.get_list("set-cookie")):
            self.cookie = ""
        self.client.cookies.clear()
        return answer

    def _saw(self, page):
        self.seen = page
        tokens = page.all("input", name="csrf")
        if tokens:
            self.token = tokens[0]["value"]
        return page

    def button(self, action, **fields):
        """Send the form of the page with this action, with what stands in it and ``fields``."""
        forms = [form for form in forms_of(self.seen) if form["action"] == action]
        assert forms, (action, [form["action"] for form in forms_of(self.seen)])
        return self.post(action, {**forms[0]["fields"], **fields})


def forms_of(page):
    """Every form of a page with its action and the fields that stand in it."""
    found = []
    for tag, attributes in page.tags:
        if tag == "form":
            found.append({"action": attributes.get("action", ""), "fields": {}, "attributes": attributes})
        elif tag == "input" and found and attributes.get("name"):
            kind = attributes.get("type", "text")
            if kind not in {"radio", "checkbox"} or "checked" in attributes:
                found[-1]["fields"][attributes["name"]] = attributes.get("value", "")
    return found


class Authenticator:
    """A passkey in software: ES256, with a counter."""

    def __init__(self, rp="localhost", *, origin="http://localhost:8420", count=0):
        self.rp, self.origin, self.count = rp, origin, count
        self.key = generate_private_key(SECP256R1())
        self.credential = os.urandom(32)

    @property
    def public_key(self):
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def head(self, flags):
        return hashlib.sha256(self.rp.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def made(self):
        """What a browser gives of a new passkey: ``authenticator_data``."""
        return (
            self.head(0x45) + bytes(16) + struct.pack(">H", len(self.credential)) + self.credential + b"\xa0"
        )

    def answer(self, challenge, *, flags=0x05, kind="webauthn.get"):
        """``authenticator_data``, ``client_data``, ``signature``."""
        self.count += 1
        client_data = json.dumps(
            {"type": kind, "challenge": text_of(challenge), "origin": self.origin, "crossOrigin": False}
        ).encode()
        head = self.head(flags)
        signature = self.key.sign(head + hashlib.sha256(client_data).digest(), ECDSA(SHA256()))
        return {
            "credential": self.credential,
            "authenticator_data": head,
            "client_data": client_data,
            "signature": signature,
        }

    def fields(self, challenge, **changed):
        """As a form sends it."""
        return {name: text_of(value) for name, value in self.answer(challenge, **changed).items()}


def text_of(raw):
    return urlsafe_b64encode(raw).decode().rstrip("=")


@contextmanager
def door_over(services, *, now_ns=time.time_ns):
    """A door of these services."""
    with opened_accounts(services.places.accounts_database) as accounts:
        yield KeeperDoor(services, accounts, now_ns=now_ns, cost=CHEAP)


@contextmanager
def house(home):
    """A console of a new home behind its real door."""
    with services_of_home(home) as services, door_over(services) as door:
        kit = Kit(services, door=door)
        try:
            yield kit
        finally:
            kit.close()


class House:
    """A door, and who is enrolled behind it."""

    def __init__(self, services, door, time):
        self.services, self.door, self.time, self.owner = services, door, time, ""

    @property
    def accounts(self):
        return self.door.accounts

    def setup(self, where=HERE):
        link = self.accounts.links.make(LinkPurpose.SETUP, "", uid=1000, now_ns=self.time())
        return self.door.redeem(link, where)

    def make_owner(self, name="ana"):
        session = self.door.entered(self.setup().secret).session
        tried = self.door.make_account(session, Password(name=name, password=PASSWORD), HERE)
        self.owner = self.services.inbox.approvers()[0].key_id
        return tried.secret

    def enrol(self, name, *roles):
        key = make_key(self.services.places.approver_keys, name, PASSWORD, cost=CHEAP)
        self.record(change="enrolled", key=key.key_id, name=name, public=key.public_key, roles=roles)
        return key.key_id

    def record(self, *, change, key, name, public=b"", roles=("viewer",), nonce=b""):
        signer = unlock(self.services.places.approver_keys, self.owner, PASSWORD)
        body = ApproverBody(
            change=change,
            key_id=key,
            name=name,
            public_key=public,
            roles=list(roles),
            signature=b"",
            signed_by=self.owner,
            uid=-1,
            nonce=nonce,
        )
        fields = {**msgspec.structs.asdict(sign_approver(signer, body)), "roles": tuple(roles)}
        enrol(self.services, EnrolApprover(**fields))

    def sign_in(self, name="ana", password=PASSWORD, code="", where=HERE):
        return self.door.sign_in(Password(name=name, password=password, code=code), where)

    def second_factor(self, name="ana"):
        factors = self.accounts.second_factors
        secret = factors.offer(name, self.time())
        code = totp.code_of(secret, totp.step_at(self.time()))
        return secret, factors.confirm(name, code, self.time())

    def code(self, secret):
        return totp.code_of(secret, totp.step_at(self.time()))
