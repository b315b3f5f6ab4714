"""What a host was found able to do is believed for the same host alone, and only as long as it holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.jail import probing
from lastro.agents.jail.remembering import key_of_host, read_memory, remove_memory, write_memory

WORKS = {"namespaces": "", "network": "", "overlay": "", "bubblewrap": "", "sized": ""}


@given(content=st.binary(max_size=200))
def test_a_file_that_says_something_else_is_no_memory(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("memory") / "host.json"
    path.write_bytes(content)
    assert read_memory(str(path), "key") is None


def test_it_counts_for_its_own_key_alone(tmp_path: Path) -> None:
    path = f"{tmp_path}/host.json"
    write_memory(path, "key", WORKS)
    assert read_memory(path, "key") == WORKS
    assert read_memory(path, "other") is None
    remove_memory(path)
    assert read_memory(path, "key") is None
    remove_memory(path)
    write_memory(f"{tmp_path}/missing/host.json", "key", WORKS)  # nowhere to keep it: nothing happens


def test_another_bubblewrap_is_another_host(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_bytes(b"one")
    before = key_of_host(str(program), "/bin/sh", str(tmp_path))
    assert key_of_host(str(program), "/bin/sh", str(tmp_path)) == before
    (tmp_path / "of-a-run").write_bytes(b"")  # what lies in the directory of the runs decides nothing
    assert key_of_host(str(program), "/bin/sh", str(tmp_path)) == before
    program.write_bytes(b"another one")
    assert key_of_host(str(program), "/bin/sh", str(tmp_path)) != before


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A process that has probed nothing; the directories it tries."""
    tried: list[str] = []

    def try_in_child(_bubblewrap: str, directory: str) -> dict[str, str]:
        tried.append(directory)
        return dict(WORKS)

    _as_a_new_process(monkeypatch)
    monkeypatch.setattr(probing, "_try_in_child", try_in_child)
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/bin/sh")
    return tried


def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_probed", {})
    monkeypatch.setattr(probing, "_remembered_at", set())


def test_a_second_process_tries_nothing_until_it_is_forgotten(
    tmp_path: Path, untried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = f"{tmp_path}/host.json"
    first = probing.probe(str(tmp_path), remembered=remembered)
    _as_a_new_process(monkeypatch)
    assert probing.probe(str(tmp_path), remembered=remembered) == first
    assert len(untried) == 1
    probing.forget()
    assert not os.path.exists(remembered)
    probing.probe(str(tmp_path), remembered=remembered)
    assert len(untried) == 2


def test_what_is_missing_is_looked_for_each_time(
    tmp_path: Path, untried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = f"{tmp_path}/host.json"

    def without_network(_bubblewrap: str, directory: str) -> dict[str, str]:
        untried.append(directory)
        return {**WORKS, "network": "forbidden"}

    monkeypatch.setattr(probing, "_try_in_child", without_network)
    for _ in range(2):
        assert not probing.probe(str(tmp_path), remembered=remembered).network
        _as_a_new_process(monkeypatch)
    assert len(untried) == 2
    assert not os.path.exists(remembered)
