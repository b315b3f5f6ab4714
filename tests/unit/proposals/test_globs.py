"""The glob language of policies, against a matcher so slow and plain that it is surely right."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastro.domain.paths import from_bytes
from lastro.errors import UsageError
from lastro.proposals.globs import (
    LONGEST,
    covers,
    first_match,
    fold,
    glob,
    is_whole,
    literal_prefix,
    matches,
    matches_loosely,
    may_overlap,
    problem_with,
)

# A plain matcher ----------------------------------------------------------------------------------------------------------------------


def name_fits(component, name):
    if not component:
        return not name
    if component[0] == "*":
        return any(name_fits(component[1:], name[start:]) for start in range(len(name) + 1))
    if not name:
        return False
    if component[0] == "?":
        return name_fits(component[1:], name[1:])
    if found := re.match(r"\[(!?)(\]?[^\]]*)\]", component):
        inside = name[0] in set_of(found[2])
        return inside != bool(found[1]) and name_fits(component[found.end() :], name[1:])
    return component[0] == name[0] and name_fits(component[1:], name[1:])


def set_of(members):
    found = set()
    while members:
        if len(members) > 2 and members[1] == "-":
            found |= {chr(one) for one in range(ord(members[0]), ord(members[2]) + 1)}
            members = members[3:]
        else:
            found.add(members[0])
            members = members[1:]
    return found


def parts_fit(parts, names):
    if not parts:
        return not names
    if parts[0] == "**":
        return any(parts_fit(parts[1:], names[start:]) for start in range(len(names) + 1))
    return bool(names) and name_fits(parts[0], names[0]) and parts_fit(parts[1:], names[1:])


def slow_matches(pattern, path):
    """A pattern names things; whatever lies in one belongs to it."""
    parts = pattern.strip("/").split("/")
    if "/" not in pattern.rstrip("/"):
        parts = ["**", *parts]
    while parts and parts[-1] == "**":
        parts.pop()
    names = path.split("/") if path else []
    return any(parts_fit(parts, names[:length]) for length in range(len(names) + 1))


names = st.text(alphabet="ab.", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, max_size=5).map("/".join)
components = st.one_of(
    st.just("**"),
    names,
    st.text(alphabet="ab.*?", min_size=1, max_size=4),
    st.sampled_from(["[ab]", "[!a]", "[a-b]*", "*[.]a", "[]a]", "[!]]b", "[a", "[z-a]"]),
).filter(lambda part: part not in {".", ".."})
patterns = st.builds(
    lambda front, parts, end: front + "/".join(parts) + end,
    st.sampled_from(["", "", "/"]),
    st.lists(components, min_size=1, max_size=5),
    st.sampled_from(["", "", "/"]),
).filter(lambda pattern: not problem_with(pattern))


# Laws ---------------------------------------------------------------------------------------------------------------------------------


@given(patterns, paths)
@example("**", "")
@example("*", "")
@example("a/**/b", "a/b")
@example("**/a/**/a", "a/b/a")
@example("***", "ab")
@example("**/a/b/**/b", "a/b")
@example("**/a/b/**/b", "a/b/b")
def test_it_matches_what_the_slow_one_matches(pattern, path):
    assert matches(pattern, path) == slow_matches(pattern, path)


@given(patterns, paths, paths)
def test_what_lies_in_something_that_matches_matches(pattern, path, below):
    if matches(pattern, path) and path and below:
        assert matches(pattern, f"{path}/{below}")


@given(patterns, patterns, paths)
def test_two_patterns_that_match_one_path_overlap(one, other, path):
    assert may_overlap(one, other) == may_overlap(other, one)
    if matches(one, path) and matches(other, path):
        assert may_overlap(one, other)


plain = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=4).map("/".join)
EVERY_PATH = ["/".join(chosen) for depth in range(1, 8) for chosen in itertools.product("ab", repeat=depth)]


@given(plain, plain)
def test_overlap_is_exact_without_sets(one, other):
    assert may_overlap(one, other) == any(matches(one, path) and matches(other, path) for path in EVERY_PATH)


@given(patterns, patterns, paths)
@example("*", "a", "a/b")
@example("a/*", "a/**/b", "a/b")
@example("a/*/b", "a/**/b", "a/b")
def test_what_is_covered_matches(wide, narrow, path):
    if covers(wide, narrow) and matches(narrow, path):
        assert matches(wide, path)


@given(patterns)
def test_everything_covers_each_and_each_covers_itself(pattern):
    assert covers("**", pattern)
    assert covers(pattern, pattern)
    assert may_overlap("**", pattern)


@given(plain, plain)
def test_what_is_obviously_covered_is_seen(one, name):
    assert covers(one, f"{one}/{name}") or "/" not in one  # without a slash, adding one anchors it


@given(patterns, paths)
def test_a_match_lies_at_or_below_the_literal_prefix(pattern, path):
    prefix = literal_prefix(pattern)
    if matches(pattern, path) and prefix:
        assert path == prefix or path.startswith(f"{prefix}/")
    if is_whole(pattern):
        assert matches(pattern, path) == (not prefix or path == prefix or path.startswith(f"{prefix}/"))


@given(patterns, paths, paths)
def test_a_directory_leads_to_what_matches_below_it(pattern, directory, below):
    if directory and below and matches(pattern, f"{directory}/{below}"):
        assert glob(pattern).leads_to(directory)


@given(patterns, paths)
def test_loosely_is_never_less(pattern, path):
    if matches(pattern, path):
        assert matches_loosely(pattern, path)
        assert matches_loosely(pattern, path.upper()) or "[" in pattern


@given(st.lists(patterns, max_size=4), paths, st.booleans(), st.booleans())
def test_many_are_asked_as_one_after_the_other(many, path, loose, upper):
    path = path.upper() if upper else path
    fits = matches_loosely if loose else matches
    assert first_match(many, path, loose=loose) == next((one for one in many if fits(one, path)), None)


@given(st.text(), st.text())
def test_no_text_breaks_it(pattern, path):
    if problem_with(pattern):
        with pytest.raises(UsageError):
            glob(pattern)
    else:
        matches_loosely(pattern, path)
        assert covers("**", pattern)


# Examples -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("src", ["src", "src/a", "x/src/b"], ["srcs", "", "a/srcs"]),
        ("/src", ["src", "src/a/b"], ["x/src"]),
        ("src/**", ["src", "src/a/b"], ["x/src", ""]),
        ("src/", ["src", "src/a", "x/src/a"], []),
        ("src/*.py", ["src/a.py"], ["src/a/b.py", "x/src/a.py", "src"]),
        ("src/**/*.py", ["src/a.py", "src/a/b.py"], ["src/a.pyc"]),
        ("*.pem", ["a.pem", "x/y/a.pem", ".pem"], ["a.pem.txt"]),
        ("**", ["", "a", "a/b"], []),
        ("a\\*", ["a\\b"], ["a*"]),
    ],
)
def test_it_reads_like_gitignore(pattern, yes, no):
    assert [path for path in yes if not matches(pattern, path)] == []
    assert [path for path in no if matches(pattern, path)] == []


def test_bytes_that_are_no_text_are_one_character_each():
    path = from_bytes(b"caf\xe9/\xff\n")
    assert matches("caf?/??", path)
    assert matches(path, path)
    assert not matches("caf/*", path)


@pytest.mark.parametrize("name", [".ENV", ".Env", ".e\u200dnv", "\u202e.env", ".\u00adENV"])
def test_names_that_a_file_system_may_take_for_the_same_match_loosely(name):
    assert not matches(".env", name)
    assert matches_loosely(".env", name)
    assert first_match([".env"], f"a/{name}/b", loose=True) == ".env"


def test_composed_and_decomposed_names_are_the_same():
    assert fold("cafe\u0301") == fold("CAF\u00c9")


def test_a_pattern_that_folds_to_nothing_matches_nothing_more():
    assert not matches_loosely("\u200d/x", "y")
    assert not matches_loosely(".\u200d.", "y")


@pytest.mark.parametrize(
    "pattern", ["", "/", "//", "!a", "a//b", "../a", "a/..", "./a", "a/.", "a\0b", "x" * (LONGEST + 1)]
)
def test_what_can_match_nothing_is_refused(pattern):
    assert problem_with(pattern)
    with pytest.raises(UsageError) as raised:
        glob(pattern)
    assert raised.value.hint


def test_sets_of_names_that_share_one_overlap():
    for one, other in [("/a*", "/ab*"), ("/*a", "/*ba"), ("/a?", "/ab"), ("/[ab]*", "/b"), ("x/[!a]", "x/*")]:
        assert may_overlap(one, other)
    for one, other in [("/a*", "/b*"), ("/*a", "/*b"), ("/a?", "/abc"), ("/x/a*", "/y")]:
        assert not may_overlap(one, other)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("/a?", "/a*"), ("/x/*.py", "/x/*"), ("/x/a", "/x/*"), ("/x/*", "/**/x"), ("/a[*]", "/a*")],
)
def test_what_reaches_further_is_not_covered(wide, narrow):
    assert not covers(wide, narrow)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("**", "src"),
        ("src", "src/lib/*.py"),
        ("/src/**", "/src/lib"),
        ("*.py", "src/**/a.py"),
        ("*", "**/x/*.py"),
        ("src/*/test", "src/a/test/x"),
    ],
)
def test_what_a_reader_calls_within_is_covered(wide, narrow):
    assert covers(wide, narrow)
    assert not covers(narrow, wide)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 300 + "b", "a" * 4000),
        ("**/a/" * 150 + "b", "a/" * 2000 + "c"),
        ("**/*a*a*a*a*a*a*b/" * 20 + "x", "/".join(["a" * 200] * 100)),
        ("?*" * 400, "a" * 399),
        ("[" * 1000, "[" * 1000),
        ("[!" * 500, "a" * 1000),
    ],
)
def test_hostile_patterns_end(pattern, path):
    """Exponential work would take longer than the universe has."""
    pattern = pattern[:LONGEST].strip("/")
    assert matches_loosely(pattern, path) in {True, False}
    assert may_overlap(pattern, "**/a/**/b*/**/c")
    assert may_overlap(pattern, pattern)
    assert covers(pattern, pattern)
