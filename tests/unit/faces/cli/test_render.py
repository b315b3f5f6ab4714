"""What people see of each reply, and of each event."""

from __future__ import annotations

import pytest

from lastro.app import requests
from lastro.app.caller import Bytes
from lastro.app.events import Event
from lastro.app.operation import all_operations
from lastro.app.requests import (
    AppliedNote,
    Captured,
    CaptureReply,
    CheckFinding,
    CheckReply,
    Diff,
    Difference,
    FileDifference,
    Log,
    LogItem,
    LogReply,
    Plan,
    PlanWarning,
    Restoration,
    Restore,
    RootState,
    ServerList,
    ServerState,
    SideOfDiff,
)
from lastro.apply.destination import NoteKind
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import COMPARED, Device, Entry, EntryType, Xattr
from lastro.domain.reference import Reference
from lastro.domain.snapshot import Reason, SnapshotWarning, Statistics, WarningKind
from lastro.faces.cli.perform import exit_code
from lastro.faces.cli.render import RENDERERS, render
from lastro.faces.cli.render.changes import PROPERTIES, in_words
from lastro.faces.cli.render.events import Announcer
from lastro.faces.cli.render.restoration import NOTES, WARNINGS
from lastro.faces.wording.events import SENTENCES, said_of
from lastro.faces.wording.history_words import REASONS
from lastro.faces.wording.speaker import PlainSpeaker
from tests.unit.faces.cli.conftest import NOW_NS

MINUTE = 60_000_000_000
HOSTILE = "a\x1b[31m\n\u202eb\udcff"
INERT = "a\\x1b[31m\\x0a\\u202eb\\xff"


@pytest.fixture
def shown(context, streams):
    def show(reply, request=None):
        streams()
        render(reply, request, context)
        return streams()

    return show


def test_every_public_reply_has_a_renderer():
    public = {operation.reply for operation in all_operations() if not operation.internal} - {Bytes}
    assert {reply.__name__ for reply in public} == set(RENDERERS)


def item(kind, number, **rest):
    base = {
        "seq": number,
        "time_ns": NOW_NS - number * MINUTE,
        "server": "web",
        "path": "/etc",
        "reason": "change",
    }
    return LogItem(kind=kind, number=number, **{**base, **rest})


def test_log(shown):
    items = (
        item(
            "apply",
            2,
            reason="restore",
            changed=5,
            paths=("/etc/a", "/etc/b", f"/etc/{HOSTILE}"),
            operation="partial",
        ),
        item("snapshot", 3, added=1, changed=2, removed=30, paths=("/etc/a",), warnings=1),
        item("version", 4, path="/etc/a", operation="changed", size=1200, digest="ab" * 32, torn=True),
        item("version", 5, path="/etc/a", operation="removed", size=1200),
    )
    out, err = shown(LogReply(items=items, more=True), Log(limit=4))
    first, second, third, fourth = out.splitlines()
    assert first.startswith("apply-2  2026-11-18 11:04:40  2 min ago  web:/etc")
    assert first.endswith(f"restored   a, b, {INERT} and 2 more  in part")
    assert second.endswith("+1 ~2 -30  a and 32 more  1 warning")
    assert third.endswith("changed    1.2 kB  abababababab  changed while it was read")
    assert fourth.endswith("deleted")
    assert err == "There is more: --limit 40 shows it.\n"


def test_every_reason_is_said():
    assert set(REASONS) == {reason.value for reason in Reason} - {"change"}


def entry(path, kind=EntryType.FILE, **rest):
    return Entry(path=path, type=kind, **{"mode": 0o644, "size": 4, "digest": b"1" * 32, **rest})


