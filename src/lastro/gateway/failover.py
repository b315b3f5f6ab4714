"""``Relay``: what a client sees of a streamed answer, and when a failure may stay unseen. Sans-I/O: frames in, bytes out.

One relay serves one exchange, through as many attempts as it takes::

    stage    | the client has seen         | frames                                | a cut
    waiting  | nothing                     | held until the first visible content  | asked again elsewhere, unseen
    showing  | text                        | pass at once                          | the dialect's own retryable error
    holding  | nothing, or text            | held until the answer is complete     | asked again elsewhere, unseen
    resuming | text of an earlier attempt  | held; at the end the calls alone pass | asked again elsewhere, unseen
    loose    | perhaps a part of a call    | pass at once                          | the dialect's own retryable error
    closed   | an end: the answer's, or an error                                                 |

- ``waiting`` becomes ``showing`` with the first text or visible thought, and ``holding`` with the first tool call. Thoughts that were
  shown count as visible: they cannot be taken back, and their signature belongs to what follows them.
- ``showing`` becomes ``holding`` with the first tool call: calls pass together, once the answer that holds them is complete; and with the
  words that end an answer, so that no error follows an end.
- A cut in ``holding`` after visible text asks another provider, and only that answer's calls are shown: its text would repeat what was
  said. Does it call no tool, the exchange ends with the retryable error.
- More held bytes than ``held_bytes`` make an answer ``loose``, except where placeholders of secrets have to be put back: a call with a
  placeholder in it must never run, so that answer fails.

What always holds: a client gets each tool call once and whole, or not at all (but in ``loose``); text is never repeated; nothing follows
an error. With the same dialect on both sides what passes are the provider's own bytes; otherwise the client's encoder writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lastro.gateway.dialects.codec import Codec, Frame, StreamEncoder, TooLargeError
from lastro.gateway.dialects.neutral import (
    RETRYABLE,
    Began,
    BlockEnded,
    Dialect,
    Ended,
    ErrorKind,
    Failed,
    Happening,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)
from lastro.gateway.exchange import Visible
from lastro.messages import N_

_KEEP_ALIVE: Final = {
    Dialect.CHAT: b": keep-alive\n\n",
    Dialect.RESPONSES: b": keep-alive\n\n",
    Dialect.MESSAGES: b'event: ping\ndata: {"type": "ping"}\n\n',
    Dialect.GEMINI: b"\n\n",
}
"""Sent while an answer is held back. Gemini's own clients have known nothing but data lines; an empty line is nothing to all of them."""


class Stage(StrEnum):
    """See the table at the head of this module."""

    WAITING = "waiting"
    SHOWING = "showing"
    HOLDING = "holding"
    RESUMING = "resuming"
    LOOSE = "loose"
    CLOSED = "closed"


_SHOWING: Final = Stage.SHOWING


class ClientForm(Struct, frozen=True, kw_only=True):
    """How the client wants its answer. ``encoder`` makes a fresh encoder of its dialect, for one attempt."""

    codec: Codec
    encoder: Callable[[], StreamEncoder]
    held_bytes: int


def merged(earlier: Used, later: Used) -> Used:
    """What is known after both: a later figure replaces an earlier one, silence replaces nothing."""
    said = {name: figure for name in later.__struct_fields__ if (figure := getattr(later, name)) is not None}
    return replace(earlier, **said)


