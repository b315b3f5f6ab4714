from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastro.capture.excludes import CONFIG, STAGING, Excludes, is_staging_name
from lastro.errors import ConfigError


def excluded(pattern, path, *, is_directory=False):
    return Excludes([pattern]).reason(path, is_directory=is_directory) == CONFIG


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.o", ["a.o", "d/e/a.o", ".o"], ["a.os", "a.o/b", "o"]),
        ("cache", ["cache", "a/b/cache"], ["cache/x", "caches", "xcache"]),
        ("/cache", ["cache"], ["a/cache", "cache/x"]),
        ("a/cache", ["a/cache"], ["b/a/cache", "a/x/cache"]),
        ("a/*/c", ["a/b/c", "a/bb/c"], ["a/c", "a/b/b/c"]),
        ("a/**/c", ["a/c", "a/b/c", "a/b/b/c"], ["a/cc", "xa/c", "a/b"]),
        ("**/c", ["c", "a/c", "a/b/c"], ["cc", "a/cc"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("?.txt", ["a.txt", "é.txt", "\udcff.txt"], ["ab.txt", ".txt"]),
        ("[ab].txt", ["a.txt", "d/b.txt"], ["c.txt", "ab.txt"]),
        ("[!ab].txt", ["c.txt"], ["a.txt"]),
        ("[!-0]x", ["ax"], ["0x", "d/"]),
        ("a[.-0]b", ["a.b", "a0b"], ["a/b"]),
        ("[]]", ["]"], ["["]),
        ("[", ["["], ["]"]),
        ("[z-a]", [], ["z", "a", "-"]),
        ("a.b+c(d)", ["a.b+c(d)"], ["aXb+c(d)"]),
        ("new\nline*", ["new\nline", "new\nline\n2"], ["newline"]),
        ("*", ["a", "a/b", ".hidden", "new\nline"], []),
    ],
)
def test_what_a_pattern_matches(pattern, yes, no):
    assert [path for path in yes if not excluded(pattern, path)] == []
    assert [path for path in no if excluded(pattern, path)] == []


def test_a_slash_at_the_end_means_directories_only():
    for pattern, path in {"build/": "a/build", "/build/": "build", "a/b/": "a/b"}.items():
        assert excluded(pattern, path, is_directory=True)
        assert not excluded(pattern, path, is_directory=False)


@pytest.mark.parametrize("pattern", ["", "/", "//", "!a", "a/../b", "..", ".", "a//b", "./a"])
def test_a_pattern_that_cannot_mean_anything_is_refused(pattern):
    with pytest.raises(ConfigError) as caught:
        Excludes([pattern])
    assert repr(pattern)[1:-1] in str(caught.value)


def test_only_our_own_staging_names_are_left_out_by_themselves():
    assert all(
        map(is_staging_name, (".lastro-7-0", ".lastro-apply-7-12", ".lastro-4f2a9c-3", ".lastro-a-b-c-1"))
    )
    others = (
        ".lastro-directory",
        ".lastro-home",
        ".lastro",
        "x.lastro-7-0",
        ".lastro-7-0x",
        ".lastro-7",
        ".lastro--7",
        ".lastro-7-",
    )
    assert not any(map(is_staging_name, others))
    assert Excludes().reason("a/b/.lastro-7-0", is_directory=True) == STAGING
    for path in ("node_modules", ".git", ".cache", "a/__pycache__", "core", "x.swp", ".lastro-7-0/below"):
        assert Excludes().reason(path, is_directory=True) is None


characters = st.characters(exclude_characters="/\0*?[", exclude_categories=()) | st.sampled_from(
    ["\udcff", "\n"]
)
components = st.text(characters, min_size=1, max_size=5).filter(lambda name: name not in {".", ".."})
paths = st.lists(components, min_size=1, max_size=4).map("/".join)


@given(path=paths, other=paths)
def test_a_path_written_out_excludes_itself_and_nothing_else(path, other):
    assert excluded("/" + path, path)
    assert excluded("/" + path, other) == (path == other)


@given(path=paths, above=components)
def test_a_name_without_a_slash_is_left_out_at_any_depth(path, above):
    name = path.rpartition("/")[2]
    if not name.startswith("!"):
        assert excluded(name, path)
        assert excluded(name, f"{above}/{path}")


patterns = st.text(st.sampled_from("ab/*?[]!-."), max_size=8)


@given(pattern=patterns, path=st.text(st.sampled_from("ab."), min_size=1, max_size=4))
@example(pattern="[--a]", path="a")
@example(pattern="[a--b]", path="a")
def test_every_pattern_is_understood_or_refused(pattern, path):
    try:
        excludes = Excludes([pattern])
    except ConfigError:
        return
    excludes.reason(path, is_directory=True)


@given(
    patterns=st.lists(st.sampled_from(("a", "b/", "/a/b", "*.c", "a/**", "d/*")), max_size=3),
    path=st.lists(st.sampled_from(("a", "b", "x.c", "d", ".lastro-1-1")), min_size=1, max_size=5).map(
        "/".join
    ),
    is_directory=st.booleans(),
)
def test_what_covers_a_path_is_its_highest_excluded_part(patterns, path, is_directory):
    excludes = Excludes(patterns)
    parts = path.split("/")
    expected = None
    for length in range(1, len(parts) + 1):
        prefix = "/".join(parts[:length])
        reason = excludes.reason(prefix, is_directory=is_directory or length < len(parts))
        if reason is not None:
            expected = (prefix, reason)
            break
    assert excludes.covering(path, is_directory=is_directory) == expected
