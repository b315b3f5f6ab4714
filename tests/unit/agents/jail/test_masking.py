from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.jail import masking
from lastro.agents.jail.masking import ALWAYS_FROZEN, find_masks
from lastro.agents.jail.spec import JailSpec
from lastro.proposals.globs import matches_loosely

NAMES = st.sampled_from(["a", "b", ".env", "KEY.pem", "x.key", "src", ".git", "é", "weird\udcff", "deep"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.sampled_from(["*.pem", ".env*", "src/**", "a/*.key", "**/deep/b", "/b", "deep/", "[ab].x", "é"])


def spec(project, **fields):
    return JailSpec(run="r", project=project, directory="/nowhere", command=("x",), environment={}, **fields)


def make(top, paths):
    """The files that could be made, and what is there in the end."""
    for path in paths:
        full = Path(top, path)
        try:
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_text("x")
        except OSError:
            continue
    return {os.path.relpath(path, top) for path in map(str, Path(top).rglob("*"))}


@given(paths=st.lists(PATHS, max_size=12), patterns=st.lists(PATTERNS, max_size=4))
def test_whatever_may_not_be_read_is_hidden_and_nothing_else(paths, patterns):
    with tempfile.TemporaryDirectory() as top:
        there = make(top, paths)
        masks = find_masks(spec(top, deny_read=tuple(patterns)), [top])
        hidden = (*masks.hidden_files, *masks.hidden_directories)
        assert masks.complete
        for path in there:
            covered = any(path == one or path.startswith(one + "/") for one in hidden)
            denied = any(matches_loosely(one, path) for one in patterns)
            if "/.git/" not in f"/{path}/" or not covered:
                assert covered == denied or ".git" in path.split("/")
        assert all(os.path.isdir(os.path.join(top, path)) for path in masks.hidden_directories)


@given(paths=st.lists(PATHS, max_size=12), patterns=st.lists(PATTERNS, max_size=4))
def test_what_is_named_is_there_and_nothing_twice(paths, patterns):
    with tempfile.TemporaryDirectory() as top:
        there = make(top, paths)
        masks = find_masks(spec(top, deny_read=tuple(patterns[:2]), deny_write=tuple(patterns[2:])), [top])
        named = (*masks.hidden_files, *masks.hidden_directories, *masks.frozen)
        assert set(named) <= there
        assert not any(
            one != other and one.startswith(other + "/")
            for one in named
            for other in named
            if other not in masks.frozen
        )


def test_policy_and_hooks_are_frozen_where_they_are(tmp_path):
    make(tmp_path, [".lastro/policy.toml", ".git/hooks/pre-commit"])
    assert set(find_masks(spec(str(tmp_path)), [str(tmp_path)]).frozen) == {
        ".lastro/policy.toml",
        ".git/hooks",
    }
    assert ".git/config" in ALWAYS_FROZEN


def test_a_frozen_path_may_look_like_a_glob(tmp_path):
    make(tmp_path, ["a[1].txt", "a1.txt"])
    assert find_masks(spec(str(tmp_path), frozen=("a[1].txt",)), [str(tmp_path)]).frozen == ("a[1].txt",)


def test_what_an_upper_layer_deleted_or_replaced_is_not_masked(tmp_path):
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    make(lower, ["gone/.env", "kept/.env", "file/.env"])
    (upper / "kept").mkdir(parents=True)
    (upper / "kept/new.pem").write_text("x")
    (upper / "file").write_text("now a file")
    (upper / "gone").symlink_to("elsewhere")
    masks = find_masks(spec(str(lower), deny_read=(".env", "*.pem")), [str(upper), str(lower)])
    assert set(masks.hidden_files) == {"kept/.env", "kept/new.pem"}


def test_a_link_is_hidden_where_it_leads_and_never_followed_out(tmp_path):
    project = tmp_path / "p"
    make(project, ["plain"])
    make(tmp_path, ["outside.txt"])
    (project / ".env").symlink_to("plain")
    (project / "b.env").symlink_to(tmp_path / "outside.txt")
    assert find_masks(spec(str(project), deny_read=("*.env",)), [str(project)]).hidden_files == ("plain",)


def test_too_many_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(masking, "MOST", 3)
    make(tmp_path, [f"{number}.pem" for number in range(5)])
    masks = find_masks(spec(str(tmp_path), deny_read=("*.pem",)), [str(tmp_path)])
    assert (masks.complete, len(masks.hidden_files)) == (False, 3)
