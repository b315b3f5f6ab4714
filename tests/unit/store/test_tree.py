import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain import changes
from lastro.domain.entry import FIELD_USES, Entry, EntryType
from lastro.domain.paths import join, tree_order
from lastro.errors import ConflictError, DamagedError, ProtocolError, UsageError
from lastro.store import nodes
from lastro.store.tree import (
    TreeEntry,
    decode_tree_entry,
    diff,
    encode_tree_entry,
    lookup,
    read_directory,
    to_entry,
    to_tree_entry,
    update,
    walk,
    write_directory,
)
from tests.store_kit import DictStore
from tests.unit.store.trees import as_edits, edited, full_entries, in_order, listings, names, plain, small


def build(store, listing):
    return update(store, store, None, as_edits(listing)) if listing else None


def listing_of(store, root):
    return [to_entry(entry, path) for path, entry in walk(store, root)] if root else []


# entries


@given(full_entries)
def test_every_recorded_field_comes_back(entry):
    stored = decode_tree_entry(encode_tree_entry(to_tree_entry(entry)))
    back = to_entry(stored, entry.path)
    for name, use in FIELD_USES.items():
        if use.recorded:
            assert getattr(back, name) == getattr(entry, name), name


def test_the_table_of_fields_and_the_stored_entry_name_the_same_fields():
    recorded = {name for name, use in FIELD_USES.items() if use.recorded} - {"path"}
    assert set(TreeEntry.__struct_fields__) == recorded | {"name", "content", "subtree"}
    assert list(TreeEntry.__struct_fields__) == sorted(TreeEntry.__struct_fields__)


@given(full_entries)
def test_an_entry_has_one_encoding(entry):
    raw = encode_tree_entry(to_tree_entry(entry))
    assert encode_tree_entry(decode_tree_entry(raw)) == raw
    fields = msgspec.msgpack.decode(raw)
    assert list(fields) == sorted(fields)
    defaults = dict(zip(TreeEntry.__struct_fields__, TreeEntry.__struct_defaults__, strict=True))
    assert all(fields[name] != defaults[name] for name in fields)


def test_what_is_no_entry_is_damage():
    with pytest.raises(DamagedError):
        decode_tree_entry(b"\xc1")


# one directory


def directory_entries(count, **fields):
    return [to_tree_entry(plain(f"f{number:05}", size=number, **fields)) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 100, 5000])
def test_a_directory_reads_back_sorted_whatever_the_order(count):
    store, entries = DictStore(), directory_entries(count)
    node = write_directory(store, reversed(entries))
    assert list(read_directory(store, node)) == entries
    assert write_directory(store, entries) == node


def test_pieces_of_a_directory_are_small_and_bounded():
    store = DictStore()
    write_directory(store, directory_entries(20_000))
    sizes = [len(msgspec.msgpack.decode(chunk)[1]) for chunk in store.chunks.values()]
    assert max(sizes) <= nodes.MAXIMUM_ITEMS
    assert 20_000 / nodes.AVERAGE / 2 < len(sizes) < 20_000 / nodes.AVERAGE * 2


def test_big_entries_end_a_piece_early():
    store = DictStore()
    entries = directory_entries(40, xattrs=())
    fat = [msgspec.structs.replace(entry, xattrs=((b"user.x", bytes(60_000)),)) for entry in entries]
    assert list(read_directory(store, write_directory(store, fat))) == fat
    assert max(map(len, store.chunks.values())) < nodes.MAXIMUM_BYTES + 61_000


def test_one_edit_in_a_large_directory_reads_and_writes_few_pieces():
    store, entries = DictStore(), directory_entries(20_000)
    root = TreeEntry(type=EntryType.DIRECTORY, subtree=write_directory(store, entries))
    store.written.clear()
    store.read.clear()
    after = update(store, store, root, {"f10000": to_tree_entry(plain("f10000", size=-1))})
    assert len(store.written) <= 6
    assert sum(len(store.chunks[chunk]) for chunk in store.written) < 60_000
    leaves_read = [chunk for chunk in store.read if store.chunks[chunk][1] == 0]
    assert len(leaves_read) <= 3
    assert lookup(store, after, "f10000").size == -1


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"nul\0"])
def test_an_impossible_name_is_refused(name):
    with pytest.raises(UsageError):
        write_directory(DictStore(), [TreeEntry(name=name)])


def test_a_name_cannot_stand_twice():
    with pytest.raises(UsageError):
        write_directory(DictStore(), [TreeEntry(name=b"a"), TreeEntry(name=b"a", size=1)])


@pytest.mark.parametrize(
    "raw", [b"", b"\x92\x00", b"\x93\x00\x90\x90", b"\x92\x00\x91\x01", b"\x92\x01\x91\x01"]
)
def test_a_chunk_that_is_no_piece_is_damage(raw):
    store = DictStore()
    node = store.put(raw)
    with pytest.raises(DamagedError):
        list(read_directory(store, node))


# whole trees


@given(listings())
def test_a_tree_walks_as_it_was_listed(listing):
    store = DictStore()
    root = build(store, listing)
    assert listing_of(store, root) == in_order(listing)
    for path, entry in listing.items():
        assert to_entry(lookup(store, root, path), path) == entry
    assert lookup(store, root, "no/such") is None


@given(listings(), listings())
def test_a_diff_of_trees_is_the_diff_of_their_walks(before, after):
    store = DictStore()
    old, new = build(store, before), build(store, after)
    expected = list(changes.diff(in_order(before), in_order(after)))
    assert list(diff(store, old, new)) == expected
    assert list(diff(store, None, new)) == list(changes.diff([], in_order(after)))
    assert list(diff(store, old, None)) == list(changes.diff(in_order(before), []))
    assert list(diff(store, old, old)) == []


