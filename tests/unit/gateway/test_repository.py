"""The gateway's own repository: made once, with its secrets saved first, and never anew over an old one."""

from __future__ import annotations

import os
import stat

import pytest

from lastro.domain.clock import SystemClock
from lastro.errors import LockedError, NoRepositoryError, WrongKeyError
from lastro.gateway.repository import open_or_create_repository, open_repository
from lastro.store.backends.local import LocalBackend
from lastro.store.recovery import RecoveryKey
from lastro.store.repository import Repository
from tests.exchange_kit import ACTOR


@pytest.fixture
def places(tmp_path):
    return {
        "path": f"{tmp_path}/data/gateway",
        "key_file": f"{tmp_path}/config/secrets/gateway-repository.key",
        "cache": f"{tmp_path}/state/cache/gateway-chunks.sqlite",
    }


def make(places, tmp_path):
    return open_or_create_repository(
        **places, kit_path=f"{tmp_path}/config/gateway-recovery-kit.txt", actor=ACTOR, clock=SystemClock()
    )


def test_it_is_made_once_and_opened_again(places, tmp_path):
    with make(places, tmp_path) as repository:
        first = repository.id
    with make(places, tmp_path) as repository:
        assert repository.id == first
    for path in (places["key_file"], f"{tmp_path}/config/gateway-recovery-kit.txt"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_the_kit_alone_opens_it(places, tmp_path):
    with make(places, tmp_path) as repository:
        first = repository.id
    with open(f"{tmp_path}/config/gateway-recovery-kit.txt", encoding="utf-8") as file:
        text = file.read()
    assert first in text
    key = next(line.strip() for line in text.splitlines() if line.count("-") == 13)
    with Repository.open(LocalBackend(places["path"]), RecoveryKey(key), clock=SystemClock()) as repository:
        assert repository.id == first


def test_a_second_writer_is_refused_and_readers_are_not(places, tmp_path):
    with make(places, tmp_path) as repository:
        with pytest.raises(LockedError):
            make(places, tmp_path)
        with open_repository(**places, clock=SystemClock()) as reader:
            assert reader.head() == repository.head()


def test_a_missing_key_never_makes_a_new_repository(places, tmp_path):
    with pytest.raises(NoRepositoryError) as raised:
        open_repository(**places, clock=SystemClock())
    assert raised.value.hint
    make(places, tmp_path).close()
    os.rename(places["key_file"], places["key_file"] + ".away")
    with pytest.raises(WrongKeyError) as raised:
        make(places, tmp_path)
    assert places["path"] in raised.value.hint_text
    os.rename(places["key_file"] + ".away", places["key_file"])
    make(places, tmp_path).close()
