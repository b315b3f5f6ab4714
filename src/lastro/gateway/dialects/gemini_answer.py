"""An answer of Gemini, written: as a stream of pieces (``alt=sse``), and whole.

What always holds: a call comes whole, with its id, when its block ends; the last piece has the ``finishReason`` and the usage. Thoughts are
parts with ``thought``. Reasons without a word of their own: a met stop sequence is ``STOP``, a refusal ``SAFETY``, a pause ``MAX_TOKENS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.folded import FoldedBlock, fold
from lastro.gateway.dialects.freeform import object_text
from lastro.gateway.dialects.gemini_errors import error_object
from lastro.gateway.dialects.gemini_signatures import show_signature
from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Ended,
    Failed,
    Happening,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)
from lastro.gateway.dialects.sse import format_event

_REASONS: Final = {
    StopReason.LENGTH: "MAX_TOKENS",
    StopReason.PAUSE: "MAX_TOKENS",
    StopReason.CONTENT_FILTER: "SAFETY",
    StopReason.REFUSAL: "SAFETY",
}


class GeminiEncoder:
    """Writes one streamed answer (``codec.StreamEncoder``)."""

    def __init__(self, *, id: str, model: str) -> None:  # noqa: A002  the contract's name
        self._id = id
        self._model = model
        self._calls: dict[int, tuple[ToolCallBegan, list[str]]] = {}
        self._used = Used()
        self._ended: Ended | None = None
        self._closed = False

    def encode(self, happening: Happening) -> bytes:  # noqa: C901  one case for each event
        """As ``codec.StreamEncoder.encode``."""
        if self._closed:
            return b""
        match happening:
            case Began():
                self._id = happening.id or self._id
                self._model = happening.model or self._model
            case TextDelta() if happening.text:
                return self._piece([{"text": happening.text}])
            case ThinkingDelta():
                shown = show_signature(happening.signature, of=happening.of)
                parts = _thought(happening.text, shown)
                return self._piece(parts) if parts else b""
            case ToolCallBegan():
                self._calls[happening.block] = (happening, [])
            case ToolCallDelta():
                self._calls[happening.block][1].append(happening.arguments)
            case BlockEnded() if happening.block in self._calls:
                call, pieces = self._calls.pop(happening.block)
                return self._piece([_call(call, "".join(pieces))])
            case Used():
                self._used = happening
            case Ended():
                self._ended = happening
            case Failed():
                self._closed = True
                return format_event(msgspec.json.encode({"error": error_object(happening)}))
            case _:
                pass  # the end of a block of text says nothing here
        return b""

    def finish(self) -> bytes:
        """As ``codec.StreamEncoder.finish``: the last piece, which usage had to be waited for."""
        if self._closed or self._ended is None:
            return b""
        self._closed = True
        return self._piece([{"text": ""}], reason=self._ended.reason, used=self._used)

    def _piece(
        self,
        parts: list[dict[str, object]],
        *,
        reason: StopReason | None = None,
        used: Used | None = None,
    ) -> bytes:
        answer = _answer(parts, reason=reason, used=used, id_=self._id, model=self._model)
        return format_event(msgspec.json.encode(answer))


def write_answer(happenings: Sequence[Happening], *, id: str, model: str) -> bytes:  # noqa: A002  the contract's name
    """As ``Codec.encode_answer``."""
    folded = fold(happenings)
    if folded.failed is not None:
        return msgspec.json.encode({"error": error_object(folded.failed)})
    parts = [part for block in folded.blocks.values() for part in _parts(block)]
    reason = folded.ended.reason if folded.ended is not None else StopReason.END
    return msgspec.json.encode(
        _answer(parts, reason=reason, used=folded.used, id_=folded.id or id, model=folded.model or model)
    )


def _parts(block: FoldedBlock) -> list[dict[str, object]]:
    if block.call is not None:
        return [_call(block.call, block.text)]
    if block.kind == "thinking":
        return _thought(block.text, show_signature(block.signature, of=block.of))
    return [{"text": block.text}] if block.text else []


def _thought(text: str, signature: str) -> list[dict[str, object]]:
    if not text and not signature:
        return []
    part: dict[str, object] = {"text": text, "thought": True}
    return [part | ({"thoughtSignature": signature} if signature else {})]


def _call(call: ToolCallBegan, arguments: str) -> dict[str, object]:
    args = Raw(object_text(arguments).encode())
    part: dict[str, object] = {"functionCall": {"id": call.id, "name": call.name, "args": args}}
    return part | ({"thoughtSignature": call.signature} if call.signature else {})


def _answer(
    parts: list[dict[str, object]],
    *,
    reason: StopReason | None,
    used: Used | None,
    id_: str,
    model: str,
) -> dict[str, object]:
    content: dict[str, object] = {"parts": parts} if parts else {}
    candidate: dict[str, object] = {"content": content | {"role": "model"}}
    if reason is not None:
        candidate["finishReason"] = _REASONS.get(reason, "STOP")
    candidate["index"] = 0
    answer: dict[str, object] = {"candidates": [candidate]}
    usage = _usage(used or Used())
    if usage:
        answer["usageMetadata"] = usage
    return answer | {"modelVersion": model, "responseId": id_}


def _usage(used: Used) -> dict[str, int]:
    said = {
        "promptTokenCount": used.input,
        "candidatesTokenCount": None if used.output is None else used.output - (used.reasoning or 0),
        "thoughtsTokenCount": used.reasoning,
        "cachedContentTokenCount": used.cache_read,
        "totalTokenCount": None if used.input is None or used.output is None else used.input + used.output,
    }
    return {name: value for name, value in said.items() if value is not None}
