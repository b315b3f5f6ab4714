"""Policy files: what may stand in them, what must not, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.policy import (
    ActionRule,
    Enforcement,
    HumanRole,
    NetworkMode,
    ReviewRule,
    RunLimits,
)
from lastro.errors import ConfigError
from lastro.proposals.checks_file import TIMEOUT_S, load_checks
from lastro.proposals.policy import DEFAULT_POLICY, policy_digest, role_of
from lastro.proposals.policy_file import (
    LARGEST_FILE,
    load_narrowing,
    load_policy,
    narrow_policy,
    policy_of,
    read_policy,
)
from lastro.proposals.policy_tables import SCHEMAS, schema
from lastro.proposals.policy_text import policy_text
from tests.unit.proposals.json_schema import accepts
from tests.unit.proposals.policies import policies

TOP = Path(__file__).resolve().parents[3]
ORIGIN = "/etc/lastro/policy.toml"

WHOLE = """
version = 1
default_role = "docs-agent"
forbid_degraded = ["filesystem", "network"]
expires = "7d"

[roles.docs-agent]
read = ["/docs", "/src"]
deny_read = ["*.pem"]
write = ["/docs"]
deny_write = ["/docs/legal"]
execute = ["/usr/bin/*"]
network = "listed"
hosts = ["pypi.org:443"]
sql = "propose"
limits = {wall = "20m", memory = "512MiB", processes = 64, processors = 1.5, disk = "1GB", files = 100, tokens = 5000, money = "2.50"}

[roles.reviewer.limits]
wall = "none"

[[review]]
paths = ["/docs"]
approvals = 0

