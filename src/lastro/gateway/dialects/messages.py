"""``CODEC`` of Anthropic Messages: ``POST /v1/messages``, and the body of ``/v1/messages/count_tokens`` (``codec.Codec``).

The work is done beside it: ``messages_request`` reads requests and ``messages_asking`` writes them, ``messages_answer`` holds whole
answers, ``messages_events``, ``messages_stream`` and ``messages_encoder`` streams, ``messages_errors`` the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects import (
    messages_answer,
    messages_asking,
    messages_encoder,
    messages_errors,
    messages_request,
    messages_stream,
)
from lastro.gateway.dialects.codec import Codec, Envelope, Frame, MalformedError, StreamDecoder, StreamEncoder
from lastro.gateway.dialects.json_splice import splice_text
from lastro.gateway.dialects.neutral import Conversation, Dialect, Failed, Happening, Loss
from lastro.messages import N_


class _Request(Struct):
    model: str
    stream: bool | None = None
    max_tokens: int | None = None
    tools: list[Raw] | None = None
    messages: Raw = Raw(b"[]")


class _Piece(Struct):
    type: str = ""


class _Block(Struct):
    type: str = ""
    content: str | list[_Piece] | dict[str, Raw] | None = None


class _Message(Struct):
    content: str | list[_Block] | None = None


_REQUEST: Final = msgspec.json.Decoder(_Request)
_MESSAGES: Final = msgspec.json.Decoder(list[_Message])


class MessagesCodec:
    """The dialect (``codec.Codec``)."""

    dialect = Dialect.MESSAGES

    def envelope(self, body: bytes, *, model: str = "", stream: bool = False) -> Envelope:  # noqa: ARG002  said in the body here
        """The facts of a request."""
        try:
            asked = _REQUEST.decode(body)
            has_images = b'"image"' in bytes(asked.messages) and _has_image(asked.messages)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(
                N_("This is no request of Messages: {detail}"),
                detail=str(error),
                hint=N_("Check what was sent, and send it again"),
            ) from error
        return Envelope(
            model=asked.model,
            stream=bool(asked.stream),
            max_tokens=asked.max_tokens,
            has_tools=bool(asked.tools),
            has_images=has_images,
        )

    def with_model(self, body: bytes, model: str) -> bytes:
        """The same bytes with another model name."""
        return splice_text(body, {("model",): model})

    def decode_request(
        self,
        body: bytes,
        *,
        model: str = "",  # noqa: ARG002  said in the body here
        stream: bool = False,  # noqa: ARG002
    ) -> tuple[Conversation, list[Loss]]:
        """The conversation, and the settings that the neutral words cannot say."""
        return messages_request.decode_request(body)

    def encode_request(self, conversation: Conversation) -> tuple[bytes, list[Loss]]:
        """The request's body, and the settings that this dialect cannot say."""
        return messages_asking.encode_request(conversation)

    def decode_answer(self, body: bytes) -> list[Happening]:
        """A whole answer as events."""
        return messages_answer.decode_answer(body)

    def encode_answer(
        self,
        happenings: Sequence[Happening],
        *,
        id: str,  # noqa: A002
        model: str,
        created_s: int,  # noqa: ARG002  not said in this dialect
        request: Conversation | None = None,  # noqa: ARG002  every call has the same form here
    ) -> bytes:
        """A whole answer."""
        return messages_answer.encode_answer(happenings, id=id, model=model)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failed:
        """What an answer with another status says."""
        return messages_errors.read_error_answer(status, headers, body)

    def encode_error(self, failed: Failed) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        return messages_errors.write_error(failed)

    def decoder(self) -> StreamDecoder:
        """For one streamed answer."""
        return messages_stream.MessagesDecoder()

    def encoder(
        self,
        *,
        id: str,  # noqa: A002
        model: str,
        created_s: int,  # noqa: ARG002  not said in this dialect
        usage_asked: bool = True,  # noqa: ARG002  always said in this dialect
        request: Conversation | None = None,  # noqa: ARG002  every call has the same form here
    ) -> StreamEncoder:
        """For one streamed answer."""
        return messages_encoder.MessagesEncoder(id=id, model=model)

    def restore_calls(self, frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
        """The frames with the arguments of some calls replaced."""
        return messages_stream.restore_calls(frames, restored)

    def restore_answer(self, body: bytes, restored: Mapping[int, str]) -> bytes:
        """The answer with the arguments of some calls replaced."""
        return messages_answer.restore_answer(body, restored)


def _has_image(messages: Raw) -> bool:
    """Whether a picture stands in any message, or in a result in it."""
    blocks = [
        block
        for message in _MESSAGES.decode(messages)
        if isinstance(message.content, list)
        for block in message.content
    ]
    return any(
        piece.type == "image"
        for block in blocks
        for piece in (block, *(block.content if isinstance(block.content, list) else ()))
    )


CODEC: Final[Codec] = MessagesCodec()
