"""Events reach whoever listens; who cannot listen any more stops nobody."""

from __future__ import annotations

from lastro.app.event_feed import EventFeed
from lastro.app.events import Event


def test_a_subscriber_that_fails_is_forgotten_and_the_others_go_on():
    feed, heard = EventFeed(), []

    def broken(_):
        heard.append("broken")
        raise BrokenPipeError

    feed.subscribe(broken)
    end = feed.subscribe(lambda event: heard.append(event.kind))
    for kind in ("one", "two"):
        feed.publish(Event(kind=kind, time_ns=0))
    assert heard == ["broken", "one", "two"]
    end()
    feed.publish(Event(kind="three", time_ns=0))
    assert heard == ["broken", "one", "two"]
