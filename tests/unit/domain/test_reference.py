"""Laws of references: whatever is typed is one thing or an error, times are those of the reader's clocks, and ``@`` may be in a name."""

from __future__ import annotations

import posixpath
import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.ids import LOCAL
from lastro.domain.reference import (
    AtId,
    AtNow,
    AtTime,
    Reference,
    absolute,
    is_server_name,
    normal,
    parse_at,
    parse_reference,
)
from lastro.errors import UsageError
from tests.strategies import any_text, references

SECOND = 1_000_000_000
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
NEW_YORK = ZoneInfo("America/New_York")
NEW_YORK_FORWARD = "2026-03-08"  # 02:00 becomes 03:00
NEW_YORK_BACK = "2026-11-01"  # 02:00 becomes 01:00
APIA = ZoneInfo("Pacific/Apia")  # had no 30 December 2011
ZONES = [UTC, SAO_PAULO, NEW_YORK, APIA, ZoneInfo("Australia/Lord_Howe"), timezone(timedelta(hours=14))]


def instant(text):
    """Nanoseconds of an ISO 8601 instant with its offset."""
    at = datetime.fromisoformat(text)
    assert at.tzinfo is not None
    return (at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


NOW = instant("2026-11-20T15:30:00.000000Z") + 123_456_789


def at(text, *, now_ns=NOW, zone=UTC):
    return parse_at(text, now_ns=now_ns, zone=zone)


def parse(text, *, now_ns=NOW, zone=UTC, **options):
    return parse_reference(
        text, now_ns=now_ns, zone=zone, directory="/home/ana/work", home="/home/ana", **options
    )


def meant(server, path, at=None):
    return Reference(server=server, path=path, at=at)


# What the reference of the command line promises --------------------------------------------------------------------------------------

DAYS_AGO = AtTime(NOW - 2 * 86_400 * SECOND)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("web-01", meant("web-01", "")),
        ("web-01:/etc/nginx", meant("web-01", "/etc/nginx")),
        ("web-01:/etc/nginx@2d", meant("web-01", "/etc/nginx", DAYS_AGO)),
        ("web-01@apply-7^", meant("web-01", "", AtId("apply", 7, before=True))),
        ("web-01@apply-7", meant("web-01", "", AtId("apply", 7, before=False))),
        ("web-01:x@snap-118", meant("web-01", "x", AtId("snap", 118, before=False))),
        ("local:README.md@now", meant(LOCAL, "README.md", AtNow())),
        ("local:/etc@2026-11-19T14:05Z", meant(LOCAL, "/etc", AtTime(instant("2026-11-19T14:05Z")))),
        ("/etc/hosts", meant(LOCAL, "/etc/hosts")),
        ("./x", meant(LOCAL, "/home/ana/work/x")),
        ("../x/", meant(LOCAL, "/home/ana/x")),
        (".", meant(LOCAL, "/home/ana/work")),
        ("..", meant(LOCAL, "/home/ana")),
        (".@2d", meant(LOCAL, "/home/ana/work", DAYS_AGO)),
        ("~", meant(LOCAL, "/home/ana")),
        ("~/x@2d", meant(LOCAL, "/home/ana/x", DAYS_AGO)),
        ("/../../etc/./x//y/", meant(LOCAL, "/etc/x/y")),
        ("@2d", meant(LOCAL, "", DAYS_AGO)),
        # an @ that starts no time belongs to the name
        ("./mail@example.org", meant(LOCAL, "/home/ana/work/mail@example.org")),
        ("web-01:/srv/a@b/c", meant("web-01", "/srv/a@b/c")),
        ("/x@2d@now", meant(LOCAL, "/x@2d", AtNow())),
        ("/x@", meant(LOCAL, "/x@")),
        ("/x@2026-02-30", meant(LOCAL, "/x@2026-02-30")),
        ("/x@25:00", meant(LOCAL, "/x@25:00")),
        ("/x@snap-0", meant(LOCAL, "/x@snap-0")),
        ("/x@run-42", meant(LOCAL, "/x@run-42")),
        ("/x@ 2d", meant(LOCAL, "/x@ 2d")),
        ("/x@٢d", meant(LOCAL, "/x@٢d")),
        ("/x@2d\n", meant(LOCAL, "/x@2d\n")),
        # a colon in a path of this machine, or a second one, is part of the path
        ("./a:b", meant(LOCAL, "/home/ana/work/a:b")),
        ("web-01:/a:b", meant("web-01", "/a:b")),
        ("./caf\udce9", meant(LOCAL, "/home/ana/work/caf\udce9")),
        # a bare word is a server; that there is none called README.md is for those who know the servers to say
        ("README.md", meant("README.md", "")),
    ],
)
def test_what_is_typed_means(text, reference):
    assert parse(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "etc/nginx",
        "my file.txt",
        ".hidden",
        "~ana/x",
        "mail@example.org",
        "-x",
        ":x",
        "a" * 64,
        "./a\0b",
        "é",
    ],
)
def test_what_is_no_reference_says_how_to_write_one(text):
    with pytest.raises(UsageError, match="not a reference") as caught:
        parse(text)
    assert "./PATH" in caught.value.hint_text
    assert caught.value.parameters["text"] == text


