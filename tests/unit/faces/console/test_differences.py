"""Rows, pairs and parts of a difference, what was ticked, and what is said of a path: laws."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.operations.proposal.naming import selection_of
from lastro.app.requests.proposals import ShownFile, ShownHunk
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import COMPARED, Device, Entry, EntryType, Xattr, differing
from lastro.domain.ids import Digest
from lastro.domain.paths import from_bytes, is_within, tree_order
from lastro.errors import UsageError
from lastro.faces.console.asked import Asked
from lastro.faces.console.choosing import changed_since, choice_of, marks_of
from lastro.faces.console.differences import ADDED, REMOVED, cut, first_part, rows_of, visible
from lastro.faces.console.images import hexadecimal, media_type
from lastro.faces.console.properties import properties_of, summary
from lastro.faces.console.side_by_side import pairs_of
from lastro.faces.translation import ENGLISH, choose_language, speaking
from lastro.proposals.hunks import hunks_of
from lastro.proposals.line_diff import split_lines
from lastro.proposals.selecting import select

texts = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\xff\n", b"\x1b[0m\n", b"d"]), max_size=40).map(
    lambda lines: (
        b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines[:-1])
        + (lines[-1] if lines else b"")
    )
)


def hunks_between(before, after):
    return [
        ShownHunk(
            number=hunk.number,
            before_line=hunk.before_line,
            before_count=hunk.before_count,
            after_line=hunk.after_line,
            after_count=hunk.after_count,
            lines=tuple(from_bytes(line) for line in hunk.lines),
        )
        for hunk in hunks_of(before, after) or ()
    ]


@given(before=texts, after=texts)
def test_every_row_stands_at_its_line_on_both_sides(before, after):
    old, new = split_lines(before), split_lines(after)
    shown_old, shown_new = set(), set()
    for row in itertools.chain.from_iterable(map(rows_of, hunks_between(before, after))):
        if row.before:
            assert visible(from_bytes(old[row.before - 1].removesuffix(b"\n"))) == row.text
            shown_old.add(row.before)
        if row.after:
            assert visible(from_bytes(new[row.after - 1].removesuffix(b"\n"))) == row.text
            shown_new.add(row.after)
        assert (row.before == 0) == (row.sign in {ADDED, "\\"})
        assert (row.after == 0) == (row.sign in {REMOVED, "\\"})
    left_old = [line for place, line in enumerate(old, start=1) if place not in shown_old]
    left_new = [line for place, line in enumerate(new, start=1) if place not in shown_new]
    assert left_old == left_new  # what is not shown did not change


@given(before=texts, after=texts)
def test_side_by_side_holds_every_row_once_in_its_column_and_in_order(before, after):
    for hunk in hunks_between(before, after):
        rows = rows_of(hunk)
        pairs = pairs_of(rows)
        left = [pair.before for pair in pairs if pair.before is not None and pair.before.before]
        right = [pair.after for pair in pairs if pair.after is not None and pair.after.after]
        assert left == [row for row in rows if row.before]
        assert right == [row for row in rows if row.after]
        remarks = [row for pair in pairs for row in {pair.before, pair.after} if row and row.sign == "\\"]
        assert len(remarks) == sum(row.sign == "\\" for row in rows)


@given(counts=st.lists(st.integers(1, 40), max_size=12), lines=st.integers(1, 100))
def test_a_part_is_the_first_hunks_and_no_more_than_fit(counts, lines):
    hunks = [
        ShownHunk(number=n, before_line=1, before_count=0, after_line=1, after_count=c, lines=("+x",) * c)
        for n, c in enumerate(counts, start=1)
    ]
    part = first_part(hunks, lines=lines, size=10**6)
    assert list(part.hunks) == hunks[: len(part.hunks)]
    assert part.left == len(hunks) - len(part.hunks)
    assert sum(len(hunk.lines) for hunk in part.hunks[1:]) <= lines
    if hunks:
        assert part.hunks
        rows = cut(rows_of(part.hunks[0]), lines=lines)
        assert len(rows) == min(lines, counts[0])
    if part.left:
        assert sum(counts[: len(part.hunks) + 1]) > lines


def test_a_single_endless_line_is_cut():
    hunk = ShownHunk(
        number=1, before_line=0, before_count=0, after_line=1, after_count=1, lines=("+" + "x" * 10**6,)
    )
    assert sum(len(row.text) for row in cut(rows_of(hunk), size=1000)) == 1000


# What was ticked ----------------------------------------------------------------------------------------------------------------------

TREES = [
    ["a", "b", "c"],
    ["d", "d/x", "d/y", "e"],
    ["d", "d/e", "d/e/f", "d/g", "h:1", "caf\udce9"],
]


def shown_of(paths):
    made = []
    for path in paths:
        directory = any(other != path and is_within(other, path) for other in paths)
        entry = Entry(path=path, type=EntryType.DIRECTORY if directory else EntryType.FILE, mode=0o755)
        made.append(ShownFile(path=path, kind="added", after=entry))
    return SimpleNamespace(files=tuple(made), target="/srv/app", proposal=1)


@given(data=st.data(), paths=st.sampled_from(TREES))
def test_exactly_what_was_ticked_is_selected_and_the_directories_it_lies_in(data, paths):
    paths = sorted(paths, key=tree_order)
    shown = shown_of(paths)
    there = data.draw(st.sets(st.sampled_from(range(len(paths)))))
    ticked = data.draw(st.sets(st.sampled_from(sorted(there)))) if there else set()
    others = data.draw(st.booleans())
    form = {"there": (",".join(map(str, sorted(there))),), "file": tuple(map(str, sorted(ticked)))}
    if others:
        form["others"] = ("1",)
    chosen = {place for place in range(len(paths)) if place in ticked or (others and place not in there)}
    files = {paths[place] for place in chosen if shown.files[place].after.type is EntryType.FILE}
    asked = Asked(method="POST", path="/", visit=None, door=None, form=form)
    try:
        choice = choice_of(asked, shown)
    except UsageError:
        assert not files
        return
    selection = selection_of(shown, choice.files, choice.hunks)
    changes = ChangeSet(tuple(Change(path=file.path, before=None, after=file.after) for file in shown.files))
    selected = {change.path for change in select(changes, selection, None).changes.changes}
    assert {path for path in selected if path in files} == files
    extra = selected - {paths[place] for place in chosen}
    assert all(any(is_within(file, path) for file in files) for path in extra)


@given(data=st.data())
def test_hunks_that_were_not_shown_go_with_the_box_of_their_file(data):
    total = data.draw(st.integers(1, 9))
    seen = data.draw(st.integers(0, total))
    ticked = data.draw(st.sets(st.integers(1, total)))
    form = {
        "there": ("0,1",),
        "file": ("0",),
        "part": (f"0:{seen}:{total}",),
        "hunk": tuple(f"0:{number}" for number in sorted(ticked)),
    }
    asked = Asked(method="POST", path="/", visit=None, door=None, form=form)
    wanted = {number for number in range(1, total + 1) if number > seen or number in ticked}
    if not wanted:
        with pytest.raises(UsageError):
            choice_of(asked, shown_of(["a", "b"]))
        return
    choice = choice_of(asked, shown_of(["a", "b"]))
    if len(wanted) == total:
        assert (choice.files, choice.hunks) == (("a",), ())
    else:
        assert choice.files == ()
        assert choice.hunks == tuple(f"a:{number}" for number in sorted(wanted))


def test_what_changed_since_is_told_by_path():
    one, other = shown_of(["a", "b"]), shown_of(["a", "b", "c"])
    assert changed_since(marks_of(one), one) == frozenset()
    assert changed_since(marks_of(one), other) == {"c"}
    assert changed_since("", one) == {"a", "b"}


# What is said of a path ---------------------------------------------------------------------------------------------------------------

PLAIN = Entry(path="x", type=EntryType.FILE, mode=0o644, uid=1, gid=1, size=1, digest=Digest(b"1" * 32))
DIFFERENT = {
    "type": EntryType.DIRECTORY,
    "mode": 0o600,
    "uid": 5,
    "gid": 6,
    "size": 9,
    "link_target": "there",
    "rdev": Device(1, 2),
    "xattrs": (Xattr("user.x", b"\x1b"),),
    "flags": 0x10,
    "digest": b"2" * 32,
}


@pytest.mark.parametrize("field", COMPARED)
def test_every_difference_that_counts_is_said(field):
    import msgspec  # noqa: PLC0415

    other = msgspec.structs.replace(PLAIN, **{field: DIFFERENT[field]})
    assert field in differing(PLAIN, other)
    with speaking(choose_language(ENGLISH, {})):
        said = summary(PLAIN, other)
        rows = properties_of(PLAIN, other)
    assert said.isprintable()
    if field in {"digest", "size"}:
        assert rows == []
    else:
        assert rows and rows[0].before != rows[0].after
    assert said or field == "size"


@pytest.mark.parametrize(
    ("mode", "words"),
    [(0o4755, "setuid"), (0o2755, "setgid"), (0o646, "anybody"), (0o755, ""), (0o644, "")],
)
def test_new_rights_for_others_are_marked(mode, words):
    import msgspec  # noqa: PLC0415

    after = msgspec.structs.replace(PLAIN, mode=mode)
    with speaking(choose_language(ENGLISH, {})):
        for before in (None, PLAIN):
            warnings = [row.warning for row in properties_of(before, after) if row.warning]
            assert len(warnings) == bool(words)
            assert not words or words in warnings[0]
        assert not [row.warning for row in properties_of(after, after) if row.warning]


@given(head=st.binary(max_size=80))
def test_bytes_are_shown_as_they_are(head):
    lines = hexadecimal(head).split("\n") if head else []
    assert b"".join(bytes.fromhex(line[10:57]) for line in lines) == head
    assert all(line.isascii() and line.isprintable() for line in lines)


@given(head=st.binary(max_size=80))
def test_only_what_begins_as_an_image_is_one(head):
    assert media_type(b"<svg" + head) == "" == media_type(b"<!doctype html>" + head)
    assert media_type(b"\x89PNG\r\n\x1a\n" + head) == "image/png"
