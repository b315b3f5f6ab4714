"""``lastro demo``: a tour of everything in a scratch home, with real processes, that says what it does, shows what one sees, and ends.

It is a user of the command line like any other: each step runs ``lastro`` as a process of its own and looks at what it prints, so a tour
that ends well is a test too. Later parts of the product add scenes.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from lastro.app.encoding import decode
from lastro.app.events import Event
from lastro.errors import LastroError, UnreachableError
from lastro.faces.cli.command import GlobalOptions
from lastro.faces.cli.context import Context
from lastro.faces.cli.render.events import Announcer
from lastro.faces.translation import gettext as _
from lastro.messages import N_

PATIENCE_S: Final = 60.0


def demo() -> click.Command:
    """``lastro demo``."""
    summary = _("A tour of the whole, in a scratch home.")
    details = _(
        "Everything happens in a scratch directory that is removed at the end, with a node and a keeper of its own."
    )
    return GlobalOptions("demo", callback=_run, help=f"{summary}\n\n{details}", short_help=summary)


def _run() -> int:
    context = click.get_current_context().find_object(Context)
    assert context is not None
    home = tempfile.mkdtemp(prefix="lastro-demo-")
    try:
        tour = Tour(context, home)
        for title, scene in SCENES:
            tour.say(f"\n{_(title)}", bold=True)
            scene(tour)
        tour.say("")
        tour.say(_("That was all. The scratch home is removed; nothing is left of it."))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if context.terminal.json:
        context.terminal.object("result", {"ok": True, "exit_code": 0, "reply": {"scenes": len(SCENES)}})
    return 0


class Tour:
    """Runs commands in the scratch home and shows them with what they print."""

    def __init__(self, context: Context, home: str) -> None:
        self.home = home
        self.context = context
        self._announcer = Announcer(context)
        self._environment = {**os.environ, "LASTRO_HOME": home, "NO_COLOR": "1"}

    def say(self, text: str, *, bold: bool = False) -> None:
        """One line for the person who watches."""
        terminal = self.context.terminal
        if terminal.json:
            if text.strip():
                terminal.object("item", {"text": text.strip()})
            return
        terminal.line(terminal.style(text, bold=True) if bold else text)
        terminal.flush()

    def lastro(self, *arguments: str, expect: int = 0, typed: str = "", shown: str = "") -> str:
        """Run a command, show it (as ``shown``) and its output; its standard output. ``typed``: what it reads.

        Raises:
            LastroError: it ended otherwise than expected.
        """
        self.say(f"  $ lastro {shown or shlex.join(arguments)}", bold=True)
        done = subprocess.run(
            self.command(*arguments),
            env=self._environment,
            input=f"{typed}\n".encode() if typed else b"",
            capture_output=True,
            check=False,
        )
        output = done.stdout.decode("utf-8", "replace")
        for line in (output + done.stderr.decode("utf-8", "replace")).splitlines():
            self.say(f"    {line}")
        if done.returncode != expect:
            raise LastroError(
                N_("The tour went wrong: 'lastro {command}' ended with {status} instead of {expected}."),
                command=" ".join(arguments),
                status=done.returncode,
                expected=expect,
            )
        return output

    def ask(self, *arguments: str) -> Any:
        """The reply of a command, without showing it; ``None`` while it fails."""
        done = subprocess.run(
            self.command(*arguments, "--json"),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        return json.loads(lines[-1]).get("reply") if lines else None

    def wait_for(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until something is so.

        Raises:
            UnreachableError: it does not become so.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > deadline:
                raise UnreachableError(
                    N_("The tour waited {seconds} s in vain for: {what}"), seconds=int(PATIENCE_S), what=what
                )
            time.sleep(0.2)

    def wait_for_versions(self, reference: str, count: int) -> None:
        """Wait until a path has at least ``count`` versions."""
        self.wait_for(
            f"{count} versions of {reference}",
            lambda: len((self.ask("log", reference) or {}).get("items", ())) >= count,
        )

    @contextmanager
    def running(self, *arguments: str, until: str) -> Iterator[Event]:
        """A process that stays, beside the tour: its lines are shown until it says the event ``until``, which this gives."""
        self.say(f"  $ lastro {shlex.join(arguments)} &", bold=True)
        process = subprocess.Popen(
            self.command(*arguments, "--json"),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said: list[Event] = []
        reader = threading.Thread(target=self._show, args=(process, until, said), daemon=True)
        reader.start()
        try:
            self.wait_for(f"lastro {arguments[0]}", lambda: process.poll() is not None or bool(said))
            if not said:
                raise UnreachableError(N_("A process of the tour ended before it was ready."))
            yield said[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            reader.join()
            assert process.stdout is not None
            process.stdout.close()

    def _show(self, process: subprocess.Popen[bytes], until: str, said: list[Event]) -> None:
        """Show what a process says until ``until``, which goes into ``said``; read on, so that it never waits for a reader."""
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            event = decode(json.dumps(message.get("event") or {"kind": "", "time_ns": 0}).encode(), Event)
            if not said and event.kind:
                for text in self._announcer.lines(event):
                    self.say(f"    {text}")
            if event.kind == until and not said:
                said.append(event)

    def command(self, *arguments: str) -> Sequence[str]:
        """The command line of ``lastro`` in this very environment."""
        language = ["--lang", self.context.language] if self.context.language else []
        return [sys.executable, "-m", "lastro", *language, *arguments]

    def sample(self, *names: str) -> str:
        """A path in the sample project."""
        return os.path.join(self.home, "sample", *names)


def _protect(tour: Tour) -> None:
    with tour.running("up", until="ready"):
        tour.lastro("status")
        _versions(tour)
        _deleted(tour)
        _undo(tour)
        _check(tour)


def _versions(tour: Tour) -> None:
    tour.say(f"\n{_('A file is changed twice; each version is kept a few seconds later.')}")
    readme = tour.sample("README.md")
    for count, line in enumerate(("first change", "second change"), start=2):
        with open(readme, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        tour.wait_for_versions("local:README.md", count)
    tour.lastro("log", "local:README.md")
    tour.lastro("diff", "local:README.md@snap-1", "local:README.md")
    tour.lastro("cat", "local:README.md@snap-1")


def _deleted(tour: Tour) -> None:
    tour.say(f"\n{_('Somebody deletes a configuration file.')}")
    os.unlink(tour.sample("server", "app.conf"))
    tour.wait_for_versions("local:server/app.conf", 2)
    tour.lastro("find", "app.conf", "--deleted")
    tour.lastro("restore", "local:server/app.conf", "--plan")
    tour.lastro("restore", "local:server/app.conf", "--yes")


def _undo(tour: Tour) -> None:
    tour.say(f"\n{_('The restore is undone, and the undo is undone.')}")
    tour.lastro("undo", "--yes")
    tour.lastro("undo", "--yes")
    if not os.path.exists(tour.sample("server", "app.conf")):
        raise LastroError(N_("The tour went wrong: the restored file is not there."))
    tour.lastro("log", "--limit", "6")


def _check(tour: Tour) -> None:
    tour.say(f"\n{_('Every bit of the repository is verified.')}")
    tour.lastro("repo", "check", "--read-data")


def _alone(tour: Tour) -> None:
    tour.say(
        _("Node and keeper are stopped. What is kept can still be read, and a directory captured by hand.")
    )
    project = os.path.join(tour.home, "project")
    os.makedirs(project)
    with open(os.path.join(project, "notes.txt"), "w", encoding="utf-8") as file:
        file.write("one\n")
    tour.lastro("capture", project)
    with open(os.path.join(project, "notes.txt"), "w", encoding="utf-8") as file:
        file.write("two\n")
    tour.lastro("diff", project)
    notes = os.path.join(project, "notes.txt")
    first = (tour.ask("log", notes) or {})["items"][-1]["number"]
    tour.lastro("restore", f"{notes}@snap-{first}", "--to", os.path.join(tour.home, "elsewhere"), "--yes")
    tour.lastro("log", notes)


def _gateway(tour: Tour) -> None:
    from lastro.faces.cli.demo_gateway import gateway  # noqa: PLC0415  help needs none of it

    gateway(tour)


def _agents(tour: Tour) -> None:
    from lastro.faces.cli.demo_agents import agents  # noqa: PLC0415  help needs none of it

    agents(tour)


def _console(tour: Tour) -> None:
    from lastro.faces.cli.demo_console import console  # noqa: PLC0415  help needs none of it

    console(tour)


SCENES: Final[tuple[tuple[str, Callable[[Tour], None]], ...]] = (
    (N_("1. A directory is protected, continuously"), _protect),
    (N_("2. Without anything running"), _alone),
    (N_("3. A gateway to models, one of them offline"), _gateway),
    (N_("4. An agent under a safety net"), _agents),
    (N_("5. The console, where a human sees and decides"), _console),
)
