"""Decisions at a desk: what is approved is what is written, and nothing else; and all of it can be taken back."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import replace

import pytest
from msgspec import structs

from lastro.app.operation import find_operation
from lastro.app.operations.applying import EDITED_SINCE
from lastro.app.requests import ApplyPair, ContentRequest, Undo
from lastro.app.requests.policy import RemoveApprover
from lastro.app.requests.proposals import (
    ApproveProposal,
    CommentProposal,
    EditProposal,
    RecordProposalState,
    RejectProposal,
)
from lastro.domain.paths import from_bytes
from lastro.domain.proposal import ChangeNote, Flag
from lastro.errors import (
    ConflictError,
    DeniedError,
    LastroError,
    NotFoundError,
    StorageFullError,
    UsageError,
    WaitingError,
    WrongKeyError,
)
from tests.decision_kit import PASSPHRASE, Office

pytestmark = pytest.mark.slow

LONG = b"".join(b"line %d\n" % number for number in range(1, 31))
FILES = {"a": LONG, "b": b"bin\0ary", "d/x": b"x\n", "d/y": b"y\n", "run.sh": b"#!/bin/sh\n"}


def lines(*numbers, text=LONG):
    """``text`` with these lines changed."""
    for number in numbers:
        text = text.replace(b"line %d\n" % number, b"LINE %d\n" % number)
    return text


@pytest.fixture
def office(tmp_path):
    return Office.made(str(tmp_path), FILES)


@pytest.fixture
def desk(office):
    with office.desk() as desk:
        yield desk
        office.sound(desk)


def recorded(desk, apply):
    """Path → content that the record of an apply has after it."""
    shown = desk.caller.call("apply.show", ApplyPair(number=apply))
    found = {}
    for item in shown.after:
        if item.entry.digest is not None:
            reply = desk.caller.call("content", ContentRequest(seq=item.seq, path=item.tree_path))
            found[item.entry.path] = b"".join(data for _, data in reply.blocks)
    return found


# Approving


def test_the_whole_of_it(office, desk):
    before = office.live()
    number = office.propose(desk, {"a": lines(2), "new/n": b"new\n", "d/x": None, "b": b"other\0"})
    assert office.live() == before
    done = office.approve(desk, number)
    assert (done.state, done.done, done.rest, done.asks) == ("applied", True, (), False)
    wanted = {**before, "a": lines(2), "new": None, "new/n": b"new\n", "b": b"other\0"}
    del wanted["d/x"]
    assert office.live() == wanted
    assert recorded(desk, done.apply) == {"a": lines(2), "new/n": b"new\n", "b": b"other\0"}
    assert office.show(desk, number).applies == (done.apply,)


@pytest.mark.parametrize(
    ("chosen", "wanted", "rest"),
    [
        ({"file": ("a",)}, {"a": lines(2, 15, 29)}, ("d/x", "d/y", "new", "new/n")),
        (
            {"file": ("new/n", "d")},
            {"new": None, "new/n": b"new\n", "d/x": b"X\n", "d/y": b"Y\n"},
            ("a",),
        ),
        ({"hunk": ("a:1", "a:3")}, {"a": lines(2, 29)}, ("a", "d/x", "d/y", "new", "new/n")),
        (
            {"hunk": ("a:2",), "file": ("d/y",)},
            {"a": lines(15), "d/y": b"Y\n"},
            ("a", "d/x", "new", "new/n"),
        ),
        ({"hunk": ("a:1", "a:2", "a:3"), "file": ("d", "new")}, None, ()),
    ],
)
def test_a_part_of_it_is_what_is_written_and_recorded(office, desk, chosen, wanted, rest):
    before = office.live()
    edits = {"a": lines(2, 15, 29), "new/n": b"new\n", "d/x": b"X\n", "d/y": b"Y\n"}
    number = office.propose(desk, edits)
    done = office.approve(desk, number, **chosen)
    wanted = {"new": None, **edits} if wanted is None else wanted
    assert office.live() == {**before, **wanted}
    assert done.rest == rest
    assert recorded(desk, done.apply) == {path: content for path, content in wanted.items() if content}
    states = [one.state for one in office.show(desk, number).transitions]
    assert ("partly_approved" if rest else "approved") in states
    office.undo(desk)
    assert office.live() == before


def test_a_renamed_file_is_one_thing_by_either_name(office, desk):
    before = office.live()
    edits = {"a": None, "z/a": LONG, "d/x": b"X\n"}
    for name in ("a", "z/a", "z"):
        number = office.propose(desk, edits)
        office.approve(desk, number, file=(name,))
        wanted = {**before, "z": None, "z/a": LONG}
        del wanted["a"]
        assert office.live() == wanted
        office.undo(desk, f"proposal-{number}", file=(name,))
        assert {path: content for path, content in office.live().items() if path != "z"} == before
        shutil.rmtree(f"{office.root}/z", ignore_errors=True)


def test_named_as_seen_from_the_current_directory(office, desk, monkeypatch):
    number = office.propose(desk, {"d/x": b"X\n", "d/y": b"Y\n", "a": lines(1)})
    monkeypatch.chdir(f"{office.root}/d")
    assert office.approve(desk, number, yes=False, file=("x",)).rest == ("a", "d/y")
    assert office.approve(desk, number, yes=False, file=(".",)).rest == ("a",)
    assert office.approve(desk, number, yes=False, file=("..",)).rest == ()
    gone = f"{office.root}/gone"
    os.mkdir(gone)
    monkeypatch.chdir(gone)
    os.rmdir(gone)
    assert office.approve(desk, number, yes=False, file=("d/x",)).rest == ("a", "d/y")
    with pytest.raises(NotFoundError):
        office.approve(desk, number, file=("x",))
    monkeypatch.chdir("/")
    office.approve(desk, number)
    assert office.read("d/x") == b"X\n"


def test_a_live_edit_is_merged(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    office.write("a", lines(20))
    done = office.approve(desk, number)
    assert done.merged == ("a",)
    assert office.read("a") == lines(2, 20)
    assert recorded(desk, done.apply) == {"a": lines(2, 20)}
    office.undo(desk, f"proposal-{number}")
    assert office.read("a") == lines(20)


@pytest.mark.parametrize("edit", [LONG.replace(b"line 2\n", b"mine\n"), b"\0binary", None])
def test_what_cannot_be_merged_is_a_conflict_and_nothing_is_written(office, desk, edit):
    number = office.propose(desk, {"a": lines(2), "d/x": b"X\n"})
    office.edit({"a": edit})
    before = office.live()
    done = office.approve(desk, number)
    assert (done.done, done.state, done.conflicts, done.apply) == (False, "conflict", ("a",), 0)
    assert office.live() == before
    assert office.state(desk, number) == "conflict"
    assert office.approve(desk, number).conflicts == ("a",)
    # the rest of it can be had, and what is live may change back
    assert office.approve(desk, number, yes=False, file=("d/x",)).conflicts == ()
    office.write("a", LONG)
    assert office.approve(desk, number).done
    assert office.read("a") == lines(2)
    assert [one.state for one in office.show(desk, number).transitions][:3] == ["open", "conflict", "open"]


def test_a_part_that_does_not_conflict_can_be_had(office, desk):
    number = office.propose(desk, {"a": lines(2), "d/x": b"X\n"})
    office.write("a", b"mine\n")
    assert office.approve(desk, number).conflicts == ("a",)
    done = office.approve(desk, number, file=("d/x",))
    assert done.done
    assert (office.read("a"), office.read("d/x")) == (b"mine\n", b"X\n")


def test_everything_is_live_already(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    office.write("a", lines(2))
    done = office.approve(desk, number)
    assert (done.done, done.apply, done.settled, done.state) == (True, 0, ("a",), "applied")
    with pytest.raises(UsageError):
        office.undo(desk, f"proposal-{number}")


def test_what_may_lack_a_human_s_work_is_written_by_name_alone(office, desk):
    note = ChangeNote(path=b"a", flags=(Flag.BASE_UNCERTAIN,))
    number = office.propose(desk, {"a": lines(2), "d/x": b"X\n"}, notes=(note,))
    done = office.approve(desk, number)
    assert (done.done, done.conflicts, done.uncertain) == (False, ("a",), ("a",))
    assert office.read("d/x") == b"x\n"
    assert office.state(desk, number) == "open"
    assert office.approve(desk, number, yes=False, file=("d",)).conflicts == ()
    assert office.approve(desk, number, yes=False, hunk=("a:1",)).conflicts == ()
    assert office.approve(desk, number, file=(office.root,)).done
    assert office.read("a") == lines(2)


# Other kinds of files


def kinds(root):
    os.chmod(f"{root}/run.sh", 0o755)
    os.symlink("a", f"{root}/link")
    os.unlink(f"{root}/d/x")
    os.mkdir(f"{root}/d/x")
    with open(f"{root}/d/x/in", "wb") as file:
        file.write(b"in\n")
    with open(f"{root}/one", "wb") as file:
        file.write(b"one\n")
    os.link(f"{root}/one", f"{root}/two")
    os.makedirs(f"{root}/empty/deep")


def test_modes_links_directories_and_hard_links(office, desk):
    before = office.live_with_modes()
    number = office.propose(desk, lambda: kinds(office.root))
    done = office.approve(desk, number)
    assert done.done
    assert stat.S_IMODE(os.lstat(f"{office.root}/run.sh").st_mode) == 0o755
    assert os.readlink(f"{office.root}/link") == "a"
    assert office.read("d/x/in") == b"in\n"
    assert os.path.samefile(f"{office.root}/one", f"{office.root}/two")
    assert os.path.isdir(f"{office.root}/empty/deep")
    applied = office.live_with_modes()
    undone = office.undo(desk)
    assert office.live_with_modes() == before
    assert office.state(desk, number) == "undone"
    office.undo(desk, f"proposal-{undone.proposal}")
    assert office.live_with_modes() == applied


def test_an_extended_attribute(office, desk):
    try:
        os.setxattr(f"{office.root}/b", "user.test", b"one")
    except OSError:
        pytest.skip("no attributes here")
    number = office.propose(desk, lambda: os.setxattr(f"{office.root}/b", "user.test", b"two"))
    office.approve(desk, number)
    assert os.getxattr(f"{office.root}/b", "user.test") == b"two"
    office.undo(desk)
    assert os.getxattr(f"{office.root}/b", "user.test") == b"one"


def test_a_mode_where_the_content_changed_since(office, desk):
    number = office.propose(desk, lambda: os.chmod(f"{office.root}/a", 0o755))
    office.write("a", lines(7))
    office.approve(desk, number)
    assert office.read("a") == lines(7)
    assert stat.S_IMODE(os.lstat(f"{office.root}/a").st_mode) == 0o755
    office.write("a", lines(7, 9))
    office.undo(desk)
    assert office.read("a") == lines(7, 9)
    assert stat.S_IMODE(os.lstat(f"{office.root}/a").st_mode) == 0o644


def test_a_removed_directory(office, desk):
    before = office.live()
    number = office.propose(desk, lambda: shutil.rmtree(f"{office.root}/d"))
    with pytest.raises(UsageError):
        find_operation("proposal.approve").run(
            desk, ApproveProposal(proposal=f"proposal-{number}", hunk=("d:1",), plan=True)
        )
    office.write("d/mine", b"mine\n")
    assert office.approve(desk, number).conflicts == ("d",)
    office.edit({"d/mine": None})
    assert office.approve(desk, number).done
    assert not os.path.exists(f"{office.root}/d")
    office.undo(desk)
    assert office.live() == before


def test_names_that_are_no_text(office, desk):
    name = from_bytes(b"odd \xff\n\x1b[31m\xe2\x80\xae")
    number = office.propose(desk, {name: b"odd\n", "a": lines(1)})
    office.approve(desk, number, file=(name,))
    assert office.read(name) == b"odd\n"
    office.undo(desk, file=(name,), what=f"proposal-{number}")
    assert name not in office.live()


# Who may


def test_no_key_no_passphrase_or_a_wrong_one(tmp_path):
    office = Office.made(str(tmp_path), FILES, owner=None)
    with office.desk() as desk:
        number = office.propose(desk, {"a": lines(2)})
        with pytest.raises(DeniedError):
            office.approve(desk, number)
        office.enrol(desk, desk.actor.name, ("owner",))
        with pytest.raises(UsageError):
            office.approve(desk, number, passphrase="")
        with pytest.raises(WrongKeyError):
            office.approve(desk, number, passphrase="another passphrase")
        assert office.state(desk, number) == "open"
        assert office.read("a") == LONG
        assert office.approve(desk, number).single_user


TWO = '[[review]]\npaths = ["**"]\napprovals = 2\nnot_author = false\n'


def test_two_approvals(office, desk):
    office.policy(TWO)
    office.enrol(desk, "bia")
    number = office.propose(desk, {"a": lines(2)})
    done = office.approve(desk, number)
    assert (done.done, done.waiting, done.state) == (False, 1, "open")
    done = office.approve(desk, number)
    assert done.waiting == 1, "one human counts once"
    assert office.read("a") == LONG
    assert office.approve(desk, number, approver="bia").done
    assert office.read("a") == lines(2)


NOBODY = '[[review]]\npaths = ["**"]\napprovals = 0\n'


def test_what_wants_nobodys_approval_wants_no_key(office, desk):
    office.policy(NOBODY)
    number = office.propose(desk, {"a": lines(2)})
    assert office.approve(desk, number, passphrase="").done
    assert office.read("a") == lines(2)
    assert office.undo(desk, f"proposal-{number}", passphrase="").done
    assert office.read("a") == LONG


def test_what_runs_later_wants_a_human_whatever_the_policy_says(office, desk):
    office.policy(NOBODY)
    number = office.propose(desk, {"AGENTS.md": b"do it\n"})
    with pytest.raises(UsageError):
        office.approve(desk, number, passphrase="")
    assert office.approve(desk, number).done


def test_two_approvals_of_different_parts_are_none(office, desk):
    office.policy(TWO)
    office.enrol(desk, "bia")
    number = office.propose(desk, {"a": lines(2), "d/x": b"X\n"})
    assert office.approve(desk, number, file=("a",)).waiting == 1
    assert office.approve(desk, number, approver="bia").waiting == 1
    assert office.approve(desk, number, approver="bia", file=("a",)).done
    assert (office.read("a"), office.read("d/x")) == (lines(2), b"x\n")


def test_never_the_author_where_there_are_two(office, desk):
    office.enrol(desk, "bia")
    number = office.propose(desk, {"a": lines(2)})
    with pytest.raises(WaitingError):
        office.approve(desk, number)
    assert office.state(desk, number) == "open"
    assert office.approve(desk, number, approver="bia").done


def test_an_undo_waits_where_its_asker_may_not_and_is_the_same_when_asked_again(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    office.approve(desk, number)
    office.enrol(desk, "bia")
    for _ in range(2):
        with pytest.raises(WaitingError, match="proposal-2"):
            office.undo(desk, f"proposal-{number}")
    assert len(office.proposals(desk)) == 2
    assert office.read("a") == lines(2)
    assert office.approve(desk, 2, approver="bia").done
    assert office.read("a") == LONG
    assert office.state(desk, number) == "undone"


def test_an_undo_with_a_wrong_passphrase_is_the_same_proposal_afterwards(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    office.approve(desk, number)
    for passphrase, error in (("", UsageError), ("another passphrase", WrongKeyError)):
        with pytest.raises(error):
            office.undo(desk, passphrase=passphrase)
    assert office.read("a") == lines(2)
    office.undo(desk)
    assert [(one.proposal, one.state) for one in office.proposals(desk)] == [(1, "undone"), (2, "applied")]


# What was shown is what is done


def answer_of(desk, number, **fields):
    request = ApproveProposal(proposal=f"proposal-{number}", passphrase=PASSPHRASE, **fields)
    run = find_operation("proposal.approve").run
    planned = run(desk, structs.replace(request, plan=True))
    return lambda: run(desk, structs.replace(request, approved=planned.acceptance))


def edit_with(desk, monkeypatch, number, script, **fields):
    monkeypatch.setenv("VISUAL", f"sh -c '{script}' editor")
    return find_operation("proposal.edit").run(desk, EditProposal(proposal=f"proposal-{number}", **fields))


def test_an_answer_to_an_older_revision(office, desk, monkeypatch):
    number = office.propose(desk, {"a": lines(2)})
    answer = answer_of(desk, number)
    edit_with(desk, monkeypatch, number, 'echo mine >> "$1"')
    with pytest.raises(ConflictError):
        answer()
    assert office.read("a") == LONG
    assert office.show(desk, number).decisions == ()


def test_an_answer_to_what_was_live_before(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    answer = answer_of(desk, number)
    office.write("a", lines(20))
    with pytest.raises(ConflictError):
        answer()
    assert office.read("a") == lines(20)
    assert office.show(desk, number).decisions == ()


def test_an_answer_to_another_part(office, desk):
    number = office.propose(desk, {"a": lines(2), "d/x": b"X\n"})
    answer = answer_of(desk, number, file=("a",))
    office.approve(desk, number, file=("d/x",))
    with pytest.raises(UsageError):
        answer()
    assert office.read("a") == LONG


def test_an_undo_that_was_answered_before_somebody_edited(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    office.approve(desk, number)
    run = find_operation("undo").run
    request = Undo(apply=f"proposal-{number}", passphrase=PASSPHRASE)
    planned = run(desk, structs.replace(request, plan=True))
    office.write("a", lines(2, 20))
    with pytest.raises(ConflictError):
        run(desk, structs.replace(request, approved=planned.acceptance))
    assert office.read("a") == lines(2, 20)


class Sick:
    """A destination that takes nothing."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def apply(self, *_):
        raise StorageFullError("There is no room in {destination}", destination="here")


