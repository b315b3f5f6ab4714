"""The console in a window of its own."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import stat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastro.app.desktop import WINDOWS, DesktopOfThisMachine, install, one_time_link, open_console
from lastro.app.places import places_of
from lastro.app.requests.accounts import OneTimeLink
from lastro.errors import UnreachableError
from tests.decision_kit import Office

SECRET = "s" * 43
LINK = OneTimeLink(
    url=f"http://localhost:8420/link#{SECRET}",
    path="/link",
    fragment=SECRET,
    purpose="login",
    human="ana",
    ends_ns=1,
)
SCREEN = {"DISPLAY": ":0"}


@pytest.fixture
def places(tmp_path):
    made = places_of(str(tmp_path / "home"))
    os.makedirs(made.run)
    return made


class Started(list[list[str]]):
    """What was started, and what the default browser was given."""

    def desktop(self, environment=SCREEN, *, has=()):
        return DesktopOfThisMachine(
            environment,
            find=lambda name: f"/usr/bin/{name}" if name in has else None,
            start=self.append,
            default=lambda address: not self.append(["default", address]),
        )


def test_the_secret_is_on_no_command_line_and_in_a_file_of_its_owner_alone(places):
    started = Started()
    assert open_console(places, LINK, started.desktop(has=WINDOWS))
    ((program, argument),) = started
    assert program == "/usr/bin/chromium"
    assert argument.startswith("--app=file:///") and SECRET not in argument
    file = argument.removeprefix("--app=file://")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    with open(file, encoding="utf-8") as page:
        assert re.search(r'content="0;url=([^"]*)"', page.read())[1] == LINK.url


def test_without_such_a_browser_the_default_one_is_opened(places):
    started = Started()
    assert open_console(places, LINK, started.desktop())
    ((who, address),) = started
    assert who == "default" and address.startswith("file:///") and SECRET not in address


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="elsewhere there is always a screen")
def test_without_a_screen_nothing_is_started(places):
    started = Started()
    assert not open_console(places, LINK, started.desktop({}, has=WINDOWS))
    assert started == []


def test_a_link_cannot_leave_its_attribute(places):
    started = Started()
    hostile = OneTimeLink(
        **{name: getattr(LINK, name) for name in LINK.__struct_fields__ if name != "url"}, url='"><script>'
    )
    open_console(places, hostile, started.desktop())
    with open(started[0][1].removeprefix("file://"), encoding="utf-8") as page:
        assert "<script>" not in page.read()


def test_where_no_keeper_runs_it_is_said_how_to_start_one(tmp_path):
    office = Office.made(str(tmp_path), {"a": b"one\n"})
    with office.desk() as desk, pytest.raises(UnreachableError) as caught:
        one_time_link(desk.caller)
    assert "lastro up" in caught.value.hint


def entry_of(path):
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str
    parser.read(path, "utf-8")
    return dict(parser["Desktop Entry"])


def words_of(line):
    """``Exec`` as a desktop reads it: the string's escapes first, then quotes, then field codes."""
    text = re.sub(
        r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": "\r", "s": " "}.get(found[1], found[1]), line
    )
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', text, re.DOTALL)
    assert not any("%" in word.replace("%%", "") for word in words)  # a lone one would be a field code
    return [re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL).replace("%%", "%") for word in words]


@example(words=["/opt/100 %f", '"`$\\'])
@given(
    words=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_what_the_menu_starts_is_what_was_said(tmp_path_factory, words):
    path = install(str(tmp_path_factory.mktemp("data")), words, comment="c", icon=b"png")
    with open(path, encoding="utf-8", newline="\n") as file:
        line = next(line for line in file.read().split("\n") if line.startswith("Exec="))
    assert words_of(line.removeprefix("Exec=")) == words


def test_an_entry_and_its_icon(tmp_path):
    path = install(str(tmp_path), ["/opt/lastro", "desktop"], comment="Every state\nkept", icon=b"png")
    assert path == f"{tmp_path}/applications/lastro.desktop"
    found = entry_of(path)
    assert (found["Type"], found["Name"], found["Terminal"]) == ("Application", "Lastro", "false")
    assert shlex.split(found["Exec"]) == ["/opt/lastro", "desktop"]
    assert found["Comment"] == "Every state\\nkept"
    assert (tmp_path / "icons/hicolor/512x512/apps/lastro.png").read_bytes() == b"png"
    install(str(tmp_path), ["/opt/other"], comment="c", icon=b"new")
    assert "other" in entry_of(path)["Exec"]
