"""The command line inside a jail: the history of the project can be asked, deleted files come back, and nothing else is to be had."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import pytest
from msgspec import structs

from lastro.agents.copied import prepare_copy
from lastro.agents.jail import probing
from lastro.agents.jail.probing import probe
from lastro.agents.jail.spec import HOME, MEMORY_SOCKET, JailSpec
from lastro.agents.jail.starting import choose_view, start
from lastro.agents.overlay import prepare_overlay
from lastro.domain.policy import NetworkMode
from lastro.domain.run import EndCause
from lastro.proposals.policy import role_of
from tests.run_kit import MINE, OTHERS, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.needs("root", "mount namespaces", "bubblewrap"),
]


@pytest.fixture(scope="module")
def jail(tmp_path_factory):
    directory = os.path.realpath(tmp_path_factory.mktemp("jail"))
    with running(directory) as kit:
        yield SimpleNamespace(kit=kit, directory=directory, runs=iter(range(1000)))


def inside(jail, script, *, view=""):
    """Run a shell script in a jail of its own over the project: exit status, what it said, and the view it left behind."""
    kit = jail.kit
    directory = os.path.join(jail.directory, f"run-{next(jail.runs)}")
    os.mkdir(directory, 0o700)
    role = role_of(kit.policy.policy, "client-agent")
    spec = JailSpec(
        run=os.path.basename(directory),
        project=kit.project,
        directory=directory,
        command=("sh", "-c", script),
        environment={
            "PATH": "/usr/bin:/bin",
            "HOME": HOME,
            "LASTRO_SOCKET": MEMORY_SOCKET,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "LASTRO": f"{sys.executable} -m lastro",
        },
        deny_read=role.deny_read,
        network=NetworkMode.NONE,
        memory=kit.places.memory_socket(kit.run),
        view=view,
    )
    abilities = probe(directory)
    view = choose_view(spec, abilities)
    if view == "copy":
        prepare_copy(kit.project, directory)
    else:
        prepare_overlay(directory, kit.project)
    process = start(spec, abilities=abilities)
    said = {"stdout": b"", "stderr": b""}
    while (piece := process.read(60)) is not None and piece[0] != "end":
        said[piece[0]] += piece[1]
    end = process.wait()
    assert end.cause is EndCause.EXITED, (end, said)
    left = os.path.join(directory, "copy" if view == "copy" else "upper")
    return SimpleNamespace(
        code=end.status, out=said["stdout"].decode(), err=said["stderr"].decode(), left=left
    )


@pytest.fixture(params=["", "copy"])
def view(request):
    return request.param


def test_log_find_and_cat(jail, view):
    done = inside(
        jail,
        f"cd {jail.kit.project} && $LASTRO log ./readme.md --json && $LASTRO cat ./readme.md@snap-1"
        " && $LASTRO find --deleted '*.py' --json && $LASTRO cat ./src/gone.py@snap-1",
        view=view,
    )
    assert done.code == 0, done
    lines = done.out.splitlines()
    assert [item["operation"] for item in json.loads(lines[0])["reply"]["items"]] == ["changed", "added"]
    assert lines[1].encode() == MINE + b" 1"
    assert [item["path"] for item in json.loads(lines[2])["reply"]["items"]] == [
        f"{jail.kit.project}/src/gone.py"
    ]
    assert lines[3].encode() == MINE + b" gone"


def test_diff_shows_what_the_agent_has_changed(jail, view):
    done = inside(
        jail,
        f"cd {jail.kit.project} && echo more >> readme.md && rm src/main.py && echo new > added && $LASTRO diff .",
        view=view,
    )
    assert done.code == 0, done
    named = [
        line
        for line in done.out.splitlines()
        if line[:2] in {"+ ", "- ", "~ ", "M ", "A ", "D "} or "readme" in line
    ]
    assert "+more" in done.out, done
    for name in ("readme.md", "src/main.py", "added"):
        assert any(name in line for line in named), (name, done.out)
    assert ".env" not in done.out
    assert "vault" not in done.out
    assert OTHERS.decode() not in done.out


def test_nothing_differs_in_an_untouched_project(jail, view):
    done = inside(jail, f"cd {jail.kit.project} && $LASTRO diff . --json", view=view)
    files = json.loads(done.out.splitlines()[-1])["reply"]["files"]
    assert files == [], done.out


def test_two_recorded_states_are_compared(jail, view):
    done = inside(jail, f"cd {jail.kit.project} && $LASTRO diff .@snap-1 .@snap-2 --json", view=view)
    assert done.code == 0, done
    files = json.loads(done.out.splitlines()[-1])["reply"]["files"]
    assert {file["path"] for file in files} == {"readme.md", "src/gone.py", "src/new.py"}


def test_a_deleted_file_comes_back_in_the_view_alone(jail, view):
    before = sorted(os.listdir(f"{jail.kit.project}/src"))
    snapshots = jail.kit.services.timeline.count_snapshots()
    done = inside(
        jail, f"cd {jail.kit.project} && $LASTRO restore ./src/gone.py --yes && cat src/gone.py", view=view
    )
    assert done.code == 0, done
    assert done.out.encode().endswith(MINE + b" gone\n")
    assert "undo" not in done.out + done.err  # nothing was recorded that could be undone
    with open(f"{done.left}/src/gone.py", "rb") as file:
        assert file.read() == MINE + b" gone\n"
    assert sorted(os.listdir(f"{jail.kit.project}/src")) == before
    assert jail.kit.services.timeline.count_snapshots() == snapshots
    assert jail.kit.services.timeline.applies() == []


def test_a_directory_goes_back_without_what_the_run_may_not_see(jail, view):
    done = inside(
        jail,
        f"cd {jail.kit.project} && echo spoilt > src/main.py && $LASTRO restore ./src@snap-1 --yes"
        " && cat src/main.py src/gone.py && ls -a src",
        view=view,
    )
    assert done.code == 0, done
    assert (MINE + b" 1\n" + MINE + b" gone\n").decode() in done.out
    names = done.out.splitlines()[-5:]
    assert "new.py" not in names
    assert ".env" in names  # masked, and left alone


def test_what_is_masked_stays_unread(jail, view):
    done = inside(
        jail,
        f"cd {jail.kit.project}; cat .env vault/deep/key.txt; for path in .env vault/deep/key.txt ../outsider/notes.txt /etc/shadow;"
        " do $LASTRO cat $PWD/$path; $LASTRO log $PWD/$path; $LASTRO restore $PWD/$path@snap-1 --yes; done",
        view=view,
    )
    assert OTHERS.decode() not in done.out + done.err


@pytest.mark.parametrize(
    "command",
    [
        "undo --yes",
        "capture .",
        "status",
        "init",
        "proposal approve proposal-1",
        "proposal reject proposal-1",
        "approver add me",
        "run -- true",
        "repo check",
        "server list",
        "node roots list",
        "gateway status",
        "policy check",
        "audit verify",
        "up",
        "keeper serve",
        "runner serve",
    ],
)
def test_everything_else_says_that_it_is_not_for_runs(jail, command):
    done = inside(jail, f"cd {jail.kit.project} && $LASTRO --json {command} </dev/null")
    assert done.code in {2, 5}, done
    result = json.loads(done.out.splitlines()[-1])
    assert result["code"] in {"denied", "usage"}, done
    if done.code == 2:
        assert "No such" in result["message"] or "Which" in result["message"], done  # no such command yet


def test_a_home_is_not_needed(jail):
    done = inside(
        jail,
        f"cd {jail.kit.project} && unset HOME && $LASTRO cat ./readme.md && $LASTRO restore ./src/gone.py --yes",
    )
    assert done.code == 0, done


def test_the_keeper_comes_back_while_the_agent_works(jail):
    """A new socket at the same place is seen by a jail that began with the old one."""
    import threading  # noqa: PLC0415  for this one
    import time  # noqa: PLC0415  as above

    kit = jail.kit

    def restart():
        time.sleep(1.5)
        kit.memories.close_all()
        time.sleep(0.5)
        kit.memories.open(kit.run)

    thread = threading.Thread(target=restart)
    thread.start()
    done = inside(
        jail,
        f"cd {kit.project} && $LASTRO cat ./readme.md && sleep 3 && $LASTRO cat ./readme.md",
    )
    thread.join()
    assert done.out.encode() == (MINE + b" 2\n") * 2, done


def test_owners_without_a_name_in_the_jail_are_no_difference(tmp_path, monkeypatch):
    """In a user namespace other users' files are nobody's: nothing to compare, nothing that could be given back."""
    real = probing.probe
    monkeypatch.setitem(globals(), "probe", lambda path: structs.replace(real(path), overlay="overlay-user"))
    with running(os.path.realpath(tmp_path)) as kit:
        for name in ("main.py", "new.py"):
            os.chown(f"{kit.project}/src/{name}", 33, 33)
        kit.capture(kit.world)
        os.unlink(f"{kit.project}/src/new.py")
        kit.capture(kit.world)
        jail = SimpleNamespace(kit=kit, directory=os.path.realpath(tmp_path), runs=iter(range(10)))
        done = inside(
            jail,
            f"cd {kit.project} && stat -c %u src/main.py && $LASTRO diff . --json"
            " && $LASTRO restore ./src@snap-4 --yes --json; echo $? && cat src/new.py",
        )
        lines = done.out.splitlines()
        assert lines[0] == "65534"
        assert json.loads(lines[1])["reply"]["files"] == []
        restored = json.loads(lines[2])["reply"]
        assert [change["path"] for change in restored["plan"]["changes"]["changes"]] == ["src/new.py"]
        assert {(note["path"], note["kind"]) for note in restored["notes"]} == {
            ("src/new.py", "not_permitted")
        }
        assert lines[3:] == [
            "3",
            (MINE + b" new").decode(),
        ]  # done, and it says that the owner could not be set