class Relay:
    """The answer of one exchange on its way to the client."""

    def __init__(self, form: ClientForm) -> None:
        self._form = form
        self._source = form.codec
        self._restore: Callable[[str], str] | None = None
        self._encoder: StreamEncoder | None = None
        self._held: list[Frame] = []
        self._held_size = 0
        self._shown: list[Happening] = []
        self._calls_began = False
        self._text_seen = False
        self.stage = Stage.WAITING
        self.failed: Failed | None = None
        """The provider said in its stream that it failed; nothing after it was taken."""
        self.ended = False
        """The last frames said that the answer is complete; only what closes the stream may follow."""
        self.used: Used | None = None
        """Of this attempt."""
        self.output: list[str] = []
        """This attempt's text, thoughts and arguments."""

    @property
    def visible(self) -> Visible:
        """What the client has seen of the whole exchange."""
        if self.stage is Stage.LOOSE or (self.stage is Stage.CLOSED and self.failed is None):
            return Visible.ALL
        return Visible.TEXT if self._text_seen else Visible.NOTHING

    @property
    def holds(self) -> bool:
        """The client waits while the answer comes: it needs a sign of life."""
        return self.stage in (Stage.WAITING, Stage.HOLDING, Stage.RESUMING)

    def keep_alive(self) -> bytes:
        """A sign of life that says nothing."""
        return _KEEP_ALIVE[self._form.codec.dialect]

    def begin(self, source: Codec, *, restore: Callable[[str], str] | None = None) -> None:
        """The next attempt, in ``source``'s dialect. Only at the start, and after ``cut`` said so.

        ``restore`` puts secrets back into the JSON text of a call's arguments; ``None`` where none were taken out.
        """
        self._source, self._restore = source, restore
        self._held, self._held_size = [], 0
        self._calls_began, self.ended, self.failed, self.used, self.output = False, False, None, None, []
        if self._text_seen:
            self.stage = Stage.RESUMING
        else:
            self.stage = Stage.WAITING
            self._encoder = None if self._same else self._form.encoder()

    def take(self, frames: Iterable[Frame]) -> bytes:
        """What passes now. Look at ``failed`` afterwards.

        Raises:
            TooLargeError: more is held back than may be, and it cannot be let go.
        """
        return b"".join([self._take(frame) for frame in frames])

    def complete(self) -> bytes | None:
        """The answer is complete (its decoder's ``finish`` said so): the rest of it. ``None``: it holds nothing that could be shown after
        what the client has seen already, so the exchange ends with ``end``.
        """
        held, self._held = self._held, []
        if self.stage is Stage.RESUMING:
            rest = self._resumed(held)
            if rest is None:
                return None
        else:
            rest = self._release(held)
            if self._encoder is not None:
                rest += self._encoder.finish()
        self.stage = Stage.CLOSED
        return rest

    def cut(self) -> bool:
        """The attempt failed: forget what is held. Whether the client may be answered by somebody else without noticing."""
        self._held, self._held_size = [], 0
        if not self._text_seen:
            return self.stage in (Stage.WAITING, Stage.HOLDING)
        if self.stage is Stage.RESUMING:
            return True
        return self.stage is Stage.HOLDING and self._calls_began

    def end(self, failed: Failed) -> bytes:
        """The exchange ends with an error inside the stream, retryable where the client has seen a part of an answer."""
        if self._text_seen and failed.kind not in RETRYABLE:
            failed = replace(failed, kind=ErrorKind.OVERLOADED)
        encoder = self._continued()
        self.stage, self.failed = Stage.CLOSED, failed
        return encoder.encode(failed) + encoder.finish()

    @property
    def _same(self) -> bool:
        return self._source.dialect is self._form.codec.dialect

    def _take(self, frame: Frame) -> bytes:
        visible, ended = False, False
        for happening in frame.happenings:
            if self.failed is not None:
                return b""
            match happening:
                case TextDelta(text=text) | ThinkingDelta(text=text):
                    self.output.append(text)
                    visible = visible or bool(text)
                case ToolCallDelta(arguments=arguments):
                    self.output.append(arguments)
                case ToolCallBegan():
                    self._calls_began = True
                case Used():
                    self.used = happening if self.used is None else merged(self.used, happening)
                case Ended():
                    ended = self.ended = True
                case Failed():
                    self.failed = happening
                    return b""
                case _:
                    pass
        return self._pass_or_hold(frame, visible=visible, ended=ended)

    def _pass_or_hold(self, frame: Frame, *, visible: bool, ended: bool) -> bytes:
        if self.stage is _SHOWING and not (ended or self._calls_began or self._held):
            return self._show(frame)  # nearly every frame of nearly every answer
        if self.stage is Stage.WAITING and self._calls_began:
            self.stage = Stage.HOLDING
        elif self.stage is Stage.WAITING and visible:
            self.stage = Stage.HOLDING if ended else Stage.SHOWING
        elif self.stage is Stage.SHOWING and (self._calls_began or ended):
            self.stage = Stage.HOLDING  # nobody can take an end back, so it waits until it is certain
        if self.stage in (Stage.SHOWING, Stage.LOOSE):
            held, self._held, self._held_size = self._held, [], 0
            return self._release([*held, frame]) if held else self._show(frame)
        self._held.append(frame)
        self._held_size += len(frame.raw)
        if self._held_size <= self._form.held_bytes:
            return b""
        if self.stage is Stage.RESUMING or self._restore is not None:
            raise TooLargeError(
                N_("An answer with tool calls is larger than the {limit} bytes that may be held back."),
                hint=N_("Raise held_bytes in [bounds] of gateway.toml."),
                limit=self._form.held_bytes,
            )
        self.stage = Stage.LOOSE
        held, self._held = self._held, []
        return self._release(held)

    def _release(self, frames: Sequence[Frame]) -> bytes:
        """Frames that were held; secrets are put back into the calls that they hold from beginning to end."""
        if self._restore is not None and self._calls_began:
            restored = restored_arguments(_said(frames), self._restore)
            if restored and self._same:
                frames = self._source.restore_calls(frames, restored)
            elif restored:
                frames = [
                    replace(frame, happenings=with_arguments(frame.happenings, restored)) for frame in frames
                ]
        return b"".join([self._show(frame) for frame in frames])

    def _show(self, frame: Frame) -> bytes:
        happenings = frame.happenings
        if not self._text_seen:
            self._text_seen = any(
                isinstance(happening, TextDelta | ThinkingDelta) and bool(happening.text)
                for happening in happenings
            )
        self._shown.extend(happenings)
        if self._encoder is None:
            return frame.raw
        return b"".join([self._encoder.encode(happening) for happening in happenings])

    def _continued(self) -> StreamEncoder:
        """The client's encoder in the state in which the shown bytes leave it."""
        encoder = self._form.encoder()
        for happening in self._shown:
            if not isinstance(happening, Ended):
                encoder.encode(happening)
        return encoder

    def _resumed(self, held: Sequence[Frame]) -> bytes | None:
        """The calls of a later attempt after the text of an earlier one; ``None`` where there are none."""
        if not self._calls_began:
            return None
        happenings = _said(held)
        restored = restored_arguments(happenings, self._restore) if self._restore is not None else {}
        shown_blocks = [
            seen.block for seen in self._shown if not isinstance(seen, Began | Used | Ended | Failed)
        ]
        closed = {seen.block for seen in self._shown if isinstance(seen, BlockEnded)}
        following: list[Happening] = [BlockEnded(block=block) for block in sorted(set(shown_blocks) - closed)]
        following += _calls_alone(
            with_arguments(happenings, restored), first=max(shown_blocks, default=-1) + 1
        )
        encoder = self._continued()
        self._shown += following
        return b"".join([encoder.encode(happening) for happening in following]) + encoder.finish()


