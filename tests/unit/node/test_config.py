"""``node.toml``: what it may say, what is refused by name, and edits that keep what its owner wrote."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastro.capture.source import Root
from lastro.errors import ConfigError
from lastro.node.config import add_root, read_config, remove_root, set_listen, write_first_config

WRITTEN = """# my node
name = "web-01"   # as people say it
listen = "0.0.0.0:8422"
apply = false

[limits]
open_transfers = 2  # a small machine

# everything that matters
[[roots]]
path = "/etc/"
excludes = ["*.tmp"]

[[roots]]
path_base64 = "L3Nydi//"
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "node.toml")


def written(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def read(path):
    with open(path) as file:
        return file.read()


def test_it_is_read_whole(path):
    config = read_config(written(path, WRITTEN))
    assert (config.name, config.listen, config.limits.open_transfers) == ("web-01", "0.0.0.0:8422", 2)
    assert config.roots == (Root(path="/etc", excludes=("*.tmp",)), Root(path="/srv/\udcff"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "name"),
        ('name = ""', "name"),
        ('name = "a"\nlisen = "b"', "lisen"),
        ('name = "a"\nlisten = "nowhere"', "nowhere"),
        ('name = "a"\napply = true', "apply"),
        ('name = "a"\n[limits]\nwindow = 1', "window"),
        ('name = "a"\n[limits]\nwindow_bytes = 1', "window_bytes"),
        ('name = "a"\n[limits]\npart_bytes = 4194304', "limits"),
        ('name = "a"\n[[roots]]\npaths = "/a"', "paths"),
        ('name = "a"\n[[roots]]\npath = "etc"', "etc"),
        ('name = "a"\n[[roots]]\nexcludes = []', "path"),
        ('name = "a"\n[[roots]]\npath = "/a"\n[[roots]]\npath = "/a/"', "/a"),
        ('name = "a"\n[[roots]]\npath_base64 = "!"', "path_base64"),
        ("name = ", "node.toml"),
        ("name = 1", "name"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(path, text, named):
    with pytest.raises(ConfigError) as raised:
        read_config(written(path, text))
    assert named in str(raised.value) and path in str(raised.value)


def test_a_missing_file_says_how_to_make_one(path):
    with pytest.raises(ConfigError) as raised:
        read_config(path)
    assert "lastro node init" in raised.value.hint


def test_a_first_configuration_is_not_written_over_another(path):
    write_first_config(path, name="web-01")
    assert read_config(path).roots == ()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with pytest.raises(ConfigError):
        write_first_config(path, name="other")
    assert read_config(path).name == "web-01"


def test_edits_keep_what_was_written(path):
    written(path, WRITTEN)
    assert add_root(path, Root(path="/home/\udcfe"))
    assert not add_root(path, Root(path="/home/\udcfe"))
    assert add_root(path, Root(path="/etc", excludes=("*.bak",)))
    assert set(read_config(path).roots) == {
        Root(path="/etc", excludes=("*.bak",)),
        Root(path="/srv/\udcff"),
        Root(path="/home/\udcfe"),
    }
    assert remove_root(path, "/srv/\udcff")
    assert not remove_root(path, "/srv/\udcff")
    assert remove_root(path, "/etc")
    assert remove_root(path, "/home/\udcfe")
    assert read_config(path).roots == ()
    for comment in ("# my node", "# as people say it", "# a small machine"):
        assert comment in read(path)
    assert os.listdir(os.path.dirname(path)) == ["node.toml"]


def test_roots_written_inline_can_be_edited_too(path):
    written(path, 'name = "a"\nroots = [{ path = "/a" }, { path = "/b", excludes = ["x"] }]\n')
    assert add_root(path, Root(path="/c"))
    assert remove_root(path, "/a")
    assert read_config(path).roots == (Root(path="/b", excludes=("x",)), Root(path="/c"))


roots = st.lists(
    st.binary(max_size=12).map(
        lambda name: "/" + name.replace(b"/", b"").replace(b"\0", b"").decode("utf-8", "surrogateescape")
    ),
    unique=True,
    max_size=5,
).map(lambda paths: [path for path in paths if path not in {"/.", "/.."}])


@settings(max_examples=15)
@given(roots)
def test_any_root_is_kept_byte_for_byte(tmp_path_factory, paths):
    path = str(tmp_path_factory.mktemp("config") / "node.toml")
    write_first_config(path, name="a")
    for root in paths:
        assert add_root(path, Root(path=root))
    assert [root.path for root in read_config(path).roots] == paths
    for root in paths:
        assert remove_root(path, root)
    assert read_config(path).roots == ()


def test_a_root_that_is_not_absolute_is_refused(path):
    write_first_config(path, name="a")
    before = read(path)
    for root in ("etc", "", "./x", "/a\0b"):
        with pytest.raises(ConfigError):
            add_root(path, Root(path=root))
    assert read(path) == before


def test_the_address_can_be_changed_and_everything_else_stays(path):
    before = read_config(written(path, WRITTEN))
    set_listen(path, "127.0.0.1:8450")
    after = read_config(path)
    assert after.listen == "127.0.0.1:8450"
    assert (after.name, after.roots, after.limits) == (before.name, before.roots, before.limits)
    assert "# as people say it" in read(path)
    with pytest.raises(ConfigError):
        set_listen(path, "nowhere")
    assert read_config(path) == after
