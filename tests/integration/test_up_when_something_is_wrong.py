"""``lastro up`` where something is not as it should be: what can be done is done, and the rest is said."""

from __future__ import annotations

import os
import sqlite3

import pytest

from lastro.app.links import record_server
from lastro.app.opening import create_repository, open_services
from lastro.app.places import places_of
from lastro.app.wiring import person
from lastro.domain.clock import SystemClock
from lastro.domain.ids import ServerId
from lastro.domain.server import Server
from lastro.transport.identity import load_or_make_identity
from tests.integration.commands import Home

pytestmark = pytest.mark.system


@pytest.fixture
def places(tmp_path):
    made = places_of(os.path.realpath(tmp_path / "home"))
    create_repository(made, person(), SystemClock())
    os.mkdir(tmp_path / "watched")
    return made


def test_a_server_that_is_off_holds_up_neither_the_console_nor_the_runner(places, tmp_path):
    identity = load_or_make_identity(str(tmp_path / "other.pem"))
    gone = Server(id=ServerId("ab" * 16), name="web-01", device=identity.device, address="127.0.0.1:1")
    with open_services(places, writable=True, actor=person(), clock=SystemClock()) as services:
        record_server(services, gone, identity.certificate)
    with Home(places.home).serving("up", str(tmp_path / "watched")) as up:
        assert up.wait_event("ready")["roots"] == [os.path.realpath(tmp_path / "watched")]
        assert up.wait_event("console")["link"]
        up.wait_event("listening", lambda event: event["what"] in {"runner", "jobs"})


def test_accounts_that_cannot_be_used_are_said_and_everything_else_goes_on(places, tmp_path):
    os.makedirs(os.path.dirname(places.accounts_database), exist_ok=True)
    theirs = sqlite3.connect(places.accounts_database)
    theirs.execute("CREATE TABLE sessions (novel TEXT)")
    theirs.commit()
    theirs.close()
    with Home(places.home).serving("up", str(tmp_path / "watched")) as up:
        up.wait_event("problem", lambda event: "another version" in event["msgid"])
        up.wait_event("ready")
        assert not up.events("console")
    kept = sqlite3.connect(places.accounts_database)
    assert kept.execute("SELECT novel FROM sessions").fetchall() == []
    kept.close()
