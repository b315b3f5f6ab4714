"""Servers as pages: how each is in words, curves with a table, pairing, capturing, and who may."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from lastro.faces.console.sparklines import HEIGHT, WIDTH, curve
from tests.console_kit import Kit, console_over
from tests.decision_kit import Office
from tests.health_kit import DAY, DEVICE, HOUR, SECOND, FakeLinks, enrol, fake_alerts, sample_of

HOSTILE = "/srv/<script>alert(1)</script>\x1b[31m\u202e\udcff"


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


@contextmanager
def console(office, *, well=()):
    """A console whose keeper has links; ``well``: names of servers that are connected, watched and heard."""
    with console_over(office) as bare:
        links = FakeLinks(bare.services)
        alerts = fake_alerts(bare.services, links)
        kit = Kit(replace(bare.services, links=links, alerts=alerts))
        kit.door.stepped_up.add("ana")
        kit.links, kit.alerts, kit.now = links, alerts, bare.services.clock.wall_ns()
        for name in well:
            server = enrol(bare.services, name)
            links.states[server] = "connected"
            links.roots[server] = {"/srv": kit.now}
            links.rings.add(server, sample_of(), kit.now)
        alerts.look()
        try:
            yield kit
        finally:
            alerts.close()
            kit.close()


def test_without_servers_it_says_how_one_is_added(office):
    with console(office) as kit:
        page = kit.browser("ana").get("/servers")
    assert "lastro node pair" in page.words
    assert page.all("input", name="token")


def test_a_server_that_is_well_says_so_in_a_word(office):
    with console(office, well=["web-01"]) as kit:
        page = kit.browser("ana").get("/servers")
    assert "/servers/web-01" in page.links
    assert "web-01 well" in page.words
    assert "all kept until" in page.words
    assert page.all("span", **{"class": "tag", "data-tone": "good"})


def test_what_is_wrong_is_said_in_words(office):
    with console(office, well=["web-01", "db-01"]) as kit:
        web, db = (
            server.id
            for server in sorted(kit.services.timeline.servers(), key=lambda one: one.name == "db-01")
            if server.device
        )
        kit.links.states[db], kit.links.problems[db] = "unreachable", "Nobody answers\x1b[2J"
        kit.links.rings.add(web, sample_of(free=10**9), kit.now)
        kit.alerts.vigil.look({db: "db-01", web: "web-01"}, kit.now + 3 * HOUR)
        page = kit.browser("ana").get("/servers")
    assert "It cannot be reached: Nobody answers" in page.words
    assert "The disk of /srv is 99 % full." in page.words
    assert "Nothing good was kept of /srv for" in page.words
    assert page.words.count("not well") == 2
    assert "\x1b" not in page.raw


def test_a_root_that_was_never_kept_of_a_server_out_of_reach_is_shown(office):
    with console(office) as kit:
        server = enrol(kit.services, "db-01")
        kit.links.states[server] = "unreachable"
        kit.alerts.vigil.saw(server, {"/data": kit.now - 3 * DAY}, kit.now - 3 * DAY)
        page = kit.browser("ana").get("/servers/db-01")
    assert "/data" in page.words and "Nothing good was kept of /data for 3 days" in page.words


def test_without_a_keeper_nobody_calls_a_server_well(office):
    with console_over(office) as kit:
        enrol(kit.services, "web-01")
        page = kit.browser("ana").get("/servers")
    assert "No keeper runs, so nobody knows how it is." in page.words
    assert "web-01 ? not known" in page.words


def test_one_server_shows_its_machine_as_curves_and_as_a_table(office):
    with console(office, well=["web-01"]) as kit:
        (server,) = (one.id for one in kit.services.timeline.servers() if one.name == "web-01")
        for minute in range(30):
            kit.links.rings.add(server, sample_of(cpu=minute * 10), kit.now + minute * 60 * SECOND)
        page = kit.browser("ana").get("/servers/web-01")
    curves = page.all("svg", **{"class": "spark"})
    assert len(curves) == 4  # processors, memory, one disk, load
    assert all(one["aria-hidden"] == "true" for one in curves)
    assert "29.0 % between 1.0 % and 29.0 %" in page.words
    assert page.all("caption") and page.all("th", scope="row")
    assert " ".join(DEVICE.split("-")) in page.words
    assert "/history/web-01/srv" in page.links
    assert "/events?server=web-01" in page.links


def test_a_node_of_an_earlier_version_is_shown_without_its_machine(office):
    with console(office) as kit:
        server = enrol(kit.services, "old")
        kit.links.states[server] = "connected"
        page = kit.browser("ana").get("/servers/old")
    assert "has not said how it does" in page.words
    assert not page.all("svg", **{"class": "spark"})


def test_hostile_names_of_roots_are_inert(office):
    with console(office, well=["web-01"]) as kit:
        (server,) = (one.id for one in kit.services.timeline.servers() if one.name == "web-01")
        kit.links.roots[server] = {HOSTILE: kit.now, '/"hx-get="/logout': kit.now}
        kit.links.rings.add(server, sample_of(paths=(HOSTILE,)), kit.now)
        kit.alerts.look()
        pages = [kit.browser("ana").get(path) for path in ("/servers", "/servers/web-01")]
    for page in pages:
        assert "<script>alert" not in page.raw and "\x1b" not in page.raw and "\u202e" not in page.raw
        assert all(one.get("hx-get", "").startswith("/servers") for _tag, one in page.tags if "hx-get" in one)
        assert "\\xff" in page.words


def test_a_part_alone_is_given_to_a_script(office):
    with console(office, well=["web-01"]) as kit:
        script = {"hx-request": "true", "hx-target": "rows"}
        parts = [kit.browser("ana").get(path, **script) for path in ("/servers", "/servers/web-01")]
    for part in parts:
        assert "<html" not in part.raw and "well" in part.words
        assert not part.all("input", name="token")


def test_pairing_shows_the_new_server(office):
    with console(office) as kit:
        page = kit.browser("ana").post("/servers", {"token": " lastro1abc\n def ", "name": "web-09"})
    assert kit.links.paired == [("lastro1abcdef", "web-09")]
    assert "web-09" in page.words and "Paired." in page.words
    assert " ".join(DEVICE.split("-")) in page.words


def test_a_form_without_a_token_is_refused(office):
    with console(office) as kit:
        assert "There is no token" in kit.browser("ana").post("/servers", {"token": " "}, status=400).words
        assert kit.links.paired == []


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "auditor"])
def test_who_may_not_add_a_server_cannot(office, role):
    with console(office, well=["web-01"]) as kit:
        browser = kit.browser("bob", role)
        assert not browser.get("/servers").all("input", name="token")
        assert browser.send("/servers", {"token": "lastro1abc"}).status_code == 403
        assert kit.links.paired == []


def test_a_viewer_cannot_capture(office):
    with console(office, well=["web-01"]) as kit:
        browser = kit.browser("bob", "viewer")
        assert not browser.get("/servers/web-01").all("button", **{"class": "main"})
        assert browser.send("/servers/web-01/capture").status_code == 403
        assert kit.jobs.done == []


@pytest.mark.parametrize("path", ["", "/srv"])
def test_capturing_now_is_a_job(office, path):
    with console(office, well=["web-01"]) as kit:
        answer = kit.browser("ana", "operator").send("/servers/web-01/capture", {"path": path})
        (job,) = kit.jobs.done
    assert answer.headers["location"] == "/jobs/1?said=started"
    assert job.order.operation == "capture"
    assert job.order.subject == f"web-01{':/srv' if path else ''}"
    assert kit.links.captured == [("web-01", path)]


@pytest.mark.parametrize("path", ["/etc/shadow", "/srv/../etc", "srv", "\x00"])
def test_a_path_that_is_not_watched_is_not_captured(office, path):
    with console(office, well=["web-01"]) as kit:
        answer = kit.browser("ana").send("/servers/web-01/capture", {"path": path})
        assert answer.status_code in {400, 404}
        assert kit.jobs.done == []


@pytest.mark.parametrize("name", ["nobody", "%00", "..%2f", "<script>"])
def test_a_server_that_is_not_there_is_said(office, name):
    with console(office, well=["web-01"]) as kit:
        page = kit.browser("ana").get(f"/servers/{name}", status=404)
    assert "<script>" not in page.raw.replace('<script type="module"', "")


def test_many_servers_come_in_pages(office):
    with console(office, well=[f"web-{number:03}" for number in range(70)]) as kit:
        browser = kit.browser("ana")
        first, second = browser.get("/servers"), browser.get("/servers?page=1")
    assert len(first.all("li", **{"class": "card stack"})) == 60
    assert len(second.all("li", **{"class": "card stack"})) == 11  # this machine is a server, too
    assert "/servers?page=1" in first.links and "/servers?page=0" in second.links


def test_a_curve_stays_in_its_box_and_breaks_where_nobody_measured():
    drawn = curve([(0, 0), (1, 500), (2, 1000), (500, 300)], top=1000, gap_ns=10)
    numbers = [float(word.lstrip("ML")) for word in drawn.path.split()]
    assert all(0 <= x <= WIDTH for x in numbers[::2]) and all(0 <= y <= HEIGHT for y in numbers[1::2])
    assert drawn.path.count("M") == 2
    assert (drawn.least, drawn.most, drawn.last) == (0, 1000, 300)
    assert curve([(0, 1)]) is None
