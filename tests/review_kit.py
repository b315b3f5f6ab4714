"""A reviewer at the console: the forms of a review page as a browser without scripts sends them."""

from __future__ import annotations

from lastro.app.wiring import person
from tests.console_kit import COOKIE
from tests.decision_kit import PASSPHRASE


def me(kit, *roles):
    """The browser of whoever runs the tests, who has a key here."""
    return kit.browser(person().name, *(roles or ("owner",)))


def fields(page, form):
    """What the form with the address ``form`` sends as it stands: hidden fields, ticked boxes, also those elsewhere that name it by id."""
    found = {}
    names = {one.get("id") for one in page.all("form", action=form)}
    inside = False
    for tag, attributes in page.tags:
        if tag == "form":
            inside = attributes.get("action") == form
        mine = attributes.get("form") in names if attributes.get("form") else inside
        if tag != "input" or not mine or "name" not in attributes:
            continue
        kind = attributes.get("type", "text")
        if kind == "hidden" or (kind == "checkbox" and "checked" in attributes):
            found.setdefault(attributes["name"], []).append(attributes.get("value", ""))
    return found


def chosen(page, number, *, without=(), verb="choose", **more):
    """The form of the decision, with the boxes ``(name, value)`` in ``without`` not ticked."""
    sent = fields(page, f"/proposals/{number}/{verb}")
    for name, value in without:
        sent[name] = [one for one in sent[name] if one != value]
    return {**sent, **more}


def sign(browser, plan, *, password=PASSPHRASE, status=200, **more):
    """Answer a plan page with the password; the page that follows."""
    address = next(
        one["action"]
        for one in plan.all("form", method="post")
        if "/plan/" in one.get("action", "") and "data-passkey" not in one
    )
    return browser.post(address, {**fields(plan, address), "password": password, **more}, status=status)


def raw(browser, path):
    """The bare answer to a request for bytes."""
    return browser.client.get(path, headers={**browser.headers, "cookie": f"{COOKIE}={browser.cookie}"})
