"""Laws of notes: both halves and all bodies come back, what two bodies share is noted once, and what never ended is found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.exchange import Bodies, ExchangeOutcome
from lastro.gateway.spool_notes import (
    BeganNote,
    EndedNote,
    bodies_of,
    decode_note,
    encode_began,
    encode_ended,
    interrupt,
    unfinished,
)
from tests.exchange_kit import any_bodies, any_exchange, begin

letters = st.binary(max_size=300).map(lambda raw: bytes(97 + byte % 2 for byte in raw))


@given(any_exchange(1), st.none() | any_bodies)
def test_an_end_comes_back_with_its_beginning_and_bodies(exchange, bodies):
    note = decode_note(encode_ended(exchange, bodies))
    assert isinstance(note, EndedNote)
    assert (note.exchange, bodies_of(note)) == (exchange, bodies)


@given(any_exchange(1), any_bodies)
def test_bodies_that_are_elsewhere_are_not_noted(exchange, bodies):
    note = decode_note(encode_ended(exchange, bodies, elsewhere=True))
    assert (note.bodies_elsewhere, bodies_of(note)) == (True, None)


@given(any_exchange(1))
def test_a_beginning_comes_back(exchange):
    assert decode_note(encode_began(exchange.began)) == BeganNote(began=exchange.began)


@given(any_exchange(1), letters, letters, st.data())
def test_what_two_bodies_share_is_noted_once(exchange, request, middle, data):
    cut = data.draw(st.integers(0, len(request)))
    rest = data.draw(st.integers(cut, len(request)))
    sent = request[:cut] + middle + request[rest:]
    bodies = Bodies(request=request, sent=sent, sent_path="/", answer=b"")
    note = decode_note(encode_ended(exchange, bodies))
    assert bodies_of(note) == bodies
    assert len(note.sent_middle) <= len(middle)


@given(st.binary(max_size=50))
def test_other_frames_are_no_notes(raw):
    assert decode_note(raw) is None


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans())))
def test_what_began_and_never_ended_is_found_in_any_order(steps):
    notes, began, ended = [], set(), set()
    for number, is_end in steps:
        one = begin(number)
        if is_end:
            ended.add(one.id)
            notes.append(EndedNote(exchange=interrupt(one)))
        else:
            began.add(one.id)
            notes.append(BeganNote(began=one))
    assert [item.id for item in unfinished(notes)] == sorted(began - ended)


def test_an_interrupted_exchange_spent_what_was_reserved():
    exchange = interrupt(begin(1, reserved_cost=9))
    assert (exchange.ended.outcome, exchange.ended.cost) == (ExchangeOutcome.INTERRUPTED, 9)
    assert interrupt(begin(1, reserved_cost=None)).ended.cost is None