def test_every_compared_field_is_said_in_words():
    assert set(PROPERTIES) | {"type"} == set(COMPARED)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"mode": 0o4755}, "mode 0644 → 4755"),
        ({"uid": 7, "user": "web"}, "owner root:root → web:root"),
        ({"gid": 9, "group": ""}, "owner root:root → root:9"),
        ({"digest": b"2" * 32, "size": 2_000}, "content, 4 B → 2.0 kB"),
        ({"digest": None}, "content (not kept on one side)"),
        ({"xattrs": (Xattr("user.x\x1b", b"1"),)}, "extended attributes: user.x\\x1b"),
        ({"flags": 16}, "inode flags 0x0 → 0x10"),
        ({"rdev": Device(1, 2)}, "device - → 1:2"),
        ({"type": EntryType.SYMLINK, "link_target": "x\n"}, "file, 4 B became symbolic link → x\\x0a"),
        ({"uid": 7, "gid": 7, "user": "", "group": ""}, "owner root:root → 7:7"),
    ],
)
def test_what_changed_in_words(after, words):
    before = {"user": "root", "group": "root"}
    new = {**before, **after}
    assert (
        in_words(entry("x", **before), entry("x", **{"kind": new.pop("type", EntryType.FILE), **new}))
        == words
    )


def test_diff(shown):
    sides = [
        SideOfDiff(server="web", path="/etc", snapshot=n, time_ns=NOW_NS - n * MINUTE, live=n == 0)
        for n in (5, 0)
    ]
    patch = "@@ -1,2 +1,2 @@\n same\n-old\tx\n+\x1b[2Jnew\r\n\\ No newline at end of file\n"
    files = (
        FileDifference(
            path="a",
            kind="changed",
            fields=("digest",),
            before=entry("a"),
            after=entry("a", digest=b"2" * 32),
            patch=patch,
        ),
        FileDifference(path=HOSTILE, kind="added", fields=(), before=None, after=entry(HOSTILE)),
        FileDifference(
            path="",
            kind="changed",
            fields=("mode",),
            before=entry("", EntryType.DIRECTORY),
            after=entry("", EntryType.DIRECTORY, mode=0o700),
            binary=True,
        ),
    )
    out, err = shown(Difference(before=sides[0], after=sides[1], files=files), Diff(before=None))
    assert out.splitlines() == [
        "~ a  (content, 4 B → 4 B)",
        "@@ -1,2 +1,2 @@",
        " same",
        "-old\tx",
        "+\\x1b[2Jnew\\x0d",
        "\\ No newline at end of file",
        f"+ {INERT}  (file, 4 B)",
        "~ .  (mode 0644 → 0700)",
        "  The content is not text, or too long to show.",
    ]
    assert err.splitlines() == [
        "from  web:/etc, snap-5 of 2026-11-18 11:01:40 (5 min ago)",
        "to    web:/etc, live",
        "3 paths differ.",
    ]


def plan(*changes, **rest):
    base = {
        "kind": "restore",
        "server": "local",
        "destination": "/srv",
        "snapshot": 5,
        "time_ns": NOW_NS - MINUTE,
    }
    return Plan(changes=ChangeSet(changes), digest="00", **{**base, **rest})


CHANGES = (
    Change(path="site/a", before=None, after=entry("site/a")),
    Change(path=f"site/{HOSTILE}", before=entry("x"), after=None),
)
ASKED = Restore(reference=Reference(server="local", path="/srv/site", at=None))


def test_a_plan(shown):
    warnings = (
        PlanWarning(code="changed_since", path="site/a"),
        PlanWarning(code="of a newer version", path="site/b"),
    )
    out, err = shown(Restoration(plan=plan(*CHANGES, warnings=warnings), done=False), ASKED)
    assert out.splitlines() == [
        "Restore into local:/srv/site what snap-5 of 2026-11-18 11:05:40 has (1 min ago):",
        f"  +  add     a{' ' * (len(INERT) - 1)}  file, 4 B",
        f"  -  delete  {INERT}  file, 4 B",
        "1 to add, 1 to delete",
    ]
    assert err.splitlines() == [
        "! /srv/site/a was changed by somebody since; that change is lost (a snapshot keeps it)",
        "! /srv/site/b: of a newer version ",
        "What is there now is kept in a snapshot first, so 'lastro undo' takes this back.",
    ]


