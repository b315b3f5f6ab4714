"""Takes out of a request in a provider's own dialect what only the gateway's translation of another dialect's answer can have put there.

A client gives back what it was given: after a turn that a provider of another dialect answered, that is thoughts with a foreign proof
(``signatures``), ids of calls in another's form, and ids of items that no store knows. A provider refuses them, so they go before a request
is sent on in the client's own dialect.

What always holds: a body without any of that stays the same bytes, and is hardly looked at; of another body every byte but those stays.
What the model would have read is named as lost; an id that is written in another way is the same in a call and in its result.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lastro.gateway.dialects.gemini_signatures import SKIPPED_SIGNATURE, read_signature
from lastro.gateway.dialects.json_splice import (
    Edit,
    Span,
    edited,
    find,
    item_spans,
    member_spans,
    text_at,
    without,
)
from lastro.gateway.dialects.neutral import Conversation, Dialect, ToolCall, ToolResult, Turn
from lastro.gateway.dialects.signatures import unwrap

_THINKING: Final = "thinking"
_SPACE: Final = rb"[ \t\r\n]*"
_COLON: Final = _SPACE + rb":" + _SPACE
_FOREIGN_RESULT: Final = re.compile(rb'"tool_use_id"' + _COLON + rb'"(?!toolu_|srvtoolu_)')
_UNSIGNED: Final = re.compile(rb'"signature"' + _COLON + rb'""')
_MADE_ITEM: Final = re.compile(rb'"id"' + _COLON + rb'"[a-z]{2,5}_[^"]*_\d+"')
_MADE_ID: Final = re.compile(r"[a-z]{2,5}_.+_\d+", re.DOTALL)
"""Of an item that ``responses_answer`` wrote; OpenAI's have one underscore."""
_REASONING: Final = re.compile(rb'"type"' + _COLON + rb'"reasoning"')
_ENCRYPTED: Final = re.compile(rb'"encrypted_content"' + _COLON + rb'"[^"]')
_WRAPPED_IN_BASE64: Final = b'"bGFzdHJvO'
_CALL_OF_GEMINI: Final = re.compile(rb'"function_?[Cc]all"')
_CALL_OF_OTHERS: Final = re.compile(r"call_|toolu_|fc_|chatcmpl-|functions\.")
_THIRD_GENERATION: Final = re.compile(r"gemini-(?:[3-9]|\d\d)")

_string: Final = msgspec.json.Encoder().encode


class CallIds(Struct, frozen=True, kw_only=True):
    """What a provider takes for an id of a call; 0: as long as it likes. ``pattern`` is of one character."""

    longest: int = 0
    pattern: str = ""
    exactly: int = 0
    """So many letters and digits."""

    def fit(self, said: str) -> str:
        """``said`` where it will do, else another that is always the same for it."""
        if self.exactly:
            is_good = len(said) == self.exactly and said.isascii() and said.isalnum()
            return said if is_good else _digest(said)[: self.exactly]
        fitting = re.sub(f"(?!{self.pattern}).", "_", said, flags=re.DOTALL) if self.pattern else said
        if self.longest and len(fitting) > self.longest:
            return f"call_{_digest(said)[:32]}"
        return fitting


class Asker(Struct, frozen=True, kw_only=True):
    """What counts of the provider that is going to be asked. ``checks_proofs``: it refuses thoughts without one."""

    dialect: Dialect
    model: str
    ids: CallIds = CallIds()
    checks_proofs: bool = False


class _Part(Struct, frozen=True, kw_only=True):
    """A value in the body."""

    span: Span
    members: Mapping[str, Span]
    whole: Mapping[str, Span]
    """With their names."""


def own_words(body: bytes, asker: Asker) -> tuple[bytes, tuple[str, ...]]:
    """The request as its own dialect's provider takes it, and what was left out. The same object where nothing is foreign.

    Raises:
        MalformedError: it is no request of the dialect.
    """
    if not _may_be_foreign(body, asker):
        return body, ()
    cleaner = _Cleaner(body, asker)
    match asker.dialect:
        case Dialect.MESSAGES:
            cleaner.clean_messages()
        case Dialect.RESPONSES:
            cleaner.clean_items()
        case Dialect.GEMINI:
            cleaner.clean_contents()
        case Dialect.CHAT:
            cleaner.clean_calls()
    if not cleaner.edits:
        return body, ()
    return edited(body, cleaner.edits), tuple(dict.fromkeys(cleaner.lost))


