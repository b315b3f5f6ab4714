"""A join token is one word that survives copying, and a bad copy is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import UsageError
from lastro.transport.identity import device_of_digest
from lastro.transport.join_token import JoinToken, format_join_token, parse_join_token

tokens = st.builds(
    lambda addresses, digest, secret: JoinToken(
        addresses=tuple(addresses), device=device_of_digest(digest), secret=secret
    ),
    st.lists(
        st.sampled_from(["127.0.0.1:8423", "[2001:db8::1]:1", "host.example:65535"]), min_size=1, max_size=4
    ),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
)


@given(tokens)
def test_one_word_there_and_back(token):
    word = format_join_token(token)
    assert word.isascii() and word.isalnum()
    assert parse_join_token(f"  {word.upper()}\n") == token


@given(tokens, st.data())
def test_a_word_copied_badly_is_refused(token, data):
    word = format_join_token(token)
    position = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
    before, after = word[:position], word[position + 1 :]
    bad = data.draw(st.sampled_from([before, before + after, before + "8" + after, before + letter + after]))
    if bad != word:
        with pytest.raises(UsageError):
            parse_join_token(bad)


@given(st.text())
def test_anything_else_is_refused(text):
    for word in (text, "lastro1" + text):
        with pytest.raises(UsageError):
            parse_join_token(word)
