"""Long lists, as the console and the command line ask for them: 5 000 proposals that wait, 10 000 versions of a path, 100 000 names in a
directory, 100 000 events. Pages are asked for over a real socket, beside ``git log`` of as many commits of a file.
"""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct

from bench.pages import Connection
from lastro.app.opening import create_repository, open_services
from lastro.app.operation import find_operation
from lastro.app.places import Places, places_of
from lastro.app.requests import Log
from lastro.app.requests.happenings import Events
from lastro.app.requests.proposals import Proposals, Propose
from lastro.app.requests.runs import Runs
from lastro.app.services import Services
from lastro.domain.clock import SystemClock
from lastro.domain.entry import EntryType
from lastro.domain.paths import to_bytes
from lastro.domain.record import Actor, RecordKind, RecordTarget, RunBody
from lastro.domain.reference import Reference
from lastro.domain.snapshot import SnapshotBody, Statistics
from lastro.proposals.pair import read_pair
from lastro.proposals.policy import POLICY_FILE
from lastro.store.content import ContentWriter
from lastro.store.repository import RecordDraft
from lastro.store.tree import TreeEntry, decode_tree_entry, encode_tree_entry, update
from tests.browser.kit import served
from tests.console_kit import COOKIE, Kit

PROPOSALS: Final = 5_000
VERSIONS: Final = 10_000
EVENTS: Final = 100_000
ROUNDS: Final = 7
NAMES: Final = 100_000
PROJECT: Final = "/srv/app"
DIRECTORY: Final = "/srv/many"
_ACTOR: Final = Actor(kind="human", name="bench")
_ROOT: Final = TreeEntry(type=EntryType.DIRECTORY, mode=0o755)
_BATCH: Final = 200


def measure() -> Iterator[tuple[str, str]]:
    """Medians of ``ROUNDS`` calls in the keeper's process, after one that is not counted."""
    with tempfile.TemporaryDirectory() as top:
        places = places_of(os.path.realpath(top))
        create_repository(places, _ACTOR, SystemClock())
        with _opened(places) as services:
            _versions(services)
            _proposals(services)
            yield from _lists(services)
            _directory(services)
            _runs(services)
        yield from _catalogue(places)
        with _opened(places) as services:
            yield from _pages(services)
    with tempfile.TemporaryDirectory() as top:
        yield from _git_log(os.path.realpath(top))


def _opened(places: Places) -> Any:
    return open_services(places, writable=True, actor=_ACTOR, clock=SystemClock())


