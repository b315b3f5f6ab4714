"""Settings are written into the home of a run and nowhere else, whatever an agent left there."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.adapters.home import write_inside
from lastro.errors import ConflictError

PLANTED = st.dictionaries(
    st.sampled_from([".codex", ".codex/config.toml", ".codex/config.toml.new-settings", ".codex/sub"]),
    st.sampled_from(["link to a file", "link to a folder", "broken link", "file", "folder", "loop"]),
)


@given(PLANTED)
def test_no_planted_link_is_followed(planted):
    place = Path(tempfile.mkdtemp())
    home, outside = place / "home", place / "outside"
    home.mkdir()
    (outside / "sub").mkdir(parents=True)
    (outside / "config.toml").write_text("precious")
    for path, kind in sorted(planted.items()):
        plant(home / path, kind, outside)
    try:
        write_inside(str(home), ".codex/config.toml", b"ours")
    except ConflictError:
        assert any(kind == "folder" for kind in planted.values())
    else:
        written = home / ".codex/config.toml"
        assert written.read_bytes() == b"ours"
        assert not written.is_symlink()
        assert not written.parent.is_symlink()
        assert written.stat().st_mode & 0o777 == 0o600
    assert (outside / "config.toml").read_text() == "precious"
    assert sorted(os.listdir(outside)) == ["config.toml", "sub"]
    assert os.listdir(outside / "sub") == []
    shutil.rmtree(place)


def plant(path, kind, outside):
    if not path.parent.is_dir() or path.is_symlink() or path.exists():
        return
    if path.parent.resolve() != path.parent:  # it would be planted outside
        return
    match kind:
        case "link to a file":
            path.symlink_to(outside / "config.toml")
        case "link to a folder":
            path.symlink_to(outside)
        case "broken link":
            path.symlink_to(outside / "new")
        case "loop":
            path.symlink_to(path.name)
        case "file":
            path.write_text("old")
        case _:
            path.mkdir()


def test_what_was_there_is_replaced_whole(tmp_path):
    write_inside(str(tmp_path), "a/b/c", b"long, and longer")
    write_inside(str(tmp_path), "a/b/c", b"short")
    assert (tmp_path / "a/b/c").read_bytes() == b"short"
    assert os.listdir(tmp_path / "a/b") == ["c"]


def test_a_home_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "home").symlink_to("real")
    with pytest.raises((OSError, ConflictError)):
        write_inside(str(tmp_path / "home"), "x", b"")
    assert os.listdir(tmp_path / "real") == []
