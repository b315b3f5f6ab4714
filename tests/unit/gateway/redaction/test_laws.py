"""Laws of redaction: nothing known leaves, nothing else changes, everything comes back, and doing it twice is doing it once."""

import json
import re
import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lastro.gateway.redaction.errors import RedactionError
from lastro.gateway.redaction.json_text import STRING, Offsets, decode_string, encode_string
from lastro.gateway.redaction.known import is_looked_for
from tests.unit.gateway.redaction.redactors import redactor

ODD = "\n\t\"\\/é\U0001f600\x01<>&'$%{}[]:=,; "
secrets = st.text(
    st.sampled_from(string.ascii_letters + string.digits + ODD), min_size=8, max_size=24
).filter(lambda text: is_looked_for(text) and text.strip() == text)
shaped = st.sampled_from(
    [
        "ghp_" + "a1B2" * 9,
        "password=hunter2x",
        "postgres://u:s3cret@h/db",
        "-----BEGIN PRIVATE KEY-----\n" + "QUJD" * 16 + "\n-----END PRIVATE KEY-----\n",
        "Authorization: Bearer abc123def456ghi789",
        "LASTRO_SECRET_abcdefghij",
        "api_key: 9f8A7b6C5d4E3f2A1b0C",
    ]
)
fragments = st.one_of(st.text(max_size=12), shaped, st.sampled_from(list(ODD)))


@st.composite
def texts(draw, planted):
    """Text with secrets in it, perhaps as JSON inside JSON."""
    text = "".join(draw(st.lists(st.one_of(fragments, st.sampled_from(planted)), max_size=5)))
    kind = draw(st.integers(0, 5))
    if kind == 0:
        text = json.dumps({"k": text, text: "v"}, ensure_ascii=draw(st.booleans()))
    elif kind == 1:
        text = json.dumps([json.dumps({"password": text})])
    return text


@st.composite
def requests(draw):
    planted = draw(st.lists(secrets, min_size=1, max_size=3, unique=True))
    leaves = st.one_of(texts(planted), st.integers(), st.none(), st.booleans(), st.sampled_from(planted))
    keys = st.one_of(st.sampled_from(["content", "password", "text", "arguments", "model"]), texts(planted))
    document = draw(
        st.recursive(
            leaves,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
            max_leaves=8,
        )
    )
    written = json.dumps({"messages": document}, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        written = re.sub(r"(?<!\\)/", r"\\/", written)  # allowed, and some clients write it so
    return planted, written.encode()


def strings(value):
    """All strings of a document, and those of JSON inside them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value
        if value[:1] in {"{", "[", '"'}:
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from strings(inner)


def outside(document):
    """The bytes that no string holds."""
    return STRING.sub('""', document)


@given(requests())
def test_no_known_secret_is_left_however_it_is_quoted(request):
    planted, body = request
    redacted = redactor(*planted).redact(body)
    for text in strings(json.loads(redacted.body)):
        for secret in planted:
            assert secret not in text.replace("LASTRO_SECRET_", "")


@given(requests())
def test_what_was_taken_out_comes_back(request):
    planted, body = request
    redacted = redactor(*planted).redact(body)
    assert json.loads(redacted.restore(redacted.body.decode())) == json.loads(body)


@given(requests())
def test_twice_is_once(request):
    planted, body = request
    subject = redactor(*planted)
    once = subject.redact(body).body
    again = subject.redact(once)
    assert again.body == once
    assert again.count == 0


@given(requests())
def test_a_redactor_that_remembers_says_what_a_new_one_says(request):
    planted, body = request
    subject = redactor(*planted)
    first = subject.redact(body)
    second = subject.redact(body)
    assert first.body == second.body == redactor(*planted).redact(body).body
    assert first.count == second.count
    assert first.restore(first.body.decode()) == second.restore(second.body.decode())


@given(requests())
def test_what_is_no_string_stays_and_strings_without_secrets_too(request):
    planted, body = request
    before, after = body.decode(), redactor(*planted).redact(body).body.decode()
    assert outside(before) == outside(after)
    for old, new in zip(STRING.findall(before), STRING.findall(after), strict=True):
        if old != new:
            assert "LASTRO_SECRET_" in new
            # Around the placeholders every character is one of the original, in its order.
            rest = re.escape(new)
            for placeholder in set(re.findall(r"LASTRO_SECRET_[a-z2-7]{10}", new)):
                rest = rest.replace(placeholder, f"(?:{placeholder}|.+?)")
            assert re.fullmatch(rest, old, re.DOTALL)


@given(st.text(max_size=40), st.text(max_size=40), st.booleans())
def test_places_in_a_string_are_places_in_its_json(left, right, readable):
    assume(not any("\ud800" <= c <= "\udfff" for c in left + right))
    raw = json.dumps(left + right, ensure_ascii=not readable)[1:-1]
    place = Offsets(raw).raw(len(left))
    assert decode_string(raw[:place]) == left
    assert decode_string(raw[place:]) == right


@given(st.text())
def test_a_string_is_encoded_and_decoded(text):
    assert decode_string(encode_string(text)) == text
    assert encode_string(text).isascii()


@given(secrets, st.integers(0, 3))
def test_a_placeholder_in_quoted_json_becomes_the_secret_at_every_depth(secret, depth):
    redacted = redactor(secret).redact(json.dumps({"content": secret}).encode())
    placeholder = json.loads(redacted.body)["content"]
    assume(re.fullmatch(r"LASTRO_SECRET_[a-z2-7]{10}", placeholder) and redacted.count == 1)

    def wrapped(value):
        document = {"x": f"a {value}", "n": 1}
        for _ in range(depth):
            document = {"body": json.dumps(document)}
        return document

    restored = json.loads(redacted.restore(json.dumps(wrapped(placeholder))))
    assert restored == wrapped(secret)


@given(st.binary(max_size=60))
@example(b'{"a": "\xff"}')
@example(b'{"a": "x}')
@example(b"\xef\xbb\xbf{}")
@example(b"[NaN]")
@example(b"[" * 100_000)
def test_what_is_no_json_is_refused(body):
    try:
        json.loads(body.decode(), parse_constant=lambda _: int("x"))
    except (ValueError, RecursionError):
        with pytest.raises(RedactionError):
            redactor("a known secret").redact(body)
    else:
        redactor("a known secret").redact(body)


def test_half_a_surrogate_pair_is_no_reason_to_refuse():
    body = rb'{"content": "cut \ud83d and password=hunter2x", "b": "{\"a\": \"\ud83d hunter2x\"}"}'
    redacted = redactor("hunter2x").redact(body)
    assert b"hunter2x" not in redacted.body
    assert json.loads(redacted.restore(redacted.body.decode())) == json.loads(body)
