"""Gemini (``POST /v1beta/models/MODEL:generateContent``, ``:streamGenerateContent``, ``:countTokens``): requests, answers, streams, errors.

What always holds: as ``codec``. The model and whether to stream stand in the URL, so ``with_model`` changes nothing and the caller says
both. Streams are server-sent events here; for a client that did not ask with ``alt=sse``, the one who serves makes a list of them.
The parts are ``gemini_request``, ``gemini_turns`` and ``gemini_contents`` (the conversation), ``gemini_stream`` and ``gemini_answer`` (the
answer), ``gemini_errors`` and ``gemini_schema``; this module is what the rest of the gateway sees.

What only this dialect has, when another one answers: ``safetySettings``, ``labels`` and settings without a neutral word are losses;
``cachedContent``, files and sounds, several candidates and answers that are no text are refused; hosted tools (search, code) are losses
beside functions and refused alone; tools that hold the user's data are refused.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lastro.gateway.dialects import gemini_errors
from lastro.gateway.dialects.codec import Envelope, Frame
from lastro.gateway.dialects.freeform import object_text
from lastro.gateway.dialects.gemini_answer import GeminiEncoder, write_answer
from lastro.gateway.dialects.gemini_contents import encode_request
from lastro.gateway.dialects.gemini_nouns import ANSWER, NOTHING
from lastro.gateway.dialects.gemini_request import decode_request, request_body
from lastro.gateway.dialects.gemini_stream import GeminiDecoder, read_answer
from lastro.gateway.dialects.json_splice import Path, splice
from lastro.gateway.dialects.neutral import Conversation, Dialect, Failed, Happening, Loss, ToolCallBegan
from lastro.gateway.dialects.reading import is_said, read
from lastro.gateway.dialects.restoring import restore_happenings
from lastro.gateway.dialects.sse import read_event, with_data


class _Part(Struct, rename="camel"):
    inline_data: Raw = NOTHING
    file_data: Raw = NOTHING


class _Content(Struct):
    parts: list[_Part] | None = None


class _Generation(Struct, rename="camel"):
    max_output_tokens: int | None = None
    candidate_count: int | None = None


class _Envelope(Struct, rename="camel"):
    contents: list[_Content] | _Content | None = None
    tools: list[Raw] | None = None
    generation_config: _Generation | None = None


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class GeminiCodec:
    """Gemini (``codec.Codec``)."""

    dialect: Final = Dialect.GEMINI

    def envelope(self, body: bytes, *, model: str = "", stream: bool = False) -> Envelope:
        """As ``Codec.envelope``."""
        said = read(_ENVELOPE, request_body(body))
        contents = [said.contents] if isinstance(said.contents, _Content) else said.contents or []
        parts = [part for content in contents for part in content.parts or ()]
        generation = said.generation_config or _Generation()
        return Envelope(
            model=model,
            stream=stream,
            max_tokens=generation.max_output_tokens,
            has_tools=bool(said.tools),
            has_images=any(is_said(part.inline_data) or is_said(part.file_data) for part in parts),
            answers=generation.candidate_count or 1,
        )

    def with_model(self, body: bytes, model: str) -> bytes:  # noqa: ARG002  it stands in the URL
        """As ``Codec.with_model``: the same bytes."""
        return body

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
        created_s: int,  # noqa: ARG002  this dialect does not say it
        request: Conversation | None = None,  # noqa: ARG002  every call has the same form here
    ) -> bytes:
        """As ``Codec.encode_answer``."""
        return write_answer(happenings, id=id, model=model)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failed:
        """As ``Codec.decode_error``."""
        return gemini_errors.read_error(status, headers, body)

    def encode_error(self, failed: Failed) -> tuple[int, dict[str, str], bytes]:
        """As ``Codec.encode_error``."""
        return gemini_errors.write_error(failed)

    def decoder(self) -> GeminiDecoder:
        """As ``Codec.decoder``."""
        return GeminiDecoder()

    def encoder(
        self,
        *,
        id: str,  # noqa: A002  the contract's name
        model: str,
        created_s: int,  # noqa: ARG002  this dialect does not say it
        usage_asked: bool = True,  # noqa: ARG002  this dialect always states it
        request: Conversation | None = None,  # noqa: ARG002  every call has the same form here
    ) -> GeminiEncoder:
        """As ``Codec.encoder``."""
        return GeminiEncoder(id=id, model=model)

    def restore_calls(self, frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
        """As ``Codec.restore_calls``."""
        said = restore_happenings(frames, restored)
        return [
            Frame(raw=_restore_frame(frame, restored), happenings=happenings)
            for frame, happenings in zip(frames, said, strict=True)
        ]

    def restore_answer(self, body: bytes, restored: Mapping[int, str]) -> bytes:
        """As ``Codec.restore_answer``."""
        return _restore(body, read_answer(body), restored)


def _restore_frame(frame: Frame, restored: Mapping[int, str]) -> bytes:
    data = read_event(frame.raw).data
    if data is None:
        return frame.raw
    changed = _restore(data, frame.happenings, restored)
    return frame.raw if changed is data else with_data(frame.raw, changed)


def _restore(body: bytes, happenings: Sequence[Happening], restored: Mapping[int, str]) -> bytes:
    """The body with other arguments; its calls are those that began in ``happenings``, in the same order."""
    blocks = [happening.block for happening in happenings if isinstance(happening, ToolCallBegan)]
    if not any(block in restored for block in blocks):
        return body
    replacements = {
        path: object_text(restored[block]).encode()
        for block, path in zip(blocks, _call_paths(body), strict=True)
        if block in restored and path is not None
    }
    return splice(body, replacements)


def _call_paths(body: bytes) -> list[Path | None]:
    """Where the arguments of the calls of the first candidate stand; ``None`` for a call without any."""
    candidates = read(ANSWER, body).candidates or []
    number, content = next((n, one.content) for n, one in enumerate(candidates) if not one.index)
    parts = content.parts if content is not None else None
    return [
        ("candidates", number, "content", "parts", index, "functionCall", "args")
        if is_said(part.function_call.args)
        else None
        for index, part in enumerate(parts or ())
        if part.function_call is not None
    ]


CODEC: Final = GeminiCodec()
