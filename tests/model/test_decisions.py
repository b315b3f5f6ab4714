"""A thousand races: while somebody approves, somebody else edits, revises, rejects or approves too, at any instant.

Nothing wrong is applied, and nothing that a human did is lost.

The instants are every call to the keeper and every call that changes the destination, one at a time, so each race can be had again.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import tempfile
from dataclasses import replace

import pytest

from lastro.app.operation import find_operation
from lastro.app.requests import ApplyPair
from lastro.app.requests.proposals import EditProposal, RejectProposal
from lastro.apply.local import LocalDestination
from lastro.errors import LastroError
from tests.decision_kit import Office
from tests.faults.injection import InjectingSystem, UnsyncedSystem

pytestmark = pytest.mark.slow

RACES, TOGETHER = 1000, 50
LONG = b"".join(b"line %d\n" % number for number in range(1, 31))
SHM = "/dev/shm"


class Race:
    """One approval, and what somebody else does at instant ``at`` of it."""

    def __init__(self, office, desk, chance):
        self.office, self.chance = office, chance
        self.at = chance.randrange(75)
        self.count = 0
        self.mine = b"HUMAN %s" % secrets.token_hex(4).encode()
        self.agent = b"AGENT %s" % secrets.token_hex(4).encode()
        self.deed = chance.choice(
            [
                self.elsewhere,
                self.same,
                self.renamed,
                self.deleted,
                self.chmod,
                self.revised,
                self.rejected,
                self.approved,
            ]
        )
        self.happened, self.refused = False, None
        self.desk = desk
        self.seen = replace(
            desk,
            caller=Watched(desk.caller, self.instant),
            destination=lambda path: LocalDestination(
                path,
                intents=office.places.intents,
                system=InjectingSystem(lambda *_: self.instant(), UnsyncedSystem()),
            ),
        )

    def instant(self):
        self.count += 1
        if self.count == self.at:
            try:
                self.deed()
                self.happened = True
            except LastroError as error:
                self.refused = error

    # What somebody else does

    def elsewhere(self, *, line=b"line 20\n"):
        content = self.office.read("a")
        self.office.write("a", content.replace(line, self.mine + b"\n"))

    def same(self):
        content = self.office.read("a")
        for line in (b"line 2\n", self.agent + b"\n"):
            content = content.replace(line, self.mine + b"\n")
        self.office.write("a", content)

    def renamed(self):
        """As editors save."""
        content = self.office.read("a").replace(b"line 20\n", self.mine + b"\n")
        self.office.write(".a.swp", content)
        os.rename(f"{self.office.root}/.a.swp", f"{self.office.root}/a")

    def deleted(self):
        os.unlink(f"{self.office.root}/a")

    def chmod(self):
        os.chmod(f"{self.office.root}/a", 0o700)

    def revised(self):
        request = EditProposal(proposal=f"proposal-{self.number}", file=("b",))
        find_operation("proposal.edit").run(self.desk, request)

    def rejected(self):
        find_operation("proposal.reject").run(
            self.desk, RejectProposal(proposal=f"proposal-{self.number}", reason="no")
        )

    def approved(self):
        self.office.approve(self.desk, self.number)

    # What must hold

    def run(self):
        office, desk = self.office, self.desk
        office.edit({"a": LONG, "b": b"x\n"})
        os.chmod(f"{office.root}/a", 0o644)
        self.number = office.propose(
            desk, {"a": LONG.replace(b"line 2\n", self.agent + b"\n"), "b": self.agent}
        )
        try:
            done = office.approve(self.seen, self.number).done
        except LastroError:
            done = False
        self.check(done=done)
        if not self.happened:
            self.at = 0
        if self.state in {"approved", "conflict", "open"} and self.deed != self.revised:
            with contextlib.suppress(LastroError):
                office.approve(desk, self.number)
            self.check(done=self.state == "applied")
        if self.state == "applied":
            self.check_undo()
        elif self.state in {"open", "conflict"}:
            find_operation("proposal.reject").run(desk, RejectProposal(proposal=f"proposal-{self.number}"))

    @property
    def state(self):
        return self.office.state(self.desk, self.number)

    def check(self, *, done):
        office, told = self.office, (self.deed.__name__, self.at)
        live = office.live()
        shown = office.show(self.desk, self.number)
        applied = live["b"] != b"x\n"
        # who is asked after the revision is asked about the revision
        assert live["b"] in {b"x\n", self.agent if shown.revision == 1 else b"revised\n"}, told
        assert applied == (shown.state == "applied"), (told, shown.state)
        assert len(shown.applies) == applied, told
        assert applied or not done, told
        self.check_human(live)
        if applied and not (self.happened and self.deed != self.revised):
            assert live["a"] == LONG.replace(b"line 2\n", self.agent + b"\n"), told
        if not applied and "a" in live:
            assert self.agent not in live["a"], told
        if self.happened and self.deed in {self.rejected, self.revised}:
            assert self.deed == self.revised or shown.state == "rejected", told
        assert not [name for name in live if name.startswith(".lastro")], told

    def check_human(self, live):
        """What a human did stays done."""
        told = (self.deed.__name__, self.at)
        if not self.happened:
            return
        if self.deed in {self.elsewhere, self.same, self.renamed}:
            assert self.mine in live["a"], told
        elif self.deed == self.deleted:
            assert "a" not in live, told
        elif self.deed == self.chmod:
            assert os.lstat(f"{self.office.root}/a").st_mode & 0o777 == 0o700, told

    def check_undo(self):
        office, desk = self.office, self.desk
        (apply,) = office.show(desk, self.number).applies
        record = desk.caller.call("apply.show", ApplyPair(number=apply))
        undone = office.undo(desk, f"proposal-{self.number}")
        live = office.live()
        assert undone.done != bool(undone.conflicts)
        assert (live["b"] == b"x\n") == undone.done
        self.check_human(live)
        if undone.done and "a" in live:
            assert self.agent not in live["a"]
        if "a" in record.edited:
            assert undone.conflicts == ("a",)


class Watched:
    """A caller that tells of the instants before and after each call."""

    def __init__(self, inner, instant):
        self._inner, self._instant = inner, instant

    def call(self, name, request):
        self._instant()
        try:
            return self._inner.call(name, request)
        finally:
            self._instant()

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.mark.parametrize("seed", range(RACES // TOGETHER))
def test_no_race_gives_a_wrong_apply(seed, monkeypatch):
    chance = random.Random(seed)
    monkeypatch.setenv("VISUAL", "sh -c 'echo revised > \"$1\"' editor")
    with tempfile.TemporaryDirectory(dir=SHM if os.access(SHM, os.W_OK) else None) as top:
        office = Office.made(top, {"a": LONG, "b": b"x\n"})
        happened = 0
        with office.desk() as desk:
            for _ in range(TOGETHER):
                race = Race(office, desk, chance)
                race.run()
                happened += race.happened
            office.sound(desk)
        assert happened > TOGETHER // 4
