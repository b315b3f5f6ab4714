"""A home as somebody has it after a week: what pictures for people are taken of (``screenshots``). Nothing in it wants to harm."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import contextmanager
from dataclasses import replace

from lastro.app.requests.runs import BeginRun, RecordRunState, TellStep
from lastro.domain.job import Job, JobOrder, JobState
from lastro.domain.proposal import ChangeNote, Flag
from lastro.domain.record import Actor
from lastro.domain.run import (
    CheckResult,
    CheckVerdict,
    EndCause,
    RunEnforcement,
    RunFacts,
    RunStep,
    RunUsage,
)
from tests.console_kit import Kit, console_over
from tests.decision_kit import Office
from tests.health_kit import HOUR, SECOND, FakeLinks, enrol, fake_alerts, sample_of

_APP = """from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            self.answer(200, b"hello")
        else:
            self.answer(404, b"nothing here")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
_HEALTHY = _APP.replace(
    "        else:\n",
    '        elif self.path == "/health":\n            self.answer(200, self.server.health())\n        else:\n',
)
_NGINX = """server {
  listen 80;
  server_name app.example.org;
  client_max_body_size 1m;

  location / {
    proxy_pass http://127.0.0.1:8000;
  }
}
"""
_TLS = (
    _NGINX.replace("listen 80;", "listen 443 ssl;")
    .replace("1m;", "16m;")
    .replace("\n  location", "  ssl_certificate /etc/ssl/app.pem;\n\n  location")
)
_LONG = (
    "handbook/how we restore a server that is gone/step by step, with everything that has to be looked at.md"
)
_PURPOSES = (
    "Add a health check, and have nginx ask for it",
    "Bring the handbook up to date",
    "Why does the nightly report take forty minutes?",
)


