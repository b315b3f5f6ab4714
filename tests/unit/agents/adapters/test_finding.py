"""A program is found with all that it needs, and a home is never shown whole."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.adapters.finding import (
    Host,
    find_program,
    host_of,
    interpreter_of,
    outermost,
    shown_for,
    toolchains,
)
from lastro.domain.paths import is_within


@pytest.fixture
def home(tmp_path):
    place = tmp_path / "home" / "ana"
    place.mkdir(parents=True)
    return place


def program(path: Path, text: str = "\x7fELF") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def host(home: Path, *search: Path | str, project: str = "") -> Host:
    return Host(search=tuple(str(place) for place in search), homes=(str(home),), project=project)


def test_an_npm_program_shows_its_modules_and_its_node(home):
    version = home / ".nvm/versions/node/v24"
    program(version / "bin/node")
    (version / "lib").mkdir()
    script = program(version / "lib/node_modules/@openai/codex/bin/codex.js", "#!/usr/bin/env node\n")
    (version / "bin/codex").symlink_to("../lib/node_modules/@openai/codex/bin/codex.js")
    here = host(home, version / "bin")
    found = find_program("codex", here)
    assert found == str(version / "bin/codex")
    assert interpreter_of(script, here) == str(version / "bin/node")
    assert shown_for(found, here) == (str(version),)
    assert toolchains(here) == (str(version),)


def test_modules_of_another_place_are_shown_whole_but_not_what_is_around_them(home):
    script = program(home / "tools/node_modules/a/b.js", "#!/usr/bin/env -S node --x\n")
    node = program(home / "node/bin/node")
    here = host(home, home / "node/bin")
    assert shown_for(script, here) == (str(home / "node/bin"), str(home / "tools/node_modules"))
    assert interpreter_of(script, here) == node


def test_a_program_of_a_venv_shows_the_venv_and_the_python_below_it(home):
    python = program(home / ".pyenv/versions/3.13/bin/python3.13")
    (home / ".pyenv/versions/3.13/lib").mkdir()
    venv = home / ".local/share/pipx/venvs/aider"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (venv / "bin/python").symlink_to(python)
    tool = program(venv / "bin/aider", f"#!{venv}/bin/python\n")
    assert shown_for(tool, host(home)) == (str(venv), str(home / ".pyenv/versions/3.13")) or shown_for(
        tool, host(home)
    ) == tuple(sorted((str(venv), str(home / ".pyenv/versions/3.13"))))


def test_of_a_directory_that_holds_a_home_only_the_file_is_shown(home):
    assert shown_for(program(home / "tool"), host(home)) == (str(home / "tool"),)
    assert shown_for(program(home.parent / "tool"), host(home)) == (str(home.parent / "tool"),)
    local = program(home / ".local/bin/tool")
    (home / ".local/lib").mkdir()
    assert shown_for(local, host(home)) == (str(home / ".local/bin"),)
    assert toolchains(host(home, home / ".local/bin", home / "bin")) == ()


def test_nothing_of_the_project_is_shown_beside_it(home):
    project = home / "work"
    tool = program(project / "node_modules/.bin/tool", "#!/bin/sh\n")
    here = host(home, project / "node_modules/.bin", project=str(project))
    assert find_program("tool", here) == tool
    assert shown_for(tool, here) == ()
    assert find_program("node_modules/.bin/tool", here) == tool
    above = program(home / "bin/x")
    (home / "lib").mkdir()
    assert shown_for(above, host(home, project=str(project))) == (str(home / "bin"),)


def test_what_the_system_has_is_not_shown_again():
    assert shown_for("/bin/sh", host_of(os.environ)) == ()
    assert not any(is_within(place, "/usr") for place in toolchains(host_of(os.environ)))


def test_relative_parts_of_the_path_are_left_out(home, monkeypatch):
    program(home / "planted")
    monkeypatch.chdir(home)
    here = host_of({"PATH": f".::bin:{home}/none", "HOME": str(home)})
    assert find_program("planted", here) is None
    assert here.search == (f"{home}/none",)


def test_links_and_scripts_that_go_round_in_circles_end(home):
    (home / "bin").mkdir()
    (home / "bin/a").symlink_to("b")
    (home / "bin/b").symlink_to("a")
    assert find_program("a", host(home, home / "bin")) is None
    round_about = program(home / "bin/c", f"#!{home}/bin/c\n")
    assert shown_for(round_about, host(home)) == (str(home / "bin"),)


PARTS = st.lists(
    st.sampled_from(["bin", "lib", "node_modules", ".bin", "a", ".local", "shims", ".volta", "work"]),
    max_size=5,
)


@given(PARTS, PARTS, PARTS)
def test_a_home_and_what_is_above_it_is_never_shown(where, to, project_parts):
    """Over paths that do not exist: only names decide."""
    base = "/somewhere/ana"
    project = "/".join([base, *project_parts, "project"])
    here = Host(search=("/".join([base, *where]),), homes=(base,), project=project)
    for path in ("/".join([base, *where, "x"]), "/".join(["/somewhere", *to, "y"])):
        for place in (*shown_for(path, here), *toolchains(here)):
            assert not is_within(base, place)
            assert not is_within(project, place)
            assert not is_within(place, project)
            assert place not in {f"{base}/.local", f"{base}/.config", f"{base}/.ssh"}


@given(st.lists(PARTS.map(lambda parts: "/" + "/".join(parts))))
def test_the_outermost_cover_all_and_none_lies_in_another(places):
    kept = outermost(places)
    assert all(any(is_within(place, one) for one in kept) for place in places)
    assert not any(is_within(one, other) for one in kept for other in kept if one != other)
