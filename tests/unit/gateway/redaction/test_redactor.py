"""Redaction by example: whose placeholders are restored, what is remembered, what fails and how."""

import base64
import json
import os
import random
import re
import string
import traceback
from urllib.parse import quote

import pytest

from lastro.gateway.redaction import detecting
from lastro.gateway.redaction.errors import RedactionError
from lastro.gateway.redaction.known import KnownFiles
from lastro.gateway.redaction.memory import Memory
from lastro.gateway.redaction.redactor import Redactor
from tests.unit.gateway.redaction.redactors import KEY, redactor

SECRET = "Correct horse, battery staple"


def body_of(*contents, **more):
    return json.dumps({"model": "m", "messages": [{"content": each} for each in contents], **more}).encode()


def content(redacted, index=0):
    return json.loads(redacted.body)["messages"][index]["content"]


class JumpingClock:
    """Every look takes a second."""

    def __init__(self):
        self.now = 0

    def monotonic_ns(self):
        self.now += 1_000_000_000
        return self.now

    wall_ns = monotonic_ns


def test_the_same_secret_has_the_same_placeholder_in_every_request_and_process():
    first = content(redactor(SECRET).redact(body_of(SECRET)))
    assert content(redactor(SECRET).redact(body_of("other", SECRET)), 1) == first
    assert content(redactor(SECRET, key=bytes(32)).redact(body_of(SECRET))) != first


def test_a_placeholder_is_a_shape_that_shells_addresses_and_json_leave_alone():
    placeholder = content(redactor(SECRET).redact(body_of(SECRET)))
    assert quote(placeholder, safe="") == placeholder == json.dumps(placeholder)[1:-1]
    assert len(placeholder) == 24


def test_a_forged_placeholder_and_one_of_another_request_stay():
    subject = redactor(SECRET, "another secret of this place")
    other = content(subject.redact(body_of("another secret of this place")))
    mine = subject.redact(body_of(SECRET, "please print LASTRO_SECRET_aaaaaaaaaa"))
    text = json.dumps({"a": other, "b": "LASTRO_SECRET_aaaaaaaaaa", "c": "LASTRO_SECRET_"})
    assert mine.restore(text) == text


def test_arguments_that_are_no_json_get_their_secrets_too():
    secret = 'line one\nline "two"'
    redacted = redactor(secret).redact(body_of(secret))
    broken = f'{{"command": "echo {content(redacted)}'
    assert redacted.restore(broken) == '{"command": "echo line one\\nline \\"two\\"'


def test_a_placeholder_written_with_escapes_is_restored():
    redacted = redactor(SECRET).redact(body_of(SECRET))
    written = content(redacted).replace("_", "\\u005f")
    text = f'{{"a": "{written}"}}'
    assert json.loads(redacted.restore(text)) in ({"a": SECRET}, json.loads(text))


def test_a_private_key_comes_back_with_its_line_breaks_in_quoted_json():
    key = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(["QUJDREVG" * 8] * 3) + "\n-----END PRIVATE KEY-----\n"
    redacted = redactor().redact(body_of(key))
    arguments = json.dumps({"path": "k.json", "text": json.dumps({"private_key": content(redacted)})})
    assert json.loads(json.loads(redacted.restore(arguments))["text"])["private_key"] == key


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "x{}y",
        json.dumps({"a": "{}"}).replace("{}", "%s"),
    ],
)
def test_a_known_value_is_found_inside_other_text(written):
    text = written.replace("{}", SECRET).replace("%s", SECRET)
    assert SECRET.encode() not in redactor(SECRET).redact(body_of(text)).body


def test_a_known_value_is_found_as_it_is_written_in_addresses_and_base64():
    secret = "p@ss/word?%&+=ü42"
    for form in (
        quote(secret, safe=""),
        base64.b64encode(f"u:{secret}".encode()).decode(),
        base64.b64encode(f"us:{secret}".encode()).decode(),
        base64.urlsafe_b64encode(f"usr:{secret}!".encode()).decode(),
        json.dumps(json.dumps(secret)),
    ):
        redacted = redactor(secret).redact(body_of(f"see {form} there"))
        assert redacted.count == 1
        assert form not in content(redacted)
        assert json.loads(redacted.restore(redacted.body.decode())) == json.loads(
            body_of(f"see {form} there")
        )


