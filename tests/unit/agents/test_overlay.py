"""The upper directory, read without a mount, is what the mounted overlay shows."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec import structs

from lastro.agents.layer import Mark
from lastro.agents.overlay import OverlayLayer, prepare_overlay
from lastro.capture.local import LocalSource
from lastro.capture.source import FileData, FileEnd, Root, Skipped
from lastro.domain.entry import Entry, EntryType
from lastro.errors import ConfigError, NotFoundError
from tests import hard_files
from tests.agent_work import WORK, make_project, perform
from tests.overlay_mount import mounted

pytestmark = [pytest.mark.needs("root", "overlays", "names of any bytes", "user xattrs")]


class Place:
    def __init__(self, top):
        self.project = f"{top}/project"
        self.directory = f"{top}/run"
        self.view = f"{top}/view"
        os.mkdir(self.project)
        os.mkdir(self.directory, 0o700)

    def prepare(self):
        prepare_overlay(self.directory, self.project)
        return OverlayLayer(self.project, self.directory)

    def work(self, work):
        with mounted(self.project, self.directory, self.view):
            perform(self.view, work)

    def seen(self):
        with mounted(self.project, self.directory, self.view):
            return everything(LocalSource([Root(path=self.view)]), self.view)


@pytest.fixture
def place():
    with hard_files.place() as top:
        place = Place(top)
        make_project(place.project)
        yield place


def everything(source, root):
    """Path → entry (without what tells one disk from another) and content."""
    listed = list(source.list(root))
    assert not [each for each in listed if isinstance(each, Skipped)]
    files = [each for each in listed if each.type is EntryType.FILE]
    contents = {each.path: (bytearray(), None) for each in files}
    for event in source.fetch(root, files):
        if isinstance(event, FileData):
            content = contents[event.path][0]
            content += bytes(event.offset - len(content)) + event.data
        elif isinstance(event, FileEnd):
            content = contents[event.path][0]
            content += bytes(event.entry.size - len(content))
            contents[event.path] = content, plain(event.entry)
    return [(plain(each), *contents.get(each.path, ())) for each in listed]


def plain(entry):
    return structs.replace(entry, dev=0, inode=0, nlink=0)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(WORK)
@pytest.mark.system
def test_the_merged_source_shows_what_the_mount_shows(work):
    top = tempfile.mkdtemp(prefix="lastro-test-")
    try:
        place = Place(top)
        make_project(place.project)
        live = everything(LocalSource([Root(path=place.project)]), place.project)
        layer = place.prepare()
        place.work(work)
        assert everything(layer.source(), place.project) == place.seen()
        assert everything(LocalSource([Root(path=place.project)]), place.project) == live
    finally:
        shutil.rmtree(top)


def test_the_roots_own_attributes_are_the_projects_and_a_change_of_them_is_seen(place):
    os.chmod(place.project, 0o2751)
    os.setxattr(place.project, "user.was", b"there")
    layer = place.prepare()
    place.work([("write", b"new", b"")])
    assert layer.changed() == ["new"]
    assert next(iter(layer.source().list(place.project))).mode == 0o2751
    with mounted(place.project, place.directory, place.view):
        os.chmod(place.view, 0o700)
    assert layer.changed() == ["", "new"]
    assert next(iter(layer.source().list(place.project))).mode == 0o700


def test_a_project_that_is_part_of_another_overlay_is_shown_whole(place):
    os.setxattr(place.project, "trusted.overlay.opaque", b"y")
    layer = place.prepare()
    place.work([("write", b"new", b"")])
    assert "d/a" in [entry.path for entry, *_ in place.seen()]
    assert layer.changed() == ["new"]


def test_preparing_again_changes_nothing(place):
    layer = place.prepare()
    place.work([("write", b"new", b"1")])
    prepare_overlay(place.directory, place.project)
    assert layer.changed() == ["new"]


def test_a_file_system_that_cannot_be_an_upper_is_refused(place):
    place.prepare()
    with mounted(place.project, place.directory, place.view), pytest.raises(ConfigError) as caught:
        prepare_overlay(place.view, place.project)
    assert caught.value.parameters["kind"] == "overlay"


def test_a_project_that_is_gone_is_said(place):
    layer = place.prepare()
    shutil.rmtree(place.project)
    with pytest.raises(NotFoundError):
        layer.manifest()
    with pytest.raises(NotFoundError):
        list(layer.source().list(place.project))


def test_a_human_who_works_meanwhile_is_not_taken_for_the_agent(place):
    layer = place.prepare()
    place.work([("write", b"d/e/new", b"agent"), ("chmod", b"d", 0o700)])
    hard_files.write(f"{place.project}/d/human", b"human")
    os.unlink(f"{place.project}/d/a")
    os.unlink(f"{place.project}/a")
    assert layer.changed() == ["d", "d/e/new"]


def test_a_directory_that_replaces_another_names_what_is_gone(place):
    layer = place.prepare()
    place.work([("remove", b"d"), ("mkdir", b"d"), ("mkdir", b"d/e"), ("write", b"d/e/b", b"new")])
    assert layer.changed() == ["d", "d/a", "d/b", "d/e/a", "d/e/b", "d/e/d", "d/not-utf-8-\udcff"]
    marks = layer.manifest()
    assert marks["d"].kind == "opaque"
    assert marks["d/e/b"].kind == "file"


def test_a_manifest_says_what_is_there(place):
    layer = place.prepare()
    assert layer.manifest() == {}
    place.work(
        [
            ("unlink", b"a"),
            ("symlink", b"e", b"/etc"),
            ("fifo", b"e2"),
            ("append", b"d/a", b"more"),
            ("write", b".git/HEAD", b"ref: elsewhere"),
        ]
    )
    hard_files.write(f"{place.directory}/upper/not-an-agents", b"1")
    kinds = {path: mark.kind for path, mark in layer.manifest().items()}
    assert kinds == {"a": "gone", "e": "symlink", "e2": "other", "d/a": "file", "not-an-agents": "file"}
    assert isinstance(layer.manifest()["d/a"], Mark)


def test_no_planted_link_is_followed(place):
    secret = f"{os.path.dirname(place.project)}/secret"
    os.mkdir(secret)
    hard_files.write(f"{secret}/key", b"key")
    layer = place.prepare()
    place.work(
        [
            ("remove", b"d"),
            ("symlink", b"d", os.fsencode(secret)),
            ("symlink", b"e", os.fsencode(f"{secret}/key")),
        ]
    )
    source = layer.source()
    assert {each.path for each in source.list(place.project, ["d", "d/key", "e"])} == {"d", "e"}
    failed = list(
        source.fetch(place.project, [Entry(path=path, type=EntryType.FILE) for path in ("d/key", "e")])
    )
    assert [(each.path, each.kind) for each in failed] == [("d/key", "vanished"), ("e", "vanished")]
    layer.remove()
    assert os.listdir(secret) == ["key"]


def test_signs_of_the_overlay_are_never_shown_and_cannot_be_planted(place):
    layer = place.prepare()
    with mounted(place.project, place.directory, place.view) as view:
        os.mkdir(f"{view}/new")
        os.setxattr(f"{view}/new", "user.overlay.opaque", b"y")
        os.setxattr(f"{view}/d", "user.overlay.opaque", b"y")
        os.chmod(f"{view}/d", 0o711)
        shown = plain_xattrs(f"{view}/d")
        seen = everything(LocalSource([Root(path=view)]), view)
    assert everything(layer.source(), place.project) == seen
    assert not [name for name in shown if name.startswith("trusted.overlay")]
    assert "d/a" in {entry.path for entry, *_ in everything(layer.source(), place.project)}


def plain_xattrs(path):
    return os.listxattr(path)


def test_a_very_deep_tree_of_an_agents_is_listed_and_removed(place):
    layer = place.prepare()
    with mounted(place.project, place.directory, place.view) as view:
        deep = hard_files.nested(view, [b"n" * 100] * 300, file=b"x")
    assert deep in layer.manifest()
    assert len(layer.changed()) == 301
    (entry,) = layer.source().list(place.project, [deep])
    assert entry.size == 1
    layer.remove()
    assert sorted(os.listdir(place.directory)) == []


_IN_NAMESPACE = """
set -e
mount -t overlay overlay -o "lowerdir=$1/project,upperdir=$1/run/upper,workdir=$1/run/work,userxattr,metacopy=off,index=off" "$1/project"
cd "$1/project"
rm a; echo more >> d/a; rm -r d/e; mkdir d/e; echo new > d/e/new; mv b moved; chmod 700 d; ln -s /etc link; chmod 000 d/a
setfattr -n user.overlay.opaque -v y d 2>/dev/null || true
find . -printf '%P %y %m\\n' | LC_ALL=C sort > "$1/shown"
"""


@pytest.mark.needs("another user", "an interpreter that others may run", "user namespaces")
@pytest.mark.system
def test_the_overlay_of_a_user_namespace_is_read_by_its_own_user():
    """What ``find`` saw in the mount is what the source lists, though some of it is unreadable; its signs are other attributes."""
    with hard_files.place() as top:
        for name in ("project", "run"):
            os.mkdir(f"{top}/{name}")
        make_project(f"{top}/project")
        for folder, _, files in os.walk(top):
            for name in ["", *files]:
                os.chown(os.path.join(folder, name), 65534, 65534, follow_symlinks=False)
        os.chmod(f"{top}/run", 0o700)
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        prepare = "import sys; from lastro.agents.overlay import *; prepare_overlay(sys.argv[1] + '/run', sys.argv[1] + '/project')"
        subprocess.run([*as_nobody, sys.executable, "-c", prepare, top], check=True, timeout=60)
        subprocess.run(
            [*as_nobody, "unshare", "-Urm", "sh", "-c", _IN_NAMESPACE, "sh", top],
            check=True,
            timeout=60,
        )
        listed = subprocess.run(
            [*as_nobody, sys.executable, "-c", _LIST, top], check=True, timeout=60, capture_output=True
        )
        found = ast.literal_eval(listed.stdout.decode())
        with open(f"{top}/shown", "rb") as file:
            shown = sorted(line.rsplit(b" ", 2) for line in file.read().splitlines())
        kinds = {"file": b"f", "hardlink": b"f", "dir": b"d", "symlink": b"l"}
        assert shown == sorted(
            [os.fsencode(path), kinds[kind], b"%o" % mode] for path, kind, mode in found["entries"]
        )
        assert found["changed"] == [
            "a",
            "b",
            "d",
            "d/a",
            "d/e",
            "d/e/a",
            "d/e/b",
            "d/e/d",
            "d/e/new",
            "link",
            "moved",
        ]
        assert found["signs"] == []


_LIST = """
import sys
from lastro.agents.overlay import OverlayLayer
top = sys.argv[1]
layer = OverlayLayer(top + "/project", top + "/run")
entries = list(layer.source().list(top + "/project"))
signs = [x.name for each in entries for x in each.xattrs if x.name.startswith("user.overlay") and each.path != "d"]
print({"entries": [(each.path, each.type.value, each.mode) for each in entries], "changed": list(layer.changed()), "signs": signs})
"""
