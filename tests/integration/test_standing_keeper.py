"""Long work and its keeper: whoever is the keeper may be killed at any time, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from lastro.agents.ledger import RunOrder
from lastro.app.keeper_process import staying_keeper
from lastro.app.opening import create_repository, open_services
from lastro.app.places import find_places, places_of
from lastro.app.requests import Log, Status
from lastro.app.requests.runs import BeginRun, Runs
from lastro.app.runs.ledger import CallerLedger
from lastro.app.services import Offers
from lastro.app.standing_keeper import standing_caller
from lastro.app.wiring import keeper_listens, local_source, person
from lastro.domain.clock import SystemClock
from lastro.errors import DeniedError, LockedError, UnreachableError

PATIENCE_S = 60

WORKER = """
import sys, time
from lastro.app.places import places_of
from lastro.app.requests.runs import BeginRun
from lastro.app.standing_keeper import standing_caller

home, worker, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
shown = False
with standing_caller(places_of(home), emit=lambda event: print(event.kind, flush=True), take_over_s=0.1) as caller:
    for number in range(count):
        identity = f"{worker:016x}{number:016x}"
        caller.repeat("runs.begin", BeginRun(
            id=identity, project=f"/p/{worker}", role="r", agent="a", command=("c",), purpose="", policy_digest=""))
        if caller.keeps and not shown:
            shown = True
            print("keeps", flush=True)
        print("done", identity, flush=True)
        time.sleep(0.01)
