"""A command of the offline agent is bounded, and gone with everything it started."""

import os
import time

import pytest

from lastro.agents.offline.shell import SECRET, run_command

pytestmark = pytest.mark.needs("linux")


def test_what_it_says_and_how_it_ends(tmp_path):
    status, said = run_command("pwd; echo oops >&2; exit 3", directory=str(tmp_path))
    assert status == 3
    assert said == f"{os.path.realpath(tmp_path)}\noops\n"


def test_it_is_stopped_in_time_with_what_it_left_behind(tmp_path):
    begun = time.monotonic()
    status, said = run_command(
        "trap '' TERM; (sleep 50; touch late) & echo $!; sleep 50", directory=str(tmp_path), timeout_s=0.1
    )
    assert status is None
    assert time.monotonic() - begun < 30
    assert is_gone(int(said))


def test_what_it_leaves_in_the_background_does_not_keep_it(tmp_path):
    status, said = run_command("sleep 50 & echo $!", directory=str(tmp_path))
    assert status == 0
    assert is_gone(int(said))


def test_much_is_cut_in_the_middle(tmp_path):
    status, said = run_command("echo first; yes x | head -c 1000000; echo last", directory=str(tmp_path))
    assert status == 0
    assert said.startswith("first\n")
    assert said.endswith("last\n")
    assert "[...]" in said
    assert len(said) < 15_000


def test_it_does_not_get_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv(SECRET, "lk-secret")
    assert "lk-secret" not in run_command("env", directory=str(tmp_path))[1]


def test_bytes_that_are_no_text(tmp_path):
    assert run_command("printf '\\377'", directory=str(tmp_path)) == (0, "\ufffd")


def is_gone(process: int) -> bool:
    for _ in range(200):
        try:
            with open(f"/proc/{process}/stat", encoding="ascii") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False
