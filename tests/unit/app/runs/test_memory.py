"""A run's socket: what is not listed is refused, and nothing that is answered is anybody else's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastro.app.caller import Bytes
from lastro.app.encoding import encode
from lastro.app.operation import Effect, Place, all_operations, find_operation
from lastro.app.operations.contents import content as unconfined_content
from lastro.app.requests import (
    Cat,
    Compare,
    ContentRequest,
    ContentsRequest,
    Entries,
    Find,
    Log,
    Where,
)
from lastro.app.requests.runs import BeginMemory, RunDetail, ShowRun
from lastro.app.runs.confined_timeline import ConfinedTimeline
from lastro.app.runs.memory import SERVED
from lastro.app.runs.scope import RunScope
from lastro.domain.entry import EntryType
from lastro.domain.ids import LOCAL
from lastro.domain.paths import to_bytes
from lastro.domain.policy import Role
from lastro.domain.record import ApplyBody, RecordKind
from lastro.domain.reference import AtId, AtNow, Reference
from lastro.errors import DeniedError, LastroError, LimitError, NotFoundError, UnreachableError
from lastro.faces.http.run_face import CONNECTIONS
from lastro.proposals.policy import role_of
from lastro.store.repository import RecordDraft
from tests.run_kit import HIDDEN, MINE, OTHERS, OUTSIDER, caller_at, running, write

LISTED = {
    "log",
    "find",
    "where",
    "cat",
    "content",
    "contents",
    "entries",
    "compare",
    "runs.show",
    "proposal.list",
    "proposal.show",
}
"""Written here once more: whoever lets runs ask something new says so in two places."""


@pytest.fixture(scope="module")
def kit():
    with tempfile.TemporaryDirectory() as directory, running(os.path.realpath(directory)) as made:
        yield made


def reference(path, at=None, server=LOCAL):
    return Reference(server=server, path=path, at=at)


def bytes_of(reply):
    if isinstance(reply, Bytes):
        return b"".join(data for _, data in reply.blocks)
    return encode(reply)


# What may be asked --------------------------------------------------------------------------------------------------------------------


def post(path, name, body=b"{}"):
    """Status and body of one request, as bytes on the socket."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(20)
        connected.connect(path)
        head = f"POST /api/v1/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = b""
        with suppress(ConnectionError):  # it may be answered, and cut off, before all of it was read
            connected.sendall(head.encode() + body)
        with suppress(ConnectionError):
            while piece := connected.recv(65536):
                answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    return int((head.split() or [b"", b"0"])[1]), rest


def test_every_operation_that_is_not_listed_is_refused(kit):
    path = kit.places.memory_socket(kit.run)
    names = {operation.name for operation in all_operations()}
    assert names > LISTED
    for name in [*sorted(names - LISTED), "", "no.such.operation", "log/../status", "status%00"]:
        status, body = post(path, name)
        assert status == 403, (name, status, body)
        assert json.loads(body)["code"] == "denied", (name, body)


def test_what_is_listed_only_reads_in_the_keeper():
    assert set(SERVED) == LISTED
    for name in LISTED:
        operation = find_operation(name)
        assert (operation.effect, operation.place) == (Effect.READ, Place.KEEPER)


