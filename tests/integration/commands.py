"""Runs the real command line as processes, in a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 40.0


@dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        return json.loads(self.out.splitlines()[-1])

    @property
    def reply(self) -> Any:
        return self.result["reply"]


@dataclass
class Home:
    """One installation."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "lastro", *arguments]

    @property
    def surroundings(self) -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("LASTRO_", "LC_", "LANG"))
        }
        return {**kept, "LASTRO_HOME": self.path, "LC_ALL": "C.UTF-8", "TZ": "UTC", **self.environment}

    def run(self, *arguments: str, cwd: str | None = None) -> Answer:
        done = subprocess.run(
            self.command(*arguments),
            env=self.surroundings,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Answer(
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "replace"),
        )

    def ask(self, *arguments: str) -> Any:
        """The reply of a command that must succeed."""
        answer = self.run(*arguments, "--json")
        assert answer.code == 0, answer
        return answer.reply

    def versions(self, reference: str) -> list[dict[str, Any]]:
        answer = self.run("log", reference, "--json")
        return answer.reply["items"] if answer.code == 0 else []

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[Server]:
        server = Server(self, arguments)
        try:
            yield server
        finally:
            server.stop()


class Server:
    """A process that stays; its events are read as they come."""

    def __init__(self, home: Home, arguments: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            home.command(*arguments, "--json"),
            env=home.surroundings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._out, self._err = self.process.stdout, self.process.stderr
        os.set_blocking(self._out.fileno(), False)
        self.lines: list[dict[str, Any]] = []
        self._rest = b""

    def events(self, kind: str) -> list[dict[str, Any]]:
        self._read()
        events = [line["event"] for line in self.lines if "event" in line]
        return [event["parameters"] for event in events if event["kind"] == kind]

    def wait_event(
        self, kind: str, true: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def seen() -> bool:
            found[:] = [event for event in self.events(kind) if true(event)]
            assert found or self.process.poll() is None, (self.lines, self._err.read())
            return bool(found)

        wait_until(seen)
        return found[0]

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._read()
        self._out.close()
        self._err.close()
        return code

    def _read(self) -> None:
        if self._out.closed:
            return
        while chunk := self._out.read(65_536):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self.lines += [json.loads(line) for line in lines]


def wait_until(true: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that other processes bring about; fails loudly when it does not come."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)
