"""What a node measures of its own machine."""

from __future__ import annotations

import os
import threading

from lastro.domain.telemetry import MOST_DISKS
from lastro.node.telemetry import MachineTelemetry


def test_a_sample_says_what_the_machine_says(tmp_path):
    sample = MachineTelemetry().sample([str(tmp_path)])
    status = os.statvfs(tmp_path)
    assert 0 <= sample.cpu <= 1000
    assert sample.processors == os.cpu_count()
    assert 0 < sample.memory_used <= sample.memory_total
    assert sample.own_memory > 1_000_000
    assert sample.disk_of(str(tmp_path)).total == status.f_blocks * status.f_frsize
    assert 0 <= sample.disk_of(str(tmp_path)).free <= sample.disk_of(str(tmp_path)).total


def test_a_root_that_is_gone_is_left_out(tmp_path):
    sample = MachineTelemetry().sample([str(tmp_path / "gone"), str(tmp_path)])
    assert [disk.path for disk in sample.disks] == [str(tmp_path)]


def test_however_many_ask_it_is_measured_once_a_second():
    now, asked = [0], []
    telemetry = MachineTelemetry(monotonic_ns=lambda: now[0], disk=lambda path: asked.append(path) or (2, 1))
    for _ in range(5):
        telemetry.sample(["/a"])
    assert asked == ["/a"]
    now[0] += 1_000_000_000
    telemetry.sample(["/a"])
    assert asked == ["/a", "/a"]


def test_a_disk_that_never_answers_holds_nothing_up_and_is_asked_once():
    answer, asked, now = threading.Event(), [], [0]

    def disk(path):
        asked.append(path)
        if path == "/dead":
            answer.wait(30)
        return 2, 1

    telemetry = MachineTelemetry(monotonic_ns=lambda: now[0], disk=disk, patience_s=0.05)
    for _ in range(3):
        sample = telemetry.sample(["/dead", "/alive"])
        assert [one.path for one in sample.disks] == ["/alive"]
        now[0] += 10**10
    assert asked.count("/dead") == 1
    answer.set()


def test_there_are_no_more_disks_than_a_message_takes():
    telemetry = MachineTelemetry(disk=lambda _path: (2, 1))
    assert len(telemetry.sample([f"/{number}" for number in range(200)]).disks) == MOST_DISKS
