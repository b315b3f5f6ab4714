"""A human and agents at work on the same files for a while: no line of the human is ever lost or doubled, and nothing is half done."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lastro.apply.destination import OutcomeKind
from lastro.chunking.digest import digest_of
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.proposal import ChosenHunks, Selection
from lastro.proposals.hunks import hunks_of
from lastro.proposals.selecting import select
from tests.conformance.trees import file, root_entry
from tests.unit.proposals.test_settling import Place

NAMES = ("a", "b")
places = st.integers(0, 40)


class Pair:
    """Contents of both sides of a proposal, by path."""

    def __init__(self, before, after):
        self._before, self._after = before, after

    def before(self, path):
        return self._before[path]

    def after(self, path):
        return self._after[path]


class Work(RuleBasedStateMachine):
    """The model is what lines must be there: those a human added, until the human or an approved proposal removes them."""

    def __init__(self):
        super().__init__()
        start = b"".join(b"line %d\n" % number for number in range(30))
        entries = [root_entry(), *(file(name, start) for name in NAMES)]
        self.place = Place(entries, {digest_of(start): start})
        self.humans = {name: set() for name in NAMES}
        self.proposals = []
        self.applied = []
        self.count = 0

    def texts(self):
        return {name: self.place.destination.content(name) for name in NAMES}

    def write(self, name, lines):
        content = b"".join(lines)
        self.place.contents[digest_of(content)] = content
        (before,) = self.place.destination.read([name]).values()
        after = file(name, content, mode=before.mode)
        self.count += 1
        change = ChangeSet((Change(path=name, before=before, after=after),))
        assert (
            self.place.destination.apply(f"human-{self.count}", change, self.place).kind
            is OutcomeKind.APPLIED
        )

    @rule(name=st.sampled_from(NAMES), place=places)
    def a_human_adds_a_line(self, name, place):
        lines = self.texts()[name].splitlines(keepends=True)
        self.count += 1
        line = b"human %d\n" % self.count
        lines.insert(min(place, len(lines)), line)
        self.write(name, lines)
        self.humans[name].add(line)

    @rule(name=st.sampled_from(NAMES), place=places)
    def a_human_removes_a_line(self, name, place):
        lines = self.texts()[name].splitlines(keepends=True)
        if place < len(lines):
            self.humans[name].discard(lines.pop(place))
            self.write(name, lines)

    @rule(
        name=st.sampled_from(NAMES),
        edits=st.lists(st.tuples(places, st.integers(0, 2)), min_size=1, max_size=3),
    )
    def an_agent_proposes(self, name, edits):
        before = self.texts()[name]
        lines = before.splitlines(keepends=True)
        for place, removed in edits:
            self.count += 1
            lines[place : place + removed] = [b"agent %d\n" % self.count]
        after = b"".join(lines)
        self.place.contents[digest_of(after)] = after
        (was,) = self.place.destination.read([name]).values()
        change = Change(path=name, before=was, after=file(name, after, mode=was.mode))
        self.proposals.append((ChangeSet((change,)), before, after))

    @precondition(lambda self: self.proposals)
    @rule(number=st.integers(0, 10), part=st.sets(st.integers(1, 3)))
    def somebody_approves(self, number, part):
        changes, before, after = self.proposals.pop(number % len(self.proposals))
        name = changes.changes[0].path
        numbers = tuple(sorted(part & {hunk.number for hunk in hunks_of(before, after)}))
        chosen = (
            Selection(hunks=(ChosenHunks(path=name.encode(), numbers=numbers),)) if numbers else Selection()
        )
        selected = select(changes, chosen, Pair({name: before}, {name: after}))
        wanted = selected.composed.get(name, after)
        if self.carry_out(selected.changes, selected.composed, name, before, wanted):
            self.place.contents[digest_of(wanted)] = wanted
            self.applied.append((selected.changes, before, wanted))

    @precondition(lambda self: self.applied)
    @rule(number=st.integers(0, 10))
    def somebody_undoes(self, number):
        changes, before, after = self.applied.pop(number % len(self.applied))
        self.carry_out(changes.inverse, {}, changes.changes[0].path, after, before)

    def carry_out(self, changes, composed, name, before, after):
        was = self.texts()
        settlement = self.place.settle(changes, composed)
        if settlement.conflicts:
            assert not settlement.changes.changes
            return False
        assert self.place.apply(settlement).kind is OutcomeKind.APPLIED
        now = self.texts()
        old, new = set(before.splitlines(keepends=True)), set(after.splitlines(keepends=True))
        there = set(now[name].splitlines(keepends=True))
        assert new - old <= there
        assert not (old - new) & there
        self.humans[name] -= old - new
        self.humans[name] |= {line for line in new - old if line.startswith(b"human")}
        assert {other: text for other, text in was.items() if other != name} == {
            other: text for other, text in now.items() if other != name
        }
        again = self.place.settle(changes, composed)
        assert not again.changes.changes
        return True

    @invariant()
    def every_line_of_the_human_is_there_once(self):
        for name, text in self.texts().items():
            lines = text.splitlines(keepends=True)
            assert sorted(line for line in lines if line.startswith(b"human")) == sorted(self.humans[name])


Work.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestWork = Work.TestCase
