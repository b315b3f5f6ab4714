"""Laws of the words: quoting means the same bytes to a shell, columns align, times and ages are right."""

from __future__ import annotations

import subprocess
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.paths import from_bytes, printable, to_bytes
from lastro.faces.cli.render.words import columns, shortened, width_of
from lastro.faces.translation import choose_language, gettext, languages, ngettext, use_language
from lastro.faces.wording.instants import age, clock_time, clock_time_with_zone, duration, local_zone
from lastro.faces.wording.plain import size
from lastro.faces.wording.shell import quote

SECOND = 1_000_000_000
AUTUMN = 1_795_000_000 * SECOND
SUMMER = 1_780_000_000 * SECOND

names = st.binary(min_size=1, max_size=12).filter(lambda raw: b"\0" not in raw).map(from_bytes)


@given(names)
def test_a_quoted_name_is_printable(name):
    assert printable(quote(name)) == quote(name)


def test_a_quoted_name_means_the_same_bytes_to_a_shell():
    kept = []

    @given(st.lists(names, min_size=1, max_size=5))
    def collect(found):
        kept.extend(found)

    collect()
    script = b"\n".join(b"printf '%s\\0' " + quote(name).encode() for name in kept)
    printed = subprocess.run(["bash"], input=script, capture_output=True, check=True).stdout
    assert printed.split(b"\0")[:-1] == [to_bytes(name) for name in kept]


@given(st.integers(0, 2**63))
def test_a_size_takes_three_figures_and_a_unit(count):
    number, unit = size(count).split()
    assert len(number) <= 4 and 0 <= float(number) < 1000
    power = ("B", "kB", "MB", "GB", "TB", "PB", "EB").index(unit)
    assert (
        abs(float(number) * 1000**power - count) <= max(0.5 * 1000**power, count * 0.051)
        if power
        else float(number) == count
    )


@given(
    st.lists(
        st.tuples(st.text("añ漢e\u0301", max_size=5), st.text("xy", max_size=5), st.text("z", min_size=1)),
        min_size=1,
        max_size=4,
    )
)
def test_columns_align(rows):
    lines = columns(rows)
    wide = max(width_of(row[0]) for row in rows)
    middle = max(width_of(row[1]) for row in rows)
    for row, line in zip(rows, lines, strict=True):
        assert width_of(line) == wide + 2 + middle + 2 + len(row[2])
        assert line.startswith(row[0]) and line.endswith(row[2])


@given(st.text("a漢", max_size=20), st.integers(1, 20))
def test_shortened_text_fits(text, width):
    assert width_of(shortened(text, width)) <= width
    assert width_of(text) > width or shortened(text, width) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (1, "just now"),
        (2, "2 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (47 * 3600, "47 h ago"),
        (48 * 3600, "2 days ago"),
        (400 * 86400, "400 days ago"),
        (-30, "just now"),
        (-3600, "in the future"),
    ],
)
def test_ages(seconds, words):
    assert age(AUTUMN - seconds * SECOND, AUTUMN) == words
    assert duration(3 * 86400 * SECOND) == "3 days"


def test_times_are_shown_in_the_zone_of_their_instant():
    zone = local_zone({"TZ": "Europe/Lisbon"}, offset_s=0)
    assert clock_time_with_zone(AUTUMN, zone) == "2026-11-18 11:06:40 +00:00"
    assert clock_time_with_zone(SUMMER, zone) == "2026-05-28 21:26:40 +01:00"
    assert clock_time(AUTUMN, UTC) == "2026-11-18 11:06:40"
    assert clock_time(2**62, UTC).startswith("2116-")


def test_a_zone_that_cannot_be_read_is_the_offset():
    zone = local_zone({"TZ": "No/Such"}, offset_s=-3 * 3600)
    assert clock_time_with_zone(0, zone) == "1969-12-31 21:00:00 -03:00"


@pytest.mark.parametrize(
    ("asked", "environment", "language"),
    [
        ("", {}, "en"),
        ("", {"LANG": "pt_BR.UTF-8"}, "pt_BR"),
        ("", {"LANG": "pt_BR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ("", {"LANG": "en_GB.UTF-8", "LASTRO_LANG": "pt_BR"}, "pt_BR"),
        ("", {"LC_MESSAGES": "pt_PT"}, "pt_BR"),
        ("pt-br", {"LANG": "en_US.UTF-8"}, "pt_BR"),
        ("xx", {"LANG": "pt_BR.UTF-8"}, "en"),
        ("../../etc", {}, "en"),
    ],
)
def test_which_language(asked, environment, language):
    assert choose_language(asked, environment) == language
    assert "pt_BR" in languages()


def test_a_sentence_in_another_language():
    use_language("pt_BR")
    assert gettext("error:") == "erro:"
    assert ngettext("{count} file", "{count} files", 2) == "2 arquivos"
    use_language("en")
    assert ngettext("{count} file", "{count} files", 1) == "1 file"


@given(names)
def test_a_parameter_of_a_sentence_is_inert(name):
    assert gettext("{path} changed.", path=name) == f"{printable(name)} changed."
