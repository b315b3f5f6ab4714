"""How each coding tool is started, from what a user typed: what is missing is added, what was given stays, what cannot work is refused."""

import json
import os
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.adapters.adapter import Task, ToolInfo
from lastro.agents.adapters.registry import AGENTS, adapter_called, adapter_for, asked_of
from lastro.agents.jail.spec import HOME
from lastro.errors import NotFoundError, UsageError

KEY = "lk-0123456789-the-key"
BASE = "http://127.0.0.1:8421"
INFO = ToolInfo(program="/opt/tool/bin/tool", version="1.0.0", shown=("/opt/tool",))
TYPED = {
    "codex": ("codex", "exec", "fix it"),
    "claude": ("claude", "-p", "fix it"),
    "gemini": ("gemini", "-p", "fix it"),
    "opencode": ("opencode", "run", "fix it"),
    "openclaw": ("openclaw", "agent", "exec", "fix it"),
    "aider": ("aider", "--message", "fix it", "a.py"),
    "offline": ("offline", "fix it"),
    "generic": ("make", "test"),
}
NAMES = sorted(TYPED)


def task(tmp_path, argv, **changes) -> Task:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return Task(
        **{
            "argv": tuple(argv),
            "project": "/srv/project",
            "home": str(home),
            "base_url": BASE,
            "key": KEY,
            **changes,
        }
    )


def command(tmp_path, *argv) -> list[str]:
    """What is started after the program's own name."""
    adapter = adapter_for(argv)
    launch = adapter.launch(task(tmp_path, argv), INFO)
    return list(launch.command[launch.command.index(INFO.program) + 1 :])


