"""A home in which there is something of everything that pages show, and names that want to harm."""

from __future__ import annotations

from contextlib import contextmanager

from lastro.app.requests.runs import BeginRun, RecordRunState
from tests.console_kit import console_over
from tests.decision_kit import Office

HOSTILE = '<img src=x onerror=alert(1)> hx-get="/x" \x1b[31m\u202e'
FILES = {
    "app.py": b"".join(b"line %d\n" % number for number in range(60)),
    "deploy.sh": b"#!/bin/sh\nset -e\n",
    "docs/read me.md": b"# Title\n\nHow it is run.\n",
    "etc/nginx.conf": b"server {\n  listen 80;\n  client_max_body_size 1m;\n}\n",
    "logo.bin": bytes(range(256)) * 8,
    "bad\udcff<b>.txt": b"a name that is no UTF-8\n",
}


@contextmanager
def sample_console(top):
    """A console over it (``console_kit.Kit``), with ``office``."""
    office = sample_office(top)
    with console_over(office) as made:
        made.office = office
        made.door.stepped_up.add("ana")
        _runs(made)
        yield made


def sample_office(top):
    """The home: a project with a little history, and proposals of every risk."""
    office = Office.made(top, FILES)
    with office.desk() as desk:
        office.write("app.py", FILES["app.py"].replace(b"line 3\n", b"line three\n"))
        office.capture(desk)
        office.propose(
            desk,
            {"etc/nginx.conf": b"server {\n  listen 443 ssl;\n  client_max_body_size 16m;\n}\n"},
            purpose="Serve app.example.org over TLS and enlarge uploads",
        )
        changed = (
            FILES["app.py"]
            .replace(b"line 5\n", b"line five\n")
            .replace(b"line 50\n", b"")
            .replace(b"line 3\n", b"3\n")
        )
        office.propose(
            desk,
            {
                "app.py": changed,
                "deploy.sh": b"#!/bin/sh\nset -eu\necho done\n",
                "logo.bin": bytes(1000),
                "new.txt": b"new\n",
            },
            purpose="Rotate the backup key",
        )
        office.propose(
            desk, {"bad\udcff<b>.txt": b"<script>alert(1)</script>\x1b[31m\xe2\x80\xae\n"}, purpose=HOSTILE
        )
    return office


def _runs(made):
    states = ("running", "collecting", "checking", "finished"), ("running",), ("interrupted",)
    for number, steps in enumerate(states, 1):
        request = BeginRun(
            id=f"{number:032x}",
            project=made.office.root,
            role="client-agent",
            agent="generic",
            command=("sh", "-c", HOSTILE),
            purpose=HOSTILE,
            policy_digest="",
        )
        run = made.desk.caller.call("runs.begin", request).run
        for state in steps:
            made.desk.caller.call("runs.state", RecordRunState(run=run, state=state))
