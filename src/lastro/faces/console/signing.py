"""Signing as forms carry it: what a browser's passkey gave, or a password, for what ``app.signing_desk`` put together.

What always holds: bytes are base64url, bounded before they are decoded; what does not decode is a form that was changed, and is refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import urlsplit

from lastro.app.signing_desk import (
    SIGNED,
    ToSign,
    accept_assertion,
    sign_unlocked,
    sign_with_password,
)
from lastro.errors import UsageError
from lastro.faces.console.asked import Asked
from lastro.messages import N_
from lastro.proposals.passkeys import Assertion

_LONGEST: Final = 16 * 1024
"""Characters of a field."""


def host_of(asked: Asked) -> str:
    """The name by which the browser knows this console: passkeys are made for it."""
    return urlsplit(asked.origin).hostname or ""


def bytes_in(asked: Asked, name: str) -> bytes:
    """A field of bytes, as ``passkeys.js`` fills it.

    Raises:
        UsageError: it is none.
    """
    text = asked.text(name)[:_LONGEST]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(N_("This form was changed on its way."), hint=N_("Open the page again.")) from None


def text_of(raw: bytes) -> str:
    """Bytes as ``passkeys.js`` reads them."""
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def assertion_in(asked: Asked) -> Assertion:
    """What a passkey signed."""
    return Assertion(
        authenticator_data=bytes_in(asked, "authenticator_data"),
        client_data=bytes_in(asked, "client_data"),
        signature=bytes_in(asked, "signature"),
    )


def signed_in(asked: Asked, to_sign: ToSign[SIGNED]) -> SIGNED:
    """What the form of ``signing.html`` signs: by the passkey it names, the password in it, or the key that this session keeps unlocked.

    Raises:
        LastroError: it does not sign this; nothing was done.
    """
    session = asked.somebody.session.id
    if asked.text("client_data"):
        return accept_assertion(to_sign, asked.text("key"), assertion_in(asked))
    if asked.ticked("unlocked"):
        kept = sign_unlocked(asked.visit, to_sign, session)
        if kept is None:
            raise UsageError(
                N_("Your key is locked again."), hint=N_("Type your password, or use a passkey.")
            )
        return kept
    return sign_with_password(
        asked.visit, to_sign, asked.text("password"), unlocked_for=session if asked.ticked("stay") else ""
    )
