"""Events as a page: filters, pages, what is new, and a file of it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC
from urllib.parse import quote

import msgspec
import pytest

from lastro.app.opening import open_services
from lastro.app.operation import find_operation
from lastro.app.requests.happenings import EventsBehind, Happened
from lastro.app.wiring import person
from lastro.catalogue.catalogue import Catalogue
from lastro.catalogue.database import open_memory
from lastro.domain.clock import SystemClock
from lastro.faces.console import happened
from lastro.faces.console.addresses import escaped
from lastro.faces.console.happened import address_of, rows_of
from lastro.faces.console.pages import events as page_module
from tests.console_kit import Kit, console_over
from tests.decision_kit import Office

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e<a hx-get=/x>"


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    made = Office.made(str(tmp_path_factory.mktemp("office")), {"a": b"one\n"})
    with made.desk() as desk:
        made.approve(desk, made.propose(desk, {"a": b"two\n"}, purpose=HOSTILE))
        made.propose(desk, {"a": b"three\n"}, purpose="another one", risk="high")
        made.write("new <b>\udcff\x1b", b"1")
        made.capture(desk)
    return made


@pytest.fixture
def kit(office):
    with console_over(office) as made:
        yield made


def is_inert(page):
    return (
        "\x1b" not in page.raw
        and "\u202e" not in page.raw
        and "<script>alert" not in page.raw
        and not page.all("a", **{"hx-get": "/x"})
        and not page.all("b")
    )


def test_what_happened_is_said_and_leads_to_what_it_is_about(kit):
    page = kit.browser("ana").get("/events")
    assert is_inert(page)
    assert f"proposal-1 · approved · {person().name}" in page.words
    assert "apply-1 · approved · 1 path" in page.words
    assert "/proposals/1" in page.links and "/proposals/2" in page.links
    assert "The repository was made." in page.words
    assert "lastro events" in page.words
    assert len(page.all("h1")) == 1


@pytest.mark.parametrize("name", list(page_module._TYPED))  # noqa: SLF001  every field there is
@pytest.mark.parametrize("value", [HOSTILE, "' OR 1=1 --", "x" * 5000, "\u0000", "\udc80?&=#%"])
def test_whatever_is_typed_does_no_harm(kit, name, value):
    answer = kit.browser("ana").client.get(
        f"/events?{name}={quote(value.encode('utf-8', 'surrogateescape'))}",
        headers={"cookie": "lastro-test=ana:owner", "sec-fetch-site": "same-origin"},
    )
    assert answer.status_code in {200, 400, 404}, answer.text
    assert "<script>alert" not in answer.text and "\x1b" not in answer.text and "\u202e" not in answer.text


def test_filters_show_only_what_was_asked_for(kit):
    page = kit.browser("ana").get("/events?kind=decision")
    assert "apply-1" not in page.words and "/proposals/1" in page.links
    assert "lastro events --kind decision" in page.words
    [selected] = [one for one in page.all("option") if "selected" in one]
    assert selected["value"] == "decision"
    about = kit.browser("ana").get("/events?subject=proposal-2")
    assert "/proposals/2" in about.links and "/proposals/1" not in about.links
    none = kit.browser("ana").get("/events?actor=nobody")
    assert "Nothing of that has happened" in none.words


def test_a_directory_of_any_bytes_can_be_filtered(kit, office):
    page = kit.browser("ana").get(f"/events?project={escaped(office.root)}")
    assert "snap-1" in page.words and "The repository was made." not in page.words
    odd = escaped("/srv/a\udcffb")
    other = kit.browser("ana").get(f"/events?project={odd}&before=3")
    assert "Nothing of that has happened" in other.words
    assert any("a%7EFFb" in link or "a~FFb" in link for link in other.links)


@pytest.mark.parametrize(("query", "status"), [("since=nonsense", 400), ("server=nowhere", 404)])
def test_what_cannot_be_meant_is_said_beside_what_was_typed(kit, query, status):
    page = kit.browser("ana").get(f"/events?{query}", status=status)
    name, _, value = query.partition("=")
    [field] = page.all("input", name=name)
    assert field["value"] == value and field["aria-invalid"] == "true"
    assert page.all("div", role="alert")
    assert [one for one in page.all("input") if "aria-invalid" in one] == [field]


def test_pages_lead_to_everything_once(kit, monkeypatch):
    monkeypatch.setattr(page_module, "PAGE_LENGTH", 3)
    whole = find_operation("events").run(
        kit.services, page_module.Events(kind=("snapshot", "proposal"), limit=1000)
    )
    seen, path, pages = 0, "/events?kind=proposal", 0
    while path:
        page = kit.browser("ana").get(path)
        seen += len(page.all("tr")) - 1
        pages += 1
        older = page.all("a", rel="next")
        path = older[0]["href"] if older else ""
        assert not path or "kind=proposal" in path
    assert seen == len([one for one in whole.events if one.kind == "proposal"])
    assert pages > 1
    assert page.all("a", href="/events?kind=proposal")


def test_what_is_new_waits_behind_a_link(kit):
    browser = kit.browser("ana")
    page = browser.get("/events?kind=snapshot")
    [live] = page.all("div", id="newer")
    assert live["role"] == "status" and "sse:snapshot" in live["hx-trigger"]
    scripted = {"hx-request": "true", "hx-target": "newer"}
    assert browser.get(live["hx-get"], **scripted).words == ""
    seq = find_operation("events").run(kit.services, page_module.Events(limit=1)).newest
    earlier = live["hx-get"].replace(f"after={seq}", "after=3")
    part = browser.get(earlier, **scripted)
    assert part.words.endswith("new") and part.links == ["/events?kind=snapshot"]
    assert "<html" not in part.raw


def test_the_file_is_what_the_page_shows_and_more(kit):
    page = kit.browser("ana").get("/events")
    [link] = [one for one in page.links if one.startswith("/events.jsonl")]
    answer = kit.browser("ana").client.get(
        link, headers={"cookie": "lastro-test=ana:viewer", "sec-fetch-site": "same-origin"}
    )
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert [line["seq"] for line in lines] == sorted((line["seq"] for line in lines), reverse=True)
    assert lines[-1]["kind"] == "repository"


def test_a_long_file_is_read_in_sheets(kit, monkeypatch):
    headers = {"cookie": "lastro-test=ana:viewer", "sec-fetch-site": "same-origin"}
    whole = kit.client.get("/events.jsonl", headers=headers).content
    monkeypatch.setattr(page_module, "_SHEET", 2)
    assert kit.client.get("/events.jsonl", headers=headers).content == whole
    monkeypatch.setattr(page_module, "LONGEST_FILE", 3)
    assert kit.client.get("/events.jsonl", headers=headers).content.splitlines() == whole.splitlines()[:3]


def test_who_is_not_signed_in_sees_nothing(kit):
    for path in ("/events", "/events.jsonl"):
        assert kit.client.get(path, follow_redirects=False).status_code == 303


def test_no_links_to_what_only_looks_like_a_subject():
    assert address_of("run-7") == "/runs/7"
    for subject in ("run-0", "run-7/../x", "run-7\n", "x-1", "", "run-" + "9" * 30):
        assert address_of(subject) == ""
    odd = Happened(
        seq=1, time_ns=0, kind="\u202eodd", actor="a", actor_kind="human", parameters={"x": HOSTILE}
    )
    [row] = rows_of((odd,), UTC)
    assert "\x1b" not in row.text and "\u202e" not in row.kind


@pytest.mark.parametrize("path", ["/events", "/audit"])
def test_a_page_says_what_is_not_prepared_instead_of_waiting_for_it(office, monkeypatch, path):
    with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
        catalogue = Catalogue(services.repository, open_memory())
        records = catalogue.behind()
        monkeypatch.setattr(happened, "SOON", records - 1)
        monkeypatch.setattr(catalogue, "catch_up", lambda: None)
        monkeypatch.setattr(catalogue, "find", lambda *_, **__: pytest.fail("it waited"))
        monkeypatch.setattr(catalogue, "count", lambda *_, **__: pytest.fail("it waited"))
        kit = Kit(replace(services, catalogue=lambda: catalogue))
        ana = kit.browser("ana")
        page = ana.get(path)
        assert f"{records} records are still being prepared" in page.words
        assert "Nothing has happened yet" not in page.words and "Nothing was decided yet" not in page.words
        if path == "/events":
            assert ana.get("/events?after=0", **{"hx-request": "true", "hx-target": "newer"}).words == ""
        monkeypatch.undo()
        catalogue.catch_up()
        catalogue.refresh()
        assert "still being prepared" not in ana.get(path).words
        kit.close()
        catalogue.close()


def test_asking_how_much_is_missing_begins_to_prepare_it(office):
    with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
        catalogue = Catalogue(services.repository, open_memory())
        asked = replace(services, catalogue=lambda: catalogue)
        assert find_operation("events.behind").run(asked, EventsBehind()).count > 0
        for thread in threading.enumerate():
            if thread.name == "catalogue":
                thread.join()
        assert find_operation("events.behind").run(asked, EventsBehind()).count == 0
        catalogue.close()