def test_what_was_done(shown):
    notes = (
        AppliedNote(path="site/a", kind="not_permitted", detail="owner"),
        AppliedNote(path="site/b", kind="conflict"),
    )
    reply = Restoration(plan=plan(*CHANGES), done=True, apply=7, outcome="applied", notes=notes)
    out, err = shown(reply, ASKED)
    assert out == "apply-7: 2 paths restored in local:/srv/site.\n"
    assert err.splitlines() == [
        "! /srv/site/a: not permitted to set owner",
        "! /srv/site/b: something else changed it meanwhile, so it was left alone",
        "Take it back: lastro undo apply-7",
    ]
    undone = Restoration(plan=plan(*CHANGES, undoes=6), done=True, apply=7, outcome="applied")
    assert shown(undone, None)[0] == "apply-7: 2 paths undone in local:/srv/site.\n"
    nothing = Restoration(plan=plan(), done=True)
    assert shown(nothing, ASKED)[0] == "local:/srv/site is so already; nothing to do.\n"
    partial = Restoration(plan=plan(*CHANGES), done=True, apply=7, outcome="partial")
    assert shown(partial, ASKED)[0] == "apply-7: done in part in local:/srv/site.\n"


def test_many_notes_are_not_all_told(shown):
    notes = tuple(AppliedNote(path=f"site/{n}", kind="not_permitted", detail="uid") for n in range(100))
    err = shown(Restoration(plan=plan(*CHANGES), done=True, apply=7, outcome="applied", notes=notes), ASKED)[
        1
    ]
    assert err.splitlines()[-2:] == ["! 70 more; --json shows all", "Take it back: lastro undo apply-7"]
    assert len(err.splitlines()) == 32


def test_what_cannot_be_brought_back_is_told_although_nothing_is_to_do(shown):
    warned = plan(warnings=(PlanWarning(code="not_stored", path="site/a"),))
    err = shown(Restoration(plan=warned, done=True), ASKED)[1]
    assert err == "! /srv/site/a: its content could not be read when it was captured, so it is left out\n"
    assert exit_code(Restoration(plan=warned, done=True)) == 3
    assert exit_code(Restoration(plan=warned, done=False)) == 0


def test_before_the_first_snapshot_there_is_no_time(shown):
    nothing = SideOfDiff(server="web", path="/etc", snapshot=0, time_ns=0)
    err = shown(Difference(before=nothing, after=nothing, files=()), Diff(before=None))[1]
    assert err.splitlines()[0] == "from  web:/etc, before its first snapshot"


def test_every_note_has_its_words():
    of_proposals = {"edited_since", "commits", "commits_gone", "commits_refused"}
    assert set(NOTES) == {kind.value for kind in NoteKind} | {"conflict"} | of_proposals
    assert set(WARNINGS) >= {"changed_since", "not_stored", "torn", "last_version", "not_empty"}
    assert "not_empty" in requests.PlanWarning.__doc__


def captured(*kinds):
    warnings = tuple(SnapshotWarning(path=HOSTILE, kind=kind, detail="EACCES") for kind in kinds)
    numbers = Statistics(files=3, bytes=4_000, added=1, changed=2, removed=3)
    one = Captured(
        snapshot=4,
        seq=9,
        server="local",
        path="/srv",
        time_ns=NOW_NS,
        unchanged=False,
        statistics=numbers,
        warnings=warnings,
    )
    return CaptureReply(snapshots=(one,))


def test_a_capture_and_its_warnings(shown):
    out, err = shown(captured(*WarningKind))
    assert out == "snap-4  local:/srv  +1 ~2 -3  3 files, 4.0 kB\n"
    assert len(err.splitlines()) == len(WarningKind)
    assert f"! /srv/{INERT} could not be read (EACCES); what was known of it before stands" in err
    err = shown(captured(*[WarningKind.EXCLUDED] * 30))[1]
    assert err.splitlines()[-1] == "! and 10 more warnings; --json lists all"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (captured(), 0),
        (captured(WarningKind.EXCLUDED), 0),
        (captured(WarningKind.TORN), 3),
        (captured(WarningKind.UNREADABLE), 3),
        (CheckReply(sound=True, records=1, packs=1, chunks=1, bytes=1), 0),
        (CheckReply(sound=False, records=1, packs=1, chunks=1, bytes=1), 6),
        (Restoration(plan=plan(), done=True, outcome="applied"), 0),
        (Restoration(plan=plan(), done=True, outcome="partial"), 3),
        (Restoration(plan=plan(), done=True, outcome="conflict"), 7),
        (
            Restoration(
                plan=plan(), done=True, outcome="applied", notes=(AppliedNote(path="x", kind="in_place"),)
            ),
            0,
        ),
        (
            Restoration(
                plan=plan(), done=True, outcome="applied", notes=(AppliedNote(path="x", kind="skipped"),)
            ),
            3,
        ),
        (LogReply(items=()), 0),
    ],
)
def test_exit_codes_of_replies(reply, code):
    assert exit_code(reply) == code


