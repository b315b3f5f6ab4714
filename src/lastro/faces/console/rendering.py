"""Templates to HTML. What always holds: every value is escaped, in text and in attributes; a value that was never given is an error, not
an empty string; sentences are in the reader's language, because the filters ask for it when they are used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lastro.faces.console import assets, filters, guard
from lastro.faces.console.asked import Asked, Page
from lastro.faces.console.menu import menu_of
from lastro.faces.console.notices import notice_of
from lastro.faces.translation import gettext, ngettext, sentence
from lastro.faces.wording import gateway_words, review_words

DIRECTORY: Final = os.path.join(os.path.dirname(__file__), "templates")


@cache
def environment() -> Environment:
    """The one environment: it holds nothing of any reader."""
    made = Environment(
        loader=FileSystemLoader(DIRECTORY),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    made.globals.update(
        _=gettext,
        ngettext=ngettext,
        sentence=sentence,
        asset=assets.address_of,
        usage=review_words.usage,
        sum_of=gateway_words.sum_of,
        enforcement=review_words.enforcement,
    )
    made.filters.update(filters.FILTERS)
    made.tests.update(filters.TESTS)
    return made


def render(page: Page, asked: Asked, *, nonce: str) -> str:
    """The HTML of ``page`` for who asked, or of its part if that is what was asked."""
    template = environment().get_template(page.template)
    values = {**_frame(page, asked, nonce), **page.values}
    if page.part:
        context = template.new_context(values)
        next(template.root_render_func(context), None)  # what stands before its first output: imports, macros
        return "".join(template.blocks[page.part](context))
    return template.render(values)


def _frame(page: Page, asked: Asked, nonce: str) -> Mapping[str, Any]:
    """What every template can use."""
    return {
        "asked": asked,
        "visitor": asked.visitor,
        # What tells of a failure asks nothing that may have failed.
        "menu": menu_of(asked, counted=page.status < HTTPStatus.INTERNAL_SERVER_ERROR),
        "notice": notice_of(asked.text("said") if asked.method == "GET" else ""),
        "status": page.status,
        "nonce": nonce,
        "token": lambda: _token(asked),
        "clock": filters.Clock(zone=asked.zone, now_ns=asked.now_ns),
    }


def _token(asked: Asked) -> Markup:
    """The hidden field that every form of a session carries."""
    token = asked.visitor.session.csrf if asked.visitor else ""
    return Markup('<input type="hidden" name="{}" value="{}">').format(guard.TOKEN_FIELD, token)