def approved_and_not_applied(office, desk, number, **fields):
    inner = desk.destination
    sick = replace(desk, destination=lambda path: Sick(inner(path)))
    with pytest.raises(StorageFullError):
        office.approve(sick, number, **fields)


def test_what_could_not_be_applied_stays_approved_and_is_that_part_alone(office, desk):
    number = office.propose(desk, {"a": lines(2), "d/x": b"X\n"})
    approved_and_not_applied(office, desk, number, file=("a",))
    assert office.state(desk, number) == "partly_approved"
    other = RecordProposalState(proposal=number, state="applying", applies="00" * 32)
    with pytest.raises(ConflictError):
        desk.caller.call("proposal.state", other)
    with pytest.raises(UsageError):
        office.approve(desk, number, file=("d/x",))
    planned = office.approve(desk, number, yes=False)
    assert (planned.signs, planned.rest) == ("", ("d/x",)), "it is signed already"
    assert office.approve(desk, number, passphrase="").done
    assert (office.read("a"), office.read("d/x")) == (lines(2), b"x\n")


def test_a_key_that_is_revoked_before_it_is_applied(office, desk):
    office.enrol(desk, "bia")
    number = office.propose(desk, {"a": lines(2)})
    approved_and_not_applied(office, desk, number, approver="bia")
    find_operation("approver.remove").run(desk, RemoveApprover(name="bia", passphrase=PASSPHRASE))
    with pytest.raises(WaitingError):
        office.approve(desk, number)
    assert office.read("a") == LONG