@pytest.mark.parametrize(
    "line", ["GET /api/v1/events", "GET /api/v1/openapi.json", "GET /", "PUT /api/v1/log"]
)
def test_nothing_but_operations_is_there(kit, line):
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(20)
        connected.connect(kit.places.memory_socket(kit.run))
        connected.sendall(f"{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        assert connected.recv(65536).split()[1] in {b"403", b"405"}


def test_the_actor_is_the_run_whoever_the_peer_is(kit):
    from lastro.app.runs.memories import RunServices  # noqa: PLC0415  the class under test

    services = RunServices(kit.services, kit.services.inbox.run(kit.run).run)
    for said in (kit.services.actor, kit.services.actor.__class__(kind="human", name="root", uid=0)):
        actor = services.for_actor(said).actor
        assert (actor.kind, actor.name) == ("run", f"run-{kit.run}")
    confined = services.for_actor(kit.services.actor)
    assert confined.links is None
    assert confined.memories.open(kit.run) == ""


def test_nobody_but_the_owner_can_connect(kit):
    path = kit.places.memory_socket(kit.run)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert os.listdir(os.path.dirname(path)) == ["sock"]


# What may be seen ---------------------------------------------------------------------------------------------------------------------


def test_the_project_can_be_asked(kit):
    caller, project = kit.caller, kit.project
    assert bytes_of(caller.call("cat", Cat(reference=reference("readme.md")))) == MINE + b" 2\n"
    first = AtId("snap", 1, before=False)
    assert bytes_of(caller.call("cat", Cat(reference=reference("readme.md", first)))) == MINE + b" 1\n"
    items = caller.call("log", Log(reference=reference(f"{project}/readme.md"))).items
    assert [item.operation for item in items] == ["changed", "added"]
    found = caller.call("find", Find(name="*.py", deleted=True)).items
    assert [item.path for item in found] == [f"{project}/src/gone.py"]
    whole = caller.call("log", Log()).items
    assert {item.path for item in whole} == {project}
    told = {path for item in whole for path in item.paths}
    assert told >= {f"{project}/readme.md"}
    assert not any(HIDDEN in path for path in told)
    assert caller.call("where", Where(reference=reference(""))).path == project


def test_an_answer_about_the_whole_project_holds_only_what_may_be_read(kit):
    reply = kit.caller.call("entries", Entries(reference=reference("")))
    names = {item.entry.path for item in reply.items}
    assert names == {
        "",
        ".lastro",
        ".lastro/policy.toml",
        "hard.txt",
        "out",
        "readme.md",
        "src",
        "src/main.py",
        "src/new.py",
        "treasure",
        "zz-hard.txt",
    }
    by_path = {item.entry.path: item for item in reply.items}
    for linked in ("hard.txt", "zz-hard.txt"):
        assert by_path[linked].entry.digest is None  # its content stands at a path that the run may not see
    assert (reply.shown.project, reply.shown.role.name) == (kit.project, "client-agent")
    one, two = (reference("", AtId("snap", number, before=False)) for number in (1, 2))
    files = kit.caller.call("compare", Compare(before=one, after=two)).files
    assert {file.path for file in files} == {"readme.md", "src/gone.py", "src/new.py"}


@pytest.mark.parametrize(
    "path",
    [
        HIDDEN,
        f"src/{HIDDEN}",
        "vault",
        "vault/deep/key.txt",
        "out/notes.txt",
        "treasure/deep/key.txt",
        "../outsider/notes.txt",
        "src/../../outsider/notes.txt",
        "../project-outsider/notes.txt",
        "/etc/passwd",
        "/",
        "..",
        ".ENV",
        "hard.txt",
        "zz-hard.txt",
    ],
)
@pytest.mark.parametrize("at", [None, AtId("snap", 1, before=False), AtId("snap", 2, before=True), AtNow()])
def test_what_is_not_the_runs_is_not_read(kit, path, at):
    for absolute in (path, os.path.join(kit.project, path)):
        with pytest.raises((DeniedError, NotFoundError)):
            kit.caller.call("cat", Cat(reference=reference(absolute, at)))


def test_another_server_is_nobody(kit):
    for name in ("web-01", "nowhere"):
        with pytest.raises(DeniedError):
            kit.caller.call("cat", Cat(reference=reference("readme.md", server=name)))
        with pytest.raises((DeniedError, NotFoundError)):
            kit.caller.call("find", Find(name="*", server=name))


def test_content_is_given_by_the_paths_that_may_be_read(kit):
    root = kit.services.timeline.snapshot_by_seq(kit.seqs[1]).target.path
    inside = os.path.relpath(kit.project, root)
    fine = ContentRequest(seq=kit.seqs[1], path=f"{inside}/readme.md")
    assert bytes_of(kit.caller.call("content", fine)) == MINE + b" 2\n"
    assert bytes_of(kit.caller.call("contents", ContentsRequest(items=(fine, fine)))) == (MINE + b" 2\n") * 2
    refused = [
        f"{inside}/{HIDDEN}",
        f"{inside}/vault/deep/key.txt",
        f"work/{OUTSIDER}/notes.txt",
        f"{OUTSIDER}.txt",
        f"{inside}/../{OUTSIDER}/notes.txt",
        f"{inside}//readme.md",
        f"{inside}/./readme.md",
        f"/{inside}/readme.md",
        "",
    ]
    for path in refused:
        asked = ContentRequest(seq=kit.seqs[1], path=path)
        with pytest.raises(NotFoundError):
            kit.caller.call("content", asked)
        with pytest.raises(NotFoundError):
            kit.caller.call("contents", ContentsRequest(items=(fine, asked)))
    with pytest.raises(NotFoundError):
        kit.caller.call("content", ContentRequest(seq=kit.seqs[2], path="notes.txt"))
    assert (
        bytes_of(unconfined_content(kit.services, ContentRequest(seq=kit.seqs[2], path="notes.txt")))
        == OTHERS
    )


NAMES = st.sampled_from(
    [
        "..",
        ".",
        "",
        "src",
        "out",
        "treasure",
        "vault",
        "deep",
        "key.txt",
        HIDDEN,
        ".ENV",
        "readme.md",
        "hard.txt",
        "zz-hard.txt",
        OUTSIDER,
        "notes.txt",
        "work",
        "project",
        "project-outsider",
        "gone.py",
        "\udcff",
        "é",
    ]
)
ATS = st.one_of(
    st.none(),
    st.just(AtNow()),
    st.builds(AtId, st.sampled_from(["snap", "apply"]), st.integers(1, 4), st.booleans()),
)


@st.composite
def questions(draw):
    """Any request about any path, as an agent would write it that looks for a way out."""
    path = "/".join(draw(st.lists(NAMES, max_size=6)))
    start = draw(st.sampled_from(["", "PROJECT/", "WORLD/", "/"]))
    at, other = draw(ATS), draw(ATS)
    name = draw(st.sampled_from(["log", "where", "cat", "entries", "compare", "find", "content", "contents"]))
    seq = draw(st.integers(0, 8))

    def ask(kit):
        whole = (start + path).replace("PROJECT", kit.project).replace("WORLD", kit.world)
        place = reference(whole, at)
        item = ContentRequest(seq=seq, path=path)
        return name, {
            "log": Log(reference=place),
            "where": Where(reference=place),
            "cat": Cat(reference=place),
            "entries": Entries(reference=place, last=True),
            "compare": Compare(before=place, after=reference(whole, other)),
            "find": Find(name=path or "*"),
            "content": item,
            "contents": ContentsRequest(items=(item,)),
        }[name]

    return ask


@settings(max_examples=300, deadline=None)
@given(question=questions())
def test_no_answer_holds_what_is_not_the_runs(kit, question):
    name, request = question(kit)
    asked = encode(request)
    with suppress(LastroError):
        answer = bytes_of(kit.caller.call(name, request))
        assert OTHERS not in answer
        if OUTSIDER.encode() not in asked and b"b64" not in asked:
            assert OUTSIDER.encode() not in answer.replace(
                f"../{OUTSIDER}".encode(), b""
            )  # the text of the link "out"
        assert b"key.txt" not in answer.replace(asked, b"") or b"key.txt" in asked


def test_the_wall_stands_alone(kit):
    """The confined timeline is asked by operations; it holds also where they would not look again."""
    scope = RunScope(run=kit.run, project=kit.project, role=role_of(kit.policy.policy, "client-agent"))
    whole, wall = kit.services.timeline, ConfinedTimeline(kit.services.timeline, scope)
    assert {target.path for target in wall.targets()} == {kit.world}
    assert {target.path for target in whole.targets()} == {kit.world, kit.elsewhere}
    for number, seq in enumerate(kit.seqs[:2], 1):
        assert wall.snapshot(number).seq == wall.snapshot_by_seq(seq).seq == wall.changes_of(seq).seq == seq
    third = kit.seqs[2]
    for ask in (
        lambda: wall.snapshot(3),
        lambda: wall.snapshot_by_seq(third),
        lambda: wall.changes_of(third),
    ):
        with pytest.raises(NotFoundError):
            ask()
    assert (wall.count_snapshots(), whole.count_snapshots()) == (2, 3)
    outside = whole.locate(LOCAL, f"{kit.elsewhere}/notes.txt")
    beside = whole.locate(LOCAL, f"{kit.world}/work/{OUTSIDER}/notes.txt")
    hidden = whole.locate(LOCAL, f"{kit.project}/{HIDDEN}")
    for located in (outside, beside, hidden):
        assert whole.versions(located)
        assert wall.versions(located) == []
    assert wall.snapshot_at(outside.target, None) is None
    for located in (outside, beside):
        assert wall.timeline(located) == []
    assert {item.path for item in wall.find("*.txt")} == {
        f"work/project/{name}" for name in ("hard.txt", "zz-hard.txt")
    }


def test_only_what_is_written_plainly_is_held():
    scope = RunScope(run=1, project="/srv/p", role=Role(name="r"))
    for path in ("/srv/p", "/srv/p/a", "/srv/p/a/b"):
        assert scope.holds(path)
    for path in ("/srv/p/../q", "/srv/p/", "/srv/p//a", "/srv/p/./a", "/srv/pq", "/srv", "/", "", "srv/p/a"):
        assert not scope.holds(path)


def test_on_the_way_to_what_may_be_read_are_directories_only():
    scope = RunScope(
        run=1, project="/srv/p", role=Role(name="r", read=("/docs/public/**",), deny_read=("/docs/public/x",))
    )
    assert scope.may_list("/srv/p/docs", EntryType.DIRECTORY)
    assert scope.may_list("/srv/p/docs/public/a", EntryType.FILE)
    assert not scope.may_list("/srv/p/docs", EntryType.FILE)
    assert not scope.may_list("/srv/p/src", EntryType.DIRECTORY)
    assert not scope.may_list("/srv/p/docs/public/x/y", EntryType.DIRECTORY)
    assert not scope.may_list("/srv/docs/public", EntryType.DIRECTORY)


def test_an_apply_elsewhere_is_not_told(kit):
    def record(destination, path):
        body = ApplyBody(
            after=None,
            before=None,
            change_digest=b"",
            destination=to_bytes(destination),
            kind="restore",
            of=None,
            outcome="applied",
            paths=[to_bytes(path)],
            warnings=[],
        )
        with kit.services.repository.begin() as transaction:
            transaction.commit(
                RecordDraft(kind=RecordKind.APPLY, actor=kit.services.actor, server=LOCAL, body=body)
            )

    record(kit.elsewhere, "notes.txt")
    record(kit.world, f"work/{OUTSIDER}/notes.txt")
    record(kit.world, "work/project/readme.md")
    scope = RunScope(run=kit.run, project=kit.project, role=role_of(kit.policy.policy, "client-agent"))
    assert [apply.number for apply in ConfinedTimeline(kit.services.timeline, scope).applies()] == [3]
    applies = [item for item in kit.caller.call("log", Log()).items if item.kind == "apply"]
    assert [(item.path, item.paths) for item in applies] == [(kit.project, (f"{kit.project}/readme.md",))]
    with pytest.raises(NotFoundError):
        kit.caller.call("cat", Cat(reference=reference("readme.md", AtId("apply", 1, before=False))))


def test_a_run_sees_itself_and_no_other(kit):
    other = kit.begin()
    for name in ("", f"run-{kit.run}", str(kit.run)):
        shown = kit.caller.call("runs.show", ShowRun(run=name))
        assert isinstance(shown, RunDetail)
        assert shown.run == kit.run
    with pytest.raises(DeniedError):
        kit.caller.call("runs.show", ShowRun(run=f"run-{other}"))


# Policy -------------------------------------------------------------------------------------------------------------------------------


def test_without_the_policy_that_the_run_began_with_nothing_is_shown(kit):
    run = kit.begin(policy_digest="00" * 32)
    caller = caller_at(kit.memories.open(run))
    for name, request in (
        ("log", Log()),
        ("find", Find(name="*")),
        ("cat", Cat(reference=reference("readme.md"))),
    ):
        with pytest.raises(DeniedError, match="policy"):
            caller.call(name, request)


def test_a_later_policy_of_the_project_changes_nothing(tmp_path):
    with running(os.path.realpath(tmp_path)) as kit:
        write(kit.project, ".lastro/policy.toml", b"")
        kit.capture(kit.world)
        with pytest.raises((DeniedError, NotFoundError)):
            kit.caller.call("cat", Cat(reference=reference("vault/deep/key.txt")))
        assert bytes_of(kit.caller.call("cat", Cat(reference=reference("readme.md")))) == MINE + b" 2\n"


# Beginning and end --------------------------------------------------------------------------------------------------------------------


def test_a_socket_lasts_as_long_as_its_agent(tmp_path):
    with running(os.path.realpath(tmp_path)) as kit:
        path = kit.memories.open(kit.run)
        assert kit.memories.open(kit.run) == path
        kit.enter(kit.run, "running")
        assert kit.memories.open(kit.run) == path
        kit.enter(kit.run, "collecting")
        assert kit.memories.open(kit.run) == ""
        assert not os.path.exists(os.path.dirname(path))
        with pytest.raises(UnreachableError):
            kit.caller.call("log", Log())
        with pytest.raises(NotFoundError):
            kit.memories.open(99)


def test_the_socket_is_opened_again(kit):
    from dataclasses import replace  # noqa: PLC0415  for this one

    services = replace(kit.services, memories=kit.memories)
    reply = find_operation("runs.memory").run(services, BeginMemory(run=kit.run))
    assert reply.memory == kit.places.memory_socket(kit.run)


# Hostility ----------------------------------------------------------------------------------------------------------------------------


def test_what_is_large_is_refused(kit):
    with pytest.raises(LimitError):
        kit.caller.call("find", Find(name="a" * 2000))
    status, body = post(kit.places.memory_socket(kit.run), "log", b" " * (2 * 1024 * 1024))
    assert not status or (status, json.loads(body)["code"]) == (413, "limit")


def test_many_connections_that_say_nothing_are_only_the_runs_own_trouble(kit):
    path = kit.places.memory_socket(kit.run)
    idle = []
    try:
        for _ in range(200):
            connected = socket.socket(socket.AF_UNIX)
            idle.append(connected)
            connected.settimeout(5)
            connected.connect(path)
        other = caller_at(kit.memories.open(kit.begin()))
        assert other.call("where", Where(reference=reference(""))).path == kit.project
        refused = 0
        for connected in idle:
            connected.setblocking(False)  # noqa: FBT003  the standard library's own
            with suppress(BlockingIOError):
                refused += connected.recv(1) == b""
        assert refused >= 200 - CONNECTIONS
    finally:
        for connected in idle:
            connected.close()
    assert kit.caller.call("where", Where(reference=reference(""))).path == kit.project


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=300))
def test_noise_breaks_nothing(kit, noise):
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(kit.places.memory_socket(kit.run))
        connected.sendall(noise)
    assert kit.caller.call("where", Where(reference=reference(""))).path == kit.project


def test_noise_is_not_written_to_the_keepers_terminal():
    script = (
        "import sys, tempfile, os, socket; sys.path.insert(0, '.')\n"
        "from tests.run_kit import running\n"
        "with tempfile.TemporaryDirectory() as d, running(os.path.realpath(d)) as kit:\n"
        "    for noise in (b'\\x1b[31m\\r\\n\\r\\n', b'GET / HTTP/9\\r\\n\\r\\n', b'POST /api/v1/\\x1b HTTP/1.1\\r\\n\\r\\n'):\n"
        "        with socket.socket(socket.AF_UNIX) as s:\n"
        "            s.connect(kit.places.memory_socket(kit.run)); s.sendall(noise); s.settimeout(10); s.recv(100)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