CODEX = ["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
CLAUDE = ["-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config"]
YES = "--dangerously-skip-permissions"
GEMINI = ["--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"]
OPENCODE = ["run", "--format", "json", "--auto"]


@pytest.mark.parametrize(
    ("typed", "started"),
    [
        (["codex", "exec", "fix it"], [*CODEX, "--", "fix it"]),
        (["codex", "fix it"], [*CODEX, "--", "fix it"]),
        (["codex", "e", "fix", "it"], [*CODEX, "--", "fix it"]),
        (
            ["codex", "--model", "gpt-x", "exec", "--json", "--full-auto", "-s", "read-only", "fix it"],
            [*CODEX, "--model", "gpt-x", "--", "fix it"],
        ),
        (["codex", "exec", "-i", "a.png", "b.png", "--", "-x"], [*CODEX, "-i", "a.png", "b.png", "--", "-x"]),
        (["claude", "fix it"], [*CLAUDE, YES, "--", "fix it"]),
        (["claude", "-p", "fix it", "--output-format", "text"], [*CLAUDE, YES, "--", "fix it"]),
        (
            ["claude", "--model", "opus", "--print", "fix it"],
            [*CLAUDE, YES, "--model", "opus", "--", "fix it"],
        ),
        (
            ["claude", "-p", "--permission-mode", "plan", "think"],
            [*CLAUDE, "--permission-mode", "plan", "--", "think"],
        ),
        (["claude", "-p", "--permission-mode", "acceptEdits", "x"], [*CLAUDE, YES, "--", "x"]),
        (
            ["claude", "fix it", "--allowedTools", "Bash", "Edit"],
            [*CLAUDE, YES, "--allowedTools", "Bash", "Edit", "--", "fix it"],
        ),
        (["claude", "-p", "doctor"], [*CLAUDE, YES, "--", "doctor"]),
        (["gemini", "fix it"], [*GEMINI, "--prompt=fix it"]),
        (["gemini", "-y", "-s", "-m", "x", "-p", "fix it"], [*GEMINI, "-m", "x", "--prompt=fix it"]),
        (["gemini", "-i", "fix it"], [*GEMINI, "--prompt=fix it"]),
        (["gemini", "--prompt=-x"], [*GEMINI, "--prompt=-x"]),
        (["opencode", "run", "fix", "it"], [*OPENCODE, "--model", "lastro/auto", "--", "fix it"]),
        (["opencode", "run", "-m", "lastro/x", "--auto", "y"], [*OPENCODE, "-m", "lastro/x", "--", "y"]),
        (["opencode", "--prompt", "fix it"], [*OPENCODE, "--model", "lastro/auto", "--", "fix it"]),
    ],
)
def test_what_is_started(tmp_path, typed, started):
    assert command(tmp_path, *typed) == started


def test_openclaw_is_told_where_everything_is(tmp_path):
    started = command(tmp_path, "openclaw", "agent", "--message", "fix it", "--timeout", "60")
    assert started[:3] == ["agent", "exec", "--json"]
    assert started[-4:] == ["--timeout", "60", "--", "fix it"]
    assert started.count("--timeout") == 1
    assert started[started.index("--cwd") + 1] == "/srv/project"


def test_aider_keeps_to_itself(tmp_path):
    started = command(tmp_path, "aider", "--message", "fix it", "--auto-commits", "a.py", "b.py")
    assert {"--yes-always", "--no-gitignore", "--no-check-update", "--auto-commits"} <= set(started)
    assert "--no-auto-commits" not in started
    assert started[-4:] == ["--message=fix it", "--", "a.py", "b.py"]


def test_any_other_command_is_started_as_it_was_typed(tmp_path):
    assert command(tmp_path, "make", "-j2", "test", "--", "x") == ["-j2", "test", "--", "x"]
    launch = adapter_for(("make",)).launch(task(tmp_path, ("make",), key=""), INFO)
    assert not {name for name in launch.environment if name.endswith(("_KEY", "_URL", "_TOKEN"))}


@pytest.mark.parametrize(
    "typed",
    [
        ["codex"],
        ["codex", "exec"],
        ["codex", "exec", "-"],
        ["codex", "-m", "gpt-x"],
        ["codex", "login"],
        ["codex", "exec", "resume", "--last"],
        ["codex", "exec", "--help"],
        ["claude"],
        ["claude", "-p"],
        ["claude", "mcp", "list"],
        ["claude", "-c", "go on"],
        ["claude", "--resume", "x", "go on"],
        ["claude", "--bg", "x"],
        ["gemini"],
        ["gemini", "-p", ""],
        ["gemini", "mcp"],
        ["gemini", "-r", "latest", "-p", "x"],
        ["gemini", "--acp"],
        ["opencode"],
        ["opencode", "."],
        ["opencode", "run"],
        ["opencode", "run", "-c", "x"],
        ["opencode", "serve"],
        ["openclaw"],
        ["openclaw", "gateway"],
        ["openclaw", "agent", "exec"],
        ["aider"],
        ["aider", "a.py"],
        ["aider", "--gui", "-m", "x"],
        [""],
    ],
)
def test_what_only_a_human_could_go_on_with_is_refused_before_anything_is_begun(tmp_path, typed):
    adapter = adapter_for(tuple(typed))
    for refused in (
        lambda: adapter.probe(tuple(typed), os.environ),
        lambda: adapter.launch(task(tmp_path, typed), INFO),
    ):
        with pytest.raises(UsageError) as caught:
            refused()
        assert caught.value.hint_text
    assert os.listdir(tmp_path / "home") == []


@pytest.mark.parametrize("name", NAMES)
def test_the_key_is_in_the_environment_alone(tmp_path, name):
    launch = adapter_called(name).launch(task(tmp_path, TYPED[name]), INFO)
    assert KEY in launch.environment.values()
    assert not any(KEY in word for word in launch.command)
    for folder, _, files in os.walk(tmp_path / "home"):
        for file in files:
            with open(os.path.join(folder, file), encoding="utf-8") as opened:
                text = opened.read()
            assert KEY not in text
            assert str(tmp_path) not in text  # paths are those of the jail


@pytest.mark.parametrize("name", NAMES)
def test_where_the_gateway_is(tmp_path, name):
    launch = adapter_called(name).launch(task(tmp_path, TYPED[name]), INFO)
    said = [*launch.environment.values()]
    for folder, _, files in os.walk(tmp_path / "home"):
        for file in files:
            with open(os.path.join(folder, file), encoding="utf-8") as opened:
                said.append(opened.read())
    assert any(BASE in text for text in said)
    assert launch.environment["HOME"] == HOME


def test_settings_are_whole_and_in_their_own_language(tmp_path):
    for name in NAMES:
        adapter_called(name).launch(task(tmp_path, TYPED[name]), INFO)
    with open(tmp_path / "home/.codex/config.toml", "rb") as file:
        codex = tomllib.load(file)
    assert codex["model_provider"] == "lastro"
    assert codex["check_for_update_on_startup"] is False
    for path in (".gemini/settings.json", ".config/opencode/opencode.json", ".openclaw/openclaw.json"):
        with open(tmp_path / "home" / path, encoding="utf-8") as file:
            assert json.load(file)


SECRETS = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_]{2,20}", fullmatch=True)
    | st.sampled_from(
        [
            "AWS_SECRET_ACCESS_KEY",
            "SSH_AUTH_SOCK",
            "OPENAI_API_KEY",
            "GITHUB_TOKEN",
            "LD_PRELOAD",
            "NODE_OPTIONS",
        ]
    ),
    st.just("a secret of the caller"),
    max_size=8,
)
PASSED = {"LANG", "LANGUAGE", "TZ", "COLUMNS", "LINES", "SOURCE_DATE_EPOCH"}


@pytest.mark.parametrize("name", NAMES)
@given(secrets=SECRETS)
def test_nothing_of_the_callers_environment_is_passed_on_unasked(tmp_path_factory, name, secrets):
    asked = task(tmp_path_factory.mktemp("home"), TYPED[name], environment=secrets)
    environment = adapter_called(name).launch(asked, INFO).environment
    passed = {key for key, value in environment.items() if value == "a secret of the caller"}
    assert all(key in PASSED or key.startswith("LC_") for key in passed)


