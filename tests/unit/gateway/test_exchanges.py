"""Search finds each exchange by the words it added, by every filter, page by page; with and without full text alike."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.exchange import Attempt, AttemptOutcome, Bodies, Exchange, ExchangeOutcome
from lastro.gateway.exchange_records import draft_exchange
from lastro.gateway.exchanges import Only, search, show
from lastro.gateway.ledger import Ledger
from lastro.gateway.search_text import search_text
from tests.exchange_kit import ACTOR, T0, ask, begin, bodies, finish, name_of, say
from tests.store_kit import Kit


@pytest.fixture(params=[True, False], ids=["full text", "LIKE"])
def desk(request):
    with Kit().create() as repository:
        ledger = Ledger(repository, None, full_text=request.param)

        def keep(number, found=None, *, began=None, ended=None):
            exchange = Exchange(began=begin(number, **(began or {})), ended=finish(number, **(ended or {})))
            with repository.begin() as made:
                made.commit(draft_exchange(made, exchange, found, bodies_lost=False, actor=ACTOR))
            ledger.refresh()

        yield repository, ledger, keep
        ledger.close()


def found(ledger, words="", **filters):
    return [int(hit.exchange.began.id[2:]) for hit in search(ledger, words, only=Only(**filters)).hits]


def test_words_of_question_and_answer_are_found(desk):
    _, ledger, keep = desk
    keep(1, bodies("how do I sort a list", "use sorted()"))
    keep(2, bodies("rename get_user_name to fetch", "done: 100% of it"))
    keep(3, None)
    assert found(ledger, "sort list") == [1]
    assert found(ledger, "SORTED") == [1]
    assert found(ledger, "get_user_name") == [2]
    assert found(ledger, "fetch done") == [2]
    assert found(ledger, "sort fetch") == []
    assert found(ledger, "100%") == [2]
    keep(4, bodies("get0user1name, 1000 of them", "no"))
    assert found(ledger, "get_user_name") == [2]
    assert found(ledger, "do") == [2, 1]
    assert found(ledger) == [4, 3, 2, 1]


@pytest.mark.parametrize(
    "words", ['"', "'", "*", "NEAR(", "a OR b", "%", "_", "\\", "-x", "text:", "(", '" OR "']
)
def test_no_words_break_the_search(desk, words):
    _, ledger, keep = desk
    keep(1, bodies("plain", "words"))
    assert found(ledger, words) in ([], [1])


def test_an_excerpt_shows_the_words(desk):
    _, ledger, keep = desk
    keep(1, bodies("so much " * 100 + "needle " + "more " * 100, "hi"))
    (hit,) = search(ledger, "needle").hits
    assert "needle" in hit.excerpt and len(hit.excerpt) < 300
    assert hit.excerpt.startswith("…") and hit.excerpt.endswith("…")


def test_every_filter_holds(desk):
    _, ledger, keep = desk
    keep(
        1,
        began={"key": "k1", "key_name": "ana", "role": "r", "run": "run-1", "route": "edit", "kind": "edit"},
    )
    keep(2, ended={"provider": "openai", "model": "gpt-5/x", "outcome": ExchangeOutcome.BROKEN})
    keep(3, began={"time_ns": T0 + 10**9})
    assert found(ledger, key="ana") == found(ledger, key="k1", role="r") == [1]
    assert found(ledger, role="r") == found(ledger, run="run-?") == found(ledger, route="edit") == [1]
    assert found(ledger, kind="edit") == [1]
    assert found(ledger, provider="openai") == found(ledger, model="gpt*") == [2]
    assert found(ledger, model="openai/gpt-5/x") == found(ledger, outcome="broken") == [2]
    assert found(ledger, since_ns=T0 + 10**9) == [3]
    assert found(ledger, until_ns=T0 + 10**9) == [2, 1]
    assert found(ledger, provider="p", model="m", key="k1") == [3, 1]
    assert found(ledger, provider="nobody") == []


def test_pages_hold_everything_once(desk):
    _, ledger, keep = desk
    for number in range(7):
        keep(number, bodies("same words", "again"))
    seen, before = [], None
    while True:
        page = search(ledger, "same", limit=3, before=before)
        seen += [hit.exchange.began.id for hit in page.hits]
        before = page.before
        if before is None:
            break
    assert seen == [name_of(number) for number in reversed(range(7))]


def test_one_is_shown_whole(desk):
    repository, ledger, keep = desk
    keep(1, bodies("ask", "answer"))
    keep(2, None)
    assert show(repository, ledger, name_of(1)).bodies == bodies("ask", "answer")
    assert show(repository, ledger, name_of(2)).bodies is None


# What is searched -----------------------------------------------------------------------------------------------------------------------


def text_of(found, dialect=Dialect.CHAT, **fields):
    attempt = Attempt(provider="p", model="m", dialect=dialect, outcome=AttemptOutcome.ANSWERED)
    exchange = Exchange(began=begin(1, dialect=dialect, **fields), ended=finish(1, attempts=(attempt,)))
    return search_text(exchange, found)


def test_only_what_a_step_added_is_searched():
    messages = [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "first answer"},
        {"role": "user", "content": "second question"},
    ]
    request = json.dumps({"model": "m", "messages": messages}).encode()
    text = text_of(replace(bodies(), request=request, answer=say("second answer")))
    assert "second question" in text and "second answer" in text
    assert "first" not in text and "rules" not in text


def test_a_streamed_answer_is_read_as_words():
    pieces = [
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        for choice in (
            {"index": 0, "delta": {"role": "assistant", "content": "split wo"}, "finish_reason": None},
            {"index": 0, "delta": {"content": "rds"}, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        )
    ]
    stream = (
        b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces) + b"data: [DONE]\n\n"
    )
    found = Bodies(
        request=ask("q"),
        sent=b"",
        sent_path="/",
        answer=stream,
        content_type="text/event-stream; charset=utf-8",
    )
    assert "split words" in text_of(found)
    cut = replace(found, answer=stream[: stream.index(b"rds") + 40])
    assert "split wo" in text_of(cut)


def test_a_stream_that_says_nothing_for_long_is_not_read_to_its_end():
    def piece(text):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        said = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return b"data: " + json.dumps(said).encode() + b"\n\n"

    def text_of_stream(answer):
        found = bodies("question")
        return text_of(replace(found, answer=answer, content_type="text/event-stream"))

    silence = b": " + b"." * 2000 + b"\n\n"
    text = text_of_stream(piece("early") + silence * 5000 + piece("late"))
    assert "early" in text and "late" not in text
    assert "late" in text_of_stream(piece("early") + silence * 100 + piece("late"))


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("raw", [b"", b"\xff\x00 odd words", b"{", b"[]", b'{"messages": 5}'])
def test_any_bodies_have_a_text(dialect, raw):
    text = text_of(Bodies(request=raw, sent=raw, sent_path="/", answer=raw, content_type="x"), dialect)
    assert "\x00" not in text
    assert ("odd words" in text) == (b"odd words" in raw)
