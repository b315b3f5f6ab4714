"""The estimate: above what is real for real texts, pictures by rule, and nobody can pass text for a picture."""

from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.tokens import IMAGE_TOKENS, estimate_tokens

PICTURE = base64.b64encode(bytes(range(256)) * 400).decode()


def body(content):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]})


@given(st.text(), st.text())
def test_more_text_is_never_less(first, second):
    assert estimate_tokens(first + second) >= max(estimate_tokens(first), estimate_tokens(second))
    assert estimate_tokens(first) == estimate_tokens(first.encode("utf-8", "surrogatepass"))


@given(st.text(alphabet="0123456789abcdef{}[]<>=+ \n"))
def test_digits_and_signs_are_nearly_one_each(text):
    assert estimate_tokens(text) >= sum(each in "0123456789" for each in text)


def test_a_picture_counts_by_rule_in_each_dialect():
    plain = estimate_tokens(body(""))
    for part in (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
        {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ):
        for separators in ((",", ":"), (", ", ": ")):
            asked = json.dumps({"messages": [{"content": [part, part]}]}, separators=separators)
            assert 2 * IMAGE_TOKENS < estimate_tokens(asked) < 2 * IMAGE_TOKENS + plain + 200


def test_text_that_looks_like_a_picture_is_text():
    for text in (
        PICTURE,
        f"data:image/png;base64,{PICTURE}",
        json.dumps({"data": PICTURE}),
        json.dumps({"image_url": {"url": f"data:image/png;base64,{PICTURE}"}}),
    ):
        assert estimate_tokens(body(text)) > len(PICTURE) / 2


def test_an_estimate_of_nothing_is_small():
    assert 0 < estimate_tokens(b"") < 20
