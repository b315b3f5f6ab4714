"""The command line itself: settings, help, errors, JSON; without a repository."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.operation import all_operations
from lastro.errors import PartialError
from lastro.faces.cli.settings import read_settings
from lastro.faces.cli.tree import GROUPS, PROCESSES, SECTIONS, Branch, root, walk
from tools.reference_pages import PLACE, pages


def every_command():
    tree = root()
    return list(walk(tree, click.Context(tree, info_name="lastro")))


COMMANDS = [(path.removeprefix("lastro "), command) for path, command, _context in every_command()]
LEAVES = [path for path, command in COMMANDS if not isinstance(command, Branch)]
ASKED = [path for path in LEAVES if path.replace(" ", ".") not in PROCESSES]


# The tree


def test_every_public_operation_is_a_command_and_nothing_else_is():
    public = {operation.name for operation in all_operations() if not operation.internal}
    assert {path.replace(" ", ".") for path in LEAVES} == public | set(PROCESSES)


def test_every_group_is_explained():
    assert {path.replace(" ", ".") for path, command in COMMANDS if isinstance(command, Branch)} == set(
        GROUPS
    )


def test_every_word_of_the_help_is_a_command():
    assert {path for path, _command in COMMANDS if " " not in path} == {
        w for _title, words in SECTIONS for w in words
    }


def test_what_asks_can_be_told_not_to():
    for path, command in COMMANDS:
        options = {name for param in command.params for name in param.opts}
        if "--plan" in options and getattr(command, "asks", False):
            assert {"--yes", "-y"} <= options, path


def test_every_parameter_is_explained():
    for path, command in COMMANDS:
        for param in command.params:
            assert getattr(param, "explanation", None) or getattr(param, "help", None), (path, param.name)


def test_the_reference_pages_are_what_the_code_says():
    for name, text in pages().items():
        assert (PLACE / name).read_text("utf-8") == text, f"python -m tools.reference_pages write  ({name})"


def test_every_command_is_documented():
    text = (PLACE / "cli.md").read_text("utf-8")
    for path in LEAVES:
        assert f"### `lastro {path} " in text


# Help


@pytest.mark.parametrize("path", ["", *(path for path, _command in COMMANDS)])
def test_help_goes_to_standard_output(lastro, path):
    called = lastro(*path.split(), "--help")
    assert (called.code, called.err) == (0, "")
    assert called.out.startswith(f"Usage: lastro {path}".rstrip())
    assert "--json" in called.out


def test_help_as_json_is_one_result(lastro):
    called = lastro("log", "--help", "--json")
    assert [line["type"] for line in called.lines] == ["result"]
    assert "Usage: lastro log" in called.result["reply"]["help"]


def test_a_group_alone_shows_its_help(lastro):
    called = lastro("node")
    assert called.code == 2
    assert "roots" in called.out


def test_the_version(lastro):
    assert lastro("--version").out.startswith("lastro 0.")
    assert lastro("--json", "--version").result["reply"]["version"].startswith("lastro 0.")


def test_completion_for_every_shell(lastro):
    for shell in ("zsh", "fish"):
        assert "_LASTRO_COMPLETE" in lastro("completion", shell).out
    assert lastro("completion", "tcsh").code == 2


# Errors


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, None),
        (("lgo",), 2, "There is no command lgo."),
        (("log", "--bogus"), 2, "No such option '--bogus'."),
        (("find",), 2, "Missing argument 'NAME'."),
        (("log", "-n", "many"), 2, "Invalid value for '--limit' / '-n': 'many' is not a valid integer."),
        (("log", "what is this"), 2, "This is not a reference: what is this"),
        (("log", ".", "--at", "soon"), 2, "This is not a time: soon"),
        (("log", "--at", "2d"), 2, "--at needs a reference beside it."),
        (("status",), 10, None),
        (("log", "."), 10, None),
        (("restore", "."), 10, None),
    ],
)
def test_errors_are_readable_and_say_what_to_do(lastro, arguments, code, message):
    called = lastro(*arguments)
    assert called.code == code
    if arguments:
        assert called.out == ""
        assert called.err.count("error: ") == 1
        assert "hint: " in called.err
        assert "Traceback" not in called.err
    if message is not None:
        assert f"error: {message}\n" in called.err


@pytest.mark.parametrize("path", ASKED)
def test_every_command_ends_its_json_with_the_only_result(lastro, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write where they are called
    for arguments in ([], ["--bogus"], ["x", "x", "x", "x"], ["./x"]):
        called = lastro(*path.split(), *arguments, "--json")
        assert [line["type"] for line in called.lines].count("result") == 1, (path, arguments)
        assert called.err == ""
        assert called.result["v"] == 1
        assert called.result["exit_code"] == called.code
        assert called.result["ok"] is (called.code == 0)
        if called.code not in {0, PartialError.exit_code}:  # what was done in part says so in its reply
            assert called.result["message"] and called.result["code"], (path, arguments)


def test_a_near_command_is_named(lastro):
    assert "Did you mean: lastro log" in lastro("lgo").err
    assert "Did you mean: lastro node roots" in lastro("node", "root").err


def test_json_is_english_whatever_the_language(lastro):
    called = lastro("status", "--json", "--lang", "pt_BR")
    assert called.result["message"].startswith("There is no repository in ")


def test_a_hostile_argument_cannot_steer_the_terminal(lastro):
    called = lastro("log", "\x1b[31m\u202ex")
    assert "\x1b" not in called.err and "\u202e" not in called.err
    assert "\\x1b[31m\\u202ex" in called.err


def test_a_defect_is_one_line_and_a_traceback_only_when_asked_for(lastro):
    defect = {"LASTRO_HOME": "/a\0b"}  # no environment can hold it, so nothing is prepared for it
    called = lastro("status", **defect)
    assert called.code == 1
    assert called.err.startswith("error: Unexpected: ValueError")
    assert "Traceback" not in called.err
    assert "Traceback" in lastro("status", "--debug", **defect).err
    assert "Traceback" in lastro("status", LASTRO_DEBUG="1", **defect).err


def test_a_full_disk_is_no_defect_and_says_what_to_do(lastro, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "mkdir", full)
    called = lastro("init", "--json")
    assert (called.code, called.result["code"]) == (1, "storage_full")
    assert "room" in called.result["hint"]


def test_what_the_system_refuses_is_named_and_no_defect(lastro, tmp_path):
    (tmp_path / "file").touch()
    called = lastro("init", "--home", str(tmp_path / "file"), "--json")
    assert (called.code, called.result["code"]) == (1, "failed")
    assert called.result["message"] == f"{tmp_path}/file/config: Not a directory"
    assert "Look at" in called.result["hint"]


def test_a_language_that_there_is_not_is_refused_when_asked_for_by_name(lastro):
    assert lastro("--version", "--lang", "fr").code == 2
    assert lastro("--version", "--lang", "pt").code == 0
    assert lastro("--version", LANG="fr_FR.UTF-8").code == 0


# Settings


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["log", "--json"], {"json": True}),
        (["--json", "log"], {"json": True}),
        (["find", "--", "--json"], {"json": False}),
        (["--lang", "pt_BR"], {"language": "pt_BR"}),
        (["--lang=pt_BR", "--lang=en"], {"language": "en"}),
        (["--home", "/x", "log"], {"home": "/x"}),
        (["restore", "-yq"], {"quiet": True}),
        (["log", "-n5"], {"quiet": False}),
        (["log", "--no-color"], {"color": False}),
    ],
)
def test_settings_are_read_wherever_they_stand(arguments, expected):
    settings = read_settings(arguments, {})
    assert {name: getattr(settings, name) for name in expected} == expected


@given(
    st.lists(
        st.text(max_size=6) | st.sampled_from(["--json", "--lang", "--home", "-q", "--", "--lang="]),
        max_size=6,
    )
)
def test_reading_settings_never_fails(arguments):
    read_settings(arguments, {})


def test_no_color_of_the_environment():
    assert not read_settings([], {"NO_COLOR": "1"}).color


# A process


def lastro_process(*arguments, **rest):
    return subprocess.Popen(
        [sys.executable, "-c", "from lastro.faces.cli.main import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **rest,
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_change_nothing(closed):
    command = f"{sys.executable} -c 'from lastro.faces.cli.main import main; main()' --help {closed}"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_goes_away_is_no_error():
    process = lastro_process("--help")
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), errors) == (141, b"")


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        ("lastro lo", "lo", b"plain,log"),
        ("lastro node ", "", b"plain,roots"),
        ("lastro cat ./R", "./R", b"file,./R"),
    ],
)
def test_a_shell_is_told_what_can_follow(words, last, expected):
    asked = {**os.environ, "_LASTRO_COMPLETE": "fish_complete", "COMP_WORDS": words, "COMP_CWORD": last}
    process = lastro_process(env=asked)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert expected in out


def test_what_a_command_imports_is_its_own():
    code = (
        "import sys; from lastro.faces.cli.main import run; run(['log', '--help'], {}); print(*sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    ).stdout.split()
    others = {"starlette", "uvicorn", "rich", "http.client", "lastro.app.operations.restore", "asyncio"}
    assert others.isdisjoint(found)
    assert "lastro.app.operations.history" in found