def _said(frames: Iterable[Frame]) -> list[Happening]:
    return [happening for frame in frames for happening in frame.happenings]


def restored_arguments(happenings: Iterable[Happening], restore: Callable[[str], str]) -> dict[int, str]:
    """The whole arguments of the calls in which ``restore`` changes something, by block."""
    arguments: dict[int, list[str]] = {}
    for happening in happenings:
        if isinstance(happening, ToolCallDelta):
            arguments.setdefault(happening.block, []).append(happening.arguments)
    whole = {block: "".join(pieces) for block, pieces in arguments.items()}
    restored = {block: restore(text) for block, text in whole.items()}
    return {block: text for block, text in restored.items() if text != whole[block]}


def with_arguments(happenings: Sequence[Happening], restored: Mapping[int, str]) -> tuple[Happening, ...]:
    """The events with the whole new arguments of some calls where their block ends, in place of their pieces."""
    result: list[Happening] = []
    for happening in happenings:
        if isinstance(happening, ToolCallDelta) and happening.block in restored:
            continue
        if isinstance(happening, BlockEnded) and happening.block in restored:
            result.append(ToolCallDelta(block=happening.block, arguments=restored[happening.block]))
        result.append(happening)
    return tuple(result)


def _calls_alone(happenings: Sequence[Happening], *, first: int) -> list[Happening]:
    """The calls, renumbered from ``first``, and the end of the answer."""
    blocks: dict[int, int] = {}
    result: list[Happening] = []
    for happening in happenings:
        match happening:
            case ToolCallBegan(block=block):
                blocks[block] = first + len(blocks)
                result.append(replace(happening, block=blocks[block]))
            case ToolCallDelta(block=block) | BlockEnded(block=block) if block in blocks:
                result.append(replace(happening, block=blocks[block]))
            case Used() | Ended():
                result.append(happening)
            case _:
                pass
    return result