def _lists(services: Services) -> Iterator[tuple[str, str]]:
    for label, operation, request in (
        ("inbox, first page of 50", "proposal.list", Proposals()),
        ("inbox, a text that few have", "proposal.list", Proposals(text="number 4999")),
        ("inbox, high risk of one agent", "proposal.list", Proposals(risk="high", agent="codex")),
        ("inbox, a page far behind", "proposal.list", Proposals(after=PROPOSALS - 100)),
    ):
        yield f"{PROPOSALS} proposals: {label}", _median(services, operation, request)
    path = Reference(server="local", path=f"{PROJECT}/file", at=None)
    for label, asked in (
        ("first page of 50", Log(reference=path, limit=50)),
        ("a page far behind", Log(reference=path, limit=50, before=VERSIONS // 4)),
        (
            "of the directory above, first page",
            Log(reference=Reference(server="local", path=PROJECT, at=None), limit=50),
        ),
    ):
        yield f"path with {VERSIONS} versions: {label}", _median(services, "log", asked)


def _catalogue(places: Places) -> Iterator[tuple[str, str]]:
    with _opened(places) as services:
        records = services.repository.head()[0] + 1
        began = time.monotonic()
        services.catalogue().refresh()
        seconds = time.monotonic() - began
        yield f"catalogue: {records} records folded", f"{seconds:.1f} s, {records / seconds:.0f} a second"
        for label, request in (
            ("first page of 50", Events()),
            ("decisions alone (there are none)", Events(kind=("decision",))),
            ("of one run", Events(subject="run-77")),
            ("below one directory, far behind", Events(project=PROJECT, before=VERSIONS // 2)),
        ):
            yield f"{records} events: {label}", _median(services, "events", request)
        yield "runs: first page of 50", _median(services, "runs.list", Runs(recorded=True))


def _pages(services: Services) -> Iterator[tuple[str, str]]:
    """What a browser waits for, once the keeper has asked each projection for the first time."""
    console: Any = Kit(services)
    with served(console.client.app) as address:
        ana = Connection(address, {"cookie": f"{COOKIE}=ana:owner"})
        for path in ("/inbox", "/history", "/events"):
            began = time.monotonic()
            ana.get(path)
            yield f"first {path} after a start", f"{(time.monotonic() - began) * 1000:.0f} ms"
        for label, path in (
            (f"inbox of {PROPOSALS} proposals", "/inbox"),
            ("inbox, a text that few have", "/inbox?text=number+4999"),
            ("inbox, high risk of one agent", "/inbox?risk=high&agent=codex"),
            (f"a path with {VERSIONS} versions", f"/history/local{PROJECT}/file"),
            ("the directory above it", f"/history/local{PROJECT}"),
            (f"a directory of {NAMES} names", f"/history/local{DIRECTORY}"),
            (f"events, of {EVENTS}", "/events"),
            ("events, decisions alone", "/events?kind=decision"),
            ("events, of one run", "/events?subject=run-77"),
            ("runs", "/runs"),
            ("audit", "/audit"),
        ):
            yield f"page: {label}", ana.said(path)
    console.close()


def _git_log(top: str) -> Iterator[tuple[str, str]]:
    """The newest 50 commits of a file that has as many versions, as ``git`` prints them."""
    made = [b"reset refs/heads/main\n"]
    for number in range(VERSIONS):
        content = b"%d\n" % number
        made.append(
            b"commit refs/heads/main\ncommitter bench <b@localhost> %d +0000\ndata 1\nx\nM 644 inline file\ndata %d\n%s\n"
            % (1_700_000_000 + number, len(content), content)
        )
    git = ("git", "-C", top)
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "fast-import", "--quiet"], input=b"".join(made), check=True)
    for label, more in (("the newest 50", ["-50"]), ("all of them", [])):
        times = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            subprocess.run([*git, "log", "--stat", *more, "--", "file"], check=True, capture_output=True)
            times.append(time.monotonic() - began)
        yield (
            f"git log of a file with {VERSIONS} commits: {label}",
            f"{statistics.median(times) * 1000:.0f} ms",
        )


def _median(services: Services, operation: str, request: Struct) -> str:
    run: Callable[[Services, Struct], Any] = find_operation(operation).run
    times = []
    run(services, request)  # the first one folds what other projections do not know yet
    for _ in range(ROUNDS):
        began = time.monotonic()
        run(services, request)
        times.append(time.monotonic() - began)
    return f"{statistics.median(times) * 1000:.1f} ms (longest {max(times) * 1000:.1f})"


# What is asked about ------------------------------------------------------------------------------------------------------------------


def _versions(services: Services) -> None:
    for first in range(0, VERSIONS, _BATCH):
        _snapshots(
            services, "files", _ROOT, [{"file": b"%d\n" % number} for number in range(first, first + _BATCH)]
        )


def _proposals(services: Services) -> None:
    policy = b'[[review]]\npaths = ["secret/**"]\napprovals = 2\n'
    before = _snapshots(services, "files", _ROOT, [{"file": b"live\n", POLICY_FILE: policy}])[0]
    root = _root_of(services, before)
    runs = _runs(services, count=2)
    for first in range(0, PROPOSALS, _BATCH):
        edits = [{"file": b"proposal %d\n" % number} for number in range(first, first + _BATCH)]
        for number, after in enumerate(_snapshots(services, "run", root, edits), first):
            changes = read_pair(services.repository, before=before, after=after, target=PROJECT).changes
            request = Propose(
                id=secrets.token_hex(16),
                kind="run",
                target=PROJECT,
                before=before,
                after=after,
                change_digest=changes.digest.hex(),
                purpose=f"change number {number}",
                run=runs[number % 2],
                risk=("low", "medium", "high")[number % 3],
            )
            find_operation("proposal.record").run(services, request)


def _runs(services: Services, *, count: int = 0) -> list[int]:
    """As many runs; none said: what is missing to ``EVENTS``."""
    made = []
    left = count or EVENTS - services.repository.head()[0] - 1
    for first in range(0, left, 5_000):
        drafts = [
            _run_draft("codex" if number % 2 else "claude") for number in range(min(5_000, left - first))
        ]
        with services.repository.begin() as transaction:
            made += [stored.record.number for stored in transaction.commit(*drafts)]
    return made


def _run_draft(agent: str) -> RecordDraft:
    body = RunBody(
        agent=agent,
        command=[b"true"],
        id=secrets.token_hex(16),
        leases=[],
        policy_digest=b"",
        project=to_bytes(PROJECT),
        purpose="measure",
        rebases=None,
        resumes=None,
        role="client-agent",
    )
    return RecordDraft(kind=RecordKind.RUN, actor=_ACTOR, server="local", body=body)


def _directory(services: Services) -> None:
    """A directory with many names: the second snapshot changes one of them."""
    names = {f"name-{number:06}": b"the same\n" for number in range(NAMES)}
    _snapshots(services, "files", _ROOT, [names, {**names, "name-050000": b"another\n"}], path=DIRECTORY)


def _snapshots(
    services: Services, kind: str, root: TreeEntry, states: list[dict[str, bytes]], *, path: str = PROJECT
) -> list[int]:
    """Snapshots of ``root`` with these files in it, in one transaction; their ``seq``."""
    drafts = []
    with services.repository.begin() as made:
        for files in states:
            entries: dict[str, TreeEntry | None] = {}
            for name, content in files.items():
                directory = name.rpartition("/")[0]
                if directory:
                    entries[directory] = TreeEntry(
                        type=EntryType.DIRECTORY, mode=0o755, name=to_bytes(directory)
                    )
                writer = ContentWriter(made, made.chunker)
                writer.write(0, content)
                written = writer.finish()
                entries[name] = TreeEntry(
                    type=EntryType.FILE,
                    mode=0o644,
                    name=to_bytes(name.rpartition("/")[2]),
                    content=written.content,
                    digest=written.digest,
                    size=written.size,
                )
            tree = update(made, made, root, dict(sorted(entries.items())))
            assert tree is not None
            body = SnapshotBody(
                node_time_ns=None,
                reason="change",
                root=encode_tree_entry(tree),
                statistics=Statistics(changed=1),
                warnings=[],
            )
            target = RecordTarget(kind=kind, path=to_bytes(path))
            drafts.append(
                RecordDraft(kind=RecordKind.SNAPSHOT, actor=_ACTOR, server="local", body=body, target=target)
            )
        return [stored.seq for stored in made.commit(*drafts)]


def _root_of(services: Services, seq: int) -> TreeEntry:
    return decode_tree_entry(services.timeline.snapshot_by_seq(seq).root)
