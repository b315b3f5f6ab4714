"""Commits come over as refs, and nothing else of a repository that an agent had in its hands."""

from __future__ import annotations

import os
import subprocess

import pytest

from lastro.agents.commits import bundle_commits, fetch_commits
from lastro.agents.copied import CopyLayer, prepare_copy
from lastro.agents.git_objects import is_ref, read_refs
from lastro.agents.overlay import OverlayLayer, prepare_overlay
from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.errors import DamagedError
from tests.capabilities import has_capability, has_command, needs
from tests.hard_files import write
from tests.overlay_mount import mounted

pytestmark = [pytest.mark.slow]

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "a"), ("EMAIL", "a@b"))
    },
}


def git(directory, *arguments):
    done = subprocess.run(
        ["git", "-C", directory, *arguments], check=True, capture_output=True, env=ENVIRONMENT, timeout=60
    )
    return done.stdout.decode().strip()


class Place:
    def __init__(self, top):
        needs(has_command("git"), "git")
        self.top = os.path.realpath(top)
        self.project = f"{self.top}/project"
        self.directory = f"{self.top}/run"
        os.mkdir(self.project)
        os.mkdir(self.directory)
        git(self.project, "init", "--quiet", "--initial-branch=main")
        write(f"{self.project}/a", b"1")
        git(self.project, "add", "a")
        git(self.project, "commit", "--quiet", "-m", "first")
        self.live = self.refs()

    def refs(self):
        return git(self.project, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()


class Copied(Place):
    def agent(self, *commands):
        prepare_copy(self.project, self.directory)
        self.view = f"{self.directory}/copy"
        self.layer = CopyLayer(self.project, self.directory)
        for command in commands:
            command(self.view)


class Overlaid(Place):
    def agent(self, *commands):
        needs(has_capability("overlays"), "overlays")
        prepare_overlay(self.directory, self.project)
        self.layer = OverlayLayer(self.project, self.directory)
        with mounted(self.project, self.directory, f"{self.top}/view") as view:
            for command in commands:
                command(view)


@pytest.fixture(params=[Copied, Overlaid])
def place(request, tmp_path):
    return request.param(tmp_path)


def commit(name, content=b"2"):
    def do(view):
        write(f"{view}/{name}", content)
        git(view, "add", name)
        git(view, "commit", "--quiet", "-m", name)

    return do


def shell(*arguments):
    return lambda view: git(view, *arguments)


def bundled(place):
    return bundle_commits(place.project, place.layer.source(), place.directory)


def test_new_commits_of_branches_and_tags_come_over(place):
    place.agent(
        commit("b"),
        shell("checkout", "--quiet", "-b", "feature/x"),
        commit("c"),
        shell("tag", "-a", "-m", "t", "v1"),
        shell("pack-refs", "--all"),
        commit("d"),
    )
    commits = bundled(place)
    assert set(commits.refs) == {"refs/heads/main", "refs/heads/feature/x", "refs/tags/v1"}
    assert place.refs() == place.live
    fetched = fetch_commits(place.project, commits.bundle, 7)
    assert fetched == {
        name.replace("refs/", "refs/lastro/run-7/", 1): identity for name, identity in commits.refs.items()
    }
    assert git(place.project, "log", "--format=%s", fetched["refs/lastro/run-7/heads/feature/x"]).split() == [
        "d",
        "c",
        "b",
        "first",
    ]
    assert git(place.project, "status", "--porcelain") == ""
    assert git(place.project, "rev-parse", "refs/heads/main") == place.live[0].split()[1]
    assert fetch_commits(place.project, commits.bundle, 7) == fetched
    assert sorted(os.listdir(place.directory)).count("commits.git") == 0
    assert list(place.layer.changed()) == ["b", "c", "d"]


def test_objects_in_a_pack_come_over(place):
    place.agent(commit("b"), commit("c"), shell("gc", "--quiet"), shell("repack", "-adq"))
    commits = bundled(place)
    assert set(commits.refs) == {"refs/heads/main"}
    (fetched,) = fetch_commits(place.project, commits.bundle, 1).values()
    assert git(place.project, "log", "--format=%s", fetched).split() == ["c", "b", "first"]


def test_nothing_new_is_nothing(place):
    place.agent(shell("branch", "other"), shell("tag", "v0"))
    assert (bundled(place).refs, bundled(place).bundle) == ({}, "")


def test_neither_configuration_nor_hooks_nor_links_of_the_view_mean_anything(place):
    witness, secret = f"{place.top}/witness", f"{place.top}/secret"
    os.mkdir(secret)
    git(secret, "init", "--quiet")
    write(f"{secret}/key", b"a secret of the host's")
    hidden = git(secret, "hash-object", "-w", "key")

    def plant(view):
        touch = f"touch {witness}"
        for key in (
            "core.fsmonitor",
            "core.sshCommand",
            "core.alternateRefsCommand",
            "diff.external",
            "gpg.program",
            "uploadpack.packObjectsHook",
        ):
            git(view, "config", key, touch)
        os.makedirs(f"{view}/.git/hooks", exist_ok=True)
        for hook in ("reference-transaction", "post-checkout", "pre-push", "post-update"):
            write(f"{view}/.git/hooks/{hook}", f"#!/bin/sh\n{touch}\n".encode())
            os.chmod(f"{view}/.git/hooks/{hook}", 0o755)
        os.makedirs(f"{view}/.git/objects/info", exist_ok=True)
        write(f"{view}/.git/objects/info/alternates", f"{secret}/.git/objects\n".encode())
        write(f"{view}/.git/refs/tags/stolen", f"{hidden}\n".encode())
        os.symlink("/etc/passwd", f"{view}/.git/refs/heads/passwd")
        os.symlink(f"{secret}/.git/objects/pack", f"{view}/.git/objects/zz")

    place.agent(commit("b"), plant)
    if os.path.exists(witness):  # by the agent's own git, in its view
        os.unlink(witness)
    commits = bundled(place)
    assert set(commits.refs) == {"refs/heads/main"}
    fetch_commits(place.project, commits.bundle, 2)
    assert not os.path.exists(witness)


def test_no_hook_of_the_live_repository_runs(place):
    witness = f"{place.top}/witness"
    os.makedirs(f"{place.project}/.git/hooks", exist_ok=True)
    for hook in ("reference-transaction", "post-update", "pre-auto-gc"):
        write(f"{place.project}/.git/hooks/{hook}", f"#!/bin/sh\ntouch {witness}\n".encode())
        os.chmod(f"{place.project}/.git/hooks/{hook}", 0o755)
    place.agent(commit("b"))
    if os.path.exists(witness):  # by the agent's own git, in its view
        os.unlink(witness)
    assert len(fetch_commits(place.project, bundled(place).bundle, 4)) == 1
    assert not os.path.exists(witness)


def test_a_ref_that_leads_nowhere_is_left_out(place):
    def plant(view):
        write(f"{view}/.git/refs/heads/nowhere", b"1" * 40 + b"\n")
        write(f"{view}/.git/refs/heads/nonsense", b"../../etc\n")
        write(f"{view}/.git/refs/heads/-option", b"2" * 40 + b"\n")
        write(f"{view}/.git/refs/heads/huge", b"3" * 100_000)

    place.agent(commit("b"), plant)
    assert set(bundled(place).refs) == {"refs/heads/main"}


def test_a_broken_pack_is_refused(place):
    def plant(view):
        write(f"{view}/.git/objects/pack/pack-{'a' * 40}.pack", b"PACK nonsense")

    place.agent(commit("b"), plant)
    with pytest.raises(DamagedError):
        bundled(place)


def test_a_project_without_a_repository_has_no_commits(place):
    os.rename(f"{place.project}/.git", f"{place.top}/elsewhere")
    write(f"{place.project}/.git", b"gitdir: ../elsewhere\n")
    place.agent(lambda view: write(f"{view}/new", b"1"))
    assert bundled(place).refs == {}


def test_a_bundle_that_is_not_whole_is_refused(place):
    place.agent(commit("b"))
    bundle = bundled(place).bundle
    with open(bundle, "r+b") as file:
        file.truncate(os.path.getsize(bundle) - 30)
    with pytest.raises(DamagedError):
        fetch_commits(place.project, bundle, 3)
    write(bundle, b"nonsense")
    with pytest.raises(DamagedError):
        fetch_commits(place.project, bundle, 3)
    assert place.refs() == place.live


def test_refs_are_read_as_git_reads_them(place):
    for name in ("feature/a", "feature/b", "v.1-x"):
        git(place.project, "branch", name)
    git(place.project, "pack-refs", "--all")
    write(f"{place.project}/a", b"later")
    git(place.project, "commit", "--quiet", "-am", "later")
    seen = read_refs(LocalSource([Root(path=place.project)]), place.project)
    assert seen == dict(line.split() for line in place.refs())


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("refs/heads/main", True),
        ("refs/heads/a/b-c_d.e", True),
        ("refs/heads/a..b", False),
        ("refs/heads/a.lock", False),
        ("refs/heads/-a", False),
        ("refs/heads/.hidden", False),
        ("refs/heads/a b", False),
        ("refs/heads/a\n", False),
        ("refs/heads/a:b", False),
        ("refs/remotes/origin/main", False),
        ("refs/lastro/run-1/heads/x", False),
        ("refs/heads/", False),
    ],
)
def test_only_plain_names_come_over(name, allowed):
    assert is_ref(name) is allowed
