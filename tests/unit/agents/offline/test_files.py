"""The offline agent's own tools do what they say, in the project and nowhere else."""

import os
import shutil
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lastro.agents.offline.files import FILE_LIMIT, NAMES_LIMIT, READ_LIMIT, Files, RefusedError

NAMES = st.sampled_from(["a", "b.txt", "sub/c", "sub/deep/d", "./a", "sub/../a", "sub//c"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OUTSIDE = st.sampled_from(
    ["/etc/passwd", "../x", "sub/../../x", "..", "/", "link/x", "up/x", ".git/config", ".git", "a\0b", "/srv"]
)


class Model(RuleBasedStateMachine):
    """Against a plain dict of clean name → text."""

    def __init__(self):
        super().__init__()
        self.place = tempfile.mkdtemp()
        self.project, self.outside = f"{self.place}/project", f"{self.place}/outside"
        os.makedirs(f"{self.project}/.git")
        os.makedirs(self.outside)
        os.symlink(self.outside, f"{self.project}/link")
        os.symlink("..", f"{self.project}/up")
        self.files = Files(self.project)
        self.kept: dict[str, str] = {}

    @rule(name=NAMES, text=TEXTS)
    def write(self, name, text):
        self.files.write(name, text)
        self.kept[os.path.normpath(name)] = text

    @rule(name=NAMES, old=TEXTS, new=TEXTS)
    def edit(self, name, old, new):
        clean = os.path.normpath(name)
        if old and self.kept.get(clean, "").count(old) == 1:
            self.files.edit(name, old, new)
            self.kept[clean] = self.kept[clean].replace(old, new)
        else:
            with pytest.raises(RefusedError):
                self.files.edit(name, old, new)

    @rule(name=OUTSIDE, text=TEXTS)
    def outside_is_refused(self, name, text):
        for refused in (
            lambda: self.files.read(name),
            lambda: self.files.write(name, text),
            lambda: self.files.edit(name, text, text),
        ):
            with pytest.raises(RefusedError):
                refused()

    @invariant()
    def the_project_is_as_the_model_says(self):
        found = {}
        for folder, _, names in os.walk(self.project):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    with open(path, encoding="utf-8", newline="") as file:
                        found[os.path.relpath(path, self.project)] = file.read()
        assert found == self.kept
        assert os.listdir(self.outside) == []
        assert self.files.changed == set(self.kept)
        assert all(self.files.read(name) == text for name, text in self.kept.items())

    def teardown(self):
        self.files.close()
        shutil.rmtree(self.place)


TestModel = Model.TestCase


@pytest.fixture
def files(tmp_path):
    opened = Files(str(tmp_path))
    yield opened
    opened.close()


def test_the_mode_of_a_file_stays(files, tmp_path):
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\necho a\n")
    script.chmod(0o755)
    files.edit("run.sh", "echo a", "echo b")
    assert script.stat().st_mode & 0o777 == 0o755


def test_a_link_is_not_followed_and_stays(files, tmp_path):
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    for refused in (lambda: files.read("link"), lambda: files.write("link", "y")):
        with pytest.raises(RefusedError):
            refused()
    assert (tmp_path / "real").read_text() == "x"
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_what_is_no_text_file_is_refused(files, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", FILE_LIMIT + 1)
    for name in ("binary", "pipe", "large", "missing", "."):
        with pytest.raises(RefusedError):
            files.read(name)


def test_long_files_are_read_in_parts(files, tmp_path):
    lines = [f"line {number}\n" for number in range(1, 10_000)]
    (tmp_path / "long").write_text("".join(lines))
    seen, start = "", 1
    while True:
        part, mark, rest = files.read("long", start).partition("\n[cut; go on with start=")
        assert len(part) <= READ_LIMIT
        whole = part.rsplit("\n", 1)[0] + "\n" if mark else part
        seen += whole
        if not mark:
            break
        start = int(rest.rstrip("]"))
    assert seen == "".join(lines)


def test_lists_and_searches_are_bounded_and_never_leave(files, tmp_path):
    for number in range(NAMES_LIMIT + 5):
        (tmp_path / f"{number}.txt").write_text("Needle here\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("needle")
    (tmp_path / "out").symlink_to("/")
    listed = files.names(".").splitlines()
    assert len(listed) == NAMES_LIMIT + 1
    found = files.search("needle", "").splitlines()
    assert found[0] == "0.txt:1: Needle here"
    assert found[-1] == "[more is there]"
    assert files.search("nowhere", ".") == "[nothing found]"
    with pytest.raises(RefusedError):
        files.names("../")
    with pytest.raises(RefusedError):
        files.search("", ".")


@given(st.text())
def test_no_path_is_too_strange(path):
    with tempfile.TemporaryDirectory() as place:
        files = Files(place)
        for way in (lambda: files.read(path), lambda: files.names(path)):
            try:
                way()
            except RefusedError:
                continue
        files.close()
