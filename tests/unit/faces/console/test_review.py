"""A proposal as a page: everything that a decision needs is there, whatever is in it, and nothing of it runs."""

from __future__ import annotations

import itertools
import os
import struct
import zlib

import pytest

from lastro.domain.proposal import ChangeNote, Flag
from lastro.domain.run import CheckResult, CheckVerdict
from lastro.faces.console import file_cards
from lastro.proposals import pairs
from lastro.proposals.pair import read_pair
from tests.console_kit import console_over
from tests.decision_kit import Office
from tests.review_kit import chosen, fields, me, raw, sign

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e hx-get=/x \x07"


def png(red):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"\0" + bytes((red, 0, 0)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def office(tmp_path):
    return Office.made(
        str(tmp_path),
        {
            "a": b"one\ntwo\n",
            "logo": png(1),
            "blob": b"\x7fELF\0" + bytes(300),
            "run.sh": b"echo\n",
            "gone": b"x\n",
        },
    )


def propose(office, edits, **more):
    with office.desk() as desk:
        return office.propose(desk, edits, **more)


def inert(page):
    for sign_ in ("\x1b", "\u202e", "\x07", "<script>alert"):
        assert sign_ not in page.raw
    assert not [tag for tag, attributes in page.tags if attributes.get("hx-get") == "/x"]
    assert not [tag for tag, attributes in page.tags if "style" in attributes or "onerror" in attributes]


def test_a_difference_is_a_table_with_the_lines_of_both_sides(office):
    number = propose(office, {"a": b"one\nTWO\nthree\n"})
    with console_over(office) as kit:
        page = me(kit).get(f"/proposals/{number}")
    assert "removed line 2" in page.text and "added line 2" in page.text and "added line 3" in page.text
    assert [one["data-line"] for one in page.all("td") if "data-line" in one] == ["1", "2", "3"]
    assert len(page.all("table", **{"class": "diff"})) == 1 and page.all("caption")
    assert all("scope" in one for one in page.all("th"))


@pytest.mark.parametrize("how", ["address", "preference"])
def test_side_by_side_says_the_same(office, how):
    number = propose(office, {"a": b"one\nTWO\nthree\n"})
    with console_over(office) as kit:
        if how == "preference":
            from lastro.accounts.nouns import Preferences  # noqa: PLC0415
            from lastro.app.wiring import person  # noqa: PLC0415

            kit.door.preferences[person().name] = Preferences(side_by_side=True)
        page = me(kit).get(f"/proposals/{number}" + ("?view=split" if how == "address" else ""))
    assert page.all("table", **{"class": "diff split"})
    assert "removed line 2" in page.text and "added line 3" in page.text


def test_what_others_wrote_is_inert_everywhere(office):
    name = f"{HOSTILE[:25].replace('/', '')}caf\udce9\n"
    number = propose(
        office,
        {name: f"{HOSTILE}\n".encode() + b"\xff\xfe\n", "a": HOSTILE.encode()},
        purpose=HOSTILE,
        checks=(CheckResult(name=HOSTILE, command=HOSTILE, verdict=CheckVerdict.FAILED, output=HOSTILE),),
    )
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        inert(page)
        assert "caf\\xe9" in page.text and "\\xff\\xfe" in page.text and "\\u202e" in page.text
        for place in range(2):
            inert(browser.get(f"/proposals/{number}/files/{place}"))
        inert(browser.get("/inbox"))
        inert(browser.get(f"/inbox/batch?proposal={number}"))
        plan = browser.post(f"/proposals/{number}/choose", chosen(page, number))
        inert(plan)


def test_a_mode_an_owner_and_a_link_are_said_and_what_is_dangerous_is_marked(office):
    def work():
        os.chmod(f"{office.root}/run.sh", 0o4757)
        os.symlink("/etc/shadow", f"{office.root}/link")
        os.unlink(f"{office.root}/gone")

    number = propose(office, work, notes=(ChangeNote(path=b"link", flags=(Flag.LEADS_OUT,)),))
    with console_over(office) as kit:
        page = me(kit).get(f"/proposals/{number}")
    assert "0644" in page.words and "4757 rwsr-xrwx" in page.words
    assert "setuid: runs with its owner's rights" in page.words
    assert "anybody on that machine may write it" in page.words
    assert "/etc/shadow" in page.words and "points outside the project" in page.words
    assert "removed line 1" in page.text


def test_an_image_is_shown_before_and_after_and_other_bytes_are_described(office):
    number = propose(office, {"logo": png(200), "blob": b"\x7fELF\1" + bytes(200)})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        sources = [one["src"] for one in page.all("img")]
        assert sources == [f"/proposals/{number}/files/1/before", f"/proposals/{number}/files/1/after"]
        answer = raw(browser, sources[1])
        assert answer.content == png(200)
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"].startswith("inline")
        assert "sandbox" in answer.headers["content-security-policy"]
        other = raw(browser, f"/proposals/{number}/files/0/after")
        assert other.headers["content-disposition"].startswith("attachment")
        assert other.headers["content-type"] == "application/octet-stream"
    assert "7f 45 4c 46 01" in page.text and "ELF" in page.words and "205 bytes" in page.words


def test_what_calls_itself_an_image_is_none(office):
    number = propose(office, {"x.png": b"<svg onload=alert(1)>\0", "y.svg": b"<svg onload='alert(1)'/>\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        assert not page.all("img")
        answer = raw(browser, f"/proposals/{number}/files/0/after")
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_renamed_file_stands_once_with_both_names(office):
    office.write("old name", b"content that stays the same, long enough to be found\n" * 4)
    number = propose(office, lambda: os.rename(f"{office.root}/old name", f"{office.root}/new name"))
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        assert len(page.all("article")) == 1
        assert "old name" in page.words and "renamed to" in page.words
        sign(browser, browser.post(f"/proposals/{number}/choose", chosen(page, number)))
    assert "old name" not in office.live() and "new name" in office.live()


def test_later_files_come_when_they_are_in_sight_and_as_a_page_without_scripts(office, monkeypatch):
    monkeypatch.setattr("lastro.faces.console.pages.review.AT_ONCE", 2)
    number = propose(office, {f"f{place}": b"%d\n" % place for place in range(5)})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        assert len(page.all("article")) == 5 and len(page.all("table", **{"class": "diff"})) == 2
        later = [one for one in page.all("a") if one.get("hx-trigger") == "intersect once, click"]
        assert len(later) == 3
        whole = browser.get(later[0]["href"])
        assert "added line 1" in whole.text and whole.all("h1")
        part = browser.get(
            later[0]["hx-get"], **{"hx-request": "true", "hx-target": later[0]["hx-target"].removeprefix("#")}
        )
        assert "added line 1" in part.text and not part.all("html") and not part.all("h1")
        assert [one["form"] for one in part.all("input", name="hunk")] == ["decide"]
        sign(browser, browser.post(f"/proposals/{number}/choose", chosen(page, number)))
    assert office.read("f4") == b"4\n"


def test_files_of_other_pages_go_along_as_their_box_says(office, monkeypatch):
    monkeypatch.setattr("lastro.faces.console.pages.review.PAGE_FILES", 2)
    edits = {f"f{place}": b"%d\n" % place for place in range(5)}
    number, other = propose(office, edits), propose(office, {f"g{place}": b"1\n" for place in range(5)})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}?from=2")
        assert len(page.all("article")) == 2 and "with 3 paths that are not on this page" in page.words
        without = [("file", "2"), ("others", "1")]
        sign(browser, browser.post(f"/proposals/{number}/choose", chosen(page, number, without=without)))
        assert {path for path in office.live() if path.startswith("f")} == {"f3"}
        page = browser.get(f"/proposals/{other}")
        sign(
            browser, browser.post(f"/proposals/{other}/choose", chosen(page, other, without=[("file", "0")]))
        )
        assert {path for path in office.live() if path.startswith("g") and path != "gone"} == {
            "g1",
            "g2",
            "g3",
            "g4",
        }


@pytest.mark.parametrize("step", [5, 8])  # one endless hunk, and many
def test_a_long_file_shows_a_part_and_all_of_it_on_its_own_page(office, step):
    lines = [b"line %d\n" % place for place in range(12_000)]
    office.write("long", b"".join(lines))
    changed = [b"X\n" if place % step == 0 and place < 9_000 else line for place, line in enumerate(lines)]
    number = propose(office, {"long": b"".join(changed)})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        rows = len(page.all("td", **{"class": "text"}))
        assert 0 < rows <= 5_100
        assert "All of it" in page.words
        whole = browser.get(f"/proposals/{number}/files/0?all=1")
        assert len(whole.all("td", **{"class": "text"})) > 8_000
        sign(browser, browser.post(f"/proposals/{number}/choose", chosen(page, number)))
    assert office.read("long") == b"".join(changed)


def test_steps_filter_the_files_and_the_others_are_still_chosen(office):
    notes = (ChangeNote(path=b"a", steps=(1,)), ChangeNote(path=b"run.sh", steps=(2, 3)))
    number = propose(office, {"a": b"A\n", "run.sh": b"B\n"}, notes=notes)
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}?step=2")
        assert [one["id"] for one in page.all("article")] == ["file-1"]
        sign(browser, browser.post(f"/proposals/{number}/choose", chosen(page, number)))
    assert (office.read("a"), office.read("run.sh")) == (b"A\n", b"B\n")


def test_a_file_whose_base_is_uncertain_is_not_ticked_and_written_only_by_its_name(office):
    notes = (ChangeNote(path=b"a", flags=(Flag.BASE_UNCERTAIN,)),)
    number = propose(office, {"a": b"A\n", "run.sh": b"B\n"}, notes=notes)
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        boxes = {one["value"]: "checked" in one for one in page.all("input", name="file", type="checkbox")}
        assert boxes == {"0": False, "1": True}
        sent = chosen(page, number)
        sign(browser, browser.post(f"/proposals/{number}/choose", {**sent, "file": ["0", "1"]}))
    assert (office.read("a"), office.read("run.sh")) == (b"A\n", b"B\n")


def test_checks_risk_and_approvals_are_said_in_words(office):
    checks = (CheckResult(name="tests", command="pytest", verdict=CheckVerdict.FAILED, output="1 failed"),)
    number = propose(office, {"a": b"A\n"}, checks=checks, risk="high")
    with console_over(office) as kit:
        page = me(kit).get(f"/proposals/{number}")
    assert "high risk: 1 check failed" in page.words and "1 failed" in page.words
    assert "0 of 1 approvals" in page.words and "then it counts as denied" in page.words
    assert f"lastro proposal show proposal-{number}" in page.words


def test_every_field_has_a_label_and_headings_are_in_order(office):
    number = propose(office, {"a": b"A\n", "new": b"x\n"})
    with console_over(office) as kit:
        page = me(kit).get(f"/proposals/{number}")
    labelled = {one["for"] for one in page.all("label") if "for" in one}
    for tag in ("input", "textarea", "select"):
        for one in page.all(tag):
            if one.get("type") in {"hidden", "checkbox"}:
                continue
            assert one.get("id") in labelled, one
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_keys_that_the_page_offers_are_on_it(office):
    number = propose(office, {"a": b"A\n"})
    with console_over(office) as kit:
        page = me(kit).get(f"/proposals/{number}")
    keys = {attributes["data-key"] for _, attributes in page.tags if "data-key" in attributes}
    assert {"a", "r", "e", "c", "?"} <= keys


def test_what_stands_is_asked_anew_without_the_files_and_says_when_it_is_another(office):
    number = propose(office, {"a": b"A\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        address = next(one["hx-get"] for one in page.all("div", id="state"))
        script = {"hx-request": "true", "hx-target": "state"}
        assert "changed meanwhile" not in browser.get(address, **script).words
        digest = fields(page, f"/proposals/{number}/choose")["digest"][0]
        browser.post(f"/proposals/{number}/edit", {"digest": digest, "file": "0", "text": "B\n"})
        part = browser.get(address, **script)
    assert "changed meanwhile" in part.words and not part.all("article")


def test_a_file_that_is_not_there_is_none(office):
    number = propose(office, {"a": b"A\n"})
    with console_over(office) as kit:
        for place in ("9", "x", "-1", "0/sideways", "1/after"):
            me(kit).get(f"/proposals/{number}/files/{place}", status=404)
        me(kit).get("/proposals/77", status=404)
        me(kit).get("/proposals/0", status=404)


def test_how_many_files_a_page_holds_is_bounded():
    assert file_cards.AT_ONCE == 20
    assert file_cards.PAGE_FILES <= 500


def test_a_page_reads_what_is_proposed_once(office, monkeypatch):
    number = propose(office, {"a": b"one\nthree\n", "run.sh": b"echo 2\n"})
    read = []

    def counted(*where, **what):
        read.append(what)
        return read_pair(*where, **what)

    monkeypatch.setattr(pairs, "read_pair", counted)
    with console_over(office) as console:
        ana = me(console)
        ana.get(f"/proposals/{number}")
        assert len(read) == 1
        ana.get(f"/proposals/{number}/files/1")
        ana.get(f"/proposals/{number}")
        assert len(read) == 1
