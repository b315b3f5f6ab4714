"""The gateway's keys: who is admitted, whoever writes the file, and that no text of a key is kept."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile

import pytest
from hypothesis import strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from lastro.errors import DamagedError, NotFoundError, UsageError
from lastro.filesystem.system import System
from lastro.gateway.keyring import REMEMBERED_NS, Keyring
from lastro.gateway.keys import KEY_PREFIX, Limits

SECOND = 1_000_000_000


class Clock:
    def __init__(self):
        self.now = 1_800_000_000 * SECOND

    def __call__(self):
        return self.now


def keyring(path, clock=None, random_bytes=os.urandom):
    return Keyring(str(path), clock_ns=clock or Clock(), random_bytes=random_bytes, system=System())


def test_the_text_is_shown_once_and_the_file_is_for_the_owner_alone(tmp_path):
    path = tmp_path / "keys.json"
    before = os.umask(0)
    try:
        ring = keyring(path)
        key, text = ring.mint(name="laptop", models=("offline/*",), limits=Limits(cost=5), role="reviewer")
    finally:
        os.umask(before)
    assert text.startswith(KEY_PREFIX)
    assert text.removeprefix(KEY_PREFIX).isalnum() and len(text) == len(KEY_PREFIX) + 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys.json.lock").stat().st_mode) == 0o600
    assert text.removeprefix(KEY_PREFIX).encode() not in path.read_bytes()
    assert text not in repr(ring.listed()) and text not in repr(vars(ring))
    assert ring.find(text) == key == keyring(path).find(text)
    assert (key.models, key.limits, key.role) == (("offline/*",), Limits(cost=5), "reviewer")


def test_an_order_that_makes_no_sense_writes_nothing(tmp_path):
    ring = keyring(tmp_path / "keys.json")
    for wrong in (
        {"name": ""},
        {"name": "a" * 201},
        {"name": "two\nlines"},
        {"name": "x", "steps": "relative.sock"},
        {"name": "x", "expires_ns": 5},
    ):
        with pytest.raises(UsageError):
            ring.mint(**wrong)
    assert not (tmp_path / "keys.json").exists()


def test_a_key_is_revoked_by_its_name_only_if_there_is_one(tmp_path):
    ring = keyring(tmp_path / "keys.json")
    first, text = ring.mint(name="laptop")
    ring.mint(name="phone")
    second, _ = ring.mint(name="laptop")
    with pytest.raises(UsageError) as caught:
        ring.revoke("laptop")
    assert first.id in caught.value.hint_text and second.id in caught.value.hint_text
    with pytest.raises(NotFoundError):
        ring.revoke("desktop")
    revoked = ring.revoke(first.id)
    assert ring.revoke(first.id) == revoked
    assert ring.find(text) is None
    assert ring.revoke("laptop").id == second.id


def test_where_no_key_was_ever_given_out_there_is_none_to_revoke(tmp_path):
    with pytest.raises(NotFoundError):
        keyring(tmp_path / "nowhere" / "keys.json").revoke("laptop")
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_file_admits_nobody_and_is_not_overwritten(tmp_path):
    path = tmp_path / "keys.json"
    ring = keyring(path)
    _, text = ring.mint(name="laptop")
    for damage in (path.read_bytes()[:-5], b'{"version":1,"keys":[{"id":"key-1"}]}', b'{"other":1}'):
        path.write_bytes(damage)
        with pytest.raises(DamagedError):
            ring.find(text)
        with pytest.raises(DamagedError):
            ring.mint(name="another")
        assert path.read_bytes() == damage


def test_dead_keys_are_forgotten_in_the_end_and_live_ones_never(tmp_path):
    clock = Clock()
    ring = keyring(tmp_path / "keys.json", clock)
    ring.mint(name="run", expires_ns=clock.now + SECOND)
    _, text = ring.mint(name="laptop")
    clock.now += REMEMBERED_NS
    ring.mint(name="second")
    assert [key.name for key in ring.listed()] == ["run", "laptop", "second"]
    clock.now += 2 * SECOND
    ring.mint(name="third")
    assert [key.name for key in ring.listed()] == ["laptop", "second", "third"]
    assert ring.find(text) is not None


def test_texts_that_cannot_be_keys_are_refused(tmp_path):
    ring = keyring(tmp_path / "keys.json")
    for text in ("", "lastro-", "x" * 100_000, "\ud800", "lastro-\x00"):
        assert ring.find(text) is None


@pytest.mark.system
def test_two_processes_that_mint_at_once_lose_nothing(tmp_path):
    path = str(tmp_path / "keys.json")
    program = (
        "import os, sys, time\n"
        "from lastro.filesystem.system import System\n"
        "from lastro.gateway.keyring import Keyring\n"
        "ring = Keyring(sys.argv[1], clock_ns=time.time_ns, random_bytes=os.urandom, system=System())\n"
        "for number in range(25): ring.mint(name=f'{sys.argv[2]}-{number}')\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, path, who]) for who in ("a", "b", "c")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    names = {key.name for key in keyring(path).listed()}
    assert names == {f"{who}-{number}" for who in "abc" for number in range(25)}


class Keys(RuleBasedStateMachine):
    """Two processes' keyrings on one file, against a plain dict."""

    minted = Bundle("minted")

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = Clock()
        path = os.path.join(self.directory.name, "keys.json")
        self.rings = [keyring(path, self.clock), keyring(path, self.clock)]
        self.alive: dict[str, tuple[str, int | None]] = {}
        self.dead: set[str] = set()

    def teardown(self):
        self.directory.cleanup()

    @rule(
        target=minted, which=strategies.integers(0, 1), life_s=strategies.none() | strategies.integers(1, 5)
    )
    def mint(self, which, life_s):
        expires_ns = None if life_s is None else self.clock.now + life_s * SECOND
        key, text = self.rings[which].mint(name="some", expires_ns=expires_ns)
        assert text not in self.alive and text not in self.dead
        self.alive[text] = (key.id, expires_ns)
        return multiple(text)

    @rule(text=consumes(minted), which=strategies.integers(0, 1))
    def revoke(self, text, which):
        entry = self.alive.pop(text, None)
        self.dead.add(text)
        if entry is not None:
            self.rings[which].revoke(entry[0])

    @rule(seconds=strategies.integers(1, 3))
    def wait(self, seconds):
        self.clock.now += seconds * SECOND
        for text, (_, expires_ns) in tuple(self.alive.items()):
            if expires_ns is not None and expires_ns <= self.clock.now:
                self.dead.add(text)

    @invariant()
    def both_admit_whom_the_model_admits(self):
        for ring in self.rings:
            for text, (key_id, _) in self.alive.items():
                found = ring.find(text)
                assert (found is None) == (text in self.dead)
                assert found is None or found.id == key_id
            for text in self.dead:
                assert ring.find(text) is None


def test_every_keyring_on_a_file_admits_the_same_keys_at_once():
    run_state_machine_as_test(Keys)


def test_the_file_is_plain_json(tmp_path):
    path = tmp_path / "keys.json"
    key, _ = keyring(path).mint(name="laptop")
    written = json.loads(path.read_bytes())
    assert written["version"] == 1
    assert [entry["id"] for entry in written["keys"]] == [key.id]
