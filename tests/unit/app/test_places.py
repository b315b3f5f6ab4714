"""Laws of places: they are where the caller says or owns, never where a stranger could put them, and sockets always fit."""

from __future__ import annotations

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.places import SOCKET_PATH_LIMIT, find_places, places_of
from lastro.domain.paths import from_bytes, is_within
from lastro.errors import ConfigError
from tests.strategies import absolute_paths

ANA = {"HOME": "/home/ana", "XDG_RUNTIME_DIR": "/run/user/1000"}
DIRECTORIES = ("config", "data", "state", "run")


def test_lastro_home_comes_first(tmp_path):
    beside = tmp_path / ".lastro-home"
    beside.mkdir()
    found = find_places({**ANA, "LASTRO_HOME": "/srv/lastro/"}, prefix=str(tmp_path / ".venv"))
    assert found.home == "/srv/lastro"
    assert [getattr(found, name) for name in DIRECTORIES] == [f"/srv/lastro/{name}" for name in DIRECTORIES]
    assert found.sample == "/srv/lastro/sample"


def test_only_lastro_home_itself_may_be_relative_to_where_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_places({"LASTRO_HOME": "here"}, prefix="").home == str(tmp_path / "here")


def test_then_comes_what_lies_beside_the_virtual_environment(tmp_path):
    beside = tmp_path / ".lastro-home"
    prefix = str(tmp_path / ".venv")
    assert find_places(ANA, prefix=prefix).home == ""
    beside.write_text("a file")
    assert find_places(ANA, prefix=prefix).home == ""
    beside.unlink()
    beside.mkdir()
    assert find_places(ANA, prefix=prefix).home == str(beside)
    assert find_places({**ANA, "LASTRO_HOME": ""}, prefix=prefix).home == str(beside)
    assert find_places(ANA, prefix="").home == ""


def test_a_home_beside_may_be_ones_own_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".lastro-home").symlink_to("elsewhere")
    assert find_places(ANA, prefix=str(tmp_path / ".venv")).home == str(tmp_path / ".lastro-home")


@pytest.mark.needs("root")
@pytest.mark.parametrize("whose", ["directory", "link"])
def test_nothing_of_another_user_is_taken_for_home(tmp_path, whose):
    beside = tmp_path / ".lastro-home"
    if whose == "directory":
        beside.mkdir()
    else:
        (tmp_path / "mine").mkdir()
        beside.symlink_to("mine")
    os.chown(beside, 65534, 65534, follow_symlinks=False)
    assert find_places(ANA, prefix=str(tmp_path / ".venv")).home == ""


def test_the_current_directory_and_those_above_it_choose_nothing(tmp_path, monkeypatch):
    inside = tmp_path / "project" / "below"
    inside.mkdir(parents=True)
    for directory in (tmp_path, inside.parent, inside):
        (directory / ".lastro-home").mkdir()
        (directory / "xdg").mkdir()
    monkeypatch.chdir(inside)
    relative = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"), "xdg")
    for environment in (ANA, {**ANA, **relative}, {**ANA, "HOME": "."}, {}):
        found = find_places(environment, prefix="")
        for path in (*(getattr(found, name) for name in DIRECTORIES), found.sockets, found.sample):
            assert os.path.isabs(path)
            assert not is_within(path, str(tmp_path))


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (ANA, ["/home/ana/.config/lastro", "/home/ana/.local/share/lastro", "/home/ana/.local/state/lastro"]),
        (
            {**ANA, "XDG_CONFIG_HOME": "/c/", "XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/s"},
            ["/c/lastro", "/d/lastro", "/s/lastro"],
        ),
        ({**ANA, "HOME": "/"}, None),
    ],
)
def test_then_come_the_directories_of_xdg(environment, found):
    there = find_places(environment, prefix="")
    if found is not None:
        assert [there.config, there.data, there.state] == found
    assert there.run == there.sockets == "/run/user/1000/lastro"
    assert not any("//" in getattr(there, name) for name in DIRECTORIES)
    assert not is_within(there.sample, there.data)


