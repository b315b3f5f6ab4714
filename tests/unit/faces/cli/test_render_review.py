"""What people see of runs, proposals and decisions: readable, and inert whatever an agent put into them."""

from __future__ import annotations

import msgspec
import pytest

from lastro.app.requests import Plan
from lastro.app.requests.policy import (
    ApproverItem,
    ApproversReply,
    AuditReply,
    Explanation,
    PolicyReply,
    ProjectMade,
)
from lastro.app.requests.proposals import (
    Decided,
    Edited,
    ProposalReply,
    ProposalsReply,
    RejectedOrCommented,
    ShownDecision,
    ShownFile,
)
from lastro.app.requests.runs import RunDetail, RunReply, RunsReply, RunTranscript, TranscriptLine
from lastro.app.requests.sentence import Sentence
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import Digest
from lastro.domain.proposal import ChosenHunks, Selection
from lastro.faces.cli.render import RENDERERS, render
from lastro.faces.cli.render.events import TerminalSpeaker
from lastro.faces.wording.review_events import SENTENCES
from tests.hostile_values import HOSTILE, hostile_value

FILE = Entry(path=HOSTILE, type=EntryType.FILE, size=3, digest=Digest(bytes(32)))
PLAN = Plan(
    kind="proposal",
    server="local",
    destination=f"/{HOSTILE}",
    snapshot=1,
    time_ns=1,
    changes=ChangeSet((Change(path=HOSTILE, before=None, after=FILE),)),
    digest="00",
)
CODES = {
    Sentence: {"msgid": "{a} was not found.", "parameters": {"a": HOSTILE}, "hint": ""},
    ShownFile: {"kind": "changed"},
    Entry: {
        name: getattr(FILE, name) for name in Entry.__struct_fields__ if name not in {"path", "user", "group"}
    },
    Plan: {name: getattr(PLAN, name) for name in Plan.__struct_fields__},
    Selection: {
        "files": (HOSTILE.encode("utf-8", "surrogateescape"),),
        "hunks": (ChosenHunks(path=HOSTILE.encode("utf-8", "surrogateescape"), numbers=(1, 2)),),
    },
    ShownDecision: {"verdict": "approve", "key_id": "00"},
    ProposalReply: {"state": "open", "risk": "high", "digest": "00"},
    ApproverItem: {"key_id": "00"},
    AuditReply: {"head": "00"},
    PolicyReply: {"digest": "00"},
}
REPLIES = (
    RunReply,
    RunsReply,
    RunDetail,
    RunTranscript,
    ProposalsReply,
    ProposalReply,
    Decided,
    RejectedOrCommented,
    Edited,
    ApproversReply,
    AuditReply,
    PolicyReply,
    Explanation,
    ProjectMade,
)


def hostile(kind, **fields):
    return msgspec.structs.replace(hostile_value(kind, CODES), **fields)


@pytest.fixture
def shown(context, streams):
    def show(reply, request=None):
        streams()
        render(reply, request, context)
        return streams()

    return show


def assert_inert(*texts):
    for text in texts:
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\udcff" not in text


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_nothing_an_agent_wrote_steers_the_terminal(shown, kind):
    out, err = shown(hostile(kind))
    assert out
    assert_inert(out, err)


def test_every_renderer_of_a_review_is_tried():
    modules = {"runs", "proposals", "decided", "approvers", "policy", "project"}
    made = {name for name, place in RENDERERS.items() if place.partition(":")[0] in modules}
    assert made == {kind.__name__ for kind in REPLIES}


@pytest.mark.parametrize("field", ["asks", "waiting", "conflicts", "done"])
def test_each_outcome_of_a_decision_is_inert(shown, field):
    outcome = {"asks": False, "waiting": 0, "conflicts": (), "done": False}
    values = {"asks": True, "waiting": 2, "conflicts": (HOSTILE,), "done": True}
    out, err = shown(hostile(Decided, **outcome | {field: values[field]}))
    assert out
    assert_inert(out, err)


def test_a_name_with_a_line_break_stays_on_its_line(shown):
    out, _ = shown(hostile(ProposalReply))
    titles = [line for line in out.splitlines() if line.startswith("~ ")]
    assert titles
    assert all(r"a\x1b[31m\x0a\u202eb\xff" in line for line in titles)


@pytest.mark.parametrize("kind", sorted(SENTENCES))
def test_events_are_inert(context, kind):
    parameters = {
        "number": 1,
        "run": 1,
        "proposal": 2,
        "state": HOSTILE,
        "risk": HOSTILE,
        "files": 3,
        "purpose": HOSTILE,
        "project": HOSTILE,
        "agent": HOSTILE,
        "verdict": HOSTILE,
        "actor": HOSTILE,
        "said": "text",
        "text": HOSTILE,
        "name": HOSTILE,
        "paths": 2,
        "degraded": [HOSTILE],
        "cause": HOSTILE,
    }
    text = SENTENCES[kind](parameters, TerminalSpeaker(context))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\n" not in text


def test_a_transcript_has_steps_beside_what_was_said(shown):
    lines = (
        TranscriptLine(time_ns=0, kind="text", text="one\ntwo\x1b"),
        TranscriptLine(time_ns=1, kind="tool", name="shell", text="ls"),
        TranscriptLine(time_ns=2, kind="step", step=3, paths=(b"caf\xe9\x1b",), more=4),
        TranscriptLine(time_ns=3, kind="error", text="broken"),
    )
    out, err = shown(RunTranscript(run=1, lines=lines, cut=True))
    assert_inert(out, err)
    assert [line.split("  ")[-1].strip() for line in out.splitlines()][1:4] == [
        "| two\\x1b",
        "> shell ls",
        "step 3: 5 paths changed",
    ]
    assert "caf" in out and "! broken" in out
    assert "The beginning is left out" in err
    assert "nothing yet" in shown(RunTranscript(run=1, lines=()))[1]
    assert "not kept" in shown(RunTranscript(run=1, lines=(), kept=False))[1]
