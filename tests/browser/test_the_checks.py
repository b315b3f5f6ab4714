"""The checks that every page passes see what they are for: each is given a page that breaks it."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from lastro.faces.console.headers import page_headers
from tests.browser import kit

pytestmark = [pytest.mark.system, pytest.mark.slow]

PAGE = '<!doctype html><html lang="en"><head><title>x</title>{head}</head><body><main><h1>x</h1>{body}</main></body></html>'
BROKEN = {
    "a script in the page": ("problems", {"body": "<script>document.title = 'y'</script>"}),
    "a style in the page": ("problems", {"body": '<p style="color: red">x</p>'}),
    "another host": ("problems", {"body": '<img alt="x" src="http://127.0.0.1:9/x.png">'}),
    "what is not there": ("problems", {"body": '<img alt="x" src="/missing.png">'}),
    "wider than the window": (
        "sideways",
        {"body": "<table><tr><td><pre>" + "x" * 400 + "</pre></td></tr></table>"},
    ),
    "a small target": ("small_targets", {"body": '<input aria-label="x" type="checkbox">'}),
    "a field without a label": ("violations", {"body": "<input>"}),
    "no title": ("violations", {"head": "<title></title>"}),
}


@pytest.fixture(scope="module")
def address():
    def page(request):
        _check, parts = BROKEN[request.query_params["case"]]
        html = PAGE.format(**{"head": "", "body": "", **parts})
        html = html.replace("<title>x</title>", "") if parts.get("head") else html
        return HTMLResponse(html, headers=page_headers("n", tls=False))

    with kit.served(Starlette(routes=[Route("/page", page)])) as found:
        yield found


@pytest.mark.parametrize("case", BROKEN)
def test_a_page_that_breaks_a_rule_is_found(browser, address, case):
    window = kit.Window(browser, address, "", width=320)
    try:
        window.page.goto(f"/page?case={case}")
        window.page.wait_for_load_state("networkidle")
        found = getattr(window, BROKEN[case][0])
        assert found() if callable(found) else found
        with pytest.raises(AssertionError):
            window.check()
    finally:
        window.close()


def test_a_sound_page_passes(browser, address):
    BROKEN["nothing"] = ("", {"body": "<p>x</p>"})
    window = kit.Window(browser, address, "", width=320)
    try:
        window.page.goto("/page?case=nothing")
        window.problems = [one for one in window.problems if "favicon" not in one]
        window.check()
    finally:
        window.close()