@pytest.mark.parametrize("runtime", ["/run", "/home/ana/run"])
def test_what_runs_has_a_directory_of_its_own_whatever_the_runtime_directory_is_called(runtime):
    assert find_places({**ANA, "XDG_RUNTIME_DIR": runtime}, prefix="").run == f"{runtime}/lastro"


def test_without_a_runtime_directory_what_runs_lies_in_state():
    assert find_places({"HOME": "/home/ana"}, prefix="").run == "/home/ana/.local/state/lastro/run"


def test_without_home_the_user_database_knows(monkeypatch):
    home = pwd.getpwuid(os.geteuid()).pw_dir.rstrip("/")
    assert find_places({}, prefix="").config == f"{home}/.config/lastro"
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000 - 7)
    with pytest.raises(ConfigError) as caught:
        find_places({}, prefix="")
    assert "LASTRO_HOME" in caught.value.hint_text


def test_finding_creates_nothing(tmp_path):
    found = find_places({"LASTRO_HOME": str(tmp_path / "home")}, prefix="")
    assert not os.path.lexists(found.home)


homes = st.one_of(
    absolute_paths,
    st.binary(min_size=60, max_size=200).map(lambda raw: "/" + from_bytes(raw.replace(b"\0", b"0"))),
)


@given(
    homes, st.sampled_from([{}, ANA, {"XDG_RUNTIME_DIR": "/" + "r" * 90}, {"XDG_RUNTIME_DIR": "relative"}])
)
def test_sockets_always_fit_and_stay_apart(home, environment):
    found = places_of(home, environment=environment)
    for path in (found.keeper_socket, found.source_socket, found.gateway_socket, found.gateway_admin_socket):
        assert len(os.fsencode(path)) <= SOCKET_PATH_LIMIT
        assert os.path.dirname(path) == found.socket_directory
    assert found.keeper_socket != found.source_socket
    assert (found.sockets == found.run) == (
        len(os.fsencode(f"{found.run}/gateway-admin.sock")) <= SOCKET_PATH_LIMIT
    )
    if found.sockets != found.run:
        other = places_of(home + "x", environment=environment)
        assert other.sockets != found.sockets
        assert found == places_of(home, environment=environment)


def test_sockets_of_a_long_home_lie_one_level_below_a_directory_where_nobody_can_replace_them():
    long = "/" + "x" * 100
    assert places_of(long, environment=ANA).sockets.startswith("/run/user/1000/lastro-")
    bare = places_of(long, environment={}).sockets
    assert os.path.dirname(bare) == "/tmp"
    assert bare.startswith(f"/tmp/lastro-{os.getuid()}-")


def test_everything_is_below_the_home():
    found = places_of("/h", environment={})
    assert found.secrets == "/h/config/secrets"
    assert found.key_file == "/h/config/secrets/repository.key"
    assert found.recovery_kit == "/h/config/recovery-kit.txt"
    assert found.repository == "/h/data/repository"
    assert found.intents == "/h/state/intents"
    assert found.cache == "/h/state/cache"
    assert found.keeper_socket == "/h/run/keeper.sock"
    assert found.source_socket == "/h/run/source.sock"


def test_inside_a_run_its_own_home_is_used_and_never_one_beside_the_interpreter(tmp_path):
    beside = tmp_path / ".lastro-home"
    beside.mkdir()
    inside = {"LASTRO_SOCKET": "/run/lastro/memory.sock"}
    for home, expected in (({"HOME": "/home/agent"}, "/home/agent/"), ({}, "/tmp/")):
        found = find_places({**inside, **home}, prefix=str(tmp_path / ".venv"))
        assert found.memory == "/run/lastro/memory.sock"
        assert found.home.startswith(expected)
    named = find_places({**inside, "LASTRO_HOME": "/srv/lastro"}, prefix="")
    assert (named.memory, named.home) == ("", "/srv/lastro")  # who names a home means that one


@given(path=absolute_paths)
def test_the_socket_of_a_run_fits_wherever_the_others_fit(path):
    places = places_of(path, environment=ANA)
    assert len(os.fsencode(places.memory_socket(999_999))) <= SOCKET_PATH_LIMIT
