"""Device ids name certificates, catch typing mistakes, and no clock matters."""

from __future__ import annotations

import datetime
import os
import shutil
import stat
import subprocess
import threading

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import ConfigError, UsageError
from lastro.transport.identity import (
    device_id,
    device_of_digest,
    digest_of_device,
    load_identity,
    load_or_make_identity,
    parse_device_id,
)
from tests.capabilities import needs

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
digests = st.binary(min_size=32, max_size=32)


@given(digests)
def test_a_device_id_is_the_digest(digest):
    device = device_of_digest(digest)
    assert digest_of_device(device) == digest
    assert [len(group) for group in device.split("-")] == [7] * 8


@given(digests, st.data())
def test_it_is_read_as_people_write_it(digest, data):
    device = device_of_digest(digest)
    written = "".join(
        data.draw(
            st.sampled_from(
                [character, character.lower(), *{"O": "0", "I": "1", "B": "8"}.get(character, "")]
            )
        )
        if character != "-"
        else data.draw(st.sampled_from(["-", " ", "", " - "]))
        for character in device
    )
    assert parse_device_id(written) == device


@given(digests, st.integers(0, 55), st.sampled_from(LETTERS))
def test_every_single_mistake_is_found_and_its_place_named(digest, position, letter):
    letters = device_of_digest(digest).replace("-", "")
    if letters[position] == letter:
        return
    mistaken = letters[:position] + letter + letters[position + 1 :]
    with pytest.raises(UsageError) as raised:
        parse_device_id(mistaken)
    block = mistaken[position // 14 * 14 :][:14]
    assert f"{block[:7]}-{block[7:]}" in str(raised.value)


@given(digests, st.integers(0, 12))
def test_two_neighbours_the_wrong_way_round_are_found(digest, position):
    """All but one pair: the first and the last letter of the alphabet, which Luhn's rule cannot tell apart."""
    letters = device_of_digest(digest).replace("-", "")
    pair = letters[position : position + 2]
    if len(set(pair)) < 2 or set(pair) == {LETTERS[0], LETTERS[-1]}:
        return
    with pytest.raises(UsageError):
        parse_device_id(letters[:position] + pair[::-1] + letters[position + 2 :])


@pytest.mark.parametrize("text", ["", "ABC", "A" * 55, "A" * 57, "!" * 56, "É" * 56])
def test_what_is_no_device_id_is_refused(text):
    with pytest.raises(UsageError):
        parse_device_id(text)


def test_an_identity_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = str(tmp_path / "node.pem")
    made = load_or_make_identity(path)
    assert load_or_make_identity(path) == made == load_identity(path)
    assert made.device == device_id(made.certificate)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["node.pem"]


def test_several_that_make_it_at_once_get_the_same(tmp_path):
    path, made = str(tmp_path / "node.pem"), []
    threads = [threading.Thread(target=lambda: made.append(load_or_make_identity(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert os.listdir(tmp_path) == ["node.pem"]


def test_an_identity_that_others_can_read_or_that_is_none_is_refused(tmp_path):
    path = str(tmp_path / "node.pem")
    load_or_make_identity(path)
    other = str(tmp_path / "other.pem")
    load_or_make_identity(other)
    os.chmod(path, 0o640)
    with pytest.raises(ConfigError):
        load_identity(path)
    os.chmod(path, 0o600)
    with open(path, "rb") as one, open(other, "rb") as two:
        key, certificate = one.read().partition(b"-----BEGIN CERT")[0], two.read()
        certificate = certificate[certificate.index(b"-----BEGIN CERT") :]
    for content in (b"", b"nothing", key, certificate, key + certificate):
        with open(path, "wb") as file:
            file.write(content)
        with pytest.raises(ConfigError):
            load_identity(path)
    with pytest.raises(ConfigError):
        load_identity(str(tmp_path / "missing.pem"))


def test_a_certificate_is_valid_at_any_time(tmp_path):
    """OpenSSL is asked itself, at both ends of what a clock can say: the date is never a reason to refuse a pinned certificate."""
    made = load_or_make_identity(str(tmp_path / "node.pem"))
    certificate = x509.load_der_x509_certificate(made.certificate)
    assert certificate.not_valid_before_utc == datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert certificate.not_valid_after_utc == datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    openssl = shutil.which("openssl")
    needs(openssl, "the openssl program")
    assert openssl is not None
    for instant in (0, 1, 2**31, 2**32, 253402300798):
        verify = [
            openssl,
            "verify",
            "-attime",
            str(instant),
            "-partial_chain",
            "-CAfile",
            made.path,
            made.path,
        ]
        assert subprocess.run(verify, capture_output=True, check=False).returncode == 0, instant
