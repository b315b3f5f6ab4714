"""Proposals against a plain dictionary: whatever humans, keepers and clocks do in whatever order, the log says what the dictionary says."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from lastro.domain.proposal import Selection
from lastro.errors import ConflictError, DeniedError, LastroError, WaitingError
from tests.proposal_kit import ANA, BIA, CAIO, Hall

_MONTH_NS = 31 * 24 * 3600 * 1_000_000_000
_WHOLE, _PART = "whole", "part"
_SELECTIONS = {_WHOLE: Selection(), _PART: Selection(files=(b"a",))}
_OPEN_TO = {
    "revise": {"open", "held", "conflict", "changes_requested", "approved", "partly_approved"},
    "approve": {"open", "approved", "partly_approved"},
    "reject": {"open", "held", "conflict", "changes_requested", "approved", "partly_approved"},
    "comment": {"open", "held", "conflict", "changes_requested", "approved", "partly_approved"},
    "expire": {"open", "held", "conflict", "changes_requested", "approved", "partly_approved"},
}


class Proposals(RuleBasedStateMachine):
    numbers = Bundle("numbers")
    sights = Bundle("sights")

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="lastro-model-")
        self.hall = Hall(self.directory.name, cache=f"{self.directory.name}/inbox.sqlite")
        self.hall.enrol(ANA, "owner")
        self.hall.enrol(BIA, by=ANA)
        self.hall.enrol(CAIO, by=ANA)
        self.model = {}

    def teardown(self):
        self.hall.close()
        self.directory.cleanup()

    def _touch(self, number):
        """The clock's part: a proposal that was undecided for too long is expired."""
        found = self.model[number]
        if found["state"] in _OPEN_TO["expire"] and found["expires"] <= self.hall.now:
            found["state"] = "expired"
        return found

    @rule(target=numbers, secret=st.booleans())
    def propose(self, secret):
        extra = "server.key" if secret else "b"
        number = self.hall.propose({"a": b"two\n", extra: b"x\n"}, actor=ANA)
        row = self.hall.inbox.proposal(number, now_ns=0).proposal
        self.model[number] = {
            "state": "open",
            "revision": 1,
            "secret": secret,
            "given": set(),
            "expires": row.expires_ns,
            "latest": None,
        }
        return number

    @rule(target=sights, number=numbers)
    def look(self, number):
        return number, self.hall.show(number, names=True)

    @rule(number=numbers, what=st.binary(min_size=1, max_size=4))
    def revise(self, number, what):
        found = self._touch(number)
        edits = {"a": b"edited " + what + b"%d\n" % found["revision"]}
        if found["state"] not in _OPEN_TO["revise"]:
            with pytest.raises((ConflictError, DeniedError)):
                self.hall.revise(number, edits)
            return
        self.hall.revise(number, edits)
        found.update(state="open", revision=found["revision"] + 1, given=set(), latest=None)

    @rule(sight=sights, who=st.sampled_from([ANA, BIA, CAIO]), part=st.sampled_from([_WHOLE, _PART]))
    def approve(self, sight, who, part):
        number, shown = sight
        found = self._touch(number)
        stale = shown.revision != found["revision"]
        selection = _SELECTIONS[part]
        if stale or found["state"] not in _OPEN_TO["approve"] or who is ANA:
            with pytest.raises((ConflictError, DeniedError)):
                self.hall.approve(number, who, shown=shown, selection=selection)
            return
        needed = 2 if found["secret"] and part == _WHOLE else 1
        reply = self.hall.approve(number, who, shown=shown, selection=selection)
        found["given"].add((who.name, part))
        found["latest"] = part
        given = {name for name, chosen in found["given"] if chosen == part}
        assert reply.waiting == max(0, needed - len(given))
        if not reply.waiting:
            found["state"] = "approved" if part == _WHOLE else "partly_approved"

    @rule(number=numbers, who=st.sampled_from([ANA, BIA]))
    def reject(self, number, who):
        found = self._touch(number)
        if found["state"] not in _OPEN_TO["reject"]:
            with pytest.raises((ConflictError, DeniedError)):
                self.hall.say(number, "reject", who)
            return
        self.hall.say(number, "reject", who)
        found["state"] = "rejected"

    @rule(number=numbers)
    def comment(self, number):
        found = self._touch(number)
        if found["state"] not in _OPEN_TO["comment"]:
            with pytest.raises((ConflictError, DeniedError)):
                self.hall.say(number, "comment", BIA)
            return
        self.hall.say(number, "comment", BIA)
        found["state"] = "changes_requested"

    @rule(number=numbers)
    def begin_apply(self, number):
        found = self._touch(number)
        enough = self._enough(found)
        if found["state"] not in {"approved", "partly_approved"} or not enough:
            with pytest.raises((ConflictError, DeniedError, WaitingError)):
                self.hall.enter(number, "applying")
            return
        found["before"] = found["state"]
        self.hall.enter(number, "applying")
        found["state"] = "applying"

    def _enough(self, found):
        """The newest approval says what is to be applied, and that part must have enough of them."""
        needed = 2 if found["secret"] and found["latest"] == _WHOLE else 1
        given = {name for name, part in found["given"] if part == found["latest"]}
        return len(given) >= needed

    @rule(number=numbers, end=st.sampled_from(["applied", "rolled_back", "approved", "conflict"]))
    def end_apply(self, number, end):
        found = self._touch(number)
        if found["state"] != "applying":
            return
        if end == "applied":
            apply = self.hall.record_apply(number, paths=["a"])
            self.hall.enter(number, "verifying", apply=apply)
            self.hall.enter(number, "applied", apply=apply)
            found["state"] = "applied"
        else:
            self.hall.enter(number, end)
            found["state"] = found["before"] if end == "approved" else end

    @rule(number=numbers)
    def undo(self, number):
        found = self._touch(number)
        if found["state"] != "applied":
            with pytest.raises(LastroError):
                self.hall.enter(number, "undone")
            return
        before = {each: self._touch(each)["state"] for each in self.model}
        self.hall.enter(number, "undone")
        found["state"] = "undone"
        for each in self.model:  # those that build on it are held; which ones, tests of their own say
            if each != number and self.hall.state_of(each) == "held":
                assert before[each] in _OPEN_TO["expire"]
                self.model[each]["state"] = "held"

    @rule(
        number=numbers,
        state=st.sampled_from(["approved", "partly_approved", "rejected", "changes_requested"]),
    )
    def no_state_without_decision(self, number, state):
        if self._touch(number)["state"] == "applying":
            return
        with pytest.raises((ConflictError, DeniedError)):
            self.hall.enter(number, state)

    @rule(forget=st.booleans())
    def restart(self, forget):
        self.hall.reopen(forget=forget)

    @precondition(lambda self: self.model)
    @rule()
    def a_month_passes(self):
        self.hall.kit.clock.wall += _MONTH_NS

    @invariant()
    def as_the_dictionary_says(self):
        listed = {
            row.number: (row.state.value, row.revision)
            for row in self.hall.inbox.proposals(now_ns=self.hall.now)
        }
        assert listed == {
            number: (self._touch(number)["state"], found["revision"]) for number, found in self.model.items()
        }

    @invariant()
    def nothing_is_approved_without_enough(self):
        for number, found in self.model.items():
            if found["state"] in {"approved", "partly_approved"}:
                assert self.hall.show(number, names=True).approvals >= 1


class Audited(Proposals):
    """The same, audited at the end: what the keeper's own operations wrote is always sound."""

    def teardown(self):
        try:
            reply = self.hall.audit()
            assert reply.sound, reply.findings
        finally:
            super().teardown()


TestProposals = pytest.mark.slow(Audited.TestCase)
TestProposals.settings = settings(stateful_step_count=25, deadline=None)