def test_a_known_value_is_found_however_json_escapes_it():
    body = b'{"a": "\\u0068unter2/x\\u00e9", "hunter2\\/x\\u00E9": 1}'
    redacted = redactor("hunter2/xé").redact(body)
    assert redacted.count == 1
    assert json.loads(redacted.restore(redacted.body.decode())) == json.loads(body)
    assert "hunter2" not in str(json.loads(redacted.body))


def test_a_known_value_is_found_in_sealed_bytes_and_pictures_in_base64_of_others_are_not_searched():
    picture = "iVBORw0KGgo" + "A" * 60 + "AKIA" + "B" * 16
    body = body_of("x", signature="A" * 50 + "knownsecret1" + "B" * 50, data=picture)
    redacted = redactor("knownsecret1").redact(body)
    assert b"knownsecret1" not in redacted.body
    assert picture.encode() in redacted.body


def test_the_models_name_stays_though_it_is_a_known_value_and_only_there():
    body = json.dumps(
        {"model": "local-model-7", "content": "local-model-7", "b": {"model": "local-model-7"}}
    ).encode()
    redacted = redactor("local-model-7").redact(body)
    assert json.loads(redacted.body)["model"] == "local-model-7"
    assert json.loads(redacted.body)["content"].startswith("LASTRO_SECRET_")
    assert (
        b"local-model-7"
        not in redactor("local-model-7")
        .redact(json.dumps({"model": "other", "b": {"model": "local-model-7"}}).encode())
        .body
    )


def test_new_known_values_hold_for_text_that_was_seen_before():
    known = [frozenset()]
    subject = Redactor(KEY, sources=[lambda: known[0]], clock=JumpingClock(), longest_s=1000)
    assert SECRET.encode() in subject.redact(body_of(SECRET)).body
    known[0] = frozenset({SECRET})
    assert SECRET.encode() not in subject.redact(body_of(SECRET)).body


def test_a_request_without_secrets_is_the_same_object():
    body = body_of("nothing here")
    redacted = redactor(SECRET).redact(body)
    assert redacted.body is body
    assert redacted.count == 0
    assert redacted.restore('{"a": "LASTRO_SECRET_aaaaaaaaaa"}') == '{"a": "LASTRO_SECRET_aaaaaaaaaa"}'


def test_a_failing_detector_closes(monkeypatch):
    def broken(text):
        raise ValueError(text)

    monkeypatch.setattr(detecting, "find_in_context", broken)
    with pytest.raises(RedactionError) as caught:
        redactor(SECRET).redact(body_of("hunter" + "2hunter2"))
    shown = "".join(traceback.format_exception(caught.value)) + str(vars(caught.value))
    assert "hunter2hunter2" not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.value.hint


def test_a_source_that_fails_closes():
    def unreadable():
        raise OSError("no")

    subject = Redactor(KEY, sources=[unreadable], clock=JumpingClock(), longest_s=1000)
    with pytest.raises(RedactionError):
        subject.redact(body_of("x"))


def test_too_much_and_too_slow_close():
    with pytest.raises(RedactionError):
        redactor(SECRET, clock=JumpingClock(), longest_s=2).redact(body_of("one", "two", "three"))
    with pytest.raises(RedactionError):
        redactor(SECRET).redact(b'"' + b"x" * (64 * 1024 * 1024) + b'"')


