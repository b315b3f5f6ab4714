"""Laws of paths: no byte is lost, order is that of a walk, nothing hostile passes, nothing printed is alive."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastro.domain.paths import (
    check_relative,
    from_bytes,
    is_faithful,
    is_within,
    join,
    name_of,
    parent_of,
    printable,
    relative_to,
    to_bytes,
    tree_order,
)
from lastro.errors import ProtocolError
from tests.strategies import absolute_paths, any_name, paths, trees

any_path = st.one_of(st.just(""), paths)
anything = st.text(st.characters(exclude_categories=[]), max_size=12) | st.binary(max_size=12).map(from_bytes)


@given(st.binary())
def test_no_byte_is_lost(raw):
    assert to_bytes(from_bytes(raw)) == raw


# Order --------------------------------------------------------------------------------------------------------------------------------


def walked(tree, directory=""):
    """A depth-first walk of ``tree``, siblings sorted by their bytes."""
    yield directory
    names = {relative_to(path, directory).split("/")[0] for path in tree if is_within(path, directory)} - {""}
    for name in sorted(names, key=to_bytes):
        yield from walked(tree, join(directory, name))


@given(trees(most=12))
def test_tree_order_is_the_order_of_a_walk(tree):
    assert sorted(tree, key=tree_order) == list(walked(tree))


@given(st.sets(any_path, max_size=8))
def test_tree_order_tells_all_paths_apart_and_holds_directories_together(some):
    order = sorted(some, key=tree_order)
    assert len({tree_order(path) for path in some}) == len(some)
    for directory in some:
        inside = [is_within(path, directory) for path in order]
        first = order.index(directory)
        assert inside == [first <= place < first + sum(inside) for place in range(len(order))]


@pytest.mark.parametrize(
    "order", [["", "a", "a/b", "a-b"], ["A", "a", "a b", "\udcff"], ["/", "/a", "/a/b", "/a-b"]]
)
def test_tree_order_is_not_the_order_of_strings(order):
    assert sorted(set(order), key=tree_order) == order


# Parts --------------------------------------------------------------------------------------------------------------------------------


@given(paths)
def test_a_path_is_its_parent_and_its_name(path):
    assert join(parent_of(path), name_of(path)) == path
    assert parent_of("") == ""


@given(any_path | absolute_paths, any_path)
def test_relative_to_undoes_join(directory, path):
    whole = join(directory, path)
    assert is_within(whole, directory)
    assert relative_to(whole, directory) == path


@given(any_path, any_path, any_path)
def test_joining_is_associative_with_the_root_as_its_unit(one, two, three):
    assert join(join(one, two), three) == join(one, join(two, three))
    assert join("", one) == join(one, "") == one


@given(any_path, any_path)
def test_a_path_is_within_exactly_what_it_starts_with(path, directory):
    above = path.split("/") if path else []
    start = directory.split("/") if directory else []
    assert is_within(path, directory) == (above[: len(start)] == start)


@given(st.tuples(any_path, any_path) | st.tuples(absolute_paths, absolute_paths))
def test_relative_to_never_answers_for_what_is_elsewhere(pair):
    path, directory = pair
    if is_within(path, directory):
        assert join(directory, relative_to(path, directory)) == path
    else:
        with pytest.raises(ValueError, match="is not within"):
            relative_to(path, directory)


@pytest.mark.parametrize(
    ("path", "directory", "within"),
    [("/etc", "/", True), ("/etc-old", "/etc", False), ("/", "/", True), ("/etc", "/etc/nginx", False)],
)
def test_within_looks_at_names_not_letters(path, directory, within):
    assert is_within(path, directory) is within


# Peers --------------------------------------------------------------------------------------------------------------------------------


@given(any_path)
def test_a_clean_relative_path_passes(path):
    assert check_relative(path) == path


HOSTILE = [
    "/",
    "/etc",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/./b",
    "a/../../etc",
    "a\0b",
    "\0",
    "\ud800",
]
HOSTILE += ["\udcc3\udca9"]  # the bytes of an é, which are to be written as é


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_a_hostile_path_is_refused(path):
    with pytest.raises(ProtocolError):
        check_relative(path)


@given(anything)
@example("a/\udcc3\udca9")
def test_what_passes_is_a_path_below_the_root_and_the_only_way_to_write_it(text):
    try:
        check_relative(text)
    except ProtocolError:
        return
    assert from_bytes(to_bytes(text)) == text
    assert "\0" not in text
    assert not {"", ".", ".."} & set(text.split("/")) or text == ""


@given(anything)
def test_a_faithful_text_is_what_some_bytes_decode_to(text):
    try:
        raw = to_bytes(text)
    except UnicodeEncodeError:
        assert not is_faithful(text)
    else:
        assert is_faithful(text) == (from_bytes(raw) == text and b"\0" not in raw)


# Terminals ----------------------------------------------------------------------------------------------------------------------------

SHOWN = [
    ("etc/nginx.conf", "etc/nginx.conf"),
    ("café 日本 שלום", "café 日本 שלום"),
    ("caf\udce9", r"caf\xe9"),
    ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
    ("two\nlines\t", r"two\x0alines\x09"),
    ("c1\x9b", r"c1\u009b"),
    ("gnp\u202eexe", r"gnp\u202eexe"),
    ("\u200ea\u200b\u2066\u061c\ufeff", r"\u200ea\u200b\u2066\u061c\ufeff"),
    ("a\u00a0b\u2028\u3164\ufe0f", r"a\u00a0b\u2028\u3164\ufe0f"),
    ("\U000e0041\U000e0100", r"\U000e0041\U000e0100"),
    ("\ud800", r"\ud800"),
]


@pytest.mark.parametrize(("path", "shown"), SHOWN, ids=ascii)
def test_what_is_printed(path, shown):
    assert printable(path) == shown


@given(anything)
@example("".join(map(chr, range(0x3000))))
@example("".join(path for path, _ in SHOWN))
def test_what_is_printed_is_inert(text):
    shown = printable(text)
    shown.encode()
    assert not [one for one in shown if unicodedata.category(one)[0] == "C" or (one != " " and one.isspace())]
    assert not [one for one in shown if unicodedata.bidirectional(one) in BIDI_CONTROLS]
    assert printable(shown) == shown


BIDI_CONTROLS = {"LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"}


@given(st.lists(any_name, min_size=2, max_size=2, unique=True))
@example(["\x85", "\udc85"])
@example(["\U0001d1731", "\u1d17" + "31"])
@example(["\U0001d173", "\u1d173"])
def test_two_names_without_a_backslash_never_look_the_same(pair):
    one, other = (name.replace("\\", "/") for name in pair)
    assert (printable(one) == printable(other)) == (one == other)
