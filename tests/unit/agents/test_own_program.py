"""``lastro`` inside a jail: the same installation, by what is seen there, whatever lies in the directory it is called in."""

from __future__ import annotations

import os
import subprocess

import lastro
from lastro.agents.adapters.surroundings import OWN_PROGRAMS
from lastro.agents.own_program import write_own_program


def started(home, cwd, *words, **environment):
    return subprocess.run(
        [f"{home}/{OWN_PROGRAMS}/lastro", *words],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_it_is_this_installation_wherever_it_is_called(tmp_path):
    home, cwd = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    for name in ("lastro", "json", "msgspec"):
        (cwd / name).mkdir(parents=True)
        (cwd / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    write_own_program(str(home))
    done = started(home, cwd, "--version", PYTHONPATH=str(cwd), PYTHONHOME="/nowhere")
    assert done.returncode == 0, done
    assert lastro.__version__ in done.stdout.decode()
    assert (home / OWN_PROGRAMS / "lastro").stat().st_mode & 0o777 == 0o700


def test_words_reach_it_as_they_are(tmp_path):
    write_own_program(str(tmp_path))
    done = started(tmp_path, tmp_path, "no such 'command'; $(id)")
    assert done.returncode == 2, done
    assert "no such 'command'; $(id)" in done.stderr.decode()
    assert "uid=" not in done.stderr.decode()


def test_what_an_earlier_agent_put_in_its_place_is_replaced_and_no_link_followed(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / ".local").mkdir(parents=True)
    outside.mkdir()
    (outside / "lastro").write_text("precious")
    os.symlink(outside, home / ".local" / "bin")
    write_own_program(str(home))
    assert (outside / "lastro").read_text() == "precious"
    assert started(home, home, "--version").returncode == 0
    (home / OWN_PROGRAMS / "lastro").unlink()
    os.symlink(outside / "lastro", home / OWN_PROGRAMS / "lastro")
    write_own_program(str(home))
    assert (outside / "lastro").read_text() == "precious"
    assert started(home, home, "--version").returncode == 0