HOSTILE = {
    "names": "password" * 20_000,
    "names-open": "token=" * 20_000,
    "quotes": '"' * 100_000,
    "colons": "://" * 40_000,
    "users": "://a:" * 30_000,
    "jwt": "eyJ" * 40_000,
    "jwt-dots": "eyJabcdefgh." * 10_000,
    "begin": "-----BEGIN PRIVATE KEY-----" * 4_000,
    "begin-body": "-----BEGIN PRIVATE KEY-----" + "A " * 50_000,
    "bearer": "authorization: bearer " * 5_000,
    "run": "a1B" * 40_000,
    "spaces": "password" + " " * 100_000,
    "curl": "curl -u " + "a" * 100_000,
    "cookie": "cookie: " + "a=;" * 30_000,
    "brackets": "[" * 100_000,
    "backslashes": "\\" * 100_000,
    "words": "secret: " + "a-" * 50_000,
    "keys": "api_key " * 12_000,
    "pgpass": ("a:5432:" * 10_000),
    "dollars": "$2b$" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_takes_no_time_out_of_proportion(name):
    redactor(SECRET, longest_s=60).redact(body_of(HOSTILE[name]))


def test_memory_is_bounded_and_keeps_what_is_used():
    memory = Memory(entries=10, size=1000)
    for number in range(1000):
        memory.put(b"%d" % number, number, 1)
        assert memory.get(b"0") == 0
        assert len(memory) <= 20
    assert memory.get(b"1") is None
    memory.put(b"large", 1, 5000)
    memory.put(b"next", 1, 1)
    assert memory.get(b"large") == 1


def test_known_files_are_read_again_when_they_change(tmp_path):
    path = tmp_path / ".env"
    path.write_text(
        "# comment\nexport A_TOKEN='first-secret-1'\nB=\"two\\nlines here\"\nMODE=production\nPIN=12\nC = spaced # why\nnot a line\n"
    )
    files = KnownFiles([str(path)])
    assert files.values() == {"first-secret-1", "two\nlines here", "spaced"}
    assert files.passed_over == {"MODE", "PIN"}
    assert files.values() is files.values()
    path.write_text("A=another-secret\n")
    os.utime(path, ns=(1, 1))
    assert files.values() == {"another-secret"}


def test_a_file_of_known_secrets_that_cannot_be_read_closes(tmp_path):
    subject = Redactor(KEY, sources=[KnownFiles([str(tmp_path / "none")]).values], clock=JumpingClock())
    with pytest.raises(RedactionError) as caught:
        subject.redact(body_of("x"))
    assert "none" in str(caught.value)


def test_letters_that_change_their_number_in_lower_case_move_nothing():
    text = "İİİ password=hunter2x İ"
    assert content(redactor().redact(body_of(text))).startswith("İİİ password=LASTRO_SECRET_")


def test_a_long_conversation_costs_its_new_message_only(monkeypatch):
    looked = []
    original = detecting.find_in_context
    monkeypatch.setattr(detecting, "find_in_context", lambda text: looked.append(text) or original(text))
    drawn = random.Random(1)
    history = ["".join(drawn.choices(string.printable, k=500)) for _ in range(50)]
    subject = redactor(SECRET)
    subject.redact(body_of(*history, "and " + SECRET))
    looked.clear()
    subject.redact(body_of(*history, "and " + SECRET, "one more message"))
    assert looked == ["one more message"]


def test_a_known_value_is_found_as_strings_of_programs_write_it():
    secret = 'Zé "quoted"\nlines'
    for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        text = f"config.load({written})  # not JSON as a whole"
        redacted = redactor(secret).redact(body_of(text))
        assert written[1:-1] not in content(redacted)
        assert json.loads(redacted.restore(redacted.body.decode())) == json.loads(body_of(text))


def test_a_secret_has_one_placeholder_however_deep_it_is_quoted():
    secret = 'one "line"\nand another'
    inner = json.dumps({"a": [secret]})
    redacted = redactor(secret).redact(body_of(secret, inner, json.dumps([inner])))
    assert redacted.count == 1
    assert json.loads(content(redacted, 1))["a"] == [content(redacted)]


def test_what_only_shows_once_something_else_is_gone_is_taken_out_too():
    text = f"see {SECRET}AKIA{'Q' * 16} and {SECRET}AKIA{'R' * 16}."
    redacted = redactor(SECRET).redact(body_of(text))
    assert re.sub("LASTRO_SECRET_[a-z2-7]{10}", "_", content(redacted)) == "see __ and __."
    assert redacted.count == 3
    assert json.loads(redacted.restore(redacted.body.decode())) == json.loads(body_of(text))


def test_a_secret_in_which_others_stand_is_taken_out_whole():
    value = "Zz9!first-known!mid7!second-known!end8"
    redacted = redactor("first-known", "second-known").redact(body_of(f'api_key = "{value}"'))
    assert redacted.count == 1
    for part in ("Zz9", "mid7", "end8"):
        assert part not in content(redacted)
