"""The digest of exactly what was shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.proposal import ChangeNote, Flag, Risk
from lastro.domain.run import CheckResult, CheckVerdict, RunEnforcement
from lastro.proposals.showing import shown_digest

TEXT = st.text(st.characters(categories=None), max_size=5)
NOTE = st.builds(
    ChangeNote,
    path=st.binary(max_size=3),
    flags=st.lists(st.sampled_from(Flag), max_size=2, unique=True).map(lambda flags: tuple(sorted(flags))),
    steps=st.sets(st.integers(0, 3), max_size=2).map(lambda steps: tuple(sorted(steps))),
)
CHECK = st.builds(
    CheckResult,
    name=TEXT,
    command=TEXT,
    verdict=st.sampled_from(CheckVerdict),
    duration_ns=st.integers(0, 5),
    output=TEXT,
)
ENFORCEMENT = st.builds(
    RunEnforcement,
    view=TEXT,
    enforced=st.lists(TEXT, max_size=2).map(tuple),
    degraded=st.lists(TEXT, max_size=2).map(tuple),
    landlock=st.integers(0, 7),
    details=st.dictionaries(TEXT, TEXT, max_size=2),
)
FIELDS = {
    "proposal": st.integers(1, 9),
    "revision": st.integers(1, 9),
    "target": st.binary(max_size=3),
    "change_digest": st.binary(max_size=3),
    "purpose": TEXT,
    "notes": st.lists(NOTE, max_size=2, unique_by=lambda note: note.path),
    "checks": st.lists(CHECK, max_size=2),
    "risk": st.sampled_from(Risk),
    "policy_digest": st.binary(max_size=3),
    "needed": st.integers(0, 3),
    "enforcement": st.none() | ENFORCEMENT,
    "outside": st.lists(st.binary(max_size=3), max_size=2, unique=True),
}
SHOWN = st.fixed_dictionaries(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
@given(shown=SHOWN, data=st.data())
def test_any_difference_is_another_digest(field, shown, data):
    other = shown | {field: data.draw(FIELDS[field])}
    same = _unordered(other) == _unordered(shown)
    assert (shown_digest(**other) == shown_digest(**shown)) == same


@given(SHOWN, SHOWN)
def test_equal_digests_are_equal_proposals(one, other):
    assert (shown_digest(**one) == shown_digest(**other)) == (_unordered(one) == _unordered(other))


def _unordered(shown):
    """The order of notes and of what is outside says nothing."""
    notes = sorted(shown["notes"], key=lambda note: note.path)
    return shown | {"notes": notes, "outside": sorted(shown["outside"])}


@given(SHOWN, st.randoms(use_true_random=False))
def test_the_order_of_notes_flags_and_details_says_nothing(shown, generator):
    shuffled = dict(shown)
    for field in ("notes", "outside"):
        shuffled[field] = generator.sample(shown[field], len(shown[field]))
    shuffled["notes"] = [
        ChangeNote(path=note.path, flags=note.flags[::-1], steps=note.steps[::-1])
        for note in shuffled["notes"]
    ]
    if shown["enforcement"] is not None:
        details = dict(reversed(shown["enforcement"].details.items()))
        shuffled["enforcement"] = RunEnforcement(
            view=shown["enforcement"].view,
            enforced=shown["enforcement"].enforced,
            degraded=shown["enforcement"].degraded,
            landlock=shown["enforcement"].landlock,
            details=details,
        )
    assert shown_digest(**shuffled) == shown_digest(**shown)


def test_it_stays_what_it_is():
    shown = {
        "proposal": 9,
        "revision": 2,
        "target": b"/work\xff",
        "change_digest": bytes(32),
        "purpose": "add a test\udcff",
        "notes": [ChangeNote(path=b"a", flags=(Flag.SECRET,), steps=(1,))],
        "checks": [CheckResult(name="tests", command="make test", verdict=CheckVerdict.PASSED, output="ok")],
        "risk": Risk.HIGH,
        "policy_digest": bytes(32),
        "needed": 1,
        "enforcement": RunEnforcement(
            view="overlay", degraded=("disk",), landlock=7, details={"b": "2", "a": "1"}
        ),
        "outside": [b"x"],
    }
    assert shown_digest(**shown).hex() == ("7632f3cdeb085bde64717741e3b8e862e87deb74d4afa1dedd22ce7be6ff192f")
    assert shown_digest(**(shown | {"risk": "high"})) == shown_digest(**shown)