def test_check(shown):
    finding = CheckFinding(
        code="chunk_damaged", object="pack 7", detail=HOSTILE, paths=("/etc/a",), snapshots=(3, 4)
    )
    reply = CheckReply(sound=False, records=1, packs=2, chunks=3, bytes=4_000, findings=(finding,))
    out, _err = shown(reply, requests.Check())
    assert out.splitlines() == [
        f"chunk_damaged  pack 7  {INERT}",
        "    /etc/a",
        "    snap-3 snap-4",
        "damaged: 1 record, 2 packs, 3 chunks, 4.0 kB",
    ]


def root(**rest):
    base = {
        "path": "/etc",
        "watched": True,
        "snapshots": 3,
        "last_snapshot": 9,
        "last_ns": NOW_NS - MINUTE,
        "files": 2,
        "bytes": 900,
    }
    return RootState(**{**base, **rest})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"checked_ns": NOW_NS - 3 * MINUTE}, "up to date, checked 3 min ago"),
        ({"pending": 2, "rpo_ns": 5_000_000_000}, "2 changes not kept yet, for 5 s"),
        ({"watched": False, "checked_ns": 1}, "not watched"),
        ({"warnings": 1}, "1 warning"),
        ({"last_snapshot": 0}, "not captured yet"),
    ],
)
def test_how_a_root_is(shown, state, words):
    server = ServerState(
        id="1",
        name="web",
        device="d",
        address="h:1",
        link="unreachable",
        roots=(root(**state),),
        problem=HOSTILE,
    )
    out, _err = shown(ServerList(servers=(server,)))
    head, line = out.splitlines()
    assert head == f"web  unreachable  h:1  {INERT}"
    assert line.startswith("  /etc  ") and line.endswith(words)


def test_no_server_yet(shown):
    assert "lastro server add" in shown(ServerList(servers=()))[1]


# Events

