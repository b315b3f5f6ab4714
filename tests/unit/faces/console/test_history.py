"""Any path at any time, as pages."""

from __future__ import annotations

import io
import os
import tarfile
from urllib.parse import quote, urlencode

import msgspec
import pytest

from lastro.app.operations.standing import stand
from lastro.domain.job import JobState
from lastro.domain.reference import AtId, Reference
from lastro.errors import DamagedError
from lastro.faces.console.addresses import compare_address, download_address, escaped, history_address
from tests.console_kit import COOKIE, console_over
from tests.decision_kit import Office

HOSTILE = {
    "bytes": "caf\udce9",
    "colours": "\x1b[31mred",
    "direction": "\u202egnp.txt",
    "question": "what?at=snap-1",
    "fragment": "a#b",
    "percent": "100%41",
    "tilde": "a~41",
    "lines": "one\ntwo",
    "markup": "<script>alert(1)<",
    "attribute": '" hx-get="',
    "backslash": "a\\b",
    "plus": "a+b c",
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\ntwo\n", "d/inner": b"x", "d/gone": b"last words\n"})


def changed(office, edits):
    with office.desk() as desk:
        office.edit(edits)
        office.capture(desk)


def here(office, path="", **query):
    return history_address("local", f"{office.root}/{path}".rstrip("/"), **query)


def test_the_start_leads_to_every_root_and_from_there_to_every_name(office):
    with console_over(office) as kit:
        ana = kit.browser("ana", "viewer")
        assert here(office) in ana.get("/history").links
        top = ana.get("/history/local")
        assert {here(office, "a"), here(office, "d")} <= set(top.links)
        assert "one" in ana.get(here(office, "a")).words


def test_before_anything_is_kept_it_says_how_to_begin(tmp_path):
    office = Office.made(str(tmp_path), {"a": b"1"})
    with console_over(office) as kit:
        kit.browser("ana").get("/history/nosuch", status=404)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_a_page_a_download_and_a_choice_like_any_other(tmp_path, name):
    office = Office.made(str(tmp_path), {name: b"content of it\n", "a": b""})
    with console_over(office) as kit:
        ana = kit.browser("ana")
        top = ana.get(here(office))
        address = here(office, name)
        assert address in top.links
        page = ana.get(address)
        assert "content of it" in page.words
        for one in (top, page):
            assert not any(mark in one.raw for mark in ("\x1b", "\u202e", "<script>alert", '" hx-get="'))
            assert not [tag for tag, attributes in one.tags if tag == "a" and "hx-get" in attributes]
        bare = kit.client.get(
            download_address("local", f"{office.root}/{name}"), headers={"cookie": f"{COOKIE}=ana:owner"}
        )
        assert bare.content == b"content of it\n"
        disposition = bare.headers["content-disposition"]
        assert disposition.endswith("UTF-8''" + quote(os.fsencode(name), safe="/"))
        ticks = [box["value"] for box in top.all("input", name="only")]
        assert escaped(name) in ticks


def test_an_earlier_instant_shows_what_was_there_then(office):
    changed(office, {"a": b"three\n", "new": b"n"})
    with console_over(office) as kit:
        ana = kit.browser("ana")
        now, then = ana.get(here(office, "a")), ana.get(here(office, "a", at="snap-1"))
        assert ("three" in now.words, "three" in then.words, "two" in then.words) == (True, False, True)
        assert here(office, "new") in ana.get(here(office)).links
        early = ana.get(here(office, at="snap-1"))
        assert not [link for link in early.links if "/new" in link and "/restore/new" not in link]
        ana.get(here(office, "a", at="yesterday-ish"), status=400)
        nowhere = ana.get(here(office, "a", at="snap-99"))
        assert (
            "There is no snapshot snap-99" in nowhere.words
            and here(office, "a", at="snap-1") in nowhere.links
        )
        assert "was not there at that instant" in ana.get(f"{here(office, 'a')}?when=2000-01-01T00:00").words


def test_the_keys_of_the_slider_are_links_to_the_versions_before_and_after(office):
    for number in (2, 3):
        changed(office, {"a": b"%d\n" % number})
    with console_over(office) as kit:
        page = kit.browser("ana").get(here(office, "a", at="snap-2"))
        assert page.all("a", **{"data-key": "["})[0]["href"] == here(office, "a", at="snap-1")
        assert page.all("a", **{"data-key": "]"})[0]["href"] == here(office, "a", at="snap-3")
        slider = page.all("input", type="range")[0]
        assert (slider["min"], slider["max"], slider["value"]) == ("0", "2", "1")
        assert len([one for one in page.all("a") if "data-version" in one]) == 3
        first = kit.browser("ana").get(here(office, "a", at="snap-1"))
        assert not first.all("a", **{"data-key": "["})


def test_many_versions_come_a_window_at_a_time(office):
    with office.desk() as desk:
        for number in range(60):
            office.write("a", b"%d\n" % number)
            office.capture(desk)
    with console_over(office) as kit:
        ana = kit.browser("ana")
        page = ana.get(here(office, "a"))
        assert len([one for one in page.all("a") if "data-version" in one]) == 50
        older = next(link for link in page.links if "before=" in link and "at=" not in link)
        rest = ana.get(older)
        assert len([one for one in rest.all("a") if "data-version" in one]) == 11
        assert "61 changes in all" in page.words


def test_what_was_deleted_is_shown_when_asked_and_can_be_read(office):
    changed(office, {"d/gone": None})
    with console_over(office) as kit:
        ana = kit.browser("ana")
        assert "gone" not in ana.get(here(office, "d")).words
        page = ana.get(here(office, "d", deleted="1"))
        assert "deleted" in page.words
        link = next(link for link in page.links if "/d/gone" in link)
        assert "last words" in ana.get(link).words
        late = ana.get(here(office, "d/gone"))
        assert "is deleted since snap-2" in late.words
        assert here(office, "d/gone", at="snap-1") in late.links


def test_a_directory_is_paged(office, monkeypatch):
    monkeypatch.setattr("lastro.faces.console.pages.history.PAGE_LENGTH", 3)
    changed(office, {f"many/{number}": b"" for number in range(7)})
    with console_over(office) as kit:
        ana = kit.browser("ana")
        seen, address = [], here(office, "many")
        while address:
            page = ana.get(address)
            seen += [link.rpartition("/")[2] for link in page.links if "/many/" in link and "?" not in link]
            more = [one["href"] for one in page.all("a", rel="next") if "after=" in one["href"]]
            address = more[0] if more else ""
        assert seen == [str(number) for number in range(7)]


def test_each_kind_of_content_has_its_view(office):
    changed(office, {"p.png": PNG, "bin": bytes(range(256)), "empty": b"", "no.svg": b"<svg onload='x'/>"})
    with console_over(office) as kit:
        ana = kit.browser("ana")
        image = ana.get(here(office, "p.png"))
        source = image.all("img")[0]["src"]
        sent = kit.client.get(source, headers={"cookie": f"{COOKIE}=ana:owner"})
        assert (sent.content, sent.headers["content-type"]) == (PNG, "image/png")
        assert sent.headers["content-disposition"].startswith("inline")
        assert "00 01 02 03" in ana.get(here(office, "bin")).words
        assert "It is empty." in ana.get(here(office, "empty")).words
        drawing = ana.get(here(office, "no.svg"))
        assert not drawing.all("img") and "<svg onload" not in drawing.raw
        as_image = download_address("local", f"{office.root}/no.svg", inline="1")
        ana.get(as_image, status=404)


def test_hostile_content_is_inert_as_text_and_as_a_difference(office):
    changed(office, {"a": "\x1b[31mred\n<script>alert(1)</script>\n\u202eback\n<b hx-get='/x'>\n".encode()})
    with console_over(office) as kit:
        ana = kit.browser("ana")
        for page in (
            ana.get(here(office, "a")),
            ana.get(compare_address("local", f"{office.root}/a", old="snap-1", new="snap-2")),
        ):
            assert "\\x1b[31mred" in page.text and "\\u202eback" in page.text
            assert not any(mark in page.raw for mark in ("\x1b", "\u202e", "<script>alert", "<b hx-get"))


def test_a_directory_that_cannot_be_read_says_so_and_other_instants_stay(office):
    changed(office, {"d/more": b"m"})
    with console_over(office) as kit:
        place = Reference(server="local", path=f"{office.root}/d", at=AtId("snap", 2, before=False))
        node = stand(kit.services, place, last=False).entry.subtree
        damage(kit, node)
        ana = kit.browser("ana")
        page = ana.get(here(office, "d"))
        assert page.all("div", **{"data-problem": None})
        assert here(office, "d", at="snap-1") in page.links
        assert "inner" in ana.get(here(office, "d", at="snap-1")).words
        assert "one" in ana.get(here(office, "a")).words


def test_a_long_text_is_shown_in_part_and_says_so(office):
    changed(office, {"long": b"line\n" * 5000})
    with console_over(office) as kit:
        page = kit.browser("ana").get(here(office, "long"))
        assert "a download has all of it" in page.words
        assert len(page.raw) < 400_000


def test_a_directory_downloads_as_a_tar_of_that_instant(office):
    changed(office, {"d/gone": None})
    with console_over(office) as kit:
        for at, names in (("snap-1", {"d", "d/gone", "d/inner"}), ("snap-2", {"d", "d/inner"})):
            sent = kit.client.get(
                download_address("local", f"{office.root}/d", at=at),
                headers={"cookie": f"{COOKIE}=ana:viewer"},
            )
            assert len(sent.content) == int(sent.headers["content-length"])
            with tarfile.open(fileobj=io.BytesIO(sent.content)) as packed:
                assert set(packed.getnames()) == names


def test_two_versions_are_compared_line_by_line_and_as_directories(office):
    changed(office, {"a": b"one\n<b>2\n", "new": b"n"})
    with console_over(office) as kit:
        ana = kit.browser("ana")
        page = ana.get(compare_address("local", f"{office.root}/a", old="snap-1", new="snap-2"))
        assert "removedtwo" in page.text and "added<b>2" in page.text and "<b>2" not in page.raw
        whole = ana.get(compare_address("local", office.root, old="snap-1", new="snap-2"))
        assert "2 paths differ" in whole.words
        assert compare_address("local", f"{office.root}/a", old="snap-1", new="snap-2") in whole.links
        same = ana.get(compare_address("local", office.root, old="snap-2", new="snap-2"))
        assert "Nothing differs." in same.words
        ana.get(compare_address("local", f"{office.root}/never", old="snap-1", new="snap-2"), status=404)


def test_a_comparison_with_now_is_a_job_whose_page_waits_for_it(office):
    with console_over(office) as kit:
        ana = kit.browser("ana", "operator")
        office.write("a", b"changed since\n")
        fields = {"server": "local", "path": escaped(f"{office.root}/a"), "at": "snap-1"}
        page = ana.post("/compare", fields)
        assert "changed since" in page.words and "what is there now" in page.words
        (job,) = kit.jobs.done
        kit.jobs.done[0] = msgspec.structs.replace(job, state=JobState.RUNNING)
        waiting = ana.get("/differences/1")
        assert waiting.all("div", **{"hx-get": "/differences/1"})
        kit.browser("bea").post("/restore", {**fields, "target": "place"})
        ana.get("/differences/2", status=404)


def test_nobody_has_anything_captured_that_history_does_not_know(office, tmp_path):
    (tmp_path / "secret").write_bytes(b"never to be kept")
    with console_over(office) as kit:
        for path in (tmp_path / "secret", f"{office.root}/../secret"):
            fields = {"server": "local", "path": escaped(str(path)), "at": "snap-1"}
            kit.browser("ana", "owner").post("/compare", fields, status=404)
            kit.browser("eve", "viewer").post("/compare", fields, status=403)
        assert not kit.jobs.done
        assert (
            "Compare with what is there now" not in kit.browser("eve", "viewer").get(here(office, "a")).words
        )


def test_a_name_is_found_in_all_of_history(office):
    changed(office, {"d/gone": None, "<i>x": b""})
    with console_over(office) as kit:
        ana = kit.browser("ana", "viewer")
        found = ana.get(f"/search?{urlencode({'q': 'on'})}")
        assert not found.all("ol") and here(office, "d/gone", at="snap-1") in found.links
        assert "deleted" in found.words
        assert here(office, "a") in ana.get("/search?q=a").links
        gone = ana.get("/search?q=*&deleted=1")
        assert [link for link in gone.links if "/project/" in link] == [here(office, "d/gone", at="snap-1")]
        odd = ana.get(f"/search?{urlencode({'q': '<i>'})}")
        assert "<i>" not in odd.raw and here(office, "<i>x") in odd.links
        assert "Nothing is called so." in ana.get("/search?q=zzz").words
        assert ana.get("/search").all("input", **{"data-key": "/"})


def test_who_changed_it_is_linked(office):
    with office.desk() as desk:
        number = office.propose(desk, {"a": b"by an agent\n"})
        office.approve(desk, number)
        actor = desk.actor.name
    with console_over(office) as kit:
        page = kit.browser("ana").get(here(office, "a"))
        assert f"/proposals/{number}" in page.links
        assert f"by {actor}" in page.words and "there when first looked" in page.words


def test_a_version_that_cannot_be_read_says_so_and_the_others_stay(office):
    changed(office, {"a": os.urandom(2000).hex().encode()})
    with console_over(office) as kit:
        damage_content_of(kit, f"{office.root}/a", 2)
        ana = kit.browser("ana")
        page = ana.get(here(office, "a", at="snap-2"))
        assert page.all("div", **{"data-problem": None})
        assert here(office, "a", at="snap-1") in page.links
        assert "two" in ana.get(here(office, "a", at="snap-1")).words
        assert here(office, "d") in ana.get(here(office)).links


def damage_content_of(kit, path, number):
    """From now on the content of one version is not what was written."""
    place = Reference(server="local", path=path, at=AtId("snap", number, before=False))
    damage(kit, kit.services.repository.chunk_id(stand(kit.services, place, last=False).entry.digest))


def damage(kit, lost):
    repository = kit.services.repository
    read = repository.chunk

    def chunk(identity):
        if identity == lost:
            raise DamagedError("The chunk {chunk} is damaged.", chunk=identity.hex())
        return read(identity)

    repository.chunk = chunk


@pytest.mark.parametrize(
    "path", ["/history", "/history/local", "/search?q=a", "/compare/local/x", "/download/local/x"]
)
def test_who_is_not_signed_in_sees_nothing(office, path):
    with console_over(office) as kit:
        answer = kit.client.get(path, follow_redirects=False)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/login")


def test_a_viewer_is_offered_no_restore(office):
    with console_over(office) as kit:
        page = kit.browser("eve", "viewer").get(here(office))
        assert not page.all("input", name="only")
        assert not [link for link in page.links if link.startswith("/restore")]


def test_a_single_version_is_not_offered_to_be_compared_with_itself(office):
    with console_over(office) as kit:
        page = kit.browser("ana").get(f"/history/local{office.root}/d/inner")
    assert not page.all("input", type="radio") and "Compare the two" not in page.words