[[review]]
paths = ["/src/payments", "*.sql"]
approvals = 2
by = ["owner"]
not_author = false
cool_down = "10m"
"""


def complaint(text, load=load_policy):
    with pytest.raises(ConfigError) as raised:
        load(text, ORIGIN)
    assert raised.value.hint_text
    return str(raised.value)


def test_everything_that_may_stand_there_is_read():
    policy = load_policy(WHOLE, ORIGIN)
    assert (policy.default_role, policy.expires_s) == ("docs-agent", 7 * 86_400)
    assert policy.forbid_degraded == (Enforcement.FILESYSTEM, Enforcement.NETWORK)
    role = role_of(policy)
    assert (role.read, role.deny_read, role.write, role.deny_write) == (
        ("/docs", "/src"),
        ("*.pem",),
        ("/docs",),
        ("/docs/legal",),
    )
    assert (role.execute, role.network, role.hosts) == (
        ("/usr/bin/*",),
        NetworkMode.LISTED,
        ("pypi.org:443",),
    )
    assert (role.sql, role.package) == (ActionRule.PROPOSE, ActionRule.DENY)
    assert role.limits == RunLimits(
        wall_s=1200,
        memory=512 * 1024**2,
        processes=64,
        processors=1.5,
        disk=10**9,
        files=100,
        tokens=5000,
        money=2_500_000,
    )
    assert role_of(policy, "reviewer").limits.wall_s is None
    assert role_of(policy, "reviewer").write == ()
    assert policy.review[: len(DEFAULT_POLICY.review)] == DEFAULT_POLICY.review
    assert policy.review[-1] == ReviewRule(
        paths=("/src/payments", "*.sql"),
        approvals=2,
        by=(HumanRole.OWNER,),
        not_author=False,
        cool_down_s=600,
    )


def test_no_text_is_what_is_built_in():
    assert load_policy("", ORIGIN) == DEFAULT_POLICY == policy_of("", "")


def test_a_new_role_may_do_nothing_but_read():
    role = role_of(load_policy("[roles.new]", ORIGIN), "new")
    assert (role.write, role.network, role.sql) == ((), NetworkMode.GATEWAY, ActionRule.DENY)


def filed(policy):
    """``policy`` as a file could say it: with the built-in roles and rules too."""
    mine = {role.name: role for role in policy.roles}
    built_in = [mine.pop(role.name, role) for role in DEFAULT_POLICY.roles]
    return replace(policy, roles=(*built_in, *mine.values()), review=(*DEFAULT_POLICY.review, *policy.review))


@given(policies)
def test_what_is_shown_is_read_as_the_same_policy(policy):
    policy = filed(policy)
    text = policy_text(policy)
    assert load_policy(text, ORIGIN) == policy
    assert policy_digest(load_policy(text, ORIGIN)) == policy_digest(policy)
    assert accepts(schema(), tomllib.loads(text))


@given(policies, st.data())
def test_a_key_that_nobody_knows_is_refused_by_code_and_schema(policy, data):
    tables = tomllib.loads(policy_text(filed(policy)))
    places = [
        tables,
        *tables["roles"].values(),
        tables["roles"]["extra"]["limits"],
        *tables.get("review", ()),
    ]
    data.draw(st.sampled_from(places))["surprise"] = 1
    assert not accepts(schema(), tables)
    with pytest.raises(ConfigError, match="surprise"):
        load_policy(_toml(tables), ORIGIN)


def _toml(tables):
    return tomlkit.dumps(tables)


def refusal(load, text):
    """What is said against ``text``; ``None`` if it is read."""
    try:
        load(text, ORIGIN)
    except ConfigError as error:
        return error
    return None


values = st.one_of(
    st.sampled_from(
        [
            "30m",
            "2GiB",
            "none",
            "",
            "x",
            "gateway",
            "propose",
            "owner",
            "a.org:443",
            "/a",
            "-1",
            "1.5h",
            "1e3",
        ]
    ),
    st.integers(-2, 3),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.booleans(),
    st.lists(st.sampled_from(["a", "**", "/a", "", "owner", "a.org:443"]), max_size=2),
    st.dictionaries(
        st.sampled_from(["wall", "money", "files"]), st.sampled_from(["1h", "2.00", 3, "none", 0]), max_size=2
    ),
)
role_keys = ["read", "write", "execute", "network", "hosts", "sql", "limits", "paths", "none"]
review_keys = ["paths", "approvals", "by", "not_author", "cool_down", "path"]
limit_keys = ["wall", "memory", "processes", "processors", "disk", "files", "tokens", "money"]
files = st.fixed_dictionaries(
    {},
    optional={
        "version": values,
        "expires": values,
        "forbid_degraded": values,
        "roles": st.dictionaries(
            st.sampled_from(["r", "client-agent", "R!"]),
            st.one_of(
                st.dictionaries(st.sampled_from(role_keys), values, max_size=2),
                st.dictionaries(st.sampled_from(limit_keys), values, max_size=2).map(
                    lambda limits: {"limits": limits}
                ),
            ),
            max_size=1,
        ),
        "review": st.lists(st.dictionaries(st.sampled_from(review_keys), values, max_size=3), max_size=1),
    },
)


@given(files)
def test_what_the_code_accepts_the_schema_accepts(tables):
    error = refusal(load_policy, _toml(tables))
    if error is None:
        assert accepts(schema(), tables), tables
    else:
        assert str(error).startswith(ORIGIN)
        assert error.hint


@given(files)
def test_a_projects_file_too(tables):
    error = refusal(load_narrowing, _toml(tables))
    if error is None:
        assert accepts(schema("project-policy"), tables), tables
    else:
        assert str(error).startswith(ORIGIN)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for load in (load_policy, load_narrowing, load_checks):
        error = refusal(load, text)
        assert error is None or str(error).startswith(ORIGIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", r":1: x: unknown key: x"),
        ("\n[roles.r]\nwrte = []", r":3: roles\.r\.wrte: unknown key: wrte"),
        ("[roles.r]\nwrite = ['a', 'b/../c']", r":2: roles\.r\.write\[1\]: .*must not be empty, \. or \.\."),
        ("[roles.r]\nwrite = ['!a']", r":2: roles\.r\.write\[0\]: .*negated"),
        (
            "[roles.r]\nexecute = ['git']",
            r":2: roles\.r\.execute\[0\]: expected a pattern from the first slash",
        ),
        ("[roles.r]\nhosts = ['a']", r":2: roles\.r\.hosts\[0\]: expected NAME:PORT"),
        ("[roles.r]\nhosts = ['a:99999']", r":2: roles\.r\.hosts\[0\]: expected NAME:PORT"),
        ("[roles.r]\nnetwork = 'all'", r":2: roles\.r\.network: unknown value: all"),
        ("[roles.r]\nsql = 'allow'", r":2: roles\.r\.sql: unknown value: allow"),
        ("[roles.r.limits]\nwall = 'soon'", r":2: roles\.r\.limits\.wall: expected a time"),
        ("[roles.r.limits]\nwall = 0", r":2: roles\.r\.limits\.wall: expected a time"),
        ("[roles.r.limits]\nmemory = '4 parsecs'", r":2: roles\.r\.limits\.memory: expected a size"),
        ("[roles.r.limits]\nmoney = -1", r":2: roles\.r\.limits\.money: expected US dollars"),
        ("[roles.r.limits]\nfiles = '3'", r":2: roles\.r\.limits\.files: expected a whole number"),
        ("[roles.r.limits]\nprocessors = 0.0", r":2: roles\.r\.limits\.processors: expected a number"),
        ("[roles.R]", r":1: roles\.R: expected a name of small letters"),
        ("default_role = 'boss'", r":1: default_role: unknown value: boss"),
        ("[[review]]\napprovals = 1", r":1: review\[0\]: paths is missing"),
        ("[[review]]\npaths = []", r":2: review\[0\]\.paths: "),
        ("[[review]]\npaths = ['a']\napprovals = -1", r":3: review\[0\]\.approvals: "),
        ("[[review]]\npaths = ['a']\nby = ['boss']", r":3: review\[0\]\.by\[0\]: unknown value: boss"),
        ("[[review]]\npaths = ['a']\nby = []", r":3: review\[0\]\.by: "),
        ("[[review]]\npaths = ['a']\ncool_down = 'x'", r":3: review\[0\]\.cool_down: expected a time"),
        ("[review]\npaths = ['a']", r":1: review: expected \[\[review\]\]"),
        ("forbid_degraded = ['air']", r":1: forbid_degraded\[0\]: unknown value: air"),
        ("expires = '0s'", r":1: expires: expected a time"),
        ("version = 2", r":1: version: "),
        ("roles = 3", r":1: roles: expected tables"),
        ("[roles.r]\nlimits = 3", r":2: roles\.r\.limits: "),
        ("every_role = {}", r":1: every_role: unknown key"),
        ("a = 1\nb = ?", r" is not TOML: .*line 2"),
    ],
)
def test_a_mistake_is_named_with_its_place(text, said):
    assert re.search(f"^{re.escape(ORIGIN)}{said}", complaint(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default_role = 'r'", ":1: default_role: "),
        ("[roles.reviewer]\nwrite = ['docs']", ":2: roles.reviewer.write[0]: docs is not within"),
        ("\n[roles.client-agent.limits]\nwall = '2h'", ":3: roles.client-agent.limits.wall: this is more"),
        ("[roles.Boss]", ":1: roles.Boss: expected a name of small letters"),
        ("[roles.boss]", ":1: roles.boss: the policy has no role boss"),
        ("expires = '90d'", ":1: expires: this is more"),
        ("[[review]]\npaths=['x']\nby=['viewer']", ":3: review[0].by: the keeper's policy wants"),
        ("[every_role]\nwrite = ['a']", ":2: every_role.write: unknown key"),
    ],
)
def test_what_would_widen_is_named_with_its_place(text, said):
    error = complaint(text, lambda text, origin: narrow_policy(DEFAULT_POLICY, text, origin))
    assert error.startswith(f"{ORIGIN}{said}")


def test_a_project_narrows():
    policy = policy_of(
        "",
        """
        [every_role]
        deny_read = ["/data"]
        limits = {money = "1.00", wall = "2h"}
        [roles.client-agent]
        write = ["/src/**"]
        [[review]]
        paths = ["/src/payments"]
        approvals = 3
        """,
    )
    role = role_of(policy, "client-agent")
    assert role.write == ("/src/**",)
    assert role.deny_read[-1] == "/data"
    assert (role.limits.money, role.limits.wall_s) == (1_000_000, 3600)
    assert policy.project_review[0].approvals == 3
    shown = policy_text(policy)
    assert "# approvals = 3" in shown
    assert load_policy(shown, ORIGIN) == replace(policy, project_review=())


def test_the_file_is_read_with_its_name(tmp_path):
    path = os.fspath(tmp_path / "policy.toml")
    assert read_policy(path) == (DEFAULT_POLICY, ())
    Path(path).write_text("expires = '1d'", encoding="utf-8")
    policy, names = read_policy(path)
    assert (policy.expires_s, names) == (86_400, (path,))
    for raw, said in [(b"# \xff", "no text in UTF-8"), (b"#" * (LARGEST_FILE + 1), "larger than")]:
        Path(path).write_bytes(raw)
        with pytest.raises(ConfigError, match=said):
            read_policy(path)
    os.unlink(path)
    os.mkdir(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_policy(path)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_in_the_docs_is_what_the_code_says(name):
    written = json.loads((TOP / "docs" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert written == schema(name), (
        f"run: python -m lastro.proposals.policy_file schema {name} > docs/{name}.schema.json"
    )


@pytest.mark.parametrize("page", ["policy.toml.md", "project.toml.md"])
def test_every_example_in_the_docs_is_read(page):
    text = (TOP / "docs" / "reference" / page).read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert examples
    for example in examples:
        if page == "project.toml.md":
            load_checks(example)
        elif example.startswith("# .lastro/policy.toml"):
            policy_of("", example)
        else:
            load_policy(example, page)


@pytest.mark.slow
def test_the_schemas_are_written_by_a_command():
    command = [sys.executable, "-m", "lastro.proposals.policy_file", "schema", "project"]
    written = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert json.loads(written) == schema("project")


# Checks -------------------------------------------------------------------------------------------------------------------------------


def test_checks_are_read_in_their_order():
    first, second = load_checks(
        '[[check]]\nname = "lint"\ncommand = ["make", "lint"]\n'
        '[[check]]\nname = "tests"\ncommand = ["pytest"]\ntimeout = "90s"\npaths = ["*.py"]\n'
    )
    assert (first.name, first.command, first.timeout_s, first.paths) == (
        "lint",
        ("make", "lint"),
        TIMEOUT_S,
        (),
    )
    assert second.timeout_s == 90
    assert first.concerns([])
    assert second.concerns(["a", "b/c.py"])
    assert not second.concerns(["a.md"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[check]]\nname = 'a'", ":1: check[0]: command is missing"),
        ("[[check]]\nname = 'a'\ncommand = []", ":3: check[0].command: "),
        ("[[check]]\nname = 'a'\ncommand = ['']", ":3: check[0].command[0]: expected a program"),
        ("[[check]]\nname = 'a'\ncommand = 'make test'", ":3: check[0].command: "),
        ("[[check]]\nname = 'a'\ncommand = ['b']\ntimeout = 'x'", ":4: check[0].timeout: expected a time"),
        ("[[check]]\nname = 'a'\ncommand = ['b']\npaths = ['/']", ":4: check[0].paths[0]: "),
        ("[[check]]\nname = 'a'\ncommand = ['b']\nshell = true", ":4: check[0].shell: unknown key"),
        (2 * "[[check]]\nname = 'a'\ncommand = ['b']\n", ":5: check[1].name: "),
        ("checks = []", ":1: checks: unknown key"),
    ],
)
def test_a_mistake_in_a_check_is_named_with_its_place(text, said):
    assert complaint(text, load_checks).startswith(f"{ORIGIN}{said}")
