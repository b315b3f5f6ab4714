"""``Codec``: what each dialect can do, and the registry of the four.

What always holds: a decoder never invents an end. A stream that stops before its dialect's own last event is ``TruncatedError``; bytes
that are no such stream are ``MalformedError``. All frames' raw bytes joined are exactly what arrived.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, Protocol

from msgspec import Struct

from lastro.errors import LastroError, LimitError, ProtocolError
from lastro.gateway.dialects.neutral import Conversation, Dialect, Failed, Happening, Loss


class MalformedError(ProtocolError):
    """Bytes that are not of the dialect they claim to be."""

    code = "malformed"


class TruncatedError(MalformedError):
    """An answer that ended before its end."""

    code = "truncated"
    retryable = True


class InexpressibleError(LastroError):
    """The other dialect has no words for a part of the conversation that the model would have seen."""

    code = "inexpressible"


class TooLargeError(LimitError):
    """A frame, an answer or a request beyond a published limit."""


LARGEST_FRAME: Final = 16 * 1024 * 1024
"""Bytes of one server-sent event: a picture or a large file in one piece."""


class Frame(Struct, frozen=True, kw_only=True):
    """One piece of a stream as it arrived: a whole server-sent event with its blank line (or comment lines), and what it says."""

    raw: bytes
    happenings: tuple[Happening, ...] = ()


class StreamDecoder(Protocol):
    """Reads one answer's stream."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes.

        Raises:
            MalformedError: this is no stream of the dialect.
            TooLargeError: a frame is larger than ``LARGEST_FRAME``.
        """
        ...

    def finish(self) -> list[Frame]:
        """The connection ended properly: what was still open.

        Raises:
            TruncatedError: the answer is not complete.
        """
        ...


class StreamEncoder(Protocol):
    """Writes one answer's stream."""

    def encode(self, happening: Happening) -> bytes:
        """The bytes for one event; may be empty where the dialect says it elsewhere (usage at the end).

        ``Failed`` becomes the dialect's own error inside a stream, after which nothing is sent.
        """
        ...

    def finish(self) -> bytes:
        """What closes the stream, after ``Ended`` or ``Failed`` (``data: [DONE]``, held-back usage, nothing)."""
        ...


class Envelope(Struct, frozen=True, kw_only=True):
    """What the gateway must know of a request before it decides anything; cheap to read, in the words of every dialect.

    ``model`` is as written (Gemini: from the URL). ``max_tokens`` as asked, ``None`` if not. ``usage_asked``: a stream will state its
    usage (always so but in Chat Completions, where it must be asked for).
    """

    model: str
    stream: bool
    max_tokens: int | None = None
    has_tools: bool = False
    has_images: bool = False
    usage_asked: bool = True
    answers: int = 1
    """How many alternatives are asked for (``n``, ``candidateCount``)."""


class Codec(Protocol):
    """One dialect. Stateless; safe for several at once."""

    dialect: Dialect

    def envelope(self, body: bytes, *, model: str = "", stream: bool = False) -> Envelope:
        """The facts of a request. ``model`` and ``stream`` are what the URL says, for Gemini.

        Raises:
            MalformedError: no JSON object, or a field of a wrong type; the text says which.
        """
        ...

    def with_model(self, body: bytes, model: str) -> bytes:
        """The same bytes with another model name, every other byte untouched (Gemini: unchanged, the name stands in the URL)."""
        ...

    def decode_request(
        self, body: bytes, *, model: str = "", stream: bool = False
    ) -> tuple[Conversation, list[Loss]]:
        """The conversation, and the settings that the neutral words cannot say.

        Raises:
            MalformedError: it is not of the dialect.
            InexpressibleError: it holds content that only this dialect has words for (a hosted tool, a file, an audio part).
        """
        ...

    def encode_request(self, conversation: Conversation) -> tuple[bytes, list[Loss]]:
        """The request's body, and the settings that this dialect cannot say. In Chat Completions a stream asks for its usage.

        Raises:
            InexpressibleError: this dialect has no words for a part of it.
        """
        ...

    def decode_answer(self, body: bytes) -> list[Happening]:
        """A whole answer (status 200, not streamed) as events.

        Raises:
            MalformedError: it is not of the dialect.
        """
        ...

    def encode_answer(
        self,
        happenings: Sequence[Happening],
        *,
        id: str,  # noqa: A002
        model: str,
        created_s: int,
        request: Conversation | None = None,
    ) -> bytes:
        """A whole answer, not streamed. ``id`` and ``model`` stand where ``Began`` has none.

        ``request`` is what the client asked, as this codec decoded it: its tools say which calls have a form of their own
        (``Tool.native``).
        """
        ...

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failed:
        """What an answer with another status says; never raises, whatever the body is. Header names are lower case."""
        ...

    def encode_error(self, failed: Failed) -> tuple[int, dict[str, str], bytes]:
        """The dialect's own error: status, headers (``retry-after``, ``content-type``), body."""
        ...

    def decoder(self) -> StreamDecoder:
        """For one streamed answer."""
        ...

    def encoder(
        self,
        *,
        id: str,  # noqa: A002
        model: str,
        created_s: int,
        usage_asked: bool = True,
        request: Conversation | None = None,
    ) -> StreamEncoder:
        """For one streamed answer; ``id``, ``model`` and ``request`` as in ``encode_answer``."""
        ...

    def restore_calls(self, frames: Sequence[Frame], restored: Mapping[int, str]) -> list[Frame]:
        """The frames with the arguments of some calls replaced: ``restored`` maps a block to its whole new JSON text.

        Frames that hold nothing of those blocks stay the same bytes. The frames hold each of those blocks from beginning to end.
        """
        ...

    def restore_answer(self, body: bytes, restored: Mapping[int, str]) -> bytes:
        """As ``restore_calls``, for an answer that is not streamed; blocks as ``decode_answer`` numbers them."""
        ...


_CODECS: Final[Mapping[Dialect, str]] = {
    Dialect.CHAT: "chat",
    Dialect.RESPONSES: "responses",
    Dialect.MESSAGES: "messages",
    Dialect.GEMINI: "gemini",
}


@cache
def codec_of(dialect: Dialect) -> Codec:
    """The codec of a dialect."""
    codec: Codec = importlib.import_module(f"lastro.gateway.dialects.{_CODECS[dialect]}").CODEC
    return codec
