"""Settings → notifications: a secret goes in and never comes out, a test arrives, and only an owner changes anything."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from lastro.app.notifying.channels import read_channels
from lastro.app.notifying.sending import post_by_apprise
from lastro.app.operation import find_operation
from lastro.app.permissions import Right, right_of
from lastro.faces.console.pages import notifications, servers
from tests.console_kit import Kit, console_over
from tests.decision_kit import Office
from tests.health_kit import FakeLinks, fake_alerts
from tests.notice_kit import Receiver

HERE = "/settings/notifications"


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


@contextmanager
def console(office):
    with console_over(office) as bare:
        links = FakeLinks(bare.services)
        alerts = fake_alerts(bare.services, links, post=post_by_apprise)
        kit = Kit(replace(bare.services, links=links, alerts=alerts))
        kit.door.stepped_up.add("ana")
        try:
            yield kit
        finally:
            alerts.close()
            kit.close()


def test_nobody_is_told_of_anything_in_the_beginning(office):
    with console(office) as kit:
        page = kit.browser("ana").get(HERE)
    assert "Nobody is told of anything yet." in page.words
    (url,) = page.all("input", name="url")
    assert url["type"] == "password" and url["autocomplete"] == "off"


def test_a_channel_is_added_tested_and_removed_and_its_address_never_shown(office):
    with Receiver() as receiver, console(office) as kit:
        browser = kit.browser("ana")
        fields = {
            "name": "phone",
            "url": receiver.url,
            "kinds": ["damage", "sign_in"],
            "digest": "never",
            "language": "pt_BR",
        }
        page = browser.post(HERE, fields)
        (channel,) = read_channels(office.places.notification_settings)
        assert (channel.url, channel.language) == (receiver.url, "pt_BR")
        assert [kind.value for kind in channel.kinds] == ["damage", "sign_in"]
        assert "phone" in page.words and "SECRET" not in page.raw and "127.0.0.1" not in page.raw
        assert "urgent things only" in page.words
        browser.post(f"{HERE}/test", {"name": "phone"})
        assert receiver.got[0]["message"].endswith(HERE)
        browser.post(f"{HERE}/remove", {"name": "phone"})
        assert read_channels(office.places.notification_settings) == ()


@pytest.mark.parametrize("url", ["", "SECRET", "unknown://SECRET", "json://h/<script>SECRET\u202e"])
def test_an_address_that_cannot_be_is_refused_and_not_repeated(office, url):
    with console(office) as kit:
        page = kit.browser("ana").post(HERE, {"name": "a", "url": url}, status=400)
    assert "SECRET" not in page.raw


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "auditor"])
@pytest.mark.parametrize("path", [HERE, f"{HERE}/test", f"{HERE}/remove"])
def test_who_is_no_owner_changes_nothing(office, role, path):
    with console(office) as kit:
        browser = kit.browser("bob", role)
        assert not browser.get(HERE).all("form", action=HERE)
        assert browser.send(path, {"name": "a", "url": "json://h"}).status_code == 403
    assert read_channels(office.places.notification_settings) == ()


def test_a_name_that_is_no_name_is_refused(office):
    with console(office) as kit:
        page = kit.browser("ana").post(HERE, {"name": "<script>\x1b", "url": "json://h"}, status=400)
    assert "<script>\x1b" not in page.raw and "\x1b" not in page.raw


@pytest.mark.parametrize("name", ["notify.add", "notify.remove", "notify.test", "server.add"])
def test_the_operation_asks_for_the_right_whatever_a_page_lets_through(name):
    assert right_of(find_operation(name)) is Right.ADMINISTER


def test_the_page_asks_for_the_right_whatever_the_operation_lets_through():
    rights = {(way.path, way.methods): way.right for way in (*servers.WAYS, *notifications.WAYS)}
    assert {
        path for (path, methods), right in rights.items() if "POST" in methods and right is Right.ADMINISTER
    } == {
        "/servers",
        HERE,
        f"{HERE}/test",
        f"{HERE}/remove",
    }
    assert rights["/servers/{server}/capture", ("POST",)] is Right.OPERATE