def picture(colour):
    """A small PNG of one colour."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = (b"\0" + bytes(colour) * 48) * 48
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 48, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


FILES = {
    "app.py": _APP.replace("hello", "hi").encode(),
    "deploy.sh": b"#!/bin/sh\nset -e\nsystemctl restart app\n",
    "docs/README.md": b"# App\n\nHow it is run.\n",
    "etc/nginx.conf": _NGINX.encode(),
    "old/notes.txt": b"nobody needs them\n",
    "static/logo.png": picture((20, 90, 170)),
    _LONG: b"# First\n",
}


@contextmanager
def showcase(top):
    """A console over it (``console_kit.Kit``), with ``office``."""
    office = Office.made(top, FILES)
    with office.desk() as desk:
        for text in (_APP.replace("hello", "good day"), _APP):
            office.write("app.py", text.encode())
            office.capture(desk)
        _proposals(office, desk)
    with console_over(office) as bare:
        links = FakeLinks(bare.services)
        alerts = fake_alerts(bare.services, links)
        made = Kit(replace(bare.services, links=links, alerts=alerts))
        made.office = office
        made.door.stepped_up.add("ana")
        try:
            _runs(made)
            _servers(made, links, alerts)
            _jobs(made)
            yield made
        finally:
            alerts.close()
            made.close()


def _proposals(office, desk):
    checks = (
        CheckResult(
            name="tests", command="pytest -q", verdict=CheckVerdict.PASSED, duration_ns=2_400_000_000
        ),
        CheckResult(
            name="nginx",
            command="nginx -t",
            verdict=CheckVerdict.FAILED,
            duration_ns=90_000_000,
            output='nginx: [emerg] cannot load certificate "/etc/ssl/app.pem"',
        ),
    )
    office.propose(desk, {_LONG: b"# First\n\nLook at the inbox.\n"}, purpose=_PURPOSES[1])

    def work():
        office.edit({"app.py": _HEALTHY.encode(), "static/logo.png": picture((20, 140, 90))})
        office.edit({"etc/nginx.conf": _TLS.encode(), "old/notes.txt": None, "bin/health": b"#!/bin/sh\n"})
        os.chmod(f"{office.root}/bin/health", 0o755)
        os.rename(f"{office.root}/docs/README.md", f"{office.root}/docs/index.md")

    notes = (
        ChangeNote(path=b"etc/nginx.conf", flags=(Flag.EXECUTED_LATER,), steps=(2,)),
        ChangeNote(path=b"bin/health", flags=(Flag.EXECUTABLE,), steps=(1,)),
        ChangeNote(path=b"static/logo.png", flags=(Flag.BINARY,), steps=(2,)),
    )
    office.propose(desk, work, purpose=_PURPOSES[0], risk="high", checks=checks, notes=notes)
    office.propose(
        desk,
        {"deploy.sh": b"#!/bin/sh\nset -eu\nsystemctl reload app\n"},
        purpose="Reload instead of restarting, so that nobody is cut off",
        risk="medium",
        checks=checks[:1],
    )
    done = office.propose(desk, {"docs/faq.md": b"# Questions\n"}, purpose="Begin a list of questions")
    office.approve(desk, done)


def _runs(made):
    states = ("running", "collecting", "checking", "finished"), ("running",), ("interrupted",)
    for number, (purpose, steps) in enumerate(zip(_PURPOSES, states, strict=True), 1):
        request = BeginRun(
            id=f"{number:032x}",
            project=made.office.root,
            role="client-agent",
            agent="codex",
            command=("codex", "exec", purpose),
            purpose=purpose,
            policy_digest="",
        )
        run = made.desk.caller.call("runs.begin", request).run
        for state in steps:
            facts = _facts(made) if state == "finished" else None
            made.desk.caller.call("runs.state", RecordRunState(run=run, state=state, facts=facts))
    made.desk.caller.call("runs.step", TellStep(run=2, step=_steps(made)[0]))


def _steps(made):
    now = made.services.clock.wall_ns()
    return tuple(
        RunStep(number=number, exchange=f"x-{number:026}", time_ns=now + number * SECOND, paths=paths)
        for number, paths in ((1, (b"app.py", b"bin/health")), (2, (b"etc/nginx.conf", b"static/logo.png")))
    )


def _facts(made):
    return RunFacts(
        cause=EndCause.EXITED,
        exit_status=0,
        steps=_steps(made),
        enforcement=RunEnforcement(view="overlay", enforced=("filesystem", "network"), landlock=5),
        usage=RunUsage(requests=2, tokens_in=18_200, tokens_out=2_400, money=61_000, wall_ns=94 * SECOND),
        last_words="The health check answers at /health, and nginx asks for it.",
    )


def _servers(made, links, alerts):
    now = made.services.clock.wall_ns()
    for name, state in (
        ("web-01", "connected"),
        ("db-01", "unreachable"),
        ("shop.customer-with-a-long-name", "connected"),
    ):
        server = enrol(made.services, name)
        links.states[server] = state
        if state == "unreachable":
            links.problems[server] = "Nobody answers at 10.0.0.7:8422."
        links.roots[server] = {
            "/srv": now - 90 * SECOND,
            "/etc": now - 90 * SECOND,
            "/var/lib/app": now - 2 * HOUR,
        }
        for minute in reversed(range(60)):
            links.rings.add(server, sample_of(), now - minute * 60 * SECOND)
    alerts.look()


def _jobs(made):
    now = made.services.clock.wall_ns()
    asker = Actor(kind="human", name="ana", uid=-1)
    for number, (operation, subject, state) in enumerate(
        (
            ("restore", "web-01:/etc/nginx", JobState.DONE),
            ("proposal.approve", "proposal-4", JobState.DONE),
            ("server.pull", "db-01:/srv", JobState.FAILED),
            ("repo.check", "", JobState.RUNNING),
        ),
        1,
    ):
        order = JobOrder(operation=operation, request=b"{}", asker=asker, place="keeper", subject=subject)
        began = now - (5 - number) * HOUR
        ended = 0 if state is JobState.RUNNING else began + 42 * SECOND
        made.jobs.done.append(
            Job(number=number, order=order, state=state, asked_ns=began, began_ns=began, ended_ns=ended)
        )