def test_an_instant_given_apart_leaves_the_whole_text_to_the_path():
    assert parse("/x@2d", at="now") == meant(LOCAL, "/x@2d", AtNow())
    assert parse("/x", at="2d") == meant(LOCAL, "/x", DAYS_AGO)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "@2d", "2026-13-01", "999999999w", "0001-01-01", "9999-12-31"]
)
def test_an_instant_given_apart_must_be_one(text):
    with pytest.raises(UsageError, match="not a time") as caught:
        parse("/x", at=text)
    assert "2d" in caught.value.hint_text


@given(references)
def test_a_reference_that_is_written_out_is_read_back(reference):
    when = reference.at
    if isinstance(when, AtTime):
        when = replace(when, time_ns=when.time_ns)
        seconds, fraction = divmod(when.time_ns, SECOND)
        written = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
    elif isinstance(when, AtId):
        written = f"{when.kind}-{when.number}{'^' if when.before else ''}"
    else:
        written = "now"
    place = f"{reference.server}:{reference.path}" if reference.path else reference.server
    read = parse(f"{place}@{written}") if when is not None else parse(place, at="now")
    assert read == replace(reference, at=when or AtNow())


words = st.text(st.sampled_from("0129aw@^:-+./~TZsmhd \0é\udcff\ud800"), max_size=24)
almost = st.from_regex(
    re.compile(r"(local:)?/?x@(\d{1,4}[-:]?){1,6}(T[\d:.]+)?(Z|[+-]\d\d:?\d\d|[smhdw^])?", re.ASCII),
    fullmatch=True,
)


@given(st.one_of(words, almost, st.text(), any_text), st.none() | words | almost, st.sampled_from(ZONES))
@example("x@999999999w", "999999999w", UTC)
@example("/x@0001-01-01", None, timezone(timedelta(hours=14)))
@example("/x@9999-12-31T23:59", None, timezone(timedelta(hours=-12)))
@example("/x@2026-01-01T00:00+99:99", "2026-01-01T00:00-23:60", UTC)
def test_any_text_is_a_reference_or_a_usage_error(text, at, zone):
    try:
        reference = parse(text, zone=zone, at=at)
    except UsageError:
        return
    assert is_server_name(reference.server)
    assert reference.path == normal(reference.path)
    if isinstance(reference.at, AtTime):
        assert -(1 << 63) <= reference.at.time_ns < 1 << 63


# Times --------------------------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 999), st.sampled_from("smhdw"))
def test_a_time_ago_counts_back_from_now(count, unit):
    seconds = count * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[unit]
    assert at(f"{count}{unit}") == AtTime(NOW - seconds * SECOND)


@pytest.mark.parametrize(
    ("text", "zone", "means"),
    [
        ("15:30", UTC, "2026-11-20T15:30Z"),
        ("15:31", UTC, "2026-11-19T15:31Z"),
        ("15:30:01", UTC, "2026-11-19T15:30:01Z"),
        ("9:05", UTC, "2026-11-20T09:05Z"),
        ("12:30", SAO_PAULO, "2026-11-20T12:30-03:00"),
        ("12:31", SAO_PAULO, "2026-11-19T12:31-03:00"),
        ("2026-11-20", UTC, "2026-11-20T00:00Z"),
        ("2026-11-20", SAO_PAULO, "2026-11-20T03:00Z"),
        ("2026-11-20T14:05", SAO_PAULO, "2026-11-20T17:05Z"),
        ("2026-11-20 14:05:06", SAO_PAULO, "2026-11-20T17:05:06Z"),
        ("2026-11-20T14:05Z", SAO_PAULO, "2026-11-20T14:05Z"),
        ("2026-11-20T14:05+0530", UTC, "2026-11-20T08:35Z"),
        ("2026-11-20T14:05-05:30", UTC, "2026-11-20T19:35Z"),
        ("2026-11-20T14:05:06.5Z", UTC, "2026-11-20T14:05:06.500Z"),
        ("1969-12-31T23:59:59.25Z", UTC, "1969-12-31T23:59:59.250Z"),
    ],
)
def test_a_time_is_of_the_readers_zone_or_the_one_it_names(text, zone, means):
    assert at(text, zone=zone) == AtTime(instant(means))


def test_a_time_is_exact_to_the_nanosecond():
    assert at("2200-01-01T00:00:00.123456789Z") == AtTime(instant("2200-01-01T00:00Z") + 123_456_789)


IMPOSSIBLE = [
    "24:00",
    "12:60",
    "1:2",
    "14:05:60",
    "2026-02-29",
    "2026-00-10",
    "2026-11-20T24:00",
    "2026-11-20T14",
    "20261120",
]
IMPOSSIBLE += [
    "2026-11-20T14:05+24:00",
    "2026-11-20T14:05+01:60",
    "2026-11-20Z",
    "1677-01-01",
    "2262-12-31",
    "0000-01-01",
    "999999999w",
]
IMPOSSIBLE += [
    "snap-",
    "snap-01",
    "snap-1^^",
    "apply-7 ",
    "Snap-1",
    "snap-" + "9" * 19,
    "now ",
    "",
    "1.5d",
    "-2d",
    "2y",
]


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_what_is_impossible_is_not_a_time(text):
    assert at(text) is None


