"""Pairing: a node and a keeper learn each other's certificate, once, through a join token (``docs/protocol.md``, Pairing).

What always holds: the keeper sends nothing before the certificate it sees has the device id of the token; the secret is compared in
constant time, is good for one keeper, until its deadline, and for a few tries; the node stores the keeper before it answers. A listener of
its own does this, because Python's TLS cannot ask for a client certificate and accept an unknown one.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from msgspec import Struct

from lastro.errors import DeniedError, LastroError, LimitError, ProtocolError, UnreachableError
from lastro.messages import N_
from lastro.protocol.messages import ErrorReply, PairCommand, PairResult
from lastro.transport.address import join_address, split_address
from lastro.transport.connection import Connection
from lastro.transport.dial import dial_pairing
from lastro.transport.identity import DeviceId, Identity, device_id
from lastro.transport.join_token import JoinToken
from lastro.transport.listen import listen_pairing
from lastro.transport.tls import pairing_client_context, pairing_server_context

TOKEN_LIFETIME_S: Final = 15 * 60.0
TRIES: Final = 5
"""Wrong secrets after which an offer ends. Nobody guesses 128 bits in any number of tries; the person at the node should know."""

_LARGEST_MESSAGE: Final = 16 * 1024
_REPLY_TIMEOUT_S: Final = 20.0
_LONGEST_NAME: Final = 255


class Paired(Struct, frozen=True, kw_only=True):
    """The other side, as it introduced itself: its name, and the certificate (DER) to pin."""

    name: str
    certificate: bytes
    address: str
    """Seen from the keeper: ``host:port`` of the node's sessions. Seen from the node: where the keeper came from."""

    @property
    def device(self) -> DeviceId:
        """The device id of the certificate."""
        return device_id(self.certificate)


async def offer_pairing(
    listener: socket.socket,
    identity: Identity,
    *,
    secret: bytes,
    name: str,
    port: int,
    store: Callable[[Paired], None],
    lifetime_s: float = TOKEN_LIFETIME_S,
) -> Paired:
    """The node's side: listen on a bound socket until one keeper has shown ``secret``; then ``store`` it, answer, and stop listening.

    ``name`` and ``port`` are what the keeper is told about the node.

    Raises:
        DeniedError: the time is over, or too many wrong secrets came.
        LastroError: whatever ``store`` raised; the keeper was told.
    """
    outcome: asyncio.Future[Paired] = asyncio.get_running_loop().create_future()
    tries = 0
    used = False

    async def serve(connection: Connection) -> None:
        nonlocal tries, used
        request = _decode(await asyncio.wait_for(connection.receive(), _REPLY_TIMEOUT_S), _REQUEST)
        if used or not hmac.compare_digest(request.secret, secret):
            tries += 1
            await _refuse(connection, request.id, _wrong_token())
            if tries >= TRIES and not outcome.done():
                outcome.set_exception(
                    DeniedError(N_("Too many wrong join tokens came; pairing was stopped."), hint=_PAIR_AGAIN)
                )
            return
        paired = Paired(
            name=_clean(request.name), certificate=request.certificate, address=connection.peer.address
        )
        used = True  # from here on, even if the answer does not arrive
        try:
            _check_certificate(paired.certificate)
            store(paired)
        except LastroError as error:
            await _refuse(connection, request.id, error)
            outcome.set_exception(error)
            return
        try:
            await connection.send(
                msgspec.json.encode(PairResult(id=request.id, name=name, port=port)).decode()
            )
            await connection.close()
        finally:
            outcome.set_result(paired)

    async def handle(connection: Connection) -> None:
        try:
            await serve(connection)
        except (ProtocolError, UnreachableError, LimitError, TimeoutError):
            await connection.close(1002)

    listening = await listen_pairing(
        listener, pairing_server_context(identity), handler=handle, max_message=_LARGEST_MESSAGE
    )
    try:
        return await asyncio.wait_for(asyncio.shield(outcome), lifetime_s)
    except TimeoutError as error:
        raise DeniedError(
            N_("Nobody used the join token in time; it is void now."), hint=_PAIR_AGAIN
        ) from error
    finally:
        await listening.close()
        if outcome.done() and not outcome.cancelled():
            outcome.exception()
        outcome.cancel()


async def join(token: JoinToken, identity: Identity, *, name: str) -> Paired:
    """The keeper's side: show the token's secret, and this machine's certificate and ``name``, to the node that the token names.

    Raises:
        UnreachableError: none of the token's addresses answers.
        DeniedError: another machine answers, or the node refuses the token.
        ProtocolError: what answers there does not speak this protocol.
    """
    context = pairing_client_context()
    unreachable: UnreachableError | None = None
    for address in token.addresses:
        try:
            return await _join_at(address, context, token, identity, name)
        except UnreachableError as error:
            unreachable = error
    raise UnreachableError(
        N_("No node waits for this join token at {addresses}."),
        hint=N_(
            "The token is good once and for 15 minutes: run lastro node pair again, and check that a firewall lets this machine through."
        ),
        addresses=", ".join(token.addresses),
    ) from unreachable


async def _join_at(
    address: str, context: ssl.SSLContext, token: JoinToken, identity: Identity, name: str
) -> Paired:
    connection = await dial_pairing(address, context, device=token.device, max_message=_LARGEST_MESSAGE)
    try:
        request = PairCommand(id="1", secret=token.secret, name=name, certificate=identity.certificate)
        await connection.send(msgspec.json.encode(request).decode())
        reply = await asyncio.wait_for(connection.receive(), _REPLY_TIMEOUT_S)
    except TimeoutError as error:
        raise UnreachableError(
            N_("Nobody answers at {address}: {reason}"), address=address, reason="no answer in time"
        ) from error
    finally:
        await connection.close()
    answer = _decode(reply, _ANSWER)
    if isinstance(answer, ErrorReply):
        raise DeniedError(
            N_("The node refused to pair: {message}"), hint=answer.hint or _PAIR_AGAIN, message=answer.message
        )
    host, _ = split_address(address)
    return Paired(
        name=_clean(answer.name),
        certificate=connection.peer.certificate,
        address=join_address(host, answer.port),
    )


async def _refuse(connection: Connection, request: str, error: LastroError) -> None:
    refusal = ErrorReply(
        id=request, code=error.code, message=str(error), hint=error.hint_text, retryable=error.retryable
    )
    await connection.send(msgspec.json.encode(refusal).decode())
    await connection.close()


def _wrong_token() -> DeniedError:
    return DeniedError(N_("This join token is wrong, or was used already."), hint=_PAIR_AGAIN)


Decoded = TypeVar("Decoded")


def _decode(message: str | bytes, decoder: msgspec.json.Decoder[Decoded]) -> Decoded:
    try:
        return decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(N_("The peer sent something else than a pairing message.")) from error


def _check_certificate(certificate: bytes) -> None:
    try:
        x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise ProtocolError(N_("The keeper sent something else than a certificate.")) from error


def _clean(name: str) -> str:
    """A peer's name for people: without control characters, and not endless."""
    return "".join(character for character in name if character.isprintable())[:_LONGEST_NAME]


_PAIR_AGAIN: Final = N_("Run lastro node pair again for a new token.")

_REQUEST: Final = msgspec.json.Decoder(PairCommand)
_ANSWER: Final[msgspec.json.Decoder[PairResult | ErrorReply]] = msgspec.json.Decoder(PairResult | ErrorReply)
