from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from lastro.capture.feed import ChangeFeed
from lastro.capture.source import ChangedPath

ROOTS = ("/a", "/b")
EVERYTHING = 8
"""So many different changes there are below."""
changes = st.builds(
    ChangedPath,
    root=st.sampled_from(ROOTS),
    path=st.sampled_from(("", "x", "y", "x/z")),
    recursive=st.booleans(),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(changes, max_size=4)),
        st.tuples(st.just("overflow"), st.sets(st.sampled_from(ROOTS), min_size=1)),
        st.tuples(st.just("read"), st.integers(0, 2)),
    ),
    max_size=30,
)


@given(steps=steps, maximum=st.integers(1, EVERYTHING))
def test_each_reader_is_told_everything_since_its_cursor_or_to_list_again(steps, maximum):
    feed = ChangeFeed(first_cursor=100, maximum_remembered=maximum)
    feed.set_roots(ROOTS)
    start = feed.changes(None, 0).cursor
    cursors = [start] * 3
    untold = [[] for _ in cursors]
    lost = [set() for _ in cursors]
    for kind, argument in steps:
        if kind == "add":
            feed.add(argument)
            for pending in untold:
                pending.extend(argument)
        elif kind == "overflow":
            feed.overflow(argument)
            for roots in lost:
                roots.update(argument)
        else:
            answer = feed.changes(cursors[argument], 0)
            assert answer.cursor >= cursors[argument]
            assert not answer.roots_changed
            told = {(each.root, each.path): each.recursive for each in answer.paths}
            assert len(told) == len(answer.paths) <= maximum
            assert set(answer.overflow) >= lost[argument]
            for each in untold[argument]:
                if each.root not in answer.overflow:
                    assert told[each.root, each.path] >= each.recursive
            # Nothing that this reader was told before, and nothing that is to be listed anyway.
            assert set(told) <= {(each.root, each.path) for each in untold[argument]}
            assert not {root for root, _ in told} & set(answer.overflow)
            if maximum == EVERYTHING:
                assert set(answer.overflow) == lost[argument]
            cursors[argument], untold[argument], lost[argument] = (answer.cursor, [], set())


def test_a_reader_that_keeps_up_is_never_told_to_list_again():
    feed = ChangeFeed(first_cursor=1, maximum_remembered=2)
    feed.set_roots(ROOTS)
    slow = cursor = feed.changes(None, 0).cursor
    for number in range(10):
        feed.add([ChangedPath(root="/a", path=str(number))])
        answer = feed.changes(cursor, 0)
        assert ([each.path for each in answer.paths], answer.overflow) == ([str(number)], ())
        cursor = answer.cursor
    assert feed.changes(slow, 0).overflow == ("/a",)


def test_recursion_once_asked_for_stays_until_it_was_told_to_all():
    feed = ChangeFeed(first_cursor=1)
    feed.set_roots(ROOTS)
    cursor = feed.changes(None, 0).cursor
    feed.add([ChangedPath(root="/a", path="x", recursive=True)])
    feed.add([ChangedPath(root="/a", path="x")])
    assert [each.recursive for each in feed.changes(cursor, 0).paths] == [True]


def test_paths_come_in_tree_order():
    feed = ChangeFeed(first_cursor=1)
    feed.set_roots(ROOTS)
    cursor = feed.changes(None, 0).cursor
    feed.add([ChangedPath(root=root, path=path) for root in ("/b", "/a") for path in ("b.c", "b/a", "", "b")])
    told = [(each.root, each.path) for each in feed.changes(cursor, 0).paths]
    assert told == [(root, path) for root in ("/a", "/b") for path in ("", "b", "b/a", "b.c")]


def test_a_cursor_of_another_life_is_answered_with_everything():
    feed = ChangeFeed(first_cursor=1000)
    feed.set_roots(ROOTS)
    now = feed.changes(None, 0).cursor
    for cursor in (0, 999, now + 1, -1):
        answer = feed.changes(cursor, 60.0)
        assert (set(answer.overflow), answer.roots_changed, answer.cursor) == (set(ROOTS), True, now)


def test_changed_roots_are_told_and_what_is_new_is_to_be_listed():
    feed = ChangeFeed(first_cursor=1)
    feed.set_roots(ROOTS)
    feed.add([ChangedPath(root="/b", path="x")])
    cursor = feed.changes(None, 0).cursor
    feed.set_roots(["/a", "/c"])
    feed.set_roots(["/c", "/a"])  # no news
    answer = feed.changes(cursor, 0)
    assert (answer.roots_changed, answer.overflow, answer.paths) == (True, ("/c",), ())
    feed.set_roots(["/a", "/c", "/b"])
    again = feed.changes(answer.cursor, 0)
    assert (again.roots_changed, again.overflow) == (True, ("/b",))
    assert feed.changes(again.cursor, 0) == type(again)(cursor=again.cursor)


def test_a_waiting_reader_is_woken_by_news_and_by_the_end():
    feed = ChangeFeed(first_cursor=1)
    feed.set_roots(ROOTS)
    cursor = feed.changes(None, 0).cursor
    for wake, paths in [
        (lambda: feed.add([ChangedPath(root="/a", path="x")]), ["x"]),
        (feed.overflow_all, []),
        (feed.close, []),
    ]:
        answers = []

        def read(cursor=cursor, answers=answers):
            answers.append(feed.changes(cursor, 60.0))

        reader = threading.Thread(target=read)
        reader.start()
        wake()
        reader.join(30)
        assert [each.path for each in answers[0].paths] == paths
        cursor = answers[0].cursor
    assert feed.changes(cursor, 60.0).paths == ()  # nobody waits any more