READY = "ready in 1.2 s: 1 file, 12 B\n          Try in another terminal:\n              lastro status"
EVENTS = [
    ("run", {"number": 4, "state": "running", "project": HOSTILE}, f"run-4  running  {INERT}"),
    (
        "proposal",
        {"number": 9, "state": "open", "revision": 2, "risk": "high", "files": 3, "purpose": "fix it"},
        "proposal-9r2  open  high risk  3 paths  fix it",
    ),
    ("decision", {"proposal": 9, "verdict": "approve", "actor": HOSTILE}, f"proposal-9  approved  {INERT}"),
    ("run_began", {"run": 4}, "run-4 begins; what is live stays as it is."),
    ("run_said", {"run": 4, "said": "text", "text": "hello", "name": ""}, "  | hello"),
    ("run_step", {"run": 4, "number": 2, "paths": 3}, "  step 2: 3 paths changed"),
    (
        "run_progress",
        {"run": 4, "files": 3, "tokens": 1200, "money": 30_000, "wall_ns": 2_000_000_000},
        "3 paths so far, 1200 tokens, $0.03, 2.0 s",
    ),
    ("run_degraded", {"run": 4, "degraded": ["network"]}, "Not enforced here: the network was open"),
    ("run_limit", {"run": 4, "cause": "wall"}, "Stopped: its time was over. What it did is kept."),
    ("run_state", {"run": 4, "state": "checking"}, "  checking"),
    (
        "run_done",
        {"run": 4, "state": "finished", "proposal": 9},
        "run-4  finished  look at it: lastro proposal show proposal-9",
    ),
    ("keeper_away", {}, "The keeper is away; waiting for it. Nothing is lost."),
    ("keeper_back", {}, "The keeper is back."),
    (
        "job",
        {"number": 4, "state": "running", "operation": "capture", "subject": HOSTILE, "moved": True},
        f"job-4  running  capture  {INERT}",
    ),
    (
        "keeper_waits",
        {},
        "Another process keeps this repository right now, such as a run; waiting until it lets go.",
    ),
    (
        "snapshot",
        {
            "number": 5,
            "server": "web",
            "path": "/etc",
            "added": 1,
            "changed": 1,
            "removed": 0,
            "bytes": 900,
            "reason": "change",
            "duration_ns": 1_500_000_000,
            "warnings": 1,
            "paths": [f"/etc/{HOSTILE}"],
        },
        f"snap-5  web:/etc  +1 ~1 -0  {INERT} and 1 more  900 B read in 1.5 s  1 warning",
    ),
    ("apply", {"number": 3, "kind": "undo", "paths": 4, "outcome": "applied"}, "apply-3  undone  4 paths"),
    ("server", {"name": HOSTILE}, f"Server {INERT} was added."),
    (
        "server",
        {"name": HOSTILE, "again": True},
        f"Server {INERT} has another name, address or device.",
    ),
    (
        "snapshot",
        {
            "number": 5,
            "server": "web",
            "path": "/a",
            "target": "run",
            "added": 1,
            "changed": 0,
            "removed": 0,
        },
        "snap-5  web:/a  +1 ~0 -0  in a run's own view",
    ),
    (
        "approver",
        {"change": "enrolled", "name": HOSTILE, "key_id": "k1", "roles": ["owner", HOSTILE]},
        f"{INERT} may decide from now on, with the key k1.  owner, {INERT}",
    ),
    (
        "approver",
        {"change": "revoked", "name": "ana", "key_id": "k1"},
        "The key k1 of ana is good for nothing any more.",
    ),
    (
        "approver",
        {"change": "later", "name": "ana", "key_id": "k1"},
        "What ana may do with the key k1 has changed.",
    ),
    ("key", {"change": "added", "kind": "recovery"}, "A key that opens the repository was added (recovery)."),
    (
        "key",
        {"change": "removed", "kind": "key_file"},
        "A key that opens the repository was removed (key_file).",
    ),
    ("repository", {"repository": "r"}, "The repository was made."),
    ("connected", {"server": "web", "detail": ""}, "web is connected."),
    ("connected", {"server": "k", "what": "keeper"}, "The keeper k is connected."),
    ("disconnected", {"server": "web", "detail": "refused"}, "web is out of reach; trying again. (refused)"),
    (
        "overflow",
        {"server": "web", "path": "/etc"},
        "web: too much changed at once in /etc; everything is looked at again.",
    ),
    (
        "exchange",
        {
            "id": "x-1",
            "outcome": "answered",
            "provider": "offline",
            "model": HOSTILE,
            "attempts": 2,
            "input": 12_345,
            "output": None,
            "cost": None,
            "duration_ns": 1_500_000_000,
            "degraded": True,
            "error": "",
        },
        f"x-1  answered  offline/{INERT}  12k → ?  unknown  1.5 s  2 attempts  degraded",
    ),
    ("exchanges_more", {"count": 1_500}, "1500 exchanges more"),
    ("gateway_reloaded", {"path": HOSTILE}, f"{INERT} was read again, and holds."),
    (
        "console_port_taken",
        {"address": "127.0.0.1:8420", "instead": "127.0.0.1:8424"},
        "127.0.0.1:8420 is taken; the console listens at 127.0.0.1:8424 from now on.",
    ),
    (
        "console",
        {"url": "http://localhost:8420", "link": "http://localhost:8420/setup#x", "purpose": "setup"},
        (
            "The console listens at http://localhost:8420.\n"
            "          Make your account in a browser of this machine, once, within 15 minutes:\n"
            "              http://localhost:8420/setup#x"
        ),
    ),
    ("console", {"url": HOSTILE, "link": ""}, f"The console listens at {INERT}."),
    (
        "gateway_port_taken",
        {"address": "127.0.0.1:8421", "instead": "127.0.0.1:8422"},
        "127.0.0.1:8421 is taken; the gateway listens at 127.0.0.1:8422 from now on.",
    ),
    (
        "gateway_initialized",
        {"path": "/r", "recovery_kit": "/k"},
        "The gateway remembers what is asked and answered in /r. Its recovery kit: /k (print it or move it away).",
    ),
    ("root_missing", {"server": "web", "path": "/etc"}, "web: /etc is not there; its history stays."),
    (
        "capture_missing",
        {
            "server": "web",
            "path": HOSTILE,
            "since_ns": NOW_NS - 2 * 60 * MINUTE,
            "length_ns": 2 * 60 * MINUTE,
        },
        f"web: nothing good was kept of {INERT} for 2 h.",
    ),
    ("capture_good", {"server": "web", "path": HOSTILE, "since_ns": 1}, f"web: {INERT} is kept again."),
    ("signed_in", {"human": HOSTILE, "means": "password"}, f"{INERT} signed in."),
    ("roots_changed", {"server": "web"}, "web: The watched directories have changed."),
    (
        "problem",
        {"msgid": "No {x}.", "parameters": {"x": HOSTILE}, "hint": "Do {x}."},
        f"No {INERT}.\n          Do {INERT}.",
    ),
    ("notice", {"msgid": "{x} is odd.", "parameters": {"x": HOSTILE}}, f"{INERT} is odd."),
    ("progress", {"phase": "capture", "files": 3, "bytes": 4_000}, "Capturing: 3 files, 4.0 kB"),
    ("ready", {"seconds": 1.234, "files": 1, "bytes": 12}, READY),
    ("listening", {"what": "keeper", "address": "/run/x"}, "The keeper listens at /run/x."),
    (
        "pairing",
        {"token": "LASTRO1-x", "expires_ns": NOW_NS},
        "On the keeper's machine, once, before 2026-11-18 11:06:40:\n          lastro server add LASTRO1-x",
    ),
    ("paired", {"name": "k", "device": "D"}, "Paired with k (D)."),
    ("as_root", {}, "Keeper and node run as root."),
    ("stopped", {}, "Stopped."),
    ("allow_list_changed", {"names": []}, "The keepers that may connect have changed."),
    ("restart_needed", {"keys": "listen"}, "This takes effect when the node is started again: listen"),
    (
        "initialized",
        {"path": "/r", "key_file": "/k", "recovery_kit": "/kit"},
        "A repository was made in /r. Its recovery kit: /kit (print it or move it away).",
    ),
    ("sample", {"path": "/s"}, "A sample project to try things on: /s"),
    (
        "port_taken",
        {"address": "a:1", "instead": "a:2"},
        "a:1 is taken; the node listens at a:2 from now on.",
    ),
    ("of_a_newer_version", {"x": HOSTILE}, "of_a_newer_version {'x': 'a\\x1b[31m\\n\\u202eb\\udcff'}"),
]


@pytest.mark.parametrize(("kind", "parameters", "line"), EVENTS)
def test_one_readable_line_per_event(context, streams, kind, parameters, line):
    Announcer(context).emit(Event(kind=kind, time_ns=NOW_NS, parameters=parameters))
    assert streams() == (f"11:06:40  {line}\n", "")


@pytest.mark.parametrize("kind", sorted(SENTENCES))
@pytest.mark.parametrize("parameters", [{}, {"number": HOSTILE, "paths": 3, "roles": 1}])
def test_a_record_that_cannot_be_read_has_a_line_all_the_same(kind, parameters):
    text = said_of(kind, parameters, PlainSpeaker())
    assert "\x1b" not in text and "\u202e" not in text


def test_every_event_is_tested():
    silent = {"run_ended"}
    assert set(SENTENCES) - silent == {kind for kind, _parameters, _line in EVENTS} - {"of_a_newer_version"}
