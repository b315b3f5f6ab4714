import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lastro.errors import DamagedError, WrongKeyError
from lastro.store.keys import KEY_FILE, RECOVERY, SlotBytes, new_keyring, unlock
from lastro.store.recovery import (
    KeyFile,
    RecoveryKey,
    parse_key_file,
    parse_recovery_key,
    print_key_file,
    print_recovery_key,
)
from tests.store_kit import entropy

secrets = st.binary(min_size=32, max_size=32)
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@given(secrets)
def test_a_printed_recovery_key_is_typed_back(secret):
    printed = print_recovery_key(secret)
    assert parse_recovery_key(printed) == secret
    assert [len(group) for group in printed.split("-")] == [5] * 14


@given(secrets, st.integers(0, 99))
def test_case_spaces_dashes_and_lookalikes_do_not_matter(secret, seed):
    typed = print_recovery_key(secret).lower().replace("-", ["", " ", " - ", "\n", "\u2013"][seed % 5])
    typed = typed.replace("1", "Il"[seed % 2]).replace("0", "oO"[seed % 2])
    assert parse_recovery_key(typed) == secret


@given(secrets, st.integers(0, 69), st.sampled_from(ALPHABET + "U*"))
def test_one_wrong_character_is_named_by_its_group(secret, place, wrong):
    letters = list(print_recovery_key(secret).replace("-", ""))
    assume(letters[place] != wrong)
    letters[place] = wrong
    with pytest.raises(WrongKeyError) as raised:
        parse_recovery_key("".join(letters))
    assert raised.value.parameters["group"] == place // 5 + 1


@given(secrets, st.integers(0, 68))
def test_two_characters_that_changed_places_are_noticed(secret, place):
    letters = list(print_recovery_key(secret).replace("-", ""))
    assume(letters[place] != letters[place + 1])
    letters[place], letters[place + 1] = letters[place + 1], letters[place]
    with pytest.raises(WrongKeyError):
        parse_recovery_key("".join(letters))


@given(secrets, st.integers(0, 13), st.integers(0, 13))
def test_two_groups_that_changed_places_are_noticed(secret, one, two):
    groups = print_recovery_key(secret).split("-")
    assume(groups[one] != groups[two])
    groups[one], groups[two] = groups[two], groups[one]
    with pytest.raises(WrongKeyError):
        parse_recovery_key("-".join(groups))


@given(secrets, st.integers(0, 69))
def test_a_missing_character_is_noticed(secret, length):
    with pytest.raises(WrongKeyError):
        parse_recovery_key(print_recovery_key(secret).replace("-", "")[:length])


@given(secrets)
def test_a_key_file_reads_back_whatever_stands_around_its_line(secret):
    content = print_key_file("ab" * 16, secret)
    assert parse_key_file(b"\r\n  " + content.replace(b"\n", b"\r\n") + b"\n# mine\n") == ("ab" * 16, secret)


@given(secrets, st.integers(0, 1 << 12))
def test_a_flipped_bit_in_the_line_of_a_key_file_is_noticed(secret, bit):
    content = bytearray(print_key_file("ab" * 16, secret))
    start = content.index(b"lastro-key-0")
    place = start + bit // 8 % (len(content) - 1 - start)
    content[place] ^= 1 << bit % 8
    with pytest.raises(WrongKeyError):
        parse_key_file(bytes(content))


def test_something_else_is_no_key_file():
    with pytest.raises(WrongKeyError):
        parse_key_file(b"\xff\x00 not a key\n")


# slots

REPOSITORY = "0123456789abcdef" * 2


def slots(keyring, secrets):
    found = [SlotBytes("keys/signing", keyring.lock_signing_key(entropy(9)))]
    for number, (kind, secret) in enumerate(secrets):
        slot = f"slot{number}"
        found.append(SlotBytes(f"keys/{slot}", keyring.lock(slot, kind, secret, entropy(number))))
    return found


@given(secrets, secrets)
def test_each_secret_opens_its_slot(file_secret, printed_secret):
    assume(file_secret != printed_secret)
    keyring = new_keyring(REPOSITORY, entropy(1))
    objects = slots(keyring, [(RECOVERY, printed_secret), (KEY_FILE, file_secret)])
    for secret in (
        KeyFile(print_key_file(REPOSITORY, file_secret)),
        RecoveryKey(print_recovery_key(printed_secret)),
    ):
        opened = unlock(REPOSITORY, secret, objects)
        assert opened.chunk_id_key == keyring.chunk_id_key
        assert opened.public_key == keyring.public_key
        assert opened.sign(b"x") == keyring.sign(b"x")
    for wrong in (
        KeyFile(print_key_file(REPOSITORY, printed_secret)),
        RecoveryKey(print_recovery_key(file_secret)),
    ):
        with pytest.raises(WrongKeyError):
            unlock(REPOSITORY, wrong, objects)


def test_a_key_file_of_another_repository_says_so():
    keyring = new_keyring(REPOSITORY, entropy(1))
    with pytest.raises(WrongKeyError) as raised:
        unlock(
            REPOSITORY, KeyFile(print_key_file("f" * 32, b"s" * 32)), slots(keyring, [(KEY_FILE, b"s" * 32)])
        )
    assert raised.value.parameters["owner"] == "f" * 32


@given(st.data())
def test_a_flipped_bit_in_a_slot_is_damage_never_another_key(data):
    keyring = new_keyring(REPOSITORY, entropy(1))
    objects = slots(keyring, [(KEY_FILE, b"s" * 32)])
    which = data.draw(st.sampled_from([0, 1]))
    raw = bytearray(objects[which].raw)
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[place // 8] ^= 1 << place % 8
    objects[which] = SlotBytes(objects[which].name, bytes(raw))
    with pytest.raises(DamagedError):
        unlock(REPOSITORY, KeyFile(print_key_file(REPOSITORY, b"s" * 32)), objects)


def test_a_signing_key_of_another_repository_is_refused():
    keyring, other = new_keyring(REPOSITORY, entropy(1)), new_keyring(REPOSITORY, entropy(2))
    objects = slots(keyring, [(KEY_FILE, b"s" * 32)])
    objects[0] = slots(other, [])[0]
    with pytest.raises(DamagedError):
        unlock(REPOSITORY, KeyFile(print_key_file(REPOSITORY, b"s" * 32)), objects)


def test_every_derived_key_is_another():
    keyring = new_keyring(REPOSITORY, entropy(1))
    keys = [keyring.chunk_id_key, keyring.boundary_key, keyring.cache_key, keyring.public_key]
    assert len(set(keys)) == 4
    assert 0 <= keyring.chunker_seed < 1 << 63
    assert new_keyring("f" * 32, entropy(1)).chunk_id_key != keyring.chunk_id_key
