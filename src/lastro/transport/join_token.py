"""The join token: one word that a node prints and a person carries to the keeper (``docs/protocol.md``, Pairing).

It says where the pairing listener is, which device id must answer there, and a secret that is good once. A checksum finds a word that was
copied badly before anything is dialled. The word has letters and digits only, in either case, so that a double click selects all of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from lastro.errors import UsageError
from lastro.messages import N_
from lastro.transport.identity import DeviceId, device_of_digest, digest_of_device

SECRET_BYTES: Final = 16
_PREFIX: Final = "lastro1"
_DIGEST_BYTES: Final = 32
_CHECKSUM_BYTES: Final = 4
_LONGEST_TEXT: Final = 2000


class JoinToken(Struct, frozen=True, kw_only=True):
    """Where to pair (``host:port`` each, tried in order), who must answer there, and the secret (16 random bytes)."""

    addresses: tuple[str, ...]
    device: DeviceId
    secret: bytes


def format_join_token(token: JoinToken) -> str:
    """The token as one word."""
    raw = msgspec.msgpack.encode((token.addresses, digest_of_device(token.device), token.secret))
    word = base64.b32encode(_checksum(raw) + raw).decode("ascii").rstrip("=")
    return _PREFIX + word.lower()


def parse_join_token(text: str) -> JoinToken:
    """The inverse of ``format_join_token``; spaces around it and its case do not matter.

    Raises:
        UsageError: it is no join token, or was copied badly.
    """
    word = text.strip().lower()
    if not word.startswith(_PREFIX) or len(word) > _LONGEST_TEXT:
        raise _not_a_token()
    word = word.removeprefix(_PREFIX).upper()
    try:
        raw = base64.b32decode(word + "=" * (-len(word) % 8))
    except (binascii.Error, ValueError) as error:
        raise _not_a_token() from error
    checksum, raw = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if checksum != _checksum(raw):
        raise _not_a_token()
    try:
        addresses, digest, secret = msgspec.msgpack.decode(raw, type=tuple[tuple[str, ...], bytes, bytes])
    except msgspec.MsgspecError as error:
        raise _not_a_token() from error
    if not addresses or len(secret) != SECRET_BYTES or len(digest) != _DIGEST_BYTES:
        raise _not_a_token()
    return JoinToken(addresses=addresses, device=device_of_digest(digest), secret=secret)


def _checksum(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:_CHECKSUM_BYTES]


def _not_a_token() -> UsageError:
    return UsageError(
        N_("This is not a join token, or a part of it is missing."),
        hint=N_("Copy the whole word that lastro node pair printed."),
    )
