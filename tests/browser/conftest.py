"""A browser for each module, so that its event loop is gone before tests of other modules run theirs; a console for each module, which its
journeys share.
"""

from __future__ import annotations

import pytest

from tests.browser import kit
from tests.browser.sample import sample_console
from tests.capabilities import needs


@pytest.fixture(scope="module")
def browser():
    needs(kit.program(), "a browser (chromium)")
    with kit.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """A console over a home with something of everything."""
    with sample_console(str(tmp_path_factory.mktemp("console"))) as made:
        made.happenings = kit.Happenings(made.client.app)
        with kit.served(made.happenings) as made.address:
            yield made


@pytest.fixture
def window(browser, console):
    """``window("ana", theme="dark")`` is somebody's page; each is closed at the end."""
    opened = []

    def open_one(name="ana", roles="owner", **options):
        opened.append(kit.Window(browser, console.address, name, roles, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
