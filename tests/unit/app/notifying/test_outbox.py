"""What waits to be told: once, in time, tried again, and forgotten when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.notifying import outbox as box
from lastro.app.notifying.nouns import Channel, Digest, Notice, NoticeKind
from lastro.app.notifying.outbox import Outbox, due_ns, retry_ns
from lastro.catalogue.database import open_file, open_memory
from tests.health_kit import DAY, HOUR, SECOND

NOW = 1_800_000_000 * SECOND
PHONE = Channel(name="phone", url="json://h")


def notice(key="a", *, kind=NoticeKind.DAMAGE, urgent=True, time_ns=NOW, **rest):
    return Notice(
        kind=kind, key=key, urgent=urgent, time_ns=time_ns, msgid="{x}", parameters={"x": "\udcff"}, **rest
    )


def keys(outbox, now=NOW, channel="phone"):
    return [each.notice.key for each in outbox.due(channel, now)]


def test_the_same_thing_is_put_in_once_also_after_a_restart(tmp_path):
    path = str(tmp_path / "notices.db")
    for _ in range(2):
        outbox = Outbox(open_file(path))
        outbox.put([notice(), notice()], [PHONE], NOW, seq=7)
        outbox.close()
    outbox = Outbox(open_file(path))
    assert outbox.due("phone", NOW)[0].notice == notice()
    assert keys(outbox) == ["a"] and outbox.seq() == 7


def test_what_was_sent_is_not_taken_in_again():
    outbox = Outbox(open_memory())
    outbox.put([notice()], [PHONE], NOW)
    outbox.ended([outbox.due("phone", NOW)[0].number], "sent", NOW)
    outbox.put([notice()], [PHONE], NOW)
    assert keys(outbox) == [] and outbox.was_sent("phone", "a")


def test_a_channel_gets_the_kinds_it_wants():
    outbox = Outbox(open_memory())
    quiet = Channel(name="quiet", url="json://h", kinds=(NoticeKind.SIGN_IN,))
    outbox.put([notice()], [PHONE, quiet], NOW)
    assert keys(outbox) == ["a"] and keys(outbox, channel="quiet") == []


@pytest.mark.parametrize(
    ("digest", "least", "most"),
    [(Digest.AT_ONCE, 0, 0), (Digest.HOURLY, 1, HOUR), (Digest.DAILY, 1, DAY + 2 * HOUR)],
)
@given(now=st.integers(1_600_000_000, 1_900_000_000))
def test_what_is_not_urgent_waits_for_its_digest(digest, least, most, now):
    now *= SECOND
    assert least <= due_ns(notice(urgent=False), digest, now) - now <= most
    assert due_ns(notice(), digest, now) == now


def test_a_channel_that_wants_no_digest_gets_what_is_urgent():
    outbox = Outbox(open_memory())
    urgent_only = Channel(name="phone", url="json://h", digest=Digest.NEVER)
    outbox.put([notice("low", urgent=False), notice("high")], [urgent_only], NOW)
    assert keys(outbox, NOW + 2 * DAY) == ["high"]


def test_after_failures_it_is_tried_more_and_more_slowly_and_given_up_after_three_days():
    outbox = Outbox(open_memory())
    outbox.put([notice()], [PHONE], NOW)
    now, attempts = NOW, 0
    while waiting := outbox.due("phone", now):
        outbox.put_off(waiting, now)
        assert outbox.due("phone", now) == []
        attempts += 1
        now += retry_ns(attempts)
        assert attempts < 200
    assert now - NOW > box.GIVEN_UP_NS
    assert 70 < attempts < 90
    assert outbox.work("phone").failed_ns and not outbox.work("phone").waiting


def test_pauses_between_attempts_grow_to_an_hour():
    pauses = [retry_ns(attempt) for attempt in range(1, 100)]
    assert pauses == sorted(pauses) and pauses[0] == 30 * SECOND and pauses[-1] == HOUR


def test_a_channel_that_is_gone_is_forgotten():
    outbox = Outbox(open_memory())
    outbox.put([notice()], [PHONE], NOW)
    outbox.forget("phone")
    assert keys(outbox) == []


def test_what_ended_long_ago_is_thinned_out_and_what_waits_stays():
    outbox = Outbox(open_memory())
    outbox.put([notice("old"), notice("waits")], [PHONE], NOW)
    outbox.ended([outbox.due("phone", NOW)[0].number], "sent", NOW)
    outbox.thin(NOW + 31 * DAY)
    assert not outbox.was_sent("phone", "old") and keys(outbox) == ["waits"]


def test_no_more_waits_for_a_channel_than_there_is_room(monkeypatch):
    monkeypatch.setattr(box, "MOST_WAITING", 3)
    outbox = Outbox(open_memory())
    outbox.put([notice(str(number), urgent=number == 0) for number in range(6)], [PHONE], NOW)
    assert keys(outbox, NOW + 2 * DAY) == ["0", "4", "5"]
