"""What to know about a change, and how closely to look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.changes import Change
from lastro.domain.entry import Device, Entry, EntryType, Xattr
from lastro.domain.paths import to_bytes
from lastro.domain.policy import Enforcement
from lastro.domain.proposal import ChangeNote, Flag, Risk
from lastro.domain.run import CheckResult, CheckVerdict
from lastro.proposals.executed_later import runs_by_habit, runs_by_itself
from lastro.proposals.flags import LARGE, MANY, executed_later, flags_of, risk_of
from tests.conformance.trees import directory, file, hard_link, symlink
from tests.strategies import change_sets, paths

BY_ITSELF = [
    ".git/hooks/pre-commit",
    ".git/config",
    "sub/.git/hooks/post-checkout",
    "bare.git/hooks/update",
    ".gitmodules",
    ".githooks/pre-push",
    ".husky/pre-commit",
    ".pre-commit-config.yaml",
    ".claude/settings.json",
    ".codex/config.toml",
    ".gemini/settings.json",
    ".opencode/agent/x.md",
    "opencode.json",
    ".mcp.json",
    ".cursor/mcp.json",
    "AGENTS.md",
    "deep/down/CLAUDE.md",
    "GEMINI.md",
    ".aider.conf.yml",
    ".lastro/policy.toml",
    ".lastro/threads/x.md",
    ".github/workflows/ci.yml",
    ".gitlab-ci.yml",
    "Jenkinsfile",
    "unit.service",
    "systemd/backup.timer",
    "crontab",
    "etc/cron.d/job",
    ".envrc",
    ".vscode/tasks.json",
    ".vscode",
    "x.code-workspace",
    ".devcontainer/devcontainer.json",
    ".bashrc",
    "home/.zshrc",
    ".ssh/authorized_keys",
    "etc/sudoers.d/me",
    "lib/site-packages/evil.pth",
]
BY_HABIT = [
    "Makefile",
    "sub/GNUmakefile",
    "package.json",
    "node_modules/.bin/tsc",
    "setup.py",
    "tests/conftest.py",
    "pyproject.toml",
    "noxfile.py",
    "Dockerfile",
    "compose.yaml",
    "vite.config.ts",
    ".npmrc",
    ".cargo/config.toml",
    "gradle/wrapper/gradle-wrapper.properties",
]
DISGUISED = [
    ".GIT/hooks/pre-commit",
    ".Git/config",
    ".g\u200cit/hooks/x",
    ".gi\u00adt/config",
    "\uff0egit/config",
    ".git /config",
    ".git./config",
    ".git::$INDEX_ALLOCATION/config",
    "git~1/config",
    "claude.MD",
    "MAKEFILE",
    "ma\u212aefile",
    ".v\u017fcode/tasks.json",
    ".GitHub/Workflows/x.yml",
    "\uff2dakefile",
    ".envrc.",
    ".github/work\ufe0fflows/ci.yml",
]
PLAIN = [
    "README.md",
    "src/app.py",
    "docs/git/hooks.md",
    "githooks.py",
    "src/makefile_parser.py",
    "package.json.md",
    "cron.py",
    "github/workflows/ci.yml",
    ".gitignore",
    ".gitattributes",
    "mygit/config",
    "service.py",
    "build",
    "agents.py",
    "src/setup.py.txt",
    "caf\u00e9/na\u00efve.txt",
    "\udcff\udc80",
    "a~1",
]


@pytest.mark.parametrize("path", [*BY_ITSELF, *BY_HABIT, *DISGUISED])
def test_what_runs_later(path):
    assert executed_later(path)
    change = Change(path=path, before=None, after=file(path, b"x"))
    assert Flag.EXECUTED_LATER in flags_of(change, after_text=lambda: b"x", may_write=True)
    assert Flag.EXECUTED_LATER in flags_of(change.inverse, after_text=lambda: None, may_write=True)


@pytest.mark.parametrize("path", BY_ITSELF)
def test_what_runs_by_itself_is_no_matter_of_habit(path):
    assert runs_by_itself(path)


@pytest.mark.parametrize("path", BY_HABIT)
def test_what_runs_by_habit_does_not_run_by_itself(path):
    assert runs_by_habit(path)
    assert not runs_by_itself(path)


@pytest.mark.parametrize("path", PLAIN)
def test_what_runs_only_when_a_human_runs_it(path):
    assert not executed_later(path)


@given(paths, st.sampled_from([*BY_ITSELF, *BY_HABIT, *DISGUISED]))
def test_it_runs_later_in_any_directory_and_in_any_case(above, path):
    assert executed_later(f"{above}/{path}")
    if path.isascii():
        assert executed_later(path.upper())
        assert executed_later(path.swapcase())


@given(st.binary(max_size=200))
def test_any_name_can_be_asked_about(raw):
    path = raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    executed_later(path)
    flags_of(Change(path=path, before=None, after=file(path, b"x")), after_text=lambda: raw, may_write=True)


def flags(after, content=None, *, before=None, may_write=True):
    change = Change(path=(after or before).path, before=before, after=after)
    return set(flags_of(change, after_text=lambda: content, may_write=may_write))


def test_a_plain_change_has_no_flag():
    assert flags(file("a.py", b"x = 1\n"), b"x = 1\n") == set()
    assert flags(None, before=file("a.py", b"x")) == set()
    assert flags(directory("d")) == set()


@pytest.mark.parametrize(
    ("after", "flag"),
    [
        (file("a", b"x", mode=0o755), Flag.EXECUTABLE),
        (file("a", b"x", mode=0o610), Flag.EXECUTABLE),
        (hard_link(file("a", b"x", mode=0o755), "b"), Flag.EXECUTABLE),
        (file("a", b"x", mode=0o4644), Flag.SPECIAL),
        (file("a", b"x", xattrs=(Xattr("security.capability", b"1"),)), Flag.SPECIAL),
        (Entry(path="a", type=EntryType.FIFO), Flag.SPECIAL),
        (Entry(path="a", type=EntryType.SOCKET), Flag.SPECIAL),
        (Entry(path="a", type=EntryType.CHARACTER_DEVICE, rdev=Device(1, 3)), Flag.SPECIAL),
        (file("a", b"x", size=LARGE + 1), Flag.LARGE),
        (file("a\u202eb", b"x"), Flag.ODD_NAME),
        (file("a\nb", b"x"), Flag.ODD_NAME),
        (file("\udcff", b"x"), Flag.ODD_NAME),
        (file("\uff0egit/config", b"x"), Flag.ODD_NAME),
        (file("pa\u0443load.py", b"x"), Flag.ODD_NAME),
        (file("src/\u0430dmin.py", b"x"), Flag.ODD_NAME),
        (file("\uff52un.py", b"x"), Flag.ODD_NAME),
        (file("README ", b"x"), Flag.ODD_NAME),
        (file(" /README", b"x"), Flag.ODD_NAME),
        (file("README\u00a0", b"x"), Flag.ODD_NAME),
        (file("deep/HEAD", b"x"), Flag.EXECUTED_LATER),
        (file("web/package-lock.json", b"x"), Flag.GENERATED),
        (file("web/app.min.js", b"x"), Flag.GENERATED),
        (symlink("a", "/etc/passwd"), Flag.LEADS_OUT),
        (symlink("a/b", "../../c"), Flag.LEADS_OUT),
        (symlink("a", ".."), Flag.LEADS_OUT),
        (symlink("a", "b/../../c"), Flag.LEADS_OUT),
        (symlink(".github", "elsewhere"), Flag.EXECUTED_LATER),
        (symlink("fish", "elsewhere"), Flag.EXECUTED_LATER),
    ],
)
def test_what_an_entry_shows(after, flag):
    assert flag in flags(after, b"x")


@pytest.mark.parametrize("target", ["b", "../c", "b/../c", "./d/e", ""])
def test_a_link_that_stays_inside(target):
    assert flags(symlink("a/b", target)) == set()


@pytest.mark.parametrize(
    "name",
    [
        "fa\u00e7ade.txt",
        "\u043e\u0442\u0447\u0451\u0442_v2.txt",
        "\u65e5\u672c\u8a9efile.md",
        "nota 1\u00aa.md",
        "\u0394t.csv",
        "a b",
    ],
)
def test_honest_names_are_not_odd(name):
    assert flags(file(name, b"x"), b"x") == set()


def test_a_directory_above_what_runs_later_is_no_link():
    assert flags(directory(".github")) == set()


@pytest.mark.parametrize(
    ("content", "flag"),
    [
        (b"a\0b", Flag.BINARY),
        (b"# Code generated by protoc. DO NOT EDIT.\n", Flag.GENERATED),
        (b"/* @generated */\n", Flag.GENERATED),
        (b"DB_PASSWORD=hunter2secretX9\n", Flag.SECRET),
        (b'{"client_secret": "a8f5f167f44f4964e6c998dee827110c"}', Flag.SECRET),
        (b"key: ghp_" + b"a1B2" * 9 + b"\n", Flag.SECRET),
        (b"\xff\xfe AKIAIOSFODNN7EXAMPLE\n", Flag.SECRET),
        (
            b"-----BEGIN PRIVATE KEY-----\n"
            + b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 5
            + b"-----END PRIVATE KEY-----",
            Flag.SECRET,
        ),
    ],
)
def test_what_content_shows(content, flag):
    assert flag in flags(file("a", content), content)
    assert flag in flags(file("a", content), content, before=file("a", b"old"))
    assert flags(file("a", content, mode=0o600), content, before=file("a", content)) == set()


def test_content_is_asked_for_only_when_it_matters():
    def asked():
        raise AssertionError

    for change in (
        Change(path="a", before=file("a", b"x"), after=None),
        Change(path="a", before=None, after=directory("a")),
        Change(path="a", before=file("a", b"x"), after=file("a", b"x", mode=0o600)),
        Change(path="a", before=None, after=file("a", b"x", size=LARGE + 1)),
    ):
        flags_of(change, after_text=asked, may_write=True)


@given(change_sets)
def test_what_the_role_may_not_write_is_flagged_and_flags_are_in_order(changes):
    for change in changes.changes:
        found = flags_of(change, after_text=lambda: b"", may_write=False)
        assert Flag.OUTSIDE_ROLE in found
        assert list(found) == [flag for flag in Flag if flag in found]


def test_a_megabyte_of_anything_is_searched_in_linear_time():
    # Bounded by the suite's own limit; what was quadratic here would take hours.
    for content in (
        b"password = " * 90_000,
        b"-----BEGIN PRIVATE KEY-----" * 38_000,
        b"a" * LARGE,
        b"://:@" * 200_000,
    ):
        flags(file("a", content[:LARGE]), content[:LARGE])


CHECKS = st.lists(
    st.sampled_from(CheckVerdict).map(lambda verdict: CheckResult(name="n", command="c", verdict=verdict)),
    max_size=3,
)
NOTES = st.lists(
    st.builds(
        ChangeNote,
        path=st.sampled_from([b"a", b"Makefile", b".git/config", b".github"]),
        flags=st.lists(st.sampled_from(Flag), max_size=2, unique=True).map(tuple),
    ),
    max_size=3,
)
LIMITS = st.sets(st.sampled_from([limit.value for limit in Enforcement]), max_size=2)
OUTSIDE = st.sets(st.just("a"))
ORDER = [Risk.LOW, Risk.MEDIUM, Risk.HIGH]


KNOWN = st.tuples(change_sets.map(lambda changes: changes.changes), NOTES, CHECKS, OUTSIDE, LIMITS)


@given(KNOWN, KNOWN)
def test_knowing_more_never_makes_it_less_risky(one, two):
    changes, notes, checks, outside, limits = one
    more_changes, more_notes, more_checks, more_outside, more_limits = two
    less = risk_of(changes, notes, checks=checks, outside=outside, degraded=limits)
    more = risk_of(
        changes + more_changes,
        notes + more_notes,
        checks=checks + more_checks,
        outside=outside | more_outside,
        degraded=limits | more_limits,
    )
    assert ORDER.index(less) <= ORDER.index(more)


ADDED = Change(path="a", before=None, after=file("a", b"x"))


def risk(*flags_, path=b"a", changes=(ADDED,), checks=(), outside=(), degraded=()):
    notes = [ChangeNote(path=path, flags=flags_)] if flags_ else []
    results = [CheckResult(name="n", command="c", verdict=verdict) for verdict in checks]
    return risk_of(changes, notes, checks=results, outside=outside, degraded=degraded)


def test_the_table_of_risks():
    assert risk() is Risk.LOW
    assert risk(checks=[CheckVerdict.PASSED]) is Risk.LOW
    assert risk(checks=[CheckVerdict.FAILED]) is Risk.HIGH
    assert risk(checks=[CheckVerdict.SKIPPED]) is risk(checks=[CheckVerdict.TIMED_OUT]) is Risk.MEDIUM
    assert risk(outside=["a"]) is Risk.HIGH
    assert risk(Flag.EXECUTED_LATER, path=b".git/hooks/x") is Risk.HIGH
    assert risk(Flag.EXECUTED_LATER, path=b".github") is Risk.HIGH
    assert risk(Flag.EXECUTED_LATER, path=b"Makefile") is Risk.MEDIUM
    assert {
        risk(flag) for flag in (Flag.SECRET, Flag.SPECIAL, Flag.LEADS_OUT, Flag.ODD_NAME, Flag.OUTSIDE_ROLE)
    } == {Risk.HIGH}
    assert {
        risk(flag) for flag in (Flag.EXECUTABLE, Flag.BINARY, Flag.LARGE, Flag.GENERATED, Flag.BASE_UNCERTAIN)
    } == {Risk.MEDIUM}
    assert risk(degraded=[Enforcement.FILESYSTEM.value]) is Risk.HIGH
    assert (
        risk(degraded=[Enforcement.NETWORK.value])
        is risk(degraded=[Enforcement.READING.value])
        is Risk.MEDIUM
    )
    assert risk(degraded=[Enforcement.STEPS.value]) is Risk.LOW
    assert risk(changes=[ADDED.inverse]) is Risk.MEDIUM
    assert risk(changes=[replace(ADDED, before=file("a", b"x", uid=7))]) is Risk.MEDIUM
    assert risk(changes=[ADDED] * (MANY + 1)) is Risk.MEDIUM


@given(st.sampled_from(Flag))
def test_every_flag_has_a_place_in_the_table(flag):
    assert risk(flag, path=to_bytes("a")) is not Risk.LOW
