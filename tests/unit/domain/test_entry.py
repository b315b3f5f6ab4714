"""Laws of entries: one table says what each field is good for, and comparing follows it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.entry import (
    COMPARED,
    FIELD_USES,
    Device,
    Entry,
    EntryType,
    Extent,
    Xattr,
    compared,
    differing,
    stat_key,
)
from lastro.domain.ids import Digest
from tests.strategies import entries

OTHER = {
    "type": EntryType.FIFO,
    "mode": 0o1234,
    "uid": 77,
    "gid": 77,
    "user": "other",
    "group": "other",
    "mtime_ns": 77,
    "ctime_ns": 77,
    "btime_ns": 77,
    "size": 77,
    "link_target": "other",
    "rdev": Device(7, 7),
    "xattrs": (Xattr("user.other", b"7"),),
    "flags": 77,
    "holes": (Extent(7, 7),),
    "digest": b"7" * 32,
    "torn": True,
    "dev": 77,
    "inode": 77,
    "nlink": 77,
}
"""A value of every field but ``path`` that no other entry here has."""

FIELDS = [field.name for field in msgspec.structs.fields(Entry)]
FILE = Entry(path="a", type=EntryType.FILE, mode=0o644, digest=Digest(b"1" * 32))


def test_the_table_has_exactly_the_fields_of_an_entry():
    assert sorted(FIELD_USES) == sorted(FIELDS) == sorted([*OTHER, "path"])


def test_the_table_says_what_the_design_says():
    def having(use):
        return {name for name in FIELDS if getattr(FIELD_USES[name], use)}

    assert having("compared") == {*COMPARED, "path"}
    content = {"type", "size", "digest", "link_target", "rdev"}
    assert having("compared") == {"path", *content, "mode", "uid", "gid", "xattrs", "flags"}
    assert having("restorable") - having("compared") == {"mtime_ns", "holes"}
    assert having("compared") <= having("restorable") <= having("recorded")
    assert set(FIELDS) - having("recorded") == {"dev", "inode", "nlink"}


@pytest.mark.parametrize("name", OTHER)
def test_a_field_makes_a_difference_exactly_when_it_is_compared(name):
    touched = replace(FILE, **{name: OTHER[name]})
    assert differing(FILE, touched) == differing(touched, FILE) == ((name,) if name in COMPARED else ())


@given(entries(), st.sets(st.sampled_from(sorted(OTHER))))
def test_exactly_the_touched_compared_fields_differ_in_the_order_of_the_table(entry, names):
    touched = replace(entry, **{name: OTHER[name] for name in names})
    different = [
        name
        for name in COMPARED
        if name in names
        and compared(entry, name) != compared(touched, name)
        and OTHER[name] != getattr(entry, name)
    ]
    assert list(differing(entry, touched)) == different
    assert differing(entry, entry) == ()


def test_the_mode_of_a_symlink_is_no_difference_but_that_of_anything_else_is():
    link = Entry(path="l", type=EntryType.SYMLINK, mode=0o777, link_target="x")
    assert differing(link, replace(link, mode=0o755)) == ()
    assert differing(FILE, replace(FILE, mode=0o755)) == ("mode",)


@given(entries(), st.sampled_from(["size", "mtime_ns", "ctime_ns", "inode", "dev"]))
def test_a_stat_key_changes_with_each_of_its_fields_and_nothing_else(entry, name):
    assert stat_key(replace(entry, **{name: getattr(entry, name) ^ 1})) != stat_key(entry)
    others = {field: value for field, value in OTHER.items() if not hasattr(stat_key(entry), field)}
    assert stat_key(replace(entry, **others)) == stat_key(entry)


@given(entries())
def test_an_entry_cannot_be_changed(entry):
    with pytest.raises(AttributeError):
        entry.mode = 0