def with_fitting_ids(conversation: Conversation, ids: CallIds) -> Conversation:
    """The conversation with ids that a provider takes."""
    if ids == CallIds():
        return conversation
    return replace(conversation, turns=tuple(_fitting(turn, ids) for turn in conversation.turns))


def _fitting(turn: Turn, ids: CallIds) -> Turn:
    parts = tuple(
        replace(part, id=ids.fit(part.id)) if isinstance(part, ToolCall | ToolResult) else part
        for part in turn.parts
    )
    return replace(turn, parts=parts)


def _may_be_foreign(body: bytes, asker: Asker) -> bool:
    """Quick, and in doubt true."""
    match asker.dialect:
        case Dialect.MESSAGES:
            return (
                b'"lastro:' in body
                or (asker.checks_proofs and _UNSIGNED.search(body) is not None)
                or (asker.checks_proofs and _FOREIGN_RESULT.search(body) is not None)
            )
        case Dialect.RESPONSES:
            return (
                b'"lastro:' in body
                or _MADE_ITEM.search(body) is not None
                or len(_REASONING.findall(body)) > len(_ENCRYPTED.findall(body))
                or (asker.ids != CallIds() and b'"call_id"' in body)
            )
        case Dialect.GEMINI:
            return _WRAPPED_IN_BASE64 in body or (
                _THIRD_GENERATION.search(asker.model) is not None and _CALL_OF_GEMINI.search(body) is not None
            )
        case Dialect.CHAT:
            return asker.ids != CallIds() and b'"tool_calls"' in body


