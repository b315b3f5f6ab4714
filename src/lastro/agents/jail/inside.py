"""Process 1 of a jail: starts the agent with the last locks on, forwards its loopback ports, and takes everything down with itself.

What always holds: this process cannot be read, traced or ended by the agent (it is not dumpable, and it is process 1 of its namespace;
without namespaces Landlock keeps signals in); it ends when the agent's own process ends, when the supervisor says so, and when the
supervisor is gone; whatever the agent left behind ends with it. Standard input carries the order (``orders``) and then, one byte at a
time, the supervisor's wishes; the agent itself reads ``/dev/null``. ``status`` is the only other descriptor, and no agent inherits it.
Only the standard library is imported: it starts in a few milliseconds, with nothing but ``lastro``'s own files and Python's in sight.

Lines on ``status``: ``ready``; ``note NAME VALUE``; ``failed ERRNO WHERE``; ``exited STATUS``; ``signalled NUMBER``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress

from lastro.agents.jail import kernel, landlock, seccomp
from lastro.agents.jail.forwarding import Forwarder
from lastro.agents.jail.orders import receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, NoReturn

ASK: Final = b"t"
"""The supervisor's wish that everything ends by itself: SIGTERM for all."""

_LAST_S: Final = 10.0


class Inside:
    """The whole of process 1. ``order``: see ``starting``."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._status: int = order["status"]
        self._selector = selectors.DefaultSelector()
        self._agent = 0
        self._done = False

    def run(self) -> NoReturn:
        """Start, serve and end."""
        fcntl.fcntl(self._status, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        if not self._order["namespaced"]:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        self._forward()
        self._listen_to_signals()
        self._start()
        self._selector.register(0, selectors.EVENT_READ, self._hear)
        while not self._done:
            for key, events in self._selector.select():
                key.data(events)
        if not self._order["namespaced"]:
            end_descendants()
        os._exit(0)

    def _say(self, line: str) -> None:
        with suppress(OSError):
            os.write(self._status, line.encode(errors="replace") + b"\n")

    def _forward(self) -> None:
        for port, path in self._order["forwards"]:
            try:
                Forwarder(self._selector, port, path)
            except OSError as error:
                self._say(f"note forwarder {errno.errorcode.get(error.errno or 0, 'failed')}")

    def _listen_to_signals(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        theirs.settimeout(0)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._theirs = theirs  # kept open
        self._selector.register(ours, selectors.EVENT_READ, lambda _events: self._reap(ours))

    def _start(self) -> None:
        reading, writing = os.pipe()
        self._agent = os.fork()
        if not self._agent:
            os.close(reading)
            _become_agent(self._order, writing)
        os.close(writing)
        said = b""
        while piece := os.read(reading, 4096):
            said += piece
        os.close(reading)
        for line in said.decode(errors="replace").splitlines():
            self._say(line)
        if b"failed" not in said:
            self._say("ready")

    def _hear(self, _events: int) -> None:
        wish = os.read(0, 1)
        if wish == ASK:
            if self._order["namespaced"]:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(-1, signal.SIGTERM)
            else:
                for process in descendants():
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(process, signal.SIGTERM)
        elif not wish:
            self._done = True

    def _reap(self, ours: socket.socket) -> None:
        with suppress(BlockingIOError):
            ours.recv(4096)
        with suppress(ChildProcessError):
            while True:
                process, status = os.waitpid(-1, os.WNOHANG)
                if not process:
                    return
                if process == self._agent:
                    if os.WIFSIGNALED(status):
                        self._say(f"signalled {os.WTERMSIG(status)}")
                    else:
                        self._say(f"exited {os.WEXITSTATUS(status)}")
                    self._done = True


def _become_agent(order: Mapping[str, Any], report: int) -> NoReturn:
    """In the child: put on the last locks and become the agent. ``report`` closes when that worked."""
    where = "start"
    try:
        _let_go_of_all(report)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")  # the agent before process 1, when the jail's memory is over
        where = "directory"
        os.chdir(order["directory"])
        where = "limits"
        for kind, limit in order["limits"]:
            hard = resource.getrlimit(kind)[1]
            most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (most, most))
        where = "capabilities"
        if not order["namespaced"]:
            kernel.drop_capabilities()  # bubblewrap has done it otherwise
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        where = "landlock"
        if order["landlock"]:
            abi, handled, allowed, connect = order["landlock"]
            landlock.restrict(abi, handled, allowed, connect=connect)
        where = "seccomp"
        if not seccomp.refuse_calls():
            os.write(report, b"note seccomp none\n")
        where = "program"
        environment: dict[bytes, bytes] = order["environment"]
        command: list[bytes] = order["command"]
        os.execvpe(command[0], command, environment)  # noqa: S606  a list, and no shell
    except BaseException as error:  # noqa: BLE001  a child must never go on as its parent
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
        with suppress(OSError):
            os.write(report, f"failed {number} {where}\n".encode())
    os._exit(127)


def _let_go_of_all(report: int) -> None:
    """Standard input becomes ``/dev/null``; nothing but 0, 1, 2 stays open past the start of the agent."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0, inheritable=True)
    for descriptor in os.listdir("/proc/self/fd"):
        if int(descriptor) > 2 and int(descriptor) != report:
            with suppress(OSError):
                os.close(int(descriptor))
    os.setsid()


def descendants() -> list[int]:
    """The processes that descend from this one, as far as they can be seen."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found, here = [], [os.getpid()]
    while here:
        parent = here.pop()
        below = [process for process, above in parents.items() if above == parent]
        found += below
        here += below
    return found


def end_descendants() -> None:
    """Without a namespace: end whatever descends from this process, until nothing does. Orphans come to it, for it is their subreaper."""
    deadline = time.monotonic() + _LAST_S
    while time.monotonic() < deadline:
        for process in descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def main() -> NoReturn:
    """Entry point; the order comes over standard input."""
    try:
        order = receive(0)
    except EOFError:
        sys.exit(1)
    Inside(order).run()
