"""A keeper that is killed at any moment has every job that it acknowledged."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_nothing_acknowledged_is_lost_by_a_kill_at_any_write(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.job_crashes", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
