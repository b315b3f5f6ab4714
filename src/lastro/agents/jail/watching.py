"""``RunningJail``: an agent that runs, its limits of time, disk and memory, and its end.

One thread per jail makes the process, watches it and ends it, for the kernel ties "dies with its parent" to the thread that made a
process. What always holds: ``wait`` returns when every process of the jail is gone, whatever the agent did (sessions of its own, stopped
processes, ignored signals); the first reason to end is the one that is told; an agent that ended by itself was not cancelled.

    opened ─► started ─► stands ─► (asked to end ─► killed) ─► gone ─► counted

A jail is opened before it is known what it is to hold: its first process comes to itself and joins its cgroups meanwhile, for an agent
waits for every millisecond of that.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil
from msgspec import Struct

from lastro.agents.jail.cgroups import Group
from lastro.agents.jail.inside import ASK
from lastro.agents.jail.orders import order_bytes
from lastro.agents.jail.report import Output, Report
from lastro.agents.jail.spec import JailEnd
from lastro.agents.jail.usage import DiskWatch, family, memory_of
from lastro.domain.paths import to_bytes
from lastro.domain.policy import Enforcement, RunLimits
from lastro.domain.run import EndCause, RunEnforcement
from lastro.errors import DeniedError
from lastro.messages import N_

if TYPE_CHECKING:  # it brings asyncio with it, and few roles list hosts
    from lastro.agents.jail.proxy import Proxy

_TICK_MS: Final = 50
_MEMORY_PAUSE_S: Final = 0.25
_GRACE_S: Final = 5.0
"""Between the request to end and the kill."""
_START_S: Final = 30.0
_LAST_S: Final = 15.0
_AT_ONCE: Final = frozenset({EndCause.DISK, EndCause.FILES, EndCause.MEMORY})
"""Causes for which an agent is not asked: it would go on taking."""


class JailPlan(Struct, frozen=True, kw_only=True):
    """What a jail holds. ``entering`` and ``inside``: the orders of the two processes (``enter``, ``inside``).

    ``growth``: of the directories in ``writable`` only what is added counts; ``seen_at``: where the
    agent sees them.
    """

    entering: Mapping[str, object]
    inside: Mapping[str, object]
    limits: RunLimits
    writable: Sequence[str]
    growth: bool
    seen_at: Sequence[str]
    namespaced: bool
    watch_memory: bool
    proxy: Proxy | None


class RunningJail:
    """See the module, and ``JailedProcess``. Made by ``starting.start``, which says what ``enforcement`` is.

    ``command``: of the first process, which is started at once. Then either ``begin`` or ``abandon`` is called. ``group``: its own; it is
    removed when the jail is gone.
    """

    enforcement: RunEnforcement

    def __init__(self, command: Sequence[bytes], group: Group) -> None:
        self._command = command
        self._group = group
        self._plans: queue.SimpleQueue[JailPlan | None] = queue.SimpleQueue()
        self._plan: JailPlan | None = None
        self._stands = threading.Event()
        self._gone = threading.Event()
        self._lock = threading.Lock()
        self._wanted: EndCause | None = None
        self._asked_at = 0.0
        self._began = time.monotonic()
        self._end: JailEnd | None = None
        self._problem: BaseException | None = None
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._standard_input, self._control = os.pipe2(os.O_CLOEXEC)
        said, self._standard_output = os.pipe2(os.O_CLOEXEC)
        complained, self._standard_error = os.pipe2(os.O_CLOEXEC)
        self._reported, self._status = os.pipe2(os.O_CLOEXEC)
        self._output = Output(stdout=said, stderr=complained)
        self._report = Report(self._reported)
        self._thread = threading.Thread(target=self._live, name="jail", daemon=True)
        self._thread.start()

    # For anybody ----------------------------------------------------------------------------------------------------------------------

    @property
    def notes(self) -> Mapping[str, str]:
        """What the jail said of itself when it stood."""
        return self._report.notes

    def abandon(self) -> None:
        """There is nothing for it to hold after all. Returns when nothing is left of it."""
        self._plans.put(None)
        self._gone.wait()
        self._output.rest()  # and its pipes are let go

    def begin(self, plan: JailPlan) -> None:
        """Start what is to run in it, and return when the jail stands and the agent's program runs, or could not be run.

        Raises:
            DeniedError: the jail could not be made. Nothing of it is left.
        """
        self._plans.put(plan)
        self._stands.wait()
        if self._problem is None and self._report.stands:
            return
        self.stop(EndCause.CANCELLED)
        self._gone.wait()
        said = " ".join(self._output.rest()[-2000:].decode(errors="replace").split())
        if self._problem is not None:
            raise self._problem
        where, number = self._report.failure
        raise DeniedError(
            N_("The jail could not be made: {reason}"),
            hint=N_("`lastro doctor` shows what this host can enforce."),
            reason=said or f"{where}: {os.strerror(number)}",
        )

    def read(self, timeout_s: float) -> tuple[str, bytes] | None:
        """See ``JailedProcess``."""
        return self._output.read(timeout_s)

    def stop(self, cause: EndCause) -> None:
        """See ``JailedProcess``. The first cause counts; one that comes after the end changes nothing."""
        with self._lock:
            if self._wanted is None and self._report.status is None:
                self._wanted = cause
                self._asked_at = time.monotonic()
            with suppress(BlockingIOError):
                if self._wake >= 0:
                    os.write(self._wake, b"x")

    def wait(self) -> JailEnd:
        """See ``JailedProcess``.

        Raises:
            DeniedError: processes of the jail could not be ended.
        """
        self._gone.wait()
        if self._problem is not None:
            raise self._problem
        assert self._end is not None
        return self._end

    # In its thread --------------------------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            process = self._spawn()
            try:
                self._hand_over(order_bytes({"cgroups": [to_bytes(path) for path in self._group.joins]}))
                plan = self._plan = self._plans.get()
                if plan is not None:
                    self._began = time.monotonic()
                    inside = order_bytes({**plan.inside, "status": self._status})
                    self._hand_over(order_bytes(plan.entering) + inside)
                    self._watch(process, plan)
            finally:
                self._finish(process)
        except BaseException as error:  # noqa: BLE001  told by ``begin`` or ``wait``, in the caller's thread
            self._problem = error
        finally:
            self._let_go()
            self._stands.set()
            self._gone.set()

    def _spawn(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._command,
                stdin=self._standard_input,
                stdout=self._standard_output,
                stderr=self._standard_error,
                pass_fds=(self._status,),
                env={},
                cwd="/",
                start_new_session=True,
            )
        finally:
            for descriptor in (
                self._standard_input,
                self._standard_output,
                self._standard_error,
                self._status,
            ):
                os.close(descriptor)

    def _hand_over(self, orders: bytes) -> None:
        """Orders go into the pipe; whoever does not take them in time is gone or stuck, which ``_watch`` finds."""
        os.set_blocking(self._control, False)
        left = memoryview(orders)
        deadline = time.monotonic() + _START_S
        while left and time.monotonic() < deadline:
            if select.select((), (self._control,), (), 0.5)[1]:
                try:
                    left = left[os.write(self._control, left) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    return

    def _watch(self, process: subprocess.Popen[bytes], plan: JailPlan) -> None:
        """Until the first process is gone, or has to be."""
        limits = _Limits(plan, self._group, process.pid, self._began)
        pinned = os.pidfd_open(process.pid)
        poll = select.poll()
        for descriptor in (pinned, self._reported, self._woken):
            poll.register(descriptor, select.POLLIN)
        asked = False
        try:
            while process.poll() is None:
                self._take_in(poll)
                now = time.monotonic()
                if not self._stands.is_set() and now - self._began > _START_S:
                    return
                cause = limits.passed(now)
                if cause is not None:
                    self.stop(cause)
                if self._wanted in _AT_ONCE or (self._wanted and now - self._asked_at > _GRACE_S):
                    return
                if self._wanted and not asked:
                    asked = True
                    with suppress(OSError):
                        os.write(self._control, ASK)
        finally:
            os.close(pinned)
            while self._report.hear():
                pass

    def _take_in(self, poll: select.poll) -> None:
        """Wait a tick for news, and take them in."""
        for descriptor, _events in poll.poll(_TICK_MS):
            if descriptor == self._woken:
                os.read(self._woken, 4096)
            elif descriptor == self._reported and not self._report.hear():
                poll.unregister(self._reported)
        if self._report.settled:
            self._stands.set()

    # The end --------------------------------------------------------------------------------------------------------------------------

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left, wait until nothing is, and say how it ended."""
        wall_ns = int((time.monotonic() - self._began) * 1e9)
        if self._report.status is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
        gone = self._kill(process)
        counts = self._group.counts()
        self._group.remove()
        plan = self._plan
        if plan is None:
            return
        if not gone:
            raise DeniedError(
                N_("Processes of {run} could not be ended"),
                hint=N_(
                    "They are stuck in the kernel; look at them with ps, and restart the machine if they stay."
                ),
                run=str(plan.inside.get("run", "")),
            )
        cause, status = self._judge(killed=counts.killed)
        met = ((Enforcement.PROCESSES, counts.refused), (Enforcement.MEMORY, counts.killed))
        self._end = JailEnd(
            cause=cause,
            status=status,
            wall_ns=wall_ns,
            peak_memory=counts.peak,
            refused=plan.proxy.refused if plan.proxy else (),
            touched=tuple(name.value for name, times in met if times),
            reason=os.strerror(self._report.failure[1]) if cause is EndCause.NOT_STARTED else "",
        )

    def _kill(self, process: subprocess.Popen[bytes]) -> bool:
        """End every process; whether all are gone. Process 1 first: with it goes its whole namespace."""
        below = [one for one in family(process.pid) if one.pid != process.pid]
        if self._plan is not None and not self._plan.namespaced and process.poll() is None:
            self._close_control()  # it ends what descends from it, orphans too, and then itself
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_S)
        for one in below:
            with suppress(psutil.Error):
                one.kill()  # psutil looks at the start time first: never at another process
        gone = self._group.end(_LAST_S) if self._group.directories else True
        if process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            process.kill()
        process.wait()
        return gone and not psutil.wait_procs(below, timeout=_LAST_S)[1]

    def _judge(self, *, killed: int) -> tuple[EndCause, int | None]:
        """Why it ended, and its status. Without a status something outside of the agent's doing ended it."""
        status = self._report.status
        if self._report.not_started:
            return EndCause.NOT_STARTED, None
        if self._wanted is not None:
            return self._wanted, status
        if status == -signal.SIGXFSZ:
            return EndCause.DISK, status
        if killed and status != 0:
            return EndCause.MEMORY, status
        if status is None:
            return EndCause.SIGNALLED, -signal.SIGKILL
        return (EndCause.SIGNALLED if status < 0 else EndCause.EXITED), status

    def _let_go(self) -> None:
        if self._plan is not None and self._plan.proxy:
            self._plan.proxy.close()
        self._close_control()
        os.close(self._reported)
        with self._lock:
            os.close(self._woken)
            os.close(self._wake)
            self._wake = -1

    def _close_control(self) -> None:
        if self._control >= 0:
            os.close(self._control)
            self._control = -1


