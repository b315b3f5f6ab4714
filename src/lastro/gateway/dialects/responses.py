"""OpenAI Responses (``POST /v1/responses``), the one dialect of Codex: requests, answers, streams and errors.

What always holds: as ``codec``. The parts are ``responses_request`` (the conversation), ``responses_stream`` (the answer as events) and
``openai_errors``; this module is what the rest of the gateway sees.

How forms that only this dialect has are treated when another dialect answers:

- ``custom`` tools (free text, Codex's ``apply_patch``) become functions with one string ``input``, and their calls come back as
  ``custom_tool_call``; ``local_shell`` and tools in a ``namespace`` become functions too and come back in their own form
  (``Tool.native``), under a name that begins with their namespace's. The grammar of a custom tool is told to the model in its
  description. Tools of an ``additional_tools`` item (Codex, for models that it knows) are tools like the others.
- Hosted tools that are merely offered (``web_search``, ``image_generation``, ``tool_search``) are left out as a ``Loss`` where functions
  are offered too: the model just lacks them. Standing alone, demanded by ``tool_choice``, or holding the user's data (``file_search``,
  ``mcp``, ``code_interpreter``, ``computer``, ``shell``, ``apply_patch``), they are refused.
- ``previous_response_id``, ``conversation``, ``prompt``, ``item_reference`` and compactions point at what the provider holds: refused.
- Reasoning items keep their ``encrypted_content`` as the signature of a ``Thinking``, of use to Responses alone.

Source: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects import openai_errors
from lastro.gateway.dialects.codec import Envelope, Frame
from lastro.gateway.dialects.json_splice import splice_text
from lastro.gateway.dialects.neutral import Conversation, Dialect, Failed, Happening, Loss
from lastro.gateway.dialects.reading import read
from lastro.gateway.dialects.responses_answer import ResponsesEncoder
from lastro.gateway.dialects.responses_items import encode_request
from lastro.gateway.dialects.responses_request import decode_request
from lastro.gateway.dialects.responses_restore import restore_answer, restore_frames
from lastro.gateway.dialects.responses_stream import ResponsesDecoder, read_answer


class _Typed(Struct):
    type: str = ""


class _Item(Struct):
    type: str = ""
    content: str | list[_Typed] | None = None
    output: str | list[_Typed] | None = None


class _Envelope(Struct):
    model: str = ""
    stream: bool | None = None
    max_output_tokens: int | None = None
    tools: list[Raw] | None = None
    input: str | list[_Item] | None = None


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class ResponsesCodec:
    """OpenAI Responses (``codec.Codec``)."""

    dialect: Final = Dialect.RESPONSES

    def envelope(self, body: bytes, *, model: str = "", stream: bool = False) -> Envelope:
        """As ``Codec.envelope``."""
        said = read(_ENVELOPE, body)
        items = said.input if isinstance(said.input, list) else []
        return Envelope(
            model=said.model or model,
            stream=bool(said.stream) or stream,
            max_tokens=said.max_output_tokens,
            has_tools=bool(said.tools) or any(item.type == "additional_tools" for item in items),
            has_images=any(_has_image(item) for item in items),
        )

    def with_model(self, body: bytes, model: str) -> bytes:
        """As ``Codec.with_model``."""
        return splice_text(body, {("model",): model})

    def decode_request(
        self, body: bytes, *, model: str = "", stream: bool = False
    ) -> tuple[Conversation, list[Loss]]:
        """As ``Codec.decode_request``."""
        return decode_request(body, model=model, stream=stream)

    def encode_request(self, conversation: Conversation) -> tuple[bytes, list[Loss]]:
        """As ``Codec.encode_request``."""
        return encode_request(conversation)

    def decode_answer(self, body: bytes) -> list[Happening]:
        """As ``Codec.decode_answer``."""
        return read_answer(body)

    def encode_answer(
        self,
        happenings: Sequence[Happening],
        *,
        id: str,  # noqa: A002  the contract's name
        model: str,
        created_s: int,
        request: Conversation | None = None,
    ) -> bytes:
        """As ``Codec.encode_answer``: what the last event of a stream would hold."""
        encoder = ResponsesEncoder(id=id, model=model, created_s=created_s, request=request)
        for happening in happenings:
            encoder.encode(happening)
        encoder.finish()
        return msgspec.json.encode(encoder.answer)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failed:
        """As ``Codec.decode_error``."""
        return openai_errors.read_error(status, headers, body)

    def encode_error(self, failed: Failed) -> tuple[int, dict[str, str], bytes]:
        """As ``Codec.encode_error``."""
        return openai_errors.write_error(failed)

    def decoder(self) -> ResponsesDecoder:
        """As ``Codec.decoder``."""
        return ResponsesDecoder()

    def encoder(
        self,
        *,
        id: str,  # noqa: A002  the contract's name
        model: str,
        created_s: int,
        usage_asked: bool = True,  # noqa: ARG002  this dialect always states it
        request: Conversation | None = None,
    ) -> ResponsesEncoder:
        """As ``Codec.encoder``."""
        return ResponsesEncoder(id=id, model=model, created_s=created_s, request=request)

    def restore_calls(self, frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
        """As ``Codec.restore_calls``; the frame of the last event, which repeats every call, is restored too when it is given."""
        return restore_frames(frames, restored)

    def restore_answer(self, body: bytes, restored: Mapping[int, str]) -> bytes:
        """As ``Codec.restore_answer``."""
        return restore_answer(body, restored)


def _has_image(item: _Item) -> bool:
    parts = [part for content in (item.content, item.output) if isinstance(content, list) for part in content]
    return any(part.type == "input_image" for part in parts)


CODEC: Final = ResponsesCodec()
