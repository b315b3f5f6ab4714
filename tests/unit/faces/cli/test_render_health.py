"""``lastro server health``, ``lastro notify``, and the words of health in ``lastro status``."""

from __future__ import annotations

import pytest

from lastro.app.operation import find_operation
from lastro.app.requests import ServerList, ServerState
from lastro.app.requests.health import Finding, HealthOfServer, HealthReply, KeeperUse, Level, RootHealth
from lastro.app.requests.notify import ChannelList, ChannelRemoved, ChannelState, ChannelTested
from lastro.app.requests.sentence import Sentence
from lastro.domain.telemetry import DiskUse
from lastro.faces.cli.render import render
from tests.protocol_nouns import sample_of
from tests.unit.faces.cli.conftest import NOW_NS
from tests.unit.faces.cli.test_render import HOSTILE, INERT

MINUTE = 60_000_000_000


@pytest.fixture
def shown(context, streams):
    def show(reply, request=None):
        streams()
        render(reply, request, context)
        return streams()

    return show


def finding(level, msgid, code="x", **parameters):
    return Finding(level=level, said=Sentence(msgid=msgid, parameters=parameters, code=code))


def root(path, **rest):
    base = {
        "watched": True,
        "level": Level.GOOD,
        "good_ns": NOW_NS - 5 * MINUTE,
        "limit_ns": 60 * MINUTE,
        "rpo_ns": 5 * MINUTE,
        "pending": 0,
        "snapshots": 1,
        "last_snapshot": 1,
        "last_ns": 1,
        "files": 1,
        "bytes": 1,
    }
    return RootHealth(path=path, **{**base, **rest})


def test_health_says_what_is_kept_how_the_machine_does_and_what_is_wrong(shown):
    server = HealthOfServer(
        id="1",
        name=HOSTILE,
        device="D",
        address="h:1",
        link="connected",
        level=Level.BAD,
        heard_ns=NOW_NS,
        roots=(
            root("/srv", disk=DiskUse(path="/srv", total=100 * 10**9, free=10**9), full_in_ns=90 * MINUTE),
            root("/old", watched=False),
            root("/new", good_ns=0),
        ),
        findings=(
            finding(
                Level.BAD,
                "Nothing good was kept of {path} for {length}.",
                path=HOSTILE,
                length_ns=str(120 * MINUTE),
            ),
        ),
        newest=sample_of(time_ns=NOW_NS - MINUTE),
    )
    keeper = KeeperUse(cpu=15, memory=10**8, disk=DiskUse(path="/r", total=10, free=5))
    out, err = shown(HealthReply(servers=(server,), keeper=keeper))
    assert out == (
        f"{INERT}  not well  connected\n"
        "  /srv  all kept until 5 min ago  1.0 GB of 100 GB free  full in 1 h\n"
        "  /old  not watched\n"
        "  /new  not captured yet\n"
        "  processors 10.0 % · load 0.42 · memory 50.0 % of 8.0 GB · the node 0.3 % and 40.0 MB · 1 min ago\n"
        f"  ! Nothing good was kept of {INERT} for 2 h.\n"
    )
    assert err == "The keeper uses 1.5 % of a processor and 100 MB; 5 B are free where its repository lies.\n"


def test_health_of_nothing_says_how_to_begin(shown):
    out, err = shown(HealthReply(servers=()))
    assert out == "" and "lastro node pair" in err


def test_status_says_what_its_lines_do_not_say_anyway(shown):
    state = ServerState(
        id="1",
        name="web",
        device="D",
        address="h:1",
        link="unreachable",
        problem="gone",
        findings=(
            finding(Level.BAD, "It cannot be reached: {reason}", code="unreachable", reason="gone"),
            finding(
                Level.BAD,
                "The disk of {path} is {percent} % full.",
                code="disk_full",
                path="/srv",
                percent="97",
            ),
        ),
    )
    out, _err = shown(ServerList(servers=(state,)))
    assert out == "web  unreachable  h:1  gone\n  ! The disk of /srv is 97 % full.\n"


def test_channels(shown):
    everything = ("capture_missing", "damage", "proposal", "run_failed", "server_silent", "sign_in")
    out, _err = shown(
        ChannelList(
            channels=(
                ChannelState(
                    name="phone",
                    service="ntfy",
                    kinds=everything,
                    digest="daily",
                    sent_ns=NOW_NS - MINUTE,
                    waiting=1,
                ),
                ChannelState(
                    name=HOSTILE,
                    service=HOSTILE,
                    kinds=("damage",),
                    digest="never",
                    failed_ns=NOW_NS - MINUTE,
                ),
            )
        )
    )
    lines = out.splitlines()
    assert lines[0].split("  ")[-1] == "1 waits, arrived 1 min ago" and "everything" in lines[0]
    assert "daily digest" in lines[0] and "urgent things only" in lines[1]
    assert (
        INERT in lines[1]
        and "the repository is damaged" in lines[1]
        and "did not arrive 1 min ago" in lines[1]
    )


def test_no_channels_says_how_to_begin(shown):
    out, err = shown(ChannelList(channels=()))
    assert out == "" and "lastro notify add NAME --url-stdin" in err


def test_what_was_done_with_a_channel(shown):
    assert shown(ChannelRemoved(name=HOSTILE))[0] == f"{INERT} is told nothing any more.\n"
    assert shown(ChannelTested(name=HOSTILE))[0] == f"Sent to {INERT}.\n"
    state = ChannelState(name="a", service="json", kinds=("damage",), digest="hourly")
    assert shown(state)[0] == "a  json  the repository is damaged  hourly digest\n"


def test_a_channels_address_is_no_part_of_any_reply():
    for name in ("notify.add", "notify.list", "notify.remove", "notify.test"):
        assert "url" not in str(find_operation(name).reply.__struct_fields__)
    assert "url" not in ChannelState.__struct_fields__
