"""What a spool's frames say, and how they come together again. Pure.

What always holds: the note of an end tells the beginning again, so it needs no other note; the bytes that two bodies share stand in it
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from lastro.gateway.exchange import Bodies, Exchange, ExchangeBegan, ExchangeEnded, ExchangeOutcome


class BeganNote(Struct, frozen=True, kw_only=True, tag="began"):
    """An exchange began."""

    began: ExchangeBegan


class EndedNote(Struct, frozen=True, kw_only=True, tag="ended"):
    """An exchange ended. ``bodies_elsewhere``: they were too large to be noted in passing, and stayed in memory.

    ``sent`` has ``sent_head`` bytes of the beginning of ``request``, then ``sent_middle``, then ``sent_tail`` bytes of its end.
    """

    exchange: Exchange
    bodies_elsewhere: bool = False
    recorded: bool = False
    request: bytes = b""
    sent_head: int = 0
    sent_middle: bytes = b""
    sent_tail: int = 0
    sent_path: str = ""
    answer: bytes = b""
    content_type: str = ""


Note = BeganNote | EndedNote

_DECODER: Final[msgspec.msgpack.Decoder[Note]] = msgspec.msgpack.Decoder(Note)
_ENDED_DECODER: Final = msgspec.msgpack.Decoder(EndedNote)
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode_began(began: ExchangeBegan) -> bytes:
    """The frame that notes a beginning."""
    return _ENCODER.encode(BeganNote(began=began))


def encode_ended(exchange: Exchange, bodies: Bodies | None, *, elsewhere: bool = False) -> bytes:
    """The frame that notes an end, with ``bodies`` unless they are ``elsewhere``."""
    if bodies is None or elsewhere:
        return _ENCODER.encode(EndedNote(exchange=exchange, bodies_elsewhere=elsewhere))
    head, tail = _shared(bodies.request, bodies.sent)
    return _ENCODER.encode(
        EndedNote(
            exchange=exchange,
            recorded=True,
            request=bodies.request,
            sent_head=head,
            sent_middle=bodies.sent[head : len(bodies.sent) - tail],
            sent_tail=tail,
            sent_path=bodies.sent_path,
            answer=bodies.answer,
            content_type=bodies.content_type,
        )
    )


def decode_note(frame: bytes) -> Note | None:
    """The note in a frame; ``None`` if it is none that this version knows."""
    try:
        return _DECODER.decode(frame)
    except msgspec.DecodeError:
        return None


def decode_ended(frame: bytes) -> EndedNote | None:
    """The note of an end in a frame; ``None`` if it is none that this version knows."""
    try:
        return _ENDED_DECODER.decode(frame)
    except msgspec.DecodeError:
        return None


def bodies_of(note: EndedNote) -> Bodies | None:
    """The bodies in a note; ``None`` if it has none."""
    if not note.recorded:
        return None
    end = len(note.request) - note.sent_tail
    return Bodies(
        request=note.request,
        sent=note.request[: note.sent_head] + note.sent_middle + note.request[end:],
        sent_path=note.sent_path,
        answer=note.answer,
        content_type=note.content_type,
    )


def unfinished(notes: Iterable[Note]) -> list[ExchangeBegan]:
    """The exchanges that began and have no end among ``notes``, by their ids, which sort by time."""
    began: dict[str, ExchangeBegan] = {}
    ended: set[str] = set()
    for note in notes:
        if isinstance(note, BeganNote):
            began[note.began.id] = note.began
        else:
            ended.add(note.exchange.began.id)
    return [began[name] for name in sorted(began.keys() - ended)]


def interrupt(began: ExchangeBegan) -> Exchange:
    """An exchange whose gateway was killed: what was reserved for it counts as spent. How long it took is not known (0)."""
    ended = ExchangeEnded(
        id=began.id,
        outcome=ExchangeOutcome.INTERRUPTED,
        duration_ns=0,
        cost=began.reserved_cost,
    )
    return Exchange(began=began, ended=ended)


def _shared(first: bytes, second: bytes) -> tuple[int, int]:
    """How many bytes two bodies share at their beginning, and how many of the rest at their end."""
    shorter = min(len(first), len(second))
    head = _agreeing(shorter, lambda start, stop: first.startswith(second[start:stop], start))
    left = shorter - head
    if left and first.endswith(second[-left:]):
        return head, left  # one place differs, as with another model's name
    ends = len(first), len(second)
    tail = _agreeing(
        left,
        lambda start, stop: first.endswith(second[ends[1] - stop : ends[1] - start], 0, ends[0] - start),
    )
    return head, tail


def _agreeing(limit: int, agree: Callable[[int, int], bool]) -> int:
    """How far, up to ``limit``, two bodies agree: blocks that double until one differs, then halve. Each is compared at memory's speed."""
    found, step = 0, 64
    while found < limit:
        block = min(step, limit - found)
        if agree(found, found + block):
            found, step = found + block, 2 * step
        elif block == 1:
            break
        else:
            limit, step = found + block, block // 2
    return found
