"""``prices.toml``: what is right is read exactly, what is wrong is refused by name."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lastro.errors import ConfigError
from lastro.gateway.price_overrides import read_overrides

GOOD = '[[models]]\nprovider = "a"\nmodel = "b*"\n'


def read(tmp_path, text):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return read_overrides(str(path))


def test_no_file_means_no_overrides(tmp_path):
    assert read_overrides(str(tmp_path / "none.toml")) == ()


def test_prices_are_exact_however_they_are_written(tmp_path):
    (first, second) = read(
        tmp_path, GOOD + 'input = 0.1\noutput = "0.30"\ncache_read = 1\n' + GOOD + "context = 5\n"
    )
    assert (first.input, first.output, first.cache_read) == (Decimal("0.1"), Decimal("0.30"), Decimal(1))
    assert (second.input, second.context) == (None, 5)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD + "input = 1\n",
        GOOD + "cache_read = 1\n",
        GOOD + "input = 1\noutput = -1\n",
        GOOD + 'input = 1\noutput = "nan"\n',
        GOOD + 'input = 1\noutput = "cheap"\n',
        GOOD + "input = 1\noutput = inf\n",
        GOOD + "input = 1\noutput = true\n",
        GOOD + "input = 1\noutput = 1\noutptu = 1\n",
        GOOD + "context = -5\n",
        '[[models]]\nmodel = "b"\ninput = 1\noutput = 1\n',
        '[[model]]\nprovider = "a"\n',
        "this is no TOML",
    ],
)
def test_what_is_wrong_is_refused_with_the_file_s_name(tmp_path, text):
    with pytest.raises(ConfigError, match=r"prices\.toml"):
        read(tmp_path, text)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "prices.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"prices\.toml"):
        read_overrides(str(tmp_path / "prices.toml"))
