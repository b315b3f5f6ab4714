"""Settings as a page."""

from __future__ import annotations

import pytest

from lastro.faces.console.pages import ALL
from lastro.faces.translation import languages
from lastro.faces.wording.language_names import NAMES
from tests.console_kit import console_over
from tests.decision_kit import Office

GIVEN = {"language": "", "theme": "system", "keys": "1"}


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), {"a": b"one\n"})


def test_what_is_chosen_is_there_on_the_next_page_for_nobody_else(office):
    with console_over(office) as kit:
        ana, bia = kit.browser("ana"), kit.browser("bia", "viewer")
        page = ana.get("/settings")
        assert page.all("html", **{"data-theme": "system"}) and page.all("body", **{"data-keys": "on"})
        page = ana.post("/settings", {"language": "pt_BR", "theme": "dark", "side_by_side": "1"})
        assert page.all("html", lang="pt-BR", **{"data-theme": "dark"})
        assert page.all("body", **{"data-keys": "off"})
        checked = {one["name"]: one["value"] for one in page.all("input") if "checked" in one}
        assert checked == {"theme": "dark", "side_by_side": "1"}
        assert [one["value"] for one in page.all("option") if "selected" in one] == ["pt_BR"]
        assert ana.get("/inbox").all("html", lang="pt-BR", **{"data-theme": "dark"})
        assert bia.get("/settings").all("html", lang="en", **{"data-theme": "system"})
        page = ana.post("/settings", GIVEN)
        assert page.all("html", lang="en", **{"data-theme": "system"}) and "Saved." in page.words
        assert page.all("body", **{"data-keys": "on"})


@pytest.mark.parametrize(
    "wrong", [{"language": "xx"}, {"language": "../etc"}, {"theme": "<script>"}, {"theme": ""}]
)
def test_what_there_is_not_is_not_kept(office, wrong):
    with console_over(office) as kit:
        ana = kit.browser("ana")
        assert "<script>alert" not in ana.post("/settings", {**GIVEN, "keys": "", **wrong}, status=400).raw
        assert ana.get("/settings").all("body", **{"data-keys": "on"})


def test_the_form_needs_its_sessions_token(office):
    with console_over(office) as kit:
        kit.browser("ana").post("/settings", {**GIVEN, "theme": "dark"}, token=False, status=403)
        assert kit.browser("ana").get("/settings").all("html", **{"data-theme": "system"})


def test_every_link_leads_to_a_page(office):
    with console_over(office) as kit:
        links = [link for link in kit.browser("ana").get("/settings").links if link.startswith("/settings/")]
    assert len(links) >= 4
    assert set(links) <= {way.path for way in ALL}


def test_every_language_has_its_name():
    assert set(NAMES) >= set(languages())
