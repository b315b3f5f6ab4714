"""TLS contexts of pinned peers: version 1.3 only, mutual, the allow-list as trust anchors, no authority, no host name, no clock.

What always holds: a peer whose certificate is not on the list is refused by OpenSSL in the handshake, and refused again by
``listen`` and ``dial``, which compare the certificate itself with the list. Sessions are never resumed, because a resumed one would
skip the first check. The clock cannot refuse anybody: certificates of Lastro are valid from 1970 to 9999 (see ``identity``).
"""

from __future__ import annotations

import base64
import ssl
import textwrap
from collections.abc import Callable, Iterable

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError
from lastro.messages import N_
from lastro.transport.identity import Identity


def server_context(identity: Identity, trusted: Iterable[bytes]) -> ssl.SSLContext:
    """The context of a listener that admits only the certificates ``trusted`` (DER each); nobody when there are none."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.num_tickets = 0
    _trust(context, trusted)
    return context


def client_context(identity: Identity, certificate: bytes) -> ssl.SSLContext:
    """The context that dials one node, pinned to its ``certificate`` (DER)."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    _trust(context, [certificate])
    return context


def changing_server_context(identity: Identity, current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """A context for a listener that stays open while the allow-list changes: each handshake is done by the context of ``current()``.

    OpenSSL can add trust anchors to a context but never take one away, so every change of the list makes a context of its own.
    """

    def choose(handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = current()

    context = server_context(identity, ())
    context.sni_callback = choose  # called for every ClientHello, also one that names no server
    return context


def pairing_server_context(identity: Identity) -> ssl.SSLContext:
    """The context of the pairing listener: it shows its own certificate and asks for none."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_NONE
    return context


def pairing_client_context() -> ssl.SSLContext:
    """The context of a keeper that pairs: it accepts any certificate, so its user **must** compare the peer's with the join token."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, None)
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(protocol: int, identity: Identity | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags = (
        ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    )
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    if identity is not None:
        try:
            context.load_cert_chain(to_bytes(identity.path))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                N_("The identity of this machine cannot be read: {path} ({reason})"),
                path=identity.path,
                reason=str(error),
            ) from error
    return context


def _trust(context: ssl.SSLContext, certificates: Iterable[bytes]) -> None:
    pem = "".join(_pem(certificate) for certificate in certificates)
    if pem:
        context.load_verify_locations(cadata=pem)


def _pem(certificate: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(certificate).decode("ascii"), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
