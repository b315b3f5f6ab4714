"""The intent file: what is announced is read back as it was, by the same version only."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.apply.destination import Conflict, Note, NoteKind, Outcome, OutcomeKind
from lastro.apply.intent import (
    Intent,
    Phase,
    Touched,
    decode_intent,
    destination_lock,
    encode_intent,
    pending_intents,
    remove_intent,
    write_intent,
)
from lastro.apply.plan import make_plan
from lastro.domain.changes import ChangeSet, diff
from lastro.errors import FormatError, LockedError
from tests.conformance.trees import file, tree, trees
from tests.faults.injection import UnsyncedSystem


def intent(first, second, phase=Phase.READY, apply_id="apply-7"):
    changes = ChangeSet(tuple(diff(first.entries, second.entries)))
    conflict = Conflict(path="\udcff", expected=None, found=file("\udcff", b""), kept_as="é")
    return Intent(
        apply_id=apply_id,
        destination="/some\udcffwhere/é",
        inode=2**63,
        phase=phase,
        changes=changes,
        plan=make_plan(changes),
        touched=(Touched(path="", mtime_ns=-1, mode=0o755, flags=16, loosened=True),),
        made=("/some\udcffwhere",),
        outcome=Outcome(
            kind=OutcomeKind.PARTIAL,
            applied=("a\udc80",),
            notes=(Note(path="a", kind=NoteKind.IN_PLACE, detail="mount"),),
            conflicts=(conflict,),
        ),
    )


@given(first=trees(), second=trees(), phase=st.sampled_from(Phase))
def test_an_intent_is_read_back_as_it_was(first, second, phase):
    announced = intent(first, second, phase)
    assert decode_intent(encode_intent(announced)) == announced


@given(raw=st.binary(max_size=64))
def test_other_bytes_are_refused_with_a_hint(raw):
    with pytest.raises(FormatError) as caught:
        decode_intent(raw)
    assert caught.value.hint


@given(first=trees())
def test_another_version_is_refused(first):
    raw = encode_intent(intent(first, first))
    other = raw.replace(b"\xa7version\x00", b"\xa7version\x01", 1)
    assert other != raw
    with pytest.raises(FormatError):
        decode_intent(other)


def test_only_those_of_the_destination_are_pending(tmp_path):
    system = UnsyncedSystem()
    for apply_id in ("b", "a"):
        write_intent(str(tmp_path), intent(tree(), tree(), apply_id=apply_id), system=system)
    (tmp_path / ".a.17-1.tmp").write_bytes(b"half")
    (tmp_path / "x.lock").write_bytes(b"")
    assert [each.apply_id for each in pending_intents(str(tmp_path), "/some\udcffwhere/é")] == ["a", "b"]
    assert list(pending_intents(str(tmp_path), "/elsewhere")) == []
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    remove_intent(str(tmp_path), "a", system=system)
    assert [each.apply_id for each in pending_intents(str(tmp_path), "/some\udcffwhere/é")] == ["b"]


def test_a_destination_is_locked_for_itself_alone(tmp_path):
    intents = str(tmp_path)
    with destination_lock(intents, "/one"):
        with pytest.raises(LockedError), destination_lock(intents, "/one"):
            pass
        with destination_lock(intents, "/two"):
            pass
    with destination_lock(intents, "/one"):
        assert len(os.listdir(intents)) == 2
