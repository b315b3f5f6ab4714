"""``CODEC`` of OpenAI Chat Completions: ``POST /v1/chat/completions`` (``codec.Codec``).

The work is done beside it: ``chat_request`` reads requests and ``chat_asking`` writes them, ``chat_answer`` reads answers
(``chat_nouns``), ``chat_whole`` and ``chat_stream`` hold the two forms of an answer, ``openai_errors`` the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects import chat_asking, chat_request, chat_stream, chat_whole
from lastro.gateway.dialects.codec import Codec, Envelope, Frame, MalformedError, StreamDecoder, StreamEncoder
from lastro.gateway.dialects.json_splice import splice_text
from lastro.gateway.dialects.neutral import Conversation, Dialect, Failed, Happening, Loss
from lastro.gateway.dialects.openai_errors import read_error, write_error
from lastro.messages import N_


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Request(Struct):
    model: str
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    tools: list[Raw] | None = None
    functions: list[Raw] | None = None
    stream_options: _StreamOptions | None = None
    messages: Raw = Raw(b"[]")


class _Part(Struct):
    type: str = ""


class _Message(Struct):
    content: str | list[_Part] | None = None


_REQUEST: Final = msgspec.json.Decoder(_Request)
_MESSAGES: Final = msgspec.json.Decoder(list[_Message])


class ChatCodec:
    """The dialect (``codec.Codec``)."""

    dialect = Dialect.CHAT

    def envelope(self, body: bytes, *, model: str = "", stream: bool = False) -> Envelope:  # noqa: ARG002  said in the body here
        """The facts of a request."""
        try:
            asked = _REQUEST.decode(body)
            has_images = b'"image_url"' in bytes(asked.messages) and any(
                part.type == "image_url"
                for message in _MESSAGES.decode(asked.messages)
                if isinstance(message.content, list)
                for part in message.content
            )
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(
                N_("This is no request of Chat Completions: {detail}"),
                detail=str(error),
                hint=N_("Check what was sent, and send it again"),
            ) from error
        limit, older = asked.max_completion_tokens, asked.max_tokens
        options = asked.stream_options
        streamed = bool(asked.stream)
        return Envelope(
            model=asked.model,
            stream=streamed,
            max_tokens=older if limit is None else limit,
            has_tools=bool(asked.tools or asked.functions),
            has_images=has_images,
            usage_asked=not streamed or (options is not None and bool(options.include_usage)),
            answers=asked.n or 1,
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
        return chat_request.decode_request(body)

    def encode_request(self, conversation: Conversation) -> tuple[bytes, list[Loss]]:
        """The request's body, and the settings that this dialect cannot say."""
        return chat_asking.encode_request(conversation)

    def decode_answer(self, body: bytes) -> list[Happening]:
        """A whole answer as events."""
        return chat_whole.decode_answer(body)

    def encode_answer(
        self,
        happenings: Sequence[Happening],
        *,
        id: str,  # noqa: A002
        model: str,
        created_s: int,
        request: Conversation | None = None,  # noqa: ARG002  every call has the same form here
    ) -> bytes:
        """A whole answer."""
        return chat_whole.encode_answer(happenings, id=id, model=model, created_s=created_s)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failed:
        """What an answer with another status says."""
        return read_error(status, headers, body)

    def encode_error(self, failed: Failed) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        return write_error(failed)

    def decoder(self) -> StreamDecoder:
        """For one streamed answer."""
        return chat_stream.ChatDecoder()

    def encoder(
        self,
        *,
        id: str,  # noqa: A002
        model: str,
        created_s: int,
        usage_asked: bool = True,
        request: Conversation | None = None,  # noqa: ARG002  every call has the same form here
    ) -> StreamEncoder:
        """For one streamed answer."""
        return chat_stream.ChatEncoder(id=id, model=model, created_s=created_s, usage_asked=usage_asked)

    def restore_calls(self, frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
        """The frames with the arguments of some calls replaced."""
        return chat_stream.restore_calls(frames, restored)

    def restore_answer(self, body: bytes, restored: Mapping[int, str]) -> bytes:
        """The answer with the arguments of some calls replaced."""
        return chat_whole.restore_answer(body, restored)


CODEC: Final[Codec] = ChatCodec()