class _Cleaner:
    """Finds what has to go from one body."""

    def __init__(self, body: bytes, asker: Asker) -> None:
        self._body = body
        self._asker = asker
        self.edits: list[Edit] = []
        self.lost: list[str] = []

    # Messages

    def clean_messages(self) -> None:
        """Thinking blocks, and ids of calls."""
        kept, dropped = [], []
        calls_alone = False
        for message in self._parts(("messages",)):
            content = self._listed(message, "content")
            foreign = [block for block in content if self._is_foreign_thinking(block)]
            if content and len(foreign) == len(content):
                dropped.append(message.span)
                continue
            kept.append(message.span)
            self._drop(content, foreign)
            for block in content:
                self._fit(block, "id", if_type="tool_use")
                self._fit(block, "tool_use_id")
            if self._text(message, "role") == "assistant":
                left = [one for one in content if one not in foreign]
                calls_alone = self._has_calls_alone(left, lost=bool(foreign))
        self._drop_spans(kept, dropped)
        self.lost += [_THINKING] * bool(dropped)
        if calls_alone and self._asker.checks_proofs:
            self._stop_thinking()

    def _is_foreign_thinking(self, block: _Part) -> bool:
        if self._text(block, "type") != "thinking":
            return False
        signature = self._text(block, "signature")
        if not signature:
            return self._asker.checks_proofs
        return unwrap(signature, shown_in=Dialect.MESSAGES)[1] is not Dialect.MESSAGES

    def _has_calls_alone(self, content: list[_Part], *, lost: bool) -> bool:
        """Another's call, with no thought of its own provider beside it."""
        kinds = {self._text(block, "type") for block in content}
        if "tool_use" not in kinds or not kinds.isdisjoint({"thinking", "redacted_thinking"}):
            return False
        return lost or any(
            self._text(block, "type") == "tool_use" and not self._text(block, "id").startswith("toolu_")
            for block in content
        )

    def _stop_thinking(self) -> None:
        """After a call that another model made, this interface refuses to go on thinking."""
        span = find(self._body, ("thinking", "type"))
        whole = find(self._body, ("thinking",))
        if span is None or whole is None or text_at(self._body, span) != "enabled":
            return
        self.edits.append((*whole, b'{"type":"disabled"}'))
        self.lost.append("thinking.type")

    # Responses

    def clean_items(self) -> None:
        """Reasoning items, ids of calls, and ids of items."""
        items = list(self._parts(("input",)))
        foreign = [item for item in items if self._is_foreign_reasoning(item)]
        self._drop(items, foreign)
        for item in items:
            if item in foreign:
                continue
            if _MADE_ID.fullmatch(self._text(item, "id")):
                self._drop_members(item, "id")
            self._fit(item, "call_id")

    def _is_foreign_reasoning(self, item: _Part) -> bool:
        if self._text(item, "type") != "reasoning":
            return False
        proof = self._text(item, "encrypted_content")
        if proof:
            return unwrap(proof, shown_in=Dialect.RESPONSES)[1] is not Dialect.RESPONSES
        name = self._text(item, "id")
        return not self._listed(item, "content") and (not name or _MADE_ID.fullmatch(name) is not None)

    # Gemini

    def clean_contents(self) -> None:
        """Thought signatures."""
        kept, dropped = [], []
        demanded = _THIRD_GENERATION.search(self._asker.model) is not None
        for content in self._parts(("contents",)):
            parts = self._listed(content, "parts")
            foreign = [part for part in parts if self._is_foreign_proof(part)]
            thoughts = [part for part in foreign if "thought" in part.members]
            if parts and len(thoughts) == len(parts):
                dropped.append(content.span)
                self.lost.append(_THINKING)
                continue
            kept.append(content.span)
            self._drop(parts, thoughts)
            for part in foreign:
                if part not in thoughts:
                    self._drop_members(part, "thoughtSignature", "thought_signature")
            if demanded:
                self._sign_first_call([part for part in parts if part not in thoughts])
        self._drop_spans(kept, dropped)

    def _proof(self, part: _Part) -> str:
        return self._text(part, "thoughtSignature") or self._text(part, "thought_signature")

    def _is_foreign_proof(self, part: _Part) -> bool:
        proof = self._proof(part)
        return bool(proof) and read_signature(proof)[1] not in {None, Dialect.GEMINI}

    def _sign_first_call(self, parts: list[_Part]) -> None:
        """Google's newer models refuse a call without a proof, and document what to say for one that another model made."""
        for part in parts:
            call = part.members.get("functionCall") or part.members.get("function_call")
            if call is None:
                continue
            inner = self._part(call)
            if not self._proof(part) and _CALL_OF_OTHERS.match(self._text(inner, "id")):
                end = part.span[1] - 1
                self.edits.append((end, end, b',"thoughtSignature":' + _string(SKIPPED_SIGNATURE)))
            return

    # Chat Completions

    def clean_calls(self) -> None:
        """Ids of calls."""
        for message in self._parts(("messages",)):
            self._fit(message, "tool_call_id")
            for call in self._listed(message, "tool_calls"):
                self._fit(call, "id")

    # All

    def _fit(self, part: _Part, name: str, *, if_type: str = "") -> None:
        said = self._text(part, name)
        if not said or (if_type and self._text(part, "type") != if_type):
            return
        fitting = self._asker.ids.fit(said)
        if fitting != said:
            self.edits.append((*part.members[name], _string(fitting)))

    def _parts(self, path: tuple[str, ...]) -> Iterator[_Part]:
        span = find(self._body, path)
        if span is not None:
            yield from self._items(span)

    def _listed(self, part: _Part, name: str) -> list[_Part]:
        span = part.members.get(name)
        return [] if span is None else list(self._items(span))

    def _items(self, span: Span) -> Iterator[_Part]:
        for item in item_spans(self._body, span):
            yield self._part(item)

    def _part(self, span: Span) -> _Part:
        found = list(member_spans(self._body, span))
        return _Part(
            span=span,
            members={name: value for name, _, value in found},
            whole={name: whole for name, whole, _ in found},
        )

    def _text(self, part: _Part, name: str) -> str:
        span = part.members.get(name)
        return "" if span is None else text_at(self._body, span)

    def _drop(self, parts: list[_Part], dropped: list[_Part]) -> None:
        self.lost += [_THINKING] * bool(dropped)
        self._drop_spans(
            [part.span for part in parts if part not in dropped], [part.span for part in dropped]
        )

    def _drop_members(self, part: _Part, *names: str) -> None:
        gone = [part.whole[name] for name in names if name in part.whole]
        self._drop_spans([span for span in part.whole.values() if span not in gone], gone)

    def _drop_spans(self, kept: list[Span], dropped: list[Span]) -> None:
        self.edits += without(kept, dropped)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
