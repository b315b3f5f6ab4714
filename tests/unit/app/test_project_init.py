"""``lastro project init`` makes what is missing, leaves what is there, and writes through no link."""

from __future__ import annotations

import contextlib
import os
import shutil
import tomllib

import pytest

from lastro.app.operations import project as module
from lastro.app.operations.project import guess_checks, init, project_files
from lastro.app.places import places_of
from lastro.app.project_texts import ROLES
from lastro.app.requests.policy import InitProject
from lastro.app.wiring import open_desk
from lastro.domain.policy import BUILT_IN_ROLES
from lastro.errors import StorageFullError, UsageError
from lastro.filesystem.system import System
from lastro.proposals.checks_file import load_checks
from lastro.proposals.policy import DEFAULT_POLICY
from lastro.proposals.policy_file import policy_of


@pytest.fixture
def project(tmp_path):
    path = os.path.realpath(tmp_path / "project")
    os.mkdir(path)
    return path


@pytest.fixture
def desk(tmp_path):
    with open_desk(places_of(os.path.realpath(tmp_path / "home"))) as desk:
        yield desk


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def everything(directory):
    return sorted(
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, folders, files in os.walk(directory)
        for name in (*folders, *files)
    )


def test_a_plan_writes_nothing_and_says_what_would_be_made(desk, project):
    plan = init(desk, InitProject(project=project, plan=True))
    assert (plan.plan, everything(project)) == (True, [])
    assert init(desk, InitProject(project=project)).made == plan.made


def test_it_may_be_run_again(desk, project):
    first = init(desk, InitProject(project=project))
    before = {path: read(f"{project}/{path}") for path in first.made}
    again = init(desk, InitProject(project=project))
    assert (again.made, again.kept) == ((), first.made)
    assert {path: read(f"{project}/{path}") for path in first.made} == before
    assert not [name for name in everything(project) if name.endswith(".tmp")]


def test_what_is_there_stays(desk, project):
    write(f"{project}/AGENTS.md", "mine")
    write(f"{project}/.lastro/policy.toml", "expires = '1d'\n")
    reply = init(desk, InitProject(project=project))
    assert reply.kept == ("AGENTS.md", ".lastro/policy.toml")
    assert read(f"{project}/AGENTS.md") == "mine"


def test_a_fresh_project_behaves_as_one_without_the_files(desk, project):
    write(f"{project}/Makefile", "test:\n\techo\n")
    init(desk, InitProject(project=project))
    assert policy_of("", read(f"{project}/.lastro/policy.toml")) == DEFAULT_POLICY
    assert load_checks(read(f"{project}/.lastro/project.toml")) == ()
    assert set(ROLES) == set(BUILT_IN_ROLES)


def test_what_stands_in_comments_is_sound(project):
    write(f"{project}/Makefile", "test: all\n\techo\ncheck := 1\n")
    for path, text in project_files(project):
        if not path.endswith(".toml"):
            continue
        lines = [
            line.removeprefix("# ")
            for line in text.splitlines()
            if line.startswith(("# [", "# ")) and _is_toml(line)
        ]
        if path.endswith("policy.toml"):
            assert policy_of("", "\n".join(lines)).project_review
        else:
            assert [check.command for check in load_checks("\n".join(lines))] == [("make", "test")]


def _is_toml(line):
    line = line.removeprefix("# ")
    return line.startswith("[") or " = " in line.split("#", 1)[0]


@pytest.mark.parametrize(
    ("name", "text", "commands"),
    [
        ("Makefile", "lint:\n\ntest: lint\n", [("make", "test"), ("make", "lint")]),
        ("Makefile", "test := 3\ntests:\n", []),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", [("python3", "-m", "pytest", "-q")]),
        ("package.json", '{"scripts": {"test": "vitest"}}', [("npm", "test")]),
        ("package.json", '{"scripts": ["test"]}', []),
        ("package.json", "[" * 100_000, []),
        ("Cargo.toml", "[package]\n", [("cargo", "test", "--offline")]),
        ("go.mod", "module x\n", [("go", "test", "./...")]),
    ],
)
def test_checks_are_guessed_from_what_is_there(project, name, text, commands):
    write(f"{project}/{name}", text)
    checks = guess_checks(project)
    assert [command for _name, command in checks] == commands
    text = dict(project_files(project))[".lastro/project.toml"]
    assert tomllib.loads(text) == {}


