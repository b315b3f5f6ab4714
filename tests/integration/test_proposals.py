"""Decisions as people and programs make them: real commands, one JSON result each, and the exit codes they are told by."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.integration.commands import Answer, Home

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("linux")]

PASSPHRASE = "correct horse battery"
LONG = "".join(f"line {number}\n" for number in range(1, 31))


@pytest.fixture
def world(tmp_path):
    """A home and a project; no approver yet."""
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "a").write_text(LONG)
    (project / "gone").write_text("gone\n")
    (project / "src/app").write_text("app\n")
    home = Home(str(tmp_path / "home"), {"HOME": str(tmp_path)})
    home.ask("init")
    return home, project


def say(home, *arguments, passphrase=PASSPHRASE, cwd=None):
    """A command that is given a passphrase, answered with exactly one result."""
    done = subprocess.run(
        home.command(*arguments, "--passphrase-stdin", "--json"),
        env=home.surroundings,
        input=f"{passphrase}\n".encode(),
        capture_output=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )
    answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace"))
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [line.get("type") for line in lines].count("result") == 1, answer
    assert lines[-1]["type"] == "result", answer
    assert lines[-1]["exit_code"] == answer.code, answer
    return answer


def agent(home, project, script):
    answer = home.run("run", "--json", "--project", str(project), "--", "sh", "-c", script)
    assert answer.code == 0, answer
    return answer.reply["proposal"]


def enrol(home, *names):
    assert say(home, "approver", "add").code == 0, names


SCRIPT = "sed -i 's/^line 2$/LINE 2/; s/^line 29$/LINE 29/' a; rm gone; mkdir new; echo new > new/n"


def test_each_answer_and_its_exit_code(world):
    home, project = world
    number = agent(home, project, SCRIPT)
    name = f"proposal-{number}"
    approve = ("proposal", "approve", name, "--yes")
    assert say(home, *approve).code == 5, "there is no key"
    enrol(home)
    assert say(home, *approve, passphrase="").code == 2
    assert say(home, *approve, passphrase="another passphrase").code == 12
    assert home.run("proposal", "approve", name, "--json").code == 2, "nobody is here to say yes"
    assert home.run("proposal", "approve", name, "--plan", "--json").reply["done"] is False
    assert (project / "a").read_text() == LONG

    # in conflict, and then not any more; from another directory
    (project / "a").write_text(LONG.replace("line 2\n", "mine\n"))
    refused = say(home, *approve)
    assert (refused.code, refused.reply["conflicts"], refused.reply["state"]) == (7, ["a"], "conflict")
    assert (project / "gone").exists()
    (project / "a").write_text(LONG)
    done = say(
        home, *approve, "--hunk", "../a:2", "--file", "../new", "--file", "../gone", cwd=project / "src"
    )
    assert (done.code, done.reply["state"], done.reply["rest"]) == (0, "applied", ["a"])
    assert (project / "a").read_text() == LONG.replace("line 29\n", "LINE 29\n")
    assert not (project / "gone").exists()
    assert (project / "new/n").read_text() == "new\n"
    assert say(home, *approve).code == 2, "it is over"

    # a part is taken back, then the rest by its run; and that is taken back
    assert say(home, "undo", name, "--file", "new", "--yes").code == 0
    assert not (project / "new").exists()
    (project / "a").write_text((project / "a").read_text().replace("line 15\n", "mine\n"))
    undone = say(home, "undo", f"run-{home.ask('proposal', 'show', name)['run']}", "--yes")
    assert (undone.code, undone.reply["merged"]) == (0, ["a"])
    assert (project / "a").read_text() == LONG.replace("line 15\n", "mine\n")
    assert (project / "gone").read_text() == "gone\n"
    assert home.ask("proposal", "show", name)["state"] == "undone"
    assert say(home, "undo", "--yes").code == 0
    assert not (project / "gone").exists()
    assert home.ask("audit", "verify")["sound"]


def test_rejected_edited_and_expected_words_for_people(world):
    home, project = world
    enrol(home)
    first, second = agent(home, project, SCRIPT), agent(home, project, "echo other > other")
    answer = home.run("proposal", "reject", f"proposal-{first}", "-m", "not this way", "--json")
    assert (answer.code, answer.reply["state"]) == (0, "rejected")
    assert home.run("proposal", "reject", f"proposal-{first}", "--json").code == 7
    home.environment["EDITOR"] = "sh -c 'echo mine >> \"$1\"' editor"
    edited = home.run("proposal", "edit", "--json")
    assert (edited.code, edited.reply["revision"], edited.reply["changed"]) == (0, 2, ["other"])
    home.environment["EDITOR"] = "false"
    assert home.run("proposal", "edit", "--json").code == 1
    plain = home.run("proposal", "show")
    assert plain.code == 0
    assert "mine" in plain.out
    assert home.run("proposal", "approve", "--plan").code == 0
    assert say(home, "proposal", "approve", f"proposal-{second}", "--yes").code == 0
    assert (project / "other").read_text() == "other\nmine\n"


def test_commits_arrive_as_refs_and_never_as_files(world):
    home, project = world
    git = ("git", "-C", str(project), "-c", "user.name=h", "-c", "user.email=h@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run([*git, *words], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True).stdout
    enrol(home)
    script = (
        "echo more >> a; git -c user.name=a -c user.email=a@example.org commit -qam 'by the agent';"
        " echo 'exit 1' > .git/hooks/pre-commit"
    )
    number = agent(home, project, script)
    assert say(home, "proposal", "approve", f"proposal-{number}", "--yes").code == 0
    refs = subprocess.run([*git, "for-each-ref"], check=True, capture_output=True).stdout.decode()
    assert "refs/lastro/run-1/" in refs
    assert subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True).stdout == head
    assert not os.path.exists(project / ".git/hooks/pre-commit")
    assert (project / "a").read_text() == f"{LONG}more\n"
