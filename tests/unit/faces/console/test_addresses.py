"""Any path, through any address and any form, comes back as the same bytes."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from lastro.domain.paths import from_bytes
from lastro.faces.console.addresses import escaped, history_address, restore_address, unescaped

NAMES = st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw and b"/" not in raw)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: from_bytes(b"/" + b"/".join(names)))


@given(PATHS)
@example("/a~41")
@example("/what?#%41;\\")
@example("/one\ntwo\r\x1b")
@example("/\udcff\udce9")
@example("/\u202eevil \u2028")
def test_a_path_survives_escaping(path):
    text = escaped(path)
    assert unescaped(text) == path
    assert text.isprintable()
    assert text.encode("utf-8").decode("utf-8") == text
    assert not set('?#%\\<>"') & set(text)


@given(PATHS)
@example("/what?#%41")
@example("/\udcff\n")
def test_a_path_survives_an_address_however_often_that_is_decoded(path):
    sent = history_address("web-01", path, at="snap-3")
    assert sent.isascii()
    parts = urlsplit(sent)
    assert parts.query == "at=snap-3"
    received = unquote(parts.path, errors="replace")
    assert received.startswith("/history/web-01/")
    place = received.removeprefix("/history/web-01/")
    assert "/" + unescaped(place) == path
    assert "/" + unescaped(unquote(place, errors="replace")) == path


@given(PATHS, st.lists(NAMES.map(from_bytes), max_size=3))
def test_a_choice_survives_an_address(path, names):
    fields = parse_qsl(urlsplit(restore_address("local", path, at="2d", only=names)).query)
    assert [unescaped(value) for name, value in fields if name == "path"] == [path]
    assert [unescaped(value) for name, value in fields if name == "only"] == names


@given(st.text(max_size=20))
def test_whatever_was_typed_is_some_path(text):
    unescaped(text).encode("utf-8", "surrogateescape")


def test_an_ordinary_path_looks_ordinary():
    assert history_address("local", "/etc/nginx/nginx.conf") == "/history/local/etc/nginx/nginx.conf"
    assert history_address("local", "/") == "/history/local/"