def test_nothing_is_guessed_from_a_planted_link(project, tmp_path):
    write(tmp_path / "secret", "test:\n")
    os.symlink(tmp_path / "secret", f"{project}/Makefile")
    os.mkfifo(f"{project}/package.json")
    assert guess_checks(project) == ()


@pytest.mark.parametrize("planted", [".lastro", ".lastro/roles"])
def test_nothing_is_written_through_a_link(desk, project, tmp_path, planted):
    outside = tmp_path / "outside"
    outside.mkdir()
    os.makedirs(os.path.dirname(f"{project}/{planted}"), exist_ok=True)
    os.symlink(outside, f"{project}/{planted}")
    with pytest.raises(UsageError, match="a link or no directory"):
        init(desk, InitProject(project=project))
    assert os.listdir(outside) == []


def test_a_directory_that_becomes_a_link_meanwhile_is_not_followed(desk, project, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()

    class Swapping(System):
        def make_directory(self, directory, name, _mode=0o700):
            os.symlink(outside, name, dir_fd=directory)

    monkeypatch.setattr(module, "System", Swapping)
    with pytest.raises(UsageError, match="a link or no directory"):
        init(desk, InitProject(project=project))
    assert os.listdir(outside) == []


def test_a_link_in_place_of_a_file_stays(desk, project, tmp_path):
    os.symlink(tmp_path / "none", f"{project}/AGENTS.md")
    assert "AGENTS.md" in init(desk, InitProject(project=project)).kept
    assert not os.path.exists(tmp_path / "none")


class Broken(System):
    """Fails at the call whose number it is given; ``faster`` makes the file first, as somebody else."""

    def __init__(self, at=0, error=None):
        self.calls, self.at, self.error = 0, at, error

    def _count(self):
        self.calls += 1
        if self.calls == self.at:
            raise self.error

    def make_directory(self, *arguments):
        self._count()
        super().make_directory(*arguments)

    def write(self, *arguments):
        self._count()
        super().write(*arguments)

    def sync(self, descriptor):
        self._count()
        super().sync(descriptor)

    def rename_new(self, directory, name, new_directory, new_name):
        self._count()
        super().rename_new(directory, name, new_directory, new_name)


def test_after_a_fault_anywhere_every_file_is_whole_and_a_second_run_makes_the_rest(
    desk, project, monkeypatch
):
    """A full disk at each call in turn."""
    texts = dict(project_files(project))
    at = 0
    while True:
        at += 1
        broken = Broken(at, OSError(28, "No space left on device"))
        monkeypatch.setattr(module, "System", lambda broken=broken: broken)
        if not fails(lambda: init(desk, InitProject(project=project))):
            break
        left = {path: read(f"{project}/{path}") for path in everything(project) if path in texts}
        assert left.items() <= texts.items()
        assert not [path for path in everything(project) if path.endswith(".tmp")]
        shutil.rmtree(f"{project}/.lastro", ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{project}/AGENTS.md")
    assert at > 20
    assert set(texts) <= set(everything(project))


def fails(act):
    try:
        act()
    except StorageFullError:
        return True
    return False


def test_who_was_faster_keeps_what_they_made(desk, project, monkeypatch):
    class Faster(System):
        def rename_new(self, directory, name, new_directory, new_name):
            if new_name == b"AGENTS.md":
                write(f"{project}/AGENTS.md", "theirs")
            super().rename_new(directory, name, new_directory, new_name)

    monkeypatch.setattr(module, "System", Faster)
    assert init(desk, InitProject(project=project)).kept == ("AGENTS.md",)
    assert read(f"{project}/AGENTS.md") == "theirs"
    assert not [name for name in everything(project) if name.endswith(".tmp")]
