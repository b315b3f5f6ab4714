"""The contents of a Gemini request, read as turns.

What always holds: calls without an id get one made of their number in the conversation and their name, and a result without an id belongs
to the first call of its name that has none yet, so the same request is always read alike.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from lastro.gateway.dialects.fields import inexpressible
from lastro.gateway.dialects.gemini_nouns import Blob, Content, FileData, FunctionCall, FunctionResponse, Part
from lastro.gateway.dialects.gemini_signatures import read_signature
from lastro.gateway.dialects.neutral import Dialect, Image, Text, Thinking, ToolCall, ToolResult, Turn
from lastro.gateway.dialects.reading import is_said, json_text, malformed, read
from lastro.gateway.dialects.turns import Turns

_RESPONSE: Final = msgspec.json.Decoder(dict[str, object] | None)


class ContentsReader:
    """Reads contents into turns, and keeps which calls wait for their result."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._count = 0
        self._waiting: list[tuple[str, str]] = []

    def read(self, contents: list[Content] | Content | None) -> tuple[Turn, ...]:
        """All turns."""
        listed = [contents] if isinstance(contents, Content) else contents or []
        for number, content in enumerate(listed):
            role = content.role or "user"
            if role not in {"user", "model", "function"}:
                raise malformed(f"contents.{number}.role")
            for index, part in enumerate(content.parts or ()):
                self._add(part, f"contents.{number}.parts.{index}", assistant=role == "model")
        return self._turns.finish()

    def _add(self, part: Part, path: str, *, assistant: bool) -> None:
        role = "assistant" if assistant else "user"
        signature, of = read_signature(part.thought_signature or "")
        if part.function_call is not None:
            self._turns.add("assistant", self._call(part.function_call, signature))
        elif part.function_response is not None:
            self._turns.add("user", self._result(part.function_response, path))
        elif part.thought:
            self._turns.add(
                role, Thinking(text=part.text or "", signature=signature, of=of or Dialect.GEMINI)
            )
        elif part.text is not None:
            if part.text:
                self._turns.add(role, Text(text=part.text))
        elif part.inline_data is not None or part.file_data is not None:
            self._turns.add(role, _image(part.inline_data, part.file_data, path))
        else:
            raise inexpressible(path, Dialect.GEMINI)

    def _call(self, call: FunctionCall, signature: str) -> ToolCall:
        identity = call.id or call_id(self._count, call.name)
        self._count += 1
        self._waiting.append((identity, call.name))
        return ToolCall(
            id=identity,
            name=call.name,
            arguments=json_text(call.args) if is_said(call.args) else "{}",
            signature=signature,
        )

    def _result(self, result: FunctionResponse, path: str) -> ToolResult:
        found = [
            (identity, name)
            for identity, name in self._waiting
            if (identity == result.id if result.id else name == result.name)
        ]
        if found:
            self._waiting.remove(found[0])
        identity = result.id or (found[0][0] if found else call_id(self._count, result.name))
        text, failed = _response(result.response)
        images = [_image(part.inline_data, part.file_data, path) for part in result.parts or ()]
        content = (*((Text(text=text),) if text else ()), *images)
        return ToolResult(id=identity, name=result.name, content=content, failed=failed)


def call_id(number: int, name: str) -> str:
    """An id for a call that has none, of characters that every dialect takes in one."""
    return f"call_{number}_{re.sub(r'[^A-Za-z0-9_-]', '_', name)}"[:64]


def _image(blob: Blob | None, file: FileData | None, path: str) -> Image:
    if blob is not None and blob.mime_type.startswith("image/"):
        return Image(media_type=blob.mime_type, data=blob.data)
    if file is not None and (not file.mime_type or file.mime_type.startswith("image/")):
        return Image(media_type=file.mime_type, url=file.file_uri)
    raise inexpressible(path, Dialect.GEMINI)


def _response(raw: Raw) -> tuple[str, bool]:
    """Words of a tool's answer, and whether they are its error."""
    response = read(_RESPONSE, raw) or {}
    if len(response) == 1:
        for key in ("output", "error"):
            value = response.get(key)
            if isinstance(value, str):
                return value, key == "error"
    return (json_text(raw) if response else ""), "error" in response
