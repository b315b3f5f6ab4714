"""On a terminal, what changes something shows its plan, asks, and does it only for a yes. A real terminal: a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow


def on_a_terminal(command, environment, *answers):
    """Run ``command`` on a terminal, answering each question; gives the exit code and everything that was shown.

    An answer is bytes, or a function of the process that gives them.
    """
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lastro", *command],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment,
        close_fds=True,
    )
    os.close(child)
    shown, left = b"", list(answers)
    try:
        while select.select([parent], [], [], 60)[0]:
            try:
                piece = os.read(parent, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
            if left and shown.endswith((b"[y/N] ", b"[s/N] ")):
                answer = left.pop(0)
                os.write(parent, answer(process) if callable(answer) else answer)
    finally:
        os.close(parent)
        code = process.wait(60)
    return code, shown.decode()


def wait_until_it_reads(pid):
    """Wait until a process that printed its question also waits for the answer: a signal in between is seen only with the next key."""
    asleep = 0
    deadline = time.monotonic() + 60
    while asleep < 5 and time.monotonic() < deadline:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            state = file.read().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0
        time.sleep(0.01)


@pytest.fixture
def home(tmp_path):
    """A scratch place: its environment, with a file ``d/f`` that was captured and is deleted now."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "HOME": str(tmp_path),
        "LASTRO_HOME": str(tmp_path / "home"),
        "TERM": "xterm",
        "COLUMNS": "100",
    }
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("one\n", "utf-8")
    for command in (["init"], ["capture", str(tmp_path / "d")]):
        subprocess.run(
            [sys.executable, "-m", "lastro", *command, "-q"], env=environment, check=True, capture_output=True
        )
    (tmp_path / "d" / "f").unlink()
    return environment, tmp_path / "d" / "f"


def test_only_a_yes_does_it(home):
    environment, file = home
    restore = ["restore", str(file)]
    for answer in (b"\n", b"n\n", b"what\n", b"\x04"):
        code, shown = on_a_terminal(restore, environment, answer)
        assert (code, file.exists()) == (5, False)
        assert "Nothing was done." in shown
    code, shown = on_a_terminal(restore, environment, b"y\n")
    assert (code, file.read_text("utf-8")) == (0, "one\n")
    assert "\x1b[32m" in shown
    assert "apply-1: 1 path restored" in shown


def test_it_asks_in_the_reader_s_language_and_without_colour(home):
    environment, file = home
    code, shown = on_a_terminal(
        ["restore", str(file), "--lang", "pt_BR", "--no-color"], environment, b"sim\n"
    )
    assert (code, file.exists()) == (0, True)
    assert "Fazer isso? [s/N]" in shown
    assert "\x1b[3" not in shown


def test_an_interrupt_is_quiet(home):
    environment, file = home

    def interrupt(process):
        wait_until_it_reads(process.pid)
        process.send_signal(signal.SIGINT)
        return b""

    code, shown = on_a_terminal(["restore", str(file)], environment, interrupt)
    assert (code, file.exists()) == (130, False)
    assert "Traceback" not in shown


def test_what_changed_after_it_was_shown_is_not_done(home):
    environment, file = home

    def meanwhile(_process):
        file.write_text("somebody else's\n", "utf-8")
        return b"y\n"

    code, shown = on_a_terminal(["restore", str(file)], environment, meanwhile)
    assert code == 7, shown
    assert file.read_text("utf-8") == "somebody else's\n"