@given(listings(), st.data())
def test_an_update_gives_the_tree_of_the_edited_listing(listing, data):
    store = DictStore()
    root = build(store, listing)
    kinds = st.sampled_from([EntryType.FILE, EntryType.DIRECTORY])
    entries = st.none() | st.builds(plain, st.just(""), kinds, mode=small)
    paths = st.sampled_from(sorted(listing)[1:] or ["a"]) | st.builds(
        join, st.sampled_from(sorted(listing)), names
    )
    edits = data.draw(st.dictionaries(paths, entries, max_size=5))
    wanted = {path: None if entry is None else to_tree_entry(entry) for path, entry in edits.items()}
    try:
        expected = edited(listing, edits)
    except KeyError:
        with pytest.raises(ConflictError):
            update(store, store, root, wanted)
        return
    result = update(store, store, root, wanted)
    assert listing_of(store, result) == in_order(expected)
    assert result == build(store, expected)  # the same node, however the tree came about


@given(listings(), listings())
def test_the_edits_of_a_diff_lead_from_one_tree_to_the_other(before, after):
    store = DictStore()
    old, new = build(store, before), build(store, after)
    edits = {
        path: to_tree_entry(after[path]) if path in after else None
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }
    assert update(store, store, old, edits) == new


@given(st.integers(0, 600), st.integers(0, 60), st.integers(0, 999), st.integers(0, 1))
def test_edits_of_a_large_directory_leave_no_trace_of_their_history(count, edited_count, seed, change):
    store, chance = DictStore(), random.Random(seed)
    present, toggled = (set(chance.sample(range(1000), number)) for number in (count, edited_count))
    root = TreeEntry(type=EntryType.DIRECTORY)

    def edits(numbers, **fields):
        return {f"f{number}": to_tree_entry(plain(f"f{number}", **fields)) for number in numbers}

    before = update(store, store, None, {"": root, **edits(present)})
    removed, added = present & toggled, toggled - present
    after = update(store, store, before, {**dict.fromkeys(edits(removed)), **edits(added, size=change)})
    directly = {**edits(present - removed), **edits(added, size=change)}
    assert after == update(store, store, None, {"": root, **directly})
    assert len(list(diff(store, before, after))) == len(toggled)


def test_levels_shrink_even_if_every_item_ends_a_piece(monkeypatch):
    monkeypatch.setattr(nodes, "AVERAGE", 1)
    store, entries = DictStore(), directory_entries(50)
    assert list(read_directory(store, write_directory(store, entries))) == entries


def test_a_diff_reads_only_what_differs():
    store = DictStore()
    listing = {"": plain("", EntryType.DIRECTORY)}
    for number in range(50):
        listing[f"d{number}"] = plain(f"d{number}", EntryType.DIRECTORY)
        listing |= {f"d{number}/f{name}": plain(f"d{number}/f{name}") for name in range(20)}
    before = build(store, listing)
    after = update(store, store, before, {"d7/f7": to_tree_entry(plain("f7", size=1))})
    store.read.clear()
    assert [change.path for change in diff(store, before, after)] == ["d7/f7"]
    assert len(store.read) < 14


def test_an_edit_of_a_directory_keeps_what_it_holds_unless_it_brings_its_own():
    store = DictStore()
    listing = {path: plain(path, EntryType.DIRECTORY) for path in ("", "d")} | {"d/f": plain("d/f")}
    root = build(store, listing)
    kept = update(store, store, root, {"d": to_tree_entry(plain("d", EntryType.DIRECTORY, mode=7))})
    assert [path for path, _ in walk(store, kept)] == ["", "d", "d/f"]
    empty = to_tree_entry(plain("d", EntryType.DIRECTORY), subtree=write_directory(store, []))
    assert [path for path, _ in walk(store, update(store, store, root, {"d": empty}))] == ["", "d"]
    top = to_tree_entry(plain("", EntryType.DIRECTORY, mode=7))
    assert [path for path, _ in walk(store, update(store, store, root, {"": top}))] == ["", "d", "d/f"]


def test_a_tree_may_be_a_single_file_or_nothing():
    store = DictStore()
    root = update(store, store, None, {"": to_tree_entry(plain("", size=3))})
    assert [(path, entry.size) for path, entry in walk(store, root)] == [("", 3)]
    assert update(store, store, root, {"": None}) is None
    assert update(store, store, None, {}) is None


@pytest.mark.parametrize("path", ["/a", "a//b", "../a", "a/", "a\0"])
def test_an_unclean_path_is_refused(path):
    with pytest.raises(ProtocolError):
        update(DictStore(), DictStore(), None, {path: None})


def test_a_tree_may_be_deeper_than_any_stack():
    store = DictStore()
    depth = 1200
    listing = {"": plain("", EntryType.DIRECTORY)}
    path = ""
    for _ in range(depth):
        path = join(path, "d")
        listing[path] = plain(path, EntryType.DIRECTORY)
    root = build(store, listing)
    assert sum(1 for _ in walk(store, root)) == depth + 1
    changed = update(store, store, root, {join(path, "f"): to_tree_entry(plain("f"))})
    assert len(list(diff(store, root, changed))) == 1


def test_the_empty_entry_is_small():
    assert len(encode_tree_entry(to_tree_entry(Entry(path="a", type=EntryType.FILE)))) == 9


@given(listings())
def test_walks_are_in_tree_order(listing):
    store = DictStore()
    paths = [path for path, _ in walk(store, build(store, listing), "home")]
    assert paths == sorted(paths, key=tree_order)
    assert paths[0] == "home"
