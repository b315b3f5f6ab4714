r"""Editing in the page: nothing but what somebody changed is changed, and nothing that they wrote is lost."""

from __future__ import annotations

import html

import pytest

from tests.console_kit import console_over
from tests.decision_kit import Office
from tests.review_kit import chosen, fields, me, sign

pytestmark = pytest.mark.slow

TEXTS = {
    "plain": b"one\ntwo\n",
    "windows": b"one\r\ntwo\r\n",
    "no end": b"one\ntwo",
    "leading": b"\n\n  one\n",
    "hostile": "</textarea><script>alert(1)</script>\u202e&amp;\n".encode(),
    "controls": b"a\x0cb\x1b[31m\n",
}


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"z": b"z\n"})


def propose(office, edits, **more):
    with office.desk() as desk:
        return office.propose(desk, edits, **more)


def as_a_browser_sends(page):
    """The value of the text field as a browser makes it of this page, and as it sends it."""
    raw = page.raw.split('<textarea id="text"', 1)[1].split(">", 1)[1].split("</textarea>", 1)[0]
    value = html.unescape(raw.replace("\r\n", "\n").replace("\r", "\n"))
    return value.removeprefix("\n").replace("\n", "\r\n")


def proposed(kit, number, path):
    from lastro.app.requests import ContentRequest  # noqa: PLC0415
    from lastro.app.requests.proposals import ProposalPair  # noqa: PLC0415

    pair = kit.desk.caller.call("proposal.pair", ProposalPair(proposal=number))
    item = next(one for one in pair.after if one.entry.path == path)
    reply = kit.desk.caller.call("content", ContentRequest(seq=item.seq, path=item.tree_path))
    return b"".join(data for _, data in reply.blocks)


@pytest.mark.parametrize("name", TEXTS)
def test_saving_what_was_shown_changes_nothing_and_a_change_changes_only_that(office, name):
    number = propose(office, {name: TEXTS[name]})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}/edit?file=0")
        sent = fields(page, f"/proposals/{number}/edit")
        value = as_a_browser_sends(page)
        answer = browser.post(f"/proposals/{number}/edit", {**sent, "text": value})
        assert "the revision stays" in answer.words
        answer = browser.post(f"/proposals/{number}/edit", {**sent, "text": "more\r\n" + value})
        assert "A new revision stands" in answer.words
        end = b"\r\n" if name == "windows" else b"\n"
        assert proposed(kit, number, name) == b"more" + end + TEXTS[name]
        assert office.show(kit.desk, number).revision == 2
        assert office.sound(kit.desk)


def test_what_was_edited_is_what_is_applied(office):
    number = propose(office, {"x": b"agent\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}/edit?file=0")
        sent = fields(page, f"/proposals/{number}/edit")
        page = browser.post(f"/proposals/{number}/edit", {**sent, "text": "human\n"})
        assert "human" in page.text and "edited by a human" in page.words
        sign(browser, browser.post(f"/proposals/{number}/choose", chosen(page, number)))
    assert office.read("x") == b"human\n"


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"a\0b", b"one\r\ntwo\n", b"one\rtwo\n"])
def test_what_a_page_cannot_carry_is_not_edited_in_one(office, content):
    number = propose(office, {"x": content})
    with console_over(office) as kit:
        browser = me(kit)
        answer = browser.get(f"/proposals/{number}/edit?file=0", status=400)
        assert f"lastro proposal edit proposal-{number}" in answer.words
        digest = fields(browser.get(f"/proposals/{number}"), f"/proposals/{number}/choose")["digest"]
        browser.post(f"/proposals/{number}/edit", {"digest": digest, "file": "0", "text": "x"}, status=400)
        assert office.show(kit.desk, number).revision == 1


def test_who_was_overtaken_keeps_what_they_wrote(office):
    number = propose(office, {"x": b"agent\n"})
    with console_over(office) as kit:
        first, second = me(kit), me(kit)
        page = first.get(f"/proposals/{number}/edit?file=0")
        sent = fields(page, f"/proposals/{number}/edit")
        second.post(f"/proposals/{number}/edit", {**sent, "text": "second\n"})
        answer = first.post(f"/proposals/{number}/edit", {**sent, "text": "<first>\r\n"}, status=409)
        assert "Not saved" in answer.words and as_a_browser_sends(answer) == "<first>\r\n"
        assert proposed(kit, number, "x") == b"second\n"
        again = fields(answer, f"/proposals/{number}/edit")
        first.post(f"/proposals/{number}/edit", {**again, "text": "<first>\r\n"})
        assert proposed(kit, number, "x") == b"<first>\n"


def test_an_edit_takes_earlier_approvals_away(office):
    office.policy('[[review]]\npaths = ["**"]\napprovals = 2\nnot_author = false\n')
    with office.desk() as desk:
        office.enrol(desk, "bia")
    number = propose(office, {"x": b"agent\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        plan = browser.post(f"/proposals/{number}/choose", chosen(page, number))
        assert "After yours, 1 more approval is wanted" in plan.words
        page = sign(browser, plan)
        assert "others still have to give theirs" in page.words and "1 of 2 approvals" in page.words
        assert "x" not in office.live()
        page = browser.get(f"/proposals/{number}/edit?file=0")
        form = f"/proposals/{number}/edit"
        page = browser.post(form, {**fields(page, form), "text": "human\n"})
        assert "0 of 2 approvals" in page.words and "does not count any more" in page.words


def test_what_is_decided_is_not_edited_any_more(office):
    number = propose(office, {"x": b"agent\n"})
    with console_over(office) as kit:
        browser = me(kit)
        page = browser.get(f"/proposals/{number}")
        form = f"/proposals/{number}/reject"
        page = browser.post(form, fields(page, form))
        browser.get(f"/proposals/{number}/edit?file=0", status=409)
        assert not [link for link in page.links if "/edit" in link]


def test_the_page_warns_of_what_is_not_seen(office):
    number = propose(office, {"x": "plain\u202e\n".encode(), "y": b"plain\n"})
    with console_over(office) as kit:
        browser = me(kit)
        assert "characters that are not seen" in browser.get(f"/proposals/{number}/edit?file=0").words
        assert "characters that are not seen" not in browser.get(f"/proposals/{number}/edit?file=1").words