class _Limits:
    """What ends a run that takes too much. For the jail's thread."""

    def __init__(self, plan: JailPlan, group: Group, process: int, began: float) -> None:
        self._most = plan.limits
        self._process = process
        self._wall_at = None if plan.limits.wall_s is None else began + plan.limits.wall_s
        self._watch_memory = plan.watch_memory
        self._memory_at = 0.0
        in_group: Callable[[], Sequence[int]] = group.processes
        self._disk: DiskWatch | None = None
        if plan.limits.disk is not None or plan.limits.files is not None:
            self._disk = DiskWatch(
                plan.writable,
                most_bytes=plan.limits.disk,
                most_files=plan.limits.files,
                growth=plan.growth,
                seen_at=plan.seen_at,
                processes=in_group if group.directories else self._family,
            )

    def passed(self, now: float) -> EndCause | None:
        """The limit that is passed, if one is."""
        if self._wall_at is not None and now > self._wall_at:
            return EndCause.WALL
        if self._watch_memory and now > self._memory_at:
            self._memory_at = now + _MEMORY_PAUSE_S
            if self._most.memory is not None and memory_of(family(self._process)) > self._most.memory:
                return EndCause.MEMORY
        return self._disk.check(now) if self._disk else None

    def _family(self) -> Sequence[int]:
        return [one.pid for one in family(self._process)]
