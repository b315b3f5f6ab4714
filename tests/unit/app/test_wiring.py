"""What opening and making a repository says when the machine is not as it should be."""

from __future__ import annotations

import os

import pytest

from lastro.app.opening import create_repository, open_services, recovery_kit
from lastro.app.places import places_of
from lastro.app.wiring import person
from lastro.domain.clock import SystemClock
from lastro.errors import ConflictError, WrongKeyError


@pytest.fixture
def places(tmp_path):
    home = os.fsencode(tmp_path) + b"/ho\xe9me\n"
    found = places_of(home.decode("utf-8", "surrogateescape"))
    create_repository(found, person(), SystemClock())
    return found


def opening(places):
    return open_services(places, writable=False, actor=person(), clock=SystemClock())


def test_a_home_of_any_bytes_has_its_recovery_kit(places):
    with open(places.recovery_kit, encoding="utf-8") as file:
        text = file.read()
    assert "/ho\\xe9me\\x0a/data/repository" in text
    with pytest.raises(ConflictError):
        create_repository(places, person(), SystemClock())
    with opening(places) as services:
        assert services.repository.id in text


def test_a_recovery_kit_is_text_whatever_the_path():
    assert recovery_kit("id", "/\udcff\x1b[31m", "KEY", b"k").encode().isascii() is False


def test_a_key_file_that_cannot_be_read_is_named(places):
    os.unlink(places.key_file)
    with pytest.raises(WrongKeyError, match="is missing"), opening(places):
        pass
    os.mkdir(places.key_file)
    with pytest.raises(WrongKeyError, match=r"cannot be read: Is a directory"), opening(places):
        pass
