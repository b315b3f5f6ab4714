"""What people see of a directory's listing."""

from __future__ import annotations

import pytest

from lastro.app.requests.listing import Cause, ListedEntry, Listing
from lastro.domain.entry import Entry, EntryType
from lastro.faces.cli.render import render
from lastro.faces.wording.causes import CAUSES, cause_text
from tests.unit.faces.cli.conftest import NOW_NS

HOSTILE = "a\x1b[31m\n\u202eb\udcff"
INERT = "a\\x1b[31m\\x0a\\u202eb\\xff"


def listing(*items, kind=EntryType.DIRECTORY, **rest):
    return Listing(
        server="web",
        target="/etc",
        path=f"/etc/{HOSTILE}",
        snapshot=7,
        seq=9,
        time_ns=NOW_NS,
        itself=ListedEntry(entry=Entry(path="", type=kind, mode=0o644, size=1200)),
        items=items,
        **rest,
    )


@pytest.fixture
def shown(context, streams):
    def show(reply):
        streams()
        render(reply, None, context)
        return streams()

    return show


def test_each_name_is_a_line(shown):
    link = Entry(path=HOSTILE, type=EntryType.SYMLINK, link_target=HOSTILE)
    out, error = shown(
        listing(
            ListedEntry(
                entry=Entry(
                    path="conf", type=EntryType.FILE, mode=0o4755, size=1200, user="root", group="wheel"
                ),
                snapshot=3,
                changed_ns=NOW_NS,
                cause=Cause(kind="proposal", apply=2, proposal=9, run=42, actor=HOSTILE),
            ),
            ListedEntry(entry=Entry(path="gone", type=EntryType.FILE, size=5), deleted=True),
            ListedEntry(entry=link),
            ListedEntry(entry=Entry(path="sub", type=EntryType.DIRECTORY, mode=0o755)),
            more=True,
        )
    )
    lines = out.splitlines()
    assert len(lines) == 4
    assert "file 4755" in lines[0] and "root:wheel" in lines[0] and "1.2 kB" in lines[0]
    assert f"approved, proposal-9 of run-42, by {INERT}" in lines[0]
    assert lines[1].startswith("deleted") and f"{INERT} -> {INERT}" in lines[2] and lines[3].endswith("sub/")
    assert "snap-7" in error and "--after sub" in error
    assert "\x1b[31m" not in out + error and "\u202e" not in out + error


def test_a_file_is_one_line_and_an_empty_directory_says_so(shown):
    out, _ = shown(listing(kind=EntryType.FILE))
    assert out.count("\n") == 1 and INERT in out
    out, error = shown(listing())
    assert not out and "Nothing is in it." in error


@pytest.mark.parametrize("kind", CAUSES)
def test_every_cause_has_words(kind):
    assert cause_text(Cause(kind=kind)) == CAUSES[kind]
    assert cause_text(Cause(kind=kind, apply=4)) == f"{CAUSES[kind]}, apply-4"
