"""From what happens to what arrives: over a real home, with a real HTTP receiver, across restarts."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lastro.app.event_feed import EventFeed
from lastro.app.events import Event
from lastro.app.notifying.channels import read_channels, write_channels
from lastro.app.notifying.gathering import SILENT_AFTER_NS
from lastro.app.notifying.nouns import Channel, Digest, NoticeKind
from lastro.app.notifying.sending import post_by_apprise
from lastro.app.opening import open_services
from lastro.app.operation import Nothing, find_operation
from lastro.app.requests.notify import ChannelName, NotifyAdd
from lastro.app.requests.proposals import RejectProposal
from lastro.app.wiring import person
from lastro.domain.clock import SystemClock
from lastro.errors import ConfigError, ConflictError, NotFoundError, UnreachableError, UsageError
from lastro.faces.translation import spoken
from lastro.faces.wording import notice_words
from tests.decision_kit import Office
from tests.health_kit import DAY, HOUR, SECOND, FakeLinks, Posted, enrol, fake_alerts, sample_of
from tests.notice_kit import Receiver

pytestmark = pytest.mark.slow

PHONE = Channel(name="phone", url="json://127.0.0.1:1/x", digest=Digest.HOURLY)


class Keeper:
    """Services with notifying whose clock a test moves."""

    def __init__(self, services, post, moved_ns):
        self.moved_ns = moved_ns
        self.links = FakeLinks(services)
        self.services = services
        self.alerts = fake_alerts(services, self.links, post=post, now_ns=self.now_ns, feed=EventFeed())
        self.services = self.alerts._services  # noqa: SLF001  with these links
        self.look()

    def now_ns(self):
        return SystemClock().wall_ns() + self.moved_ns

    def look(self):
        self.alerts._catch_up()  # noqa: SLF001  what its thread does
        self.alerts.look()
        self.alerts.send_due()

    def pass_ns(self, length_ns):
        self.moved_ns += length_ns
        self.look()

    def tell(self, kind, **parameters):
        self.alerts.take(Event(kind=kind, time_ns=self.now_ns(), parameters=parameters))
        self.look()


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


@pytest.fixture
def posted():
    return Posted()


@contextmanager
def keeper(office, post, *, moved_ns=0, channels=(PHONE,)):
    if channels:
        write_channels(office.places.notification_settings, channels)
    with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
        held = Keeper(services, post, moved_ns)
        try:
            yield held
        finally:
            held.alerts.close()


def bodies(posted):
    return [body.split("\n")[0] for _url, _title, body, _urgent in posted]


# Proposals and runs -------------------------------------------------------------------------------------------------------------------


def test_a_proposal_of_medium_risk_is_told_at_once_with_a_link_and_once_over_restarts(office, posted):
    with keeper(office, posted):
        pass  # from here on what happens is told
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"two\n"}, purpose="\x1b[31mno\u202e", risk="medium")
    for _ in range(3):
        with keeper(office, posted) as held:
            held.pass_ns(0)
    assert len(posted) == 1
    _url, title, body, urgent = posted[0]
    assert urgent and title == "Lastro: a proposal waits"
    assert f"http://localhost:8420/proposals/{number}" in body
    assert "\x1b" not in body and "\u202e" not in body


def test_what_was_before_the_first_keeper_is_told_to_nobody(office, posted):
    with office.desk() as desk:
        office.propose(desk, {"a": b"two\n"}, risk="high")
    with keeper(office, posted) as held:
        held.pass_ns(2 * DAY)
    assert posted == []


def test_nothing_is_told_of_what_was_decided_meanwhile(office, posted):
    with keeper(office, posted):
        pass
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"two\n"}, risk="low")
        other = office.propose(desk, {"b": b"two\n"}, risk="low", purpose="stays")
    with keeper(office, posted):
        pass  # both are in the outbox, for the next digest
    with office.desk() as desk:
        find_operation("proposal.reject").run(
            desk, RejectProposal(proposal=f"proposal-{number}", reason="no")
        )
    with keeper(office, posted, moved_ns=2 * HOUR):
        pass
    assert bodies(posted) == [f"proposal-{other} waits for you: stays"]


def test_what_is_not_urgent_comes_together(office, posted):
    with keeper(office, posted):
        pass
    with office.desk() as desk:
        for name in ("a", "b", "c"):
            office.propose(desk, {name: b"two\n"}, risk="low")
    with keeper(office, posted) as held:
        assert posted == []
        held.pass_ns(HOUR)
    assert len(posted) == 1
    assert posted[0][1] == "Lastro: 3 things to know"
    assert posted[0][2].count("/proposals/") == 3 and not posted[0][3]


# Servers ------------------------------------------------------------------------------------------------------------------------------


def test_a_server_that_is_silent_for_a_moment_is_told_of_never(office, posted):
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "unreachable"
        held.tell("disconnected", server="web-01", detail="gone")
        held.links.states[server] = "connected"
        held.tell("connected", server="web-01")
        held.pass_ns(DAY)
    assert posted == []


def test_a_server_that_stays_silent_is_told_of_once_and_when_it_is_heard_again(office, posted):
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "unreachable"
        held.tell("disconnected", server="web-01", detail="gone")
        assert posted == []
        held.pass_ns(SILENT_AFTER_NS)
        held.tell("disconnected", server="web-01", detail="gone")
        held.pass_ns(DAY)
    with keeper(office, posted, moved_ns=DAY + HOUR) as held:
        held.links.states[server] = "unreachable"
        held.tell("disconnected", server="web-01", detail="gone")
        held.pass_ns(SILENT_AFTER_NS)
        assert bodies(posted) == ["web-01 is silent: gone"]
        held.links.states[server] = "connected"
        held.tell("connected", server="web-01")
        held.tell("connected", server="web-01")
    assert bodies(posted) == ["web-01 is silent: gone", "web-01 is heard again."]


def test_a_missing_capture_is_told_once_and_when_it_is_good_again_across_keepers(office, posted):
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "connected"
        held.links.roots[server] = {"/srv": held.now_ns()}
        held.look()
        held.links.states[server] = "unreachable"
        held.pass_ns(2 * HOUR)
        held.pass_ns(2 * HOUR)
        assert bodies(posted) == ["web-01: nothing good was kept of /srv for 2 h."]
    with keeper(office, posted, moved_ns=DAY) as held:
        assert len(posted) == 1
        held.links.states[server] = "connected"
        held.links.roots[server] = {"/srv": held.now_ns()}
        held.look()
        held.look()
    assert bodies(posted)[1:] == ["web-01: /srv is kept again."]


def test_a_keeper_that_was_away_for_long_says_so_when_it_is_back(office, posted):
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "connected"
        held.links.roots[server] = {"/srv": held.now_ns()}
        held.look()
    assert posted == []
    with keeper(office, posted, moved_ns=3 * DAY):
        pass
    assert bodies(posted) == ["web-01: nothing good was kept of /srv for 3 days."]


def test_until_when_all_was_kept_is_known_to_the_next_keeper_to_the_second(office, posted):
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "connected"
        for _ in range(3):
            held.links.roots[server] = {"/srv": held.now_ns()}
            held.pass_ns(5 * SECOND)
        good = held.alerts.vigil.root(server, "/srv").good_ns
    with keeper(office, posted) as held:
        assert held.alerts.vigil.root(server, "/srv").good_ns == good


def test_trouble_that_is_over_before_its_channel_took_it_is_not_told(office, posted):
    posted.works = False
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "connected"
        held.links.roots[server] = {"/srv": held.now_ns()}
        held.look()
        held.pass_ns(2 * HOUR)
        held.links.roots[server] = {"/srv": held.now_ns()}
        held.look()
        posted.works = True
        held.pass_ns(HOUR - SECOND)
        held.links.roots[server] = {"/srv": held.now_ns()}
        held.pass_ns(60 * SECOND)
    assert posted == []


def test_a_node_that_says_nothing_any_more_is_not_believed_whatever_its_link_says(office, posted):
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "connected"
        for _ in range(4):
            held.links.roots[server] = {"/srv": held.now_ns()}
            held.links.rings.add(server, sample_of(), held.now_ns())
            held.pass_ns(HOUR // 2)
        assert posted == []
        for _ in range(4):
            held.links.roots[server] = {"/srv": held.now_ns()}
            held.pass_ns(HOUR // 2)
    assert len(posted) == 1 and "nothing good was kept" in posted[0][2]


def test_when_much_goes_wrong_at_once_it_is_one_message(office, posted):
    with keeper(office, posted) as held:
        server = enrol(held.services, "web-01")
        held.links.states[server] = "connected"
        held.links.roots[server] = {f"/srv/{number}": held.now_ns() for number in range(50)}
        held.look()
        held.pass_ns(2 * HOUR)
    assert len(posted) == 1
    assert "and 20 more" in posted[0][2]


def test_a_sign_in_is_told(office, posted):
    with keeper(office, posted) as held:
        held.tell("signed_in", human="ana", means="password", address="10.0.0.9")
    assert bodies(posted) == ["ana signed in from 10.0.0.9."]
    assert posted[0][2].endswith("http://localhost:8420/settings")


# Through a real service ---------------------------------------------------------------------------------------------------------------


def test_a_real_service_gets_it_and_after_a_failure_gets_it_later(office, caplog):
    caplog.set_level(logging.DEBUG)
    with Receiver() as receiver:
        channel = Channel(name="phone", url=receiver.url)
        with keeper(office, post_by_apprise, channels=(channel,)) as held:
            receiver.status = 503
            held.tell("signed_in", human="ana", address="::1")
            held.look()
            assert held.alerts.work("phone").waiting == 1 and held.alerts.work("phone").failed_ns
            receiver.status = 200
        with keeper(office, post_by_apprise, channels=(channel,), moved_ns=60 * SECOND) as held:
            assert held.alerts.work("phone").sent_ns and not held.alerts.work("phone").failed_ns
            held.pass_ns(DAY)
    assert [(got["title"], got["path"]) for got in receiver.got] == [
        ("Lastro: somebody signed in", "/SECRET-PATH")
    ]
    assert "SECRET-PATH" not in caplog.text


def test_the_thread_hears_events_and_sends_them(office):
    with Receiver() as receiver:
        write_channels(office.places.notification_settings, [Channel(name="phone", url=receiver.url)])
        with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
            feed, links = EventFeed(), FakeLinks(services)
            alerts = fake_alerts(services, links, post=post_by_apprise, feed=feed)
            alerts.start(alerts._services)  # noqa: SLF001  with these links
            feed.publish(
                Event(kind="signed_in", time_ns=1, parameters={"human": "ana", "address": "10.0.0.1"})
            )
            got = receiver.wait(1)
            alerts.close()
    assert got[0]["message"].startswith("ana signed in from 10.0.0.1.")


def test_a_channels_language_is_spoken(office, posted):
    # Whether a sentence is translated is the catalogue's; that the channel's language is asked for is ours.
    seen = []
    original = notice_words._lines  # noqa: SLF001  to look at the language in force
    notice_words._lines = lambda *arguments: seen.append(spoken()) or original(*arguments)  # noqa: SLF001
    try:
        with keeper(office, posted, channels=(Channel(name="a", url="json://h", language="pt_BR"),)) as held:
            held.tell("signed_in", human="ana", address="x")
    finally:
        notice_words._lines = original  # noqa: SLF001
    assert seen == ["pt_BR"]


# Operations and the file --------------------------------------------------------------------------------------------------------------


def run(held, name, request):
    return find_operation(name).run(replace(held.services, alerts=held.alerts), request)


def test_a_channel_is_added_listed_without_its_address_tested_and_removed(office):
    with Receiver() as receiver, keeper(office, post_by_apprise, channels=()) as held:
        added = run(held, "notify.add", NotifyAdd(name="phone", url=receiver.url, kinds=("damage",)))
        listed = run(held, "notify.list", Nothing())
        assert listed.channels == (added,)
        assert "SECRET" not in repr(listed) and "127.0.0.1" not in repr(listed)
        assert (added.service, added.kinds, added.digest) == ("json", ("damage",), "daily")
        path = office.places.notification_settings
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert read_channels(path)[0].url == receiver.url
        run(held, "notify.test", ChannelName(name="phone"))
        assert receiver.got[0]["title"] == "Lastro: a test"
        receiver.status = 500
        with pytest.raises(UnreachableError) as refused:
            run(held, "notify.test", ChannelName(name="phone"))
        assert "SECRET" not in f"{refused.value}{refused.value.hint}{refused.value.parameters}"
        with pytest.raises(ConflictError):
            run(held, "notify.add", NotifyAdd(name="phone", url=receiver.url))
        run(held, "notify.remove", ChannelName(name="phone"))
        assert run(held, "notify.list", Nothing()).channels == ()
        with pytest.raises(NotFoundError):
            run(held, "notify.remove", ChannelName(name="phone"))


@pytest.mark.parametrize(
    "request_",
    [
        NotifyAdd(name="a"),
        NotifyAdd(name="a", url="SECRET"),
        NotifyAdd(name="a", url="nothingknown://SECRET"),
        NotifyAdd(name="a", url="json://h\x1bSECRET"),
        NotifyAdd(name="a", url="json://h/" + "SECRET" * 500),
        NotifyAdd(name="a b", url="json://SECRET"),
        NotifyAdd(name="../a", url="json://SECRET"),
        NotifyAdd(name="", url="json://SECRET"),
        NotifyAdd(name="a", url="json://SECRET", kinds=("weather",)),
        NotifyAdd(name="a", url="json://SECRET", digest="weekly"),
    ],
)
def test_what_is_impossible_is_refused_and_the_address_never_repeated(office, request_):
    with keeper(office, Posted(), channels=()) as held:
        with pytest.raises(UsageError) as refused:
            run(held, "notify.add", request_)
        assert "SECRET" not in f"{refused.value}{refused.value.hint}{refused.value.parameters}"
        assert run(held, "notify.list", Nothing()).channels == ()


@pytest.mark.parametrize(
    "text",
    [
        "channel = 1",
        "no toml SECRET",
        '[channel.a]\nurl = "SECRET"',
        '[channel.a]\nurl = "json://SECRET"\nnew = 1',
        '[channel.a]\nurl = "json://SECRET"\nkinds = ["weather"]',
        '[channel.a]\nurl = "json://h"\ndigest = "SECRET"',
        '[channel.a]\nurl = "json://h"\nSECRET = 1',
        b"\xff",
    ],
)
def test_a_file_that_cannot_be_used_is_said_without_what_stands_in_it(tmp_path, text):
    path = tmp_path / "notifications.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refused:
        read_channels(str(path))
    assert "SECRET" not in f"{refused.value}{refused.value.hint}{refused.value.parameters}"


def test_channels_are_read_as_they_were_written(tmp_path):
    path = str(tmp_path / "secrets" / "notifications.toml")
    channels = (
        Channel(name="a.b", url="json://h/x?y='\"", kinds=(NoticeKind.DAMAGE,), digest=Digest.NEVER),
        Channel(name="z", url="ntfy://t", language="pt_BR"),
    )
    write_channels(path, reversed(channels))
    assert read_channels(path) == channels


def test_a_keeper_whose_channels_cannot_be_read_goes_on(office, posted):
    path = office.places.notification_settings
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("broken")
    with keeper(office, posted, channels=()) as held:
        held.tell("signed_in", human="ana", address="x")
    assert posted == []


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(5000)])
def test_an_outbox_that_cannot_be_read_is_begun_anew_and_said(office, posted, content):
    os.makedirs(office.places.state, exist_ok=True)
    with open(office.places.notices_database, "wb") as file:
        file.write(content)
    feed, heard = EventFeed(), []
    feed.subscribe(heard.append)
    with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
        alerts = fake_alerts(services, FakeLinks(services), post=posted, feed=feed)
        alerts.take(Event(kind="signed_in", time_ns=1, parameters={"human": "ana"}))
        alerts.close()
    assert [event.kind for event in heard] == ["problem"]
    assert os.path.exists(f"{office.places.notices_database}.unreadable")