# Where it is written


def test_the_project_is_gone_or_a_link_stands_in_its_place(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    os.rename(office.root, f"{office.root}.moved")
    with pytest.raises(NotFoundError):
        office.approve(desk, number)
    os.symlink(f"{office.root}.moved", office.root)
    with pytest.raises(ConflictError):
        office.approve(desk, number)
    assert office.read("a") == LONG
    os.unlink(office.root)
    os.rename(f"{office.root}.moved", office.root)
    assert office.approve(desk, number).done


def test_a_planted_link_leads_nowhere(office, desk, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"x\n")
    number = office.propose(desk, {"d/x": b"X\n"})
    shutil.rmtree(f"{office.root}/d")
    os.symlink(outside, f"{office.root}/d")
    try:
        done = office.approve(desk, number)
    except LastroError:
        pass
    else:
        assert done.conflicts
    assert (outside / "x").read_bytes() == b"x\n"


# Editing


def test_an_edit_makes_a_new_revision_and_earlier_approvals_fall(office, desk, monkeypatch):
    office.policy(TWO)
    office.enrol(desk, "bia")
    number = office.propose(desk, {"a": lines(2), "b": b"other\0", "d/x": b"X\n"})
    office.approve(desk, number)
    edited = edit_with(desk, monkeypatch, number, 'for file; do echo mine >> "$file"; done')
    assert (edited.revision, edited.changed) == (2, ("a", "d/x"))
    assert office.approve(desk, number, approver="bia").waiting == 1
    assert office.approve(desk, number).done
    assert office.read("a") == lines(2) + b"mine\n"
    assert office.read("b") == b"other\0"


def test_an_editor_that_fails_changes_nothing_and_loses_nothing(office, desk, monkeypatch):
    number = office.propose(desk, {"a": lines(2)})
    with pytest.raises(LastroError) as failed:
        edit_with(desk, monkeypatch, number, 'echo mine > "$1"; exit 3')
    (kept,) = os.listdir(str(failed.value.parameters["place"]))
    with open(f"{failed.value.parameters['place']}/{kept}", "rb") as file:
        assert file.read() == b"mine\n"
    with pytest.raises(LastroError):
        edit_with(desk, monkeypatch, number, "exit 3")
    with pytest.raises(UsageError):
        edit_with(desk, monkeypatch, number, 'rm "$1"')
    monkeypatch.setenv("VISUAL", "/nonexistent/editor")
    with pytest.raises(UsageError):
        find_operation("proposal.edit").run(desk, EditProposal(proposal=f"proposal-{number}"))
    assert len(os.listdir(f"{office.places.state}/edits")) == 1, "only what somebody wrote is kept"
    assert edit_with(desk, monkeypatch, number, "true").revision == 1
    assert office.show(desk, number).revision == 1


def test_what_was_written_is_kept_when_somebody_else_was_faster(office, monkeypatch):
    with office.desk() as desk:
        number = office.propose(desk, {"a": lines(2)})
    command = [*office_command(), "proposal", "edit", f"proposal-{number}"]
    script = " ".join(f'"{word}"' for word in command)
    monkeypatch.setenv("LASTRO_HOME", office.places.home)
    monkeypatch.setenv("EDITOR", "sh -c 'echo theirs > \"$1\"' editor")
    with office.desk() as desk, pytest.raises(ConflictError) as failed:
        edit_with(desk, monkeypatch, number, f'echo mine > "$1"; VISUAL= {script} >/dev/null 2>&1')
    (kept,) = os.listdir(str(failed.value.parameters["place"]))
    with open(f"{failed.value.parameters['place']}/{kept}", "rb") as file:
        assert file.read() == b"mine\n"
    with office.desk() as desk:
        assert office.show(desk, number).revision == 2


def office_command():
    return [sys.executable, "-m", "lastro"]


def test_hostile_names_in_the_editor(office, desk, monkeypatch):
    names = ["-rf", "$(touch pwned)", "a b;c", from_bytes(b"\xff\n"), "x" * 200]
    number = office.propose(desk, dict.fromkeys(names, b"text\n"))
    edited = edit_with(desk, monkeypatch, number, 'for f; do echo more >> "$f"; done')
    assert set(edited.changed) == set(names)
    office.approve(desk, number)
    assert all(office.read(name) == b"text\nmore\n" for name in names)


def test_leaving_changes_out(office, desk, monkeypatch):
    number = office.propose(desk, {"a": lines(2), "new/n": b"n\n", "new/m": b"m\n", "d/x": None, "d/y": None})
    run = find_operation("proposal.edit").run
    edited = run(desk, EditProposal(proposal=f"proposal-{number}", drop=("new", "d/x")))
    assert set(edited.dropped) == {"new", "new/n", "new/m", "d/x"}
    assert {file.path for file in office.show(desk, number).files} == {"a", "d/y"}
    assert office.show(desk, number).checks == ()
    with pytest.raises(UsageError):
        run(desk, EditProposal(proposal=f"proposal-{number}", drop=("a", "d/y")))
    with pytest.raises(UsageError):
        run(desk, EditProposal(proposal=f"proposal-{number}", drop=("a",), file=("a",)))
    office.approve(desk, number)
    assert sorted(office.live()) == ["a", "b", "d", "d/x", "run.sh"]
    with pytest.raises(ConflictError):
        edit_with(desk, monkeypatch, number, 'echo mine >> "$1"')


def test_nothing_is_left_out_that_something_else_needs(office, desk):
    run = find_operation("proposal.edit").run

    def work():
        os.link(f"{office.root}/a", f"{office.root}/hard")
        shutil.rmtree(f"{office.root}/d")
        os.makedirs(f"{office.root}/new")
        office.write("new/n", b"n\n")
        office.write("one", b"one\n")
        os.link(f"{office.root}/one", f"{office.root}/two")

    number = office.propose(desk, work)
    for path in ("d/x", "one"):
        with pytest.raises(UsageError):
            run(desk, EditProposal(proposal=f"proposal-{number}", drop=(path,)))
    run(desk, EditProposal(proposal=f"proposal-{number}", drop=("one", "two", "d")))
    office.approve(desk, number)
    assert {"hard", "new/n", "d/x"} <= set(office.live())


# Comments and rejections


def test_comments_are_recorded_with_their_places(office, desk):
    number = office.propose(desk, {"a": lines(2), "odd:3:name": b"x\n"})
    run = find_operation("proposal.comment").run
    name = f"proposal-{number}"
    for wrong in ("a", "a:x:text", "a:3-2:text", "a:0:text", "a:2:"):
        with pytest.raises(UsageError):
            run(desk, CommentProposal(proposal=name, at=(wrong,), run=False))
    with pytest.raises(NotFoundError):
        run(desk, CommentProposal(proposal=name, at=("nothing:2:text",), run=False))
    with pytest.raises(UsageError):
        run(desk, CommentProposal(proposal=name, run=False))
    with pytest.raises(UsageError):
        run(desk, CommentProposal(proposal=name, message=("other",)))
    assert office.state(desk, number) == "open"
    said = run(desk, CommentProposal(proposal=name, message=("whole",), at=("a:2-3:why: this",), run=False))
    assert said.state == "changes_requested"
    (decision,) = office.show(desk, number).decisions
    assert [(one.text, one.path, one.lines) for one in decision.comments] == [
        ("whole", b"", None),
        ("why: this", b"a", (2, 3)),
    ]
    with pytest.raises(UsageError):
        office.approve(desk, number)


def test_a_rejection_with_its_reason(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    run = find_operation("proposal.reject").run
    with pytest.raises(ConflictError):
        run(desk, RejectProposal(proposal=f"proposal-{number}", digest="00" * 32))
    assert run(desk, RejectProposal(proposal=f"proposal-{number}", reason="no")).state == "rejected"
    assert office.show(desk, number).decisions[0].comments[0].text == "no"
    with pytest.raises(UsageError):
        office.approve(desk, number)
    with pytest.raises(ConflictError):
        run(desk, RejectProposal(proposal=f"proposal-{number}"))


# Undoing


def test_hunk_by_hunk_and_back_again(office, desk):
    number = office.propose(desk, {"a": lines(2, 15, 29), "d/x": b"X\n"})
    office.approve(desk, number)
    name = f"proposal-{number}"
    undone = office.undo(desk, name, hunk=("a:2",))
    assert office.read("a") == lines(2, 29)
    assert office.state(desk, number) == "applied"
    office.undo(desk, f"proposal-{undone.proposal}")
    assert office.read("a") == lines(2, 15, 29)
    office.undo(desk, name, hunk=("a:1", "a:3"), file=("d/x",))
    assert (office.read("a"), office.read("d/x")) == (lines(15), b"x\n")
    assert office.state(desk, number) == "applied"
    with pytest.raises(UsageError):
        office.undo(desk, name, hunk=("a:4",))
    office.undo(desk, name, hunk=("a:2",))
    assert office.read("a") == LONG
    assert office.state(desk, number) == "undone", "nothing of it is left"


def test_what_was_partly_approved_is_taken_back_as_it_was_applied(office, desk):
    number = office.propose(desk, {"a": lines(2, 15, 29)})
    office.approve(desk, number, hunk=("a:1", "a:3"))
    office.undo(desk, f"proposal-{number}", hunk=("a:2",))
    assert office.read("a") == lines(2)


def test_at_any_later_time_with_what_was_edited_since(office, desk):
    first = office.propose(desk, {"a": lines(2), "d/x": b"X\n"})
    office.approve(desk, first)
    second = office.propose(desk, {"a": lines(2, 20), "d/y": b"Y\n"})
    office.approve(desk, second)
    office.write("a", lines(2, 10, 20))
    undone = office.undo(desk, f"proposal-{first}")
    assert undone.merged == ("a",)
    assert (office.read("a"), office.read("d/x"), office.read("d/y")) == (lines(10, 20), b"x\n", b"Y\n")
    office.write("a", LONG.replace(b"line 20\n", b"mine\n"))
    before = office.live()
    conflicting = office.undo(desk, f"proposal-{second}")
    assert (conflicting.done, conflicting.conflicts) == (False, ("a",))
    assert office.live() == before
    assert office.undo(desk, f"proposal-{second}", file=("d/y",)).done
    assert office.read("d/y") == b"y\n"


def test_without_a_name_it_is_the_last_apply(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    office.approve(desk, number)
    for expected in (LONG, lines(2), LONG, lines(2)):
        office.undo(desk)
        assert office.read("a") == expected
    assert office.undo(desk, f"proposal-{number}").done
    assert office.undo(desk, f"proposal-{number}").plan.changes.changes == ()


def test_nothing_applied_nothing_to_undo(office, desk):
    number = office.propose(desk, {"a": lines(2)})
    with pytest.raises(UsageError):
        office.undo(desk, f"proposal-{number}")


def test_what_a_human_wrote_right_after_the_apply_is_no_part_of_it(office, desk):
    """Between the write and the snapshot after it: the record says so, and no undo takes it away."""
    number = office.propose(desk, {"a": lines(2), "d/x": b"X\n"})

    class Meddling:
        def __init__(self, inner):
            self._inner = inner

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def apply(self, *arguments):
            outcome = self._inner.apply(*arguments)
            office.write("a", lines(2, 20))
            return outcome

    inner = desk.destination
    done = office.approve(replace(desk, destination=lambda path: Meddling(inner(path))), number)
    assert done.done
    assert [(note.path, note.kind) for note in done.notes] == [("a", EDITED_SINCE)]
    undone = office.undo(desk, f"proposal-{number}")
    assert undone.conflicts == ("a",)
    assert office.read("a") == lines(2, 20)
    assert office.undo(desk, f"proposal-{number}", file=("d/x",)).done


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"agent": "claude"}, "What shall the agent do?"),
        ({"rest": "go on", "agent": "nobody"}, "There is no agent called"),
        ({"rest": "go on", "agent": "generic"}, "Nothing can be said to"),
    ],
)
def test_who_cannot_be_sent_on_is_refused_before_anything_is_decided(office, desk, more, said):
    number = office.propose(desk, {"a": lines(1)}, run=office.run(desk), kind="run")
    before = office.live()
    with pytest.raises(LastroError, match=said):
        office.approve(desk, number, **more)
    assert office.live() == before
    assert office.state(desk, number) == "open"
    other = office.propose(desk, {"a": lines(2)})
    with pytest.raises(UsageError, match="No agent made"):
        office.approve(desk, other, rest="go on")
    assert office.live() == before


def test_nobody_can_be_asked_by_a_name_that_is_none(office, desk):
    number = office.propose(desk, {"a": lines(1)}, run=office.run(desk), kind="run")
    request = CommentProposal(proposal=f"proposal-{number}", message=("smaller",), agent="nobody")
    with pytest.raises(NotFoundError):
        find_operation("proposal.comment").run(desk, request)
    assert office.state(desk, number) == "open"