"""


@pytest.fixture
def places(tmp_path):
    return places_of(os.path.realpath(tmp_path / "home"))


@pytest.fixture
def standing(places):
    create_repository(places, person(), SystemClock())
    return places


def silent(_event):
    """Nothing is shown."""


class Worker:
    """A process that asks the keeper for one thing after the other, and may be the keeper itself."""

    def __init__(self, places, number, count=10_000):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, places.home, str(number), str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.acknowledged = []
        self.keeps = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            kind, _, rest = line.strip().partition(" ")
            if kind == "keeps":
                self.keeps.set()
            elif kind == "done":
                self.acknowledged.append(rest)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.end()

    def end(self):
        self.process.wait(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return errors


def until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def recorded(places):
    with open_services(places, writable=False, actor=person(), clock=SystemClock()) as services:
        return [run.id for run in services.inbox.runs()]


@pytest.mark.slow
@pytest.mark.system
def test_whoever_is_the_keeper_may_be_killed_and_nothing_acknowledged_is_lost(standing):
    workers = [Worker(standing, number) for number in range(3)]
    killed = []
    try:
        for _ in range(2):
            until(lambda: any(worker.keeps.is_set() for worker in workers), "somebody becomes the keeper")
            keeper = next(worker for worker in workers if worker.keeps.is_set())
            before = {worker: len(worker.acknowledged) for worker in workers}
            until(
                lambda keeper=keeper, before=before: all(
                    len(worker.acknowledged) > before[worker] + 5
                    for worker in workers
                    if worker is not keeper
                ),
                "the others are served",
            )
            keeper.kill()
            workers.remove(keeper)
            killed.append(keeper)
        (last,) = workers
        until(last.keeps.is_set, "the last one keeps")
        count = len(last.acknowledged)
        until(lambda: len(last.acknowledged) > count + 5, "the last one goes on")
    finally:
        for worker in workers:
            worker.kill()
    ids = recorded(standing)
    assert len(ids) == len(set(ids))  # nothing was done twice, although it was sent twice
    for worker in [*killed, *workers]:
        assert set(worker.acknowledged) <= set(ids)


@pytest.mark.slow
@pytest.mark.system
def test_of_processes_that_begin_together_one_is_the_keeper(places):
    workers = [Worker(places, number, count=20) for number in range(4)]
    errors = [worker.end() for worker in workers]
    assert errors == [""] * 4
    assert [worker.process.returncode for worker in workers] == [0] * 4
    assert sorted(recorded(places)) == sorted(
        identity for worker in workers for identity in worker.acknowledged
    )
    assert sum(len(worker.acknowledged) for worker in workers) == 80


def test_others_find_the_keeper_of_a_run(standing):
    with standing_caller(standing, emit=silent) as first:
        assert first.keeps
        with standing_caller(standing, emit=silent) as second:
            assert not second.keeps
            assert second.call("status", Status()).keeper
        assert keeper_listens(standing)
    assert not keeper_listens(standing)


def test_when_a_run_with_the_keeper_ends_another_takes_over(standing):
    with ExitStack() as stack:
        first = stack.enter_context(standing_caller(standing, emit=silent))
        second = stack.enter_context(standing_caller(standing, emit=silent, take_over_s=0.1))
        begin(first, "0" * 32)
        first.close()
        begin(second, "1" * 32)
        assert second.keeps
        assert {run.run for run in second.call("runs.list", Runs()).runs} == {1, 2}
        with pytest.raises(UnreachableError):
            nobody_closed(first)


def nobody_closed(caller):
    """A caller that was closed becomes no keeper any more."""
    caller._take_over()  # noqa: SLF001  what a call would come to


def begin(caller, identity):
    return caller.repeat(
        "runs.begin",
        BeginRun(
            id=identity, project="/p", role="r", agent="a", command=("c",), purpose="", policy_digest=""
        ),
    )


def test_nobody_waits_for_the_keeper_of_a_run_to_come_back(standing):
    with ExitStack() as stack:
        first = stack.enter_context(standing_caller(standing, emit=silent))
        second = stack.enter_context(
            standing_caller(standing, emit=silent, take_over_s=PATIENCE_S, patience_s=PATIENCE_S / 2)
        )
        assert not second.keeps
        first.close()
        assert second.call("runs.list", Runs()).runs == ()
        assert second.keeps


def test_a_keeper_of_a_run_gives_way_to_one_that_stays(standing):
    told, stop = [], threading.Event()
    with standing_caller(standing, emit=silent) as run:
        begin(run, "0" * 32)
        assert run.keeps
        with staying_keeper(standing, emit=told.append, stop=stop) as keeper:
            assert keeper is not None
            assert not run.keeps
            assert begin(run, "1" * 32).run == 2
            assert not run.keeps
            with (
                pytest.raises(LockedError, match="runs here already"),
                staying_keeper(standing, emit=silent, stop=stop),
            ):
                pass
        assert [event.kind for event in told if event.kind == "keeper_waits"] == ["keeper_waits"]


def test_a_keeper_that_stays_stops_waiting_when_it_is_told_to(standing):
    stop = threading.Event()
    with open_services(standing, writable=True, actor=person(), clock=SystemClock()):
        stop.set()
        with staying_keeper(standing, emit=silent, stop=stop) as keeper:
            assert keeper is None
        with (
            pytest.raises(LockedError),
            staying_keeper(standing, emit=silent, stop=threading.Event(), patience_s=0.2),
        ):
            pass


def test_a_missing_repository_is_made_and_told(places):
    told = []
    with standing_caller(places, emit=told.append) as caller:
        assert caller.call("log", Log()).items == ()
    assert [event.kind for event in told] == ["initialized"]
    assert told[0].parameters["recovery_kit"] == places.recovery_kit


def test_a_repository_that_somebody_writes_is_waited_for(standing):
    clock = SystemClock()
    with open_services(standing, writable=True, actor=person(), clock=clock) as services:
        assert services.repository
        with (
            pytest.raises(UnreachableError, match="another process holds"),
            standing_caller(standing, emit=silent, patience_s=0.3),
        ):
            pass
        timer = threading.Timer(0.5, services.repository.close)
        timer.start()
        with standing_caller(standing, emit=silent, patience_s=PATIENCE_S) as caller:
            assert caller.keeps
        timer.join()


def test_inside_a_run_nothing_stands(tmp_path):
    places = find_places({"LASTRO_SOCKET": "/run/lastro/memory.sock", "HOME": str(tmp_path)})
    with pytest.raises(DeniedError), standing_caller(places, emit=silent):
        pass


def test_what_may_have_happened_is_not_sent_twice(standing, monkeypatch):
    """A keeper that is cut off after it took a request: reading is repeated, changing raises unless its sender said that it may be."""
    with standing_caller(standing, emit=silent) as caller:
        sent = []
        whole = caller._socket.call  # noqa: SLF001  the wire is cut right behind it

        def cut_once(name, request):
            sent.append(name)
            reply = whole(name, request)
            if sent.count(name) == 1:
                from lastro.app.socket_caller import _cut  # noqa: PLC0415  what the wire says

                raise _cut(OSError("cut"))
            return reply

        monkeypatch.setattr(caller._socket, "call", cut_once)  # noqa: SLF001
        caller.call("log", Log())
        assert sent == ["log", "log"]
        request = BeginRun(
            id="2" * 32, project="/p", role="r", agent="a", command=("c",), purpose="", policy_digest=""
        )
        with pytest.raises(UnreachableError):
            caller.call("runs.begin", request)
        assert sent.count("runs.begin") == 1
        sent.clear()
        assert caller.repeat("runs.begin", request).run == 1
        assert sent == ["runs.begin", "runs.begin"]


class HandedOverCaller:
    """A caller whose keeper goes away, and another one comes, after an offer was taken and before it was asked for."""

    def __init__(self, caller, hand_over):
        self._caller, self._hand_over = caller, hand_over

    def offer(self, source):
        return self._caller.offer(source)

    def call(self, name, request):
        if name == "capture.offered":
            self._hand_over()
        return self._caller.call(name, request)


@pytest.mark.system
def test_a_run_offers_its_files_again_to_the_keeper_that_came_after_the_one_that_took_them(
    standing, tmp_path, monkeypatch
):
    monkeypatch.setitem(Offers.__init__.__kwdefaults__, "patience_s", 0.2)
    project = tmp_path / "project"
    project.mkdir()
    (project / "file").write_bytes(b"content\n")
    root = os.path.realpath(project)
    order = RunOrder(
        id="1" * 32, project=root, role="", agent="sh", command=("sh",), purpose="", policy_digest=""
    )
    asked = []
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(staying_keeper(standing, emit=silent, stop=threading.Event()))
        caller = second.enter_context(standing_caller(standing, emit=silent))

        def hand_over():
            asked.append(None)
            if len(asked) == 1:
                first.close()
                second.enter_context(staying_keeper(standing, emit=silent, stop=threading.Event()))

        ledger = CallerLedger(
            HandedOverCaller(caller, hand_over),
            order,
            local_source=lambda path: local_source(standing, path),
            tell=lambda _kind, _parameters: None,
        )
        run = ledger.begin(order).run
        assert ledger.before(run, root) > 0
        assert [item.kind for item in caller.call("log", Log()).items] == ["snapshot"]
    assert len(asked) == 2