def test_a_clock_time_before_the_first_day_is_none():
    assert at("14:05", now_ns=instant("0001-01-01T12:00Z")) is None


def test_the_first_and_last_instants_fit_64_bits():
    assert at("1677-09-21T00:12:43.145224193Z") == AtTime(-(1 << 63) + 1)
    assert at("2262-04-11T23:47:16.854775807Z") == AtTime((1 << 63) - 1)
    assert at("2262-04-11T23:47:16.854775808Z") is None


@pytest.mark.parametrize(
    ("now", "text", "means"),
    [
        # clocks go back: 01:30 comes twice
        (f"{NEW_YORK_BACK}T01:10-05:00", "01:30", f"{NEW_YORK_BACK}T01:30-04:00"),
        (f"{NEW_YORK_BACK}T01:40-05:00", "01:30", f"{NEW_YORK_BACK}T01:30-05:00"),
        (f"{NEW_YORK_BACK}T01:40-04:00", "01:30", f"{NEW_YORK_BACK}T01:30-04:00"),
        (f"{NEW_YORK_BACK}T01:10-04:00", "01:30", "2026-10-31T01:30-04:00"),
        # clocks go forward: there is no 02:30
        (f"{NEW_YORK_FORWARD}T12:00-04:00", "02:30", "2026-03-07T02:30-05:00"),
        (f"{NEW_YORK_FORWARD}T03:10-04:00", "03:00", f"{NEW_YORK_FORWARD}T03:00-04:00"),
        (f"{NEW_YORK_FORWARD}T03:10-04:00", "01:59", f"{NEW_YORK_FORWARD}T01:59-05:00"),
    ],
)
def test_a_clock_time_on_a_day_of_change_is_the_last_that_clocks_showed(now, text, means):
    assert at(text, now_ns=instant(now), zone=NEW_YORK) == AtTime(instant(means))


def test_a_clock_time_after_a_skipped_day():
    now = instant("2011-12-31T10:00+14:00")
    assert at("11:00", now_ns=now, zone=APIA) == AtTime(instant("2011-12-29T11:00-10:00"))


@given(
    st.integers(0, 86_399),
    st.integers(instant("1995-01-01T00:00Z") // SECOND, instant("2035-01-01T00:00Z") // SECOND),
    st.sampled_from(ZONES),
)
def test_a_clock_time_is_the_newest_instant_not_after_now_at_which_clocks_showed_it(second, now, zone):
    text = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    found = at(text, now_ns=now * SECOND, zone=zone)
    assert isinstance(found, AtTime)
    assert found.time_ns <= now * SECOND
    assert f"{datetime.fromtimestamp(found.time_ns // SECOND, zone):%H:%M:%S}" == text
    # Clocks move by quarters of an hour: an instant at which they show the same later than the one found differs from it by such steps.
    later = range(found.time_ns // SECOND + 900, now + 1, 900)
    assert not [one for one in later if f"{datetime.fromtimestamp(one, zone):%H:%M:%S}" == text]


@given(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)), st.sampled_from(ZONES))  # noqa: DTZ001  wall times
def test_a_wall_time_that_is_skipped_or_comes_twice_is_read_as_python_reads_it(wall, zone):
    wall = wall.replace(microsecond=0)
    expected = wall.replace(tzinfo=zone).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assume(expected.microseconds == 0)
    assert at(f"{wall:%Y-%m-%dT%H:%M:%S}", zone=zone) == AtTime(expected // timedelta(seconds=1) * SECOND)


# Paths --------------------------------------------------------------------------------------------------------------------------------

steps = st.lists(st.sampled_from(["", ".", "..", "a", "b c", "\udcff"]), max_size=8).map("/".join)


@given(steps, st.booleans())
def test_a_normal_path_is_as_short_as_it_can_be(path, rooted):
    path = f"/{path}".replace("//", "/") if rooted else path.lstrip("/")
    short = normal(path)
    assert (short or ".") == posixpath.normpath(path).replace("//", "/")
    assert normal(short) == short


@given(steps, steps)
def test_an_absolute_path_is_one_from_the_right_place(path, below):
    found = absolute(path, directory=f"/{below}", home="/root")
    assert found.startswith("/")
    assert found == normal(path if path.startswith("/") else f"/{below}/{path}")
    assert absolute(f"~/{path}", directory="/elsewhere", home="/root") == normal(f"/root/{path}")


@pytest.mark.parametrize("name", ["web-01", "a.b_C", "0", "a" * 63])
def test_what_can_name_a_server(name):
    assert is_server_name(name)


@pytest.mark.parametrize(
    "name", ["", ".a", "-a", "a b", "a\n", "é", "a:b", "a/b", "a@b", "~", "a" * 64, "\udcff"], ids=ascii
)
def test_what_cannot_name_a_server(name):
    assert not is_server_name(name)
