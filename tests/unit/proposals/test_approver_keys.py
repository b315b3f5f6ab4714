from __future__ import annotations

import os
import stat
import threading

import msgspec
import pytest

from lastro.errors import ConflictError, DamagedError, NotFoundError, UsageError, WrongKeyError
from lastro.proposals.approver_keys import (
    KeyCost,
    KeyFile,
    find_key,
    local_keys,
    make_key,
    remove_key,
    try_in_vain,
    unlock,
)

QUICK = KeyCost(memory=64, passes=1, lanes=1)
WORDS = "four words in a row"


@pytest.fixture
def keys(tmp_path):
    return f"{tmp_path}/approvers"


def made(keys, name="ana", words=WORDS):
    return make_key(keys, name, words, cost=QUICK)


def test_a_key_opens_with_its_passphrase(keys):
    key = made(keys)
    for name in ("ana", key.key_id, ""):
        assert unlock(keys, name, WORDS).public_key().public_bytes_raw() == key.public_key


def test_its_file_is_for_its_owner_alone(keys):
    key = made(keys)
    assert stat.S_IMODE(os.stat(keys).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{keys}/{key.key_id}.key").st_mode) == 0o600


def test_another_passphrase_opens_nothing(keys):
    made(keys)
    with pytest.raises(WrongKeyError) as caught:
        unlock(keys, "ana", WORDS + "!")
    assert "ana" in str(caught.value) and caught.value.hint


def test_the_same_passphrase_typed_on_another_keyboard(keys):
    made(keys, words="caf\u00e9 com leite")
    assert unlock(keys, "ana", "cafe\u0301 com leite")


@pytest.mark.parametrize("words", ["", "1234567", "x" * 2000], ids=["empty", "short", "long"])
def test_a_passphrase_has_to_lock_something(keys, words):
    with pytest.raises(UsageError):
        made(keys, words=words)
    assert local_keys(keys) == []


@pytest.mark.parametrize("name", ["", " ana", "a\nb", "a\u202eb", "x" * 65, "\x1b[31m"])
def test_a_name_is_what_it_looks_like(keys, name):
    with pytest.raises(UsageError):
        made(keys, name=name)


def test_the_private_half_is_nowhere_in_the_file(keys):
    key = made(keys)
    raw = unlock(keys, "ana", WORDS).private_bytes_raw()
    with open(f"{keys}/{key.key_id}.key", "rb") as file:
        text = file.read()
    assert raw not in text and raw.hex().encode() not in text
    assert msgspec.json.encode(raw)[1:-1] not in text


def test_no_byte_of_the_file_can_be_changed(keys):
    key = made(keys)
    path = f"{keys}/{key.key_id}.key"
    with open(path, "rb") as file:
        file_was = msgspec.json.decode(file.read(), type=KeyFile)
    for changed in (
        {"name": "bia"},
        {"salt": b"s" * 16},
        {"nonce": b"n" * 12},
        {"wrapped": file_was.wrapped[:-1] + b"x"},
        {"cost": KeyCost(memory=128, passes=1, lanes=1)},
    ):
        with open(path, "wb") as file:
            file.write(msgspec.json.encode(msgspec.structs.replace(file_was, **changed)))
        with pytest.raises((WrongKeyError, DamagedError)):
            unlock(keys, key.key_id, WORDS)


@pytest.mark.parametrize(
    "changed",
    [
        {"public_key": b"p" * 32},
        {"cost": KeyCost(memory=2**40, passes=1, lanes=1)},
        {"cost": KeyCost(memory=64, passes=10**9, lanes=1)},
        {"kind": "other"},
        {"v": 1},
    ],
)
def test_a_file_that_asks_too_much_is_not_even_tried(keys, changed):
    key = made(keys)
    path = f"{keys}/{key.key_id}.key"
    with open(path, "rb") as file:
        was = msgspec.json.decode(file.read(), type=KeyFile)
    with open(path, "wb") as file:
        file.write(msgspec.json.encode(msgspec.structs.replace(was, **changed)))
    assert local_keys(keys) == []
    with pytest.raises(NotFoundError):
        unlock(keys, key.key_id, WORDS)


def test_one_key_does_not_stand_for_another(keys):
    ana, bia = made(keys), made(keys, "bia", "other words in a row")
    os.replace(f"{keys}/{bia.key_id}.key", f"{keys}/{ana.key_id}.key")
    with pytest.raises(NotFoundError):
        unlock(keys, ana.key_id, WORDS)


def test_a_link_in_place_of_a_key_is_not_followed(keys, tmp_path):
    key = made(keys)
    os.replace(f"{keys}/{key.key_id}.key", f"{tmp_path}/elsewhere")
    os.symlink(f"{tmp_path}/elsewhere", f"{keys}/{key.key_id}.key")
    assert local_keys(keys) == []


def test_several_keys_have_to_be_named(keys):
    made(keys)
    made(keys, "bia")
    with pytest.raises(ConflictError):
        find_key(keys, "")
    assert find_key(keys, "bia").name == "bia"
    with pytest.raises(NotFoundError):
        find_key(keys, "caio")


def test_a_removed_key_is_gone_and_twice_is_once(keys):
    key = made(keys)
    remove_key(keys, key.key_id)
    remove_key(keys, key.key_id)
    assert local_keys(keys) == []


def test_the_cost_of_a_real_key_is_the_recommended_one():
    assert KeyCost() == KeyCost(memory=64 * 1024, passes=3, lanes=4)


def test_many_passphrases_at_the_same_moment_wait_for_each_other_and_not_for_ever():
    cost = KeyCost(memory=16 * 1024, passes=3, lanes=4)
    done = threading.Semaphore(0)

    def try_some():
        for _ in range(5):
            try_in_vain(WORDS, cost=cost)
            done.release()

    for _ in range(4):
        threading.Thread(target=try_some, daemon=True).start()
    assert all(done.acquire(timeout=60) for _ in range(20))