def test_the_path_inside_names_only_what_is_seen_there(tmp_path):
    environment = {
        "PATH": "/opt/tool/bin:/home/ana/bin:.:/srv/project/bin:/usr/bin:",
        "VIRTUAL_ENV": "/home/ana/venv",
    }
    launch = adapter_for(("make",)).launch(task(tmp_path, ("make",), environment=environment), INFO)
    places = launch.environment["PATH"].split(":")
    assert places[:3] == ["/opt/tool/bin", "/srv/project/bin", "/usr/bin"]
    assert "/home/ana/bin" not in places
    assert len(places) == len(set(places))
    assert places[-1] == f"{HOME}/.local/bin"  # Lastro's own, in nobody's way
    assert "VIRTUAL_ENV" not in launch.environment


@pytest.mark.parametrize("name", [name for name in NAMES if name != "generic"])
@pytest.mark.parametrize("session", ["", "-x", "--help", "../x", "a b", "a\nb", "x" * 200, "$(id)"])
def test_a_session_that_is_no_plain_id_never_reaches_a_command_line(tmp_path, name, session):
    asked = task(tmp_path, TYPED[name])
    launch = adapter_called(name).resume(asked, INFO, session, "and now?")
    assert launch is not None
    assert not session or session not in launch.command
    assert any("fix it\n\nand now?" in word for word in launch.command)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("codex", ["resume", "abc-1", "--", "and now?"]),
        ("claude", ["--resume", "abc-1", "--", "and now?"]),
        ("gemini", ["--resume", "abc-1", "--prompt=and now?"]),
        ("opencode", ["--session", "abc-1", "--", "and now?"]),
    ],
)
def test_going_on(tmp_path, name, words):
    launch = adapter_called(name).resume(task(tmp_path, TYPED[name]), INFO, "abc-1", "and now?")
    assert launch is not None
    assert list(launch.command[-len(words) :]) == words
    assert "fix it" not in launch.command


def test_nothing_can_be_said_to_any_other_command(tmp_path):
    assert adapter_called("generic").resume(task(tmp_path, ("make",)), INFO, "abc", "x") is None


@given(st.text(), st.text())
def test_prompts_fit_on_a_command_line(first, more):
    from lastro.agents.adapters.starting import both  # noqa: PLC0415

    for times in (1, 100_000 // (len(first) + 1)):
        word = both(first * times, more * times)
        assert len(word.encode("utf-8", "surrogateescape")) < 131_072
        assert "\0" not in word


def test_which_adapter():
    assert adapter_for(("/usr/local/bin/codex", "x")).name == "codex"
    assert adapter_for(("sh", "-c", "codex x")).name == "generic"
    assert adapter_for(("offline",)).name == "generic"
    assert adapter_for(()).name == "generic"
    assert adapter_called("offline").name == "offline"
    with pytest.raises(NotFoundError):
        adapter_called("nobody")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_for(name):
    prompt = adapter_called(name).prompt(TYPED[name])
    assert prompt == ("make test" if name == "generic" else "fix it")


def test_any_program_is_found(tmp_path):
    adapter = adapter_for(("sh",))
    found = adapter.probe(("sh", "-c", "true"), os.environ)
    assert found is not None
    assert found.program.endswith("/sh")
    assert adapter.probe(("there-is-no-such-program",), os.environ) is None
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    own = adapter.probe(("./run.sh",), {"PATH": "/usr/bin"}, str(tmp_path))
    assert own is not None
    assert own.shown == ()


def test_the_built_in_agent_is_always_there():
    found = adapter_called("offline").probe(("offline", "x"), os.environ)
    assert found is not None
    assert found.problem is None


def test_a_tool_that_is_too_old_says_so(tmp_path):
    program = tmp_path / "bin/aider"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho aider 0.12.0\n")
    program.chmod(0o755)
    found = adapter_called("aider").probe(TYPED["aider"], {"PATH": f"{program.parent}:/usr/bin:/bin"})
    assert found is not None
    assert found.version == "0.12.0"
    assert "too old" in str(found.problem)


def test_a_program_of_the_project_is_not_started_to_ask_for_its_version(tmp_path):
    program = tmp_path / "bin/aider"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/caught\necho aider 0.86.0\n")
    program.chmod(0o755)
    found = adapter_called("aider").probe(
        TYPED["aider"], {"PATH": f"{program.parent}:/usr/bin:/bin"}, str(tmp_path)
    )
    assert found is not None
    assert (found.version, found.problem) == ("", None)
    assert not (tmp_path / "caught").exists()


@given(name=st.sampled_from(AGENTS), task=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_the_words_that_ask_for_a_task_ask_for_that_task(name, task):
    task = f"Please: {task}".strip()
    words = asked_of(name, task)
    assert adapter_called(name).prompt(words) == task
    assert words[0] == name


def test_nothing_can_be_asked_of_any_other_command():
    with pytest.raises(UsageError, match="generic"):
        asked_of("generic", "fix it")
    with pytest.raises(NotFoundError):
        asked_of("nobody", "fix it")
