"""The policy as people ask for it: what holds, whether files are sound, why a path is open or not."""

from __future__ import annotations

import os

import pytest

from lastro.app.operation import find_operation
from lastro.app.operations.policy import check, explain, show
from lastro.app.operations.repository import init
from lastro.app.places import places_of
from lastro.app.project_place import policy_for, project_directory, read_project_file
from lastro.app.requests import Init
from lastro.app.requests.policy import CheckPolicy, EffectivePolicy, ExplainPolicy, ShowPolicy
from lastro.app.wiring import open_desk
from lastro.errors import ConfigError, NotFoundError, UsageError
from lastro.proposals.policy import DEFAULT_POLICY, policy_digest, role_of


@pytest.fixture
def project(tmp_path):
    path = os.path.realpath(tmp_path / "project")
    os.makedirs(f"{path}/.lastro")
    return path


@pytest.fixture
def desk(tmp_path):
    with open_desk(places_of(os.path.realpath(tmp_path / "home"))) as desk:
        init(desk, Init())
        yield desk


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def test_without_files_the_built_in_policy_holds(desk, project):
    reply = check(desk, CheckPolicy(project=project))
    assert (reply.policy, reply.files) == (DEFAULT_POLICY, ())
    assert reply.digest == policy_digest(DEFAULT_POLICY).hex()


def test_the_keepers_file_is_narrowed_by_the_projects(desk, project):
    write(desk.places.policy_file, "[roles.client-agent]\nwrite = ['/src', '/docs']\n")
    write(f"{project}/.lastro/policy.toml", "[roles.client-agent]\nwrite = ['/src/lib']\n")
    for reply in (policy_for(desk.caller, project), show(desk, ShowPolicy(project=project))):
        assert role_of(reply.policy).write == ("/src/lib",)
        assert reply.files == (desk.places.policy_file, f"{project}/.lastro/policy.toml")
        assert reply.digest == policy_digest(reply.policy).hex()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("policy.toml", "\nwrit = 1", ":2: writ: unknown key"),
        ("policy.toml", "[roles.reviewer]\nwrite = ['a']", ":2: roles.reviewer.write[0]: a is not within"),
        ("project.toml", "[[check]]\nname = 'a'", ":1: check[0]: command is missing"),
    ],
)
def test_a_mistake_is_named_with_the_file_it_is_in(desk, project, name, text, said):
    path = f"{project}/.lastro/{name}"
    write(path, text)
    with pytest.raises(ConfigError) as raised:
        check(desk, CheckPolicy(project=project))
    assert str(raised.value).startswith(f"{path}{said}")


def test_a_mistake_in_the_keepers_file_stops_every_project(desk, project):
    write(desk.places.policy_file, "x = 1")
    with pytest.raises(ConfigError) as raised:
        policy_for(desk.caller, project)
    assert str(raised.value).startswith(f"{desk.places.policy_file}:1: x: ")


def test_the_effective_policy_is_not_for_people(desk):
    operation = find_operation("policy.effective")
    assert operation.internal
    assert desk.caller.call("policy.effective", EffectivePolicy()).policy == DEFAULT_POLICY


@pytest.mark.parametrize("path", ["src/a.py", "./src//a.py", "{project}/src/a.py"])
def test_a_path_is_explained_with_its_rules(desk, project, path):
    write(f"{project}/.lastro/policy.toml", "[[review]]\npaths = ['/src']\napprovals = 2\nby = ['owner']\n")
    found = explain(desk, ExplainPolicy(path=path.format(project=project), project=project))
    assert (found.path, found.role.name) == ("src/a.py", "client-agent")
    assert (found.read, found.write, found.executed_later) == (True, True, False)
    assert (found.approvals, found.by, found.not_author) == (2, ("owner",), True)
    assert found.write_because.parameters == {"role": "client-agent", "pattern": "**"}
    assert found.review_because.parameters == {"pattern": "/src"}


def test_what_is_not_in_the_project_is_not_explained(desk, project):
    for path in ("../a", "/etc/passwd"):
        with pytest.raises(UsageError, match="is not in the project"):
            explain(desk, ExplainPolicy(path=path, project=project))
    with pytest.raises(NotFoundError, match="no role boss"):
        explain(desk, ExplainPolicy(path="a", role="boss", project=project))


# Which directory, which file ----------------------------------------------------------------------------------------------------------


def test_what_can_be_no_project_is_refused(tmp_path, project, monkeypatch):
    places = places_of(f"{project}/home")
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    os.makedirs(places.data)
    for named in (
        "/",
        os.fspath(tmp_path),
        os.fspath(tmp_path.parent),
        project,
        places.data,
        f"{places.config}",
    ):
        os.makedirs(named, exist_ok=True)
        with pytest.raises(UsageError, match="can be no project"):
            project_directory(places, named)
    with pytest.raises(NotFoundError):
        project_directory(places, f"{project}/none")
    os.makedirs(places.sample)
    assert project_directory(places, places.sample) == places.sample
    monkeypatch.chdir(places.sample)
    assert project_directory(places) == places.sample
    os.symlink(places.sample, tmp_path / "link")
    assert project_directory(places, os.fspath(tmp_path / "link")) == places.sample


def test_files_of_a_project_are_read_through_no_link_and_never_wait(tmp_path, project):
    path = f"{project}/.lastro/policy.toml"
    assert read_project_file(project, ".lastro/policy.toml") == ""
    assert read_project_file(project, "none/policy.toml") == ""
    write(tmp_path / "secret", "version = 1")
    os.symlink(tmp_path / "secret", path)
    assert_unreadable(project)
    os.unlink(path)
    os.mkfifo(path)
    assert_unreadable(project)
    os.unlink(path)
    os.mkdir(path)
    assert_unreadable(project)
    os.rmdir(path)
    write(path, "#" * 2_000_000)
    assert_unreadable(project)
    os.unlink(path)
    (tmp_path / "project/.lastro/policy.toml").write_bytes(b"\xff")
    assert_unreadable(project)
    os.unlink(path)
    os.rename(f"{project}/.lastro", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", f"{project}/.lastro")
    assert_unreadable(project)


def assert_unreadable(project):
    with pytest.raises(ConfigError) as raised:
        read_project_file(project, ".lastro/policy.toml")
    assert raised.value.hint
