"""Agents that mean harm, through the whole of ``lastro run``: what they do is contained, and whoever decides is shown it.

``test_jail.py`` attacks the jail alone. Here everything around it is in play: the collection of what a hostile program left, its checks,
the page that a human reads, applying, the gateway, and what is left when the run is over.
"""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.capabilities import needs
from tests.integration.commands import Home, wait_until
from tests.integration.gateway import configure, running_gateway
from tests.integration.providers import provider
from tests.integration.test_runs import (
    NOBODY,
    OtherHome,
    interpreter_of_nobody,
    listing,
    make_project,
    run,
    running,
    shown,
    state_of,
)
from tests.upstreams import Says, Turn

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("linux", "overlays")]

PASSPHRASE = "correct horse battery staple"
PYTHON = "/usr/bin/python3"


@pytest.fixture(
    params=[
        pytest.param("root", marks=pytest.mark.needs("root")),
        pytest.param("nobody", marks=pytest.mark.needs("another user")),
    ]
)
def world(request):
    """A home and a project of root, and of a user without rights, with secrets of theirs beside it."""
    nobody = request.param == "nobody"
    if nobody:
        needs(interpreter_of_nobody(), "a Python that others may run")
    with tempfile.TemporaryDirectory(prefix="lastro-malice-") as name:
        os.chmod(name, 0o711)
        top = Path(name).resolve()
        project, home, beside = top / "project", top / "home", top / "beside"
        make_project(project)
        home.mkdir(mode=0o700)
        beside.mkdir(mode=0o700)
        (beside / "secret").write_text("KEEP-OUT\n")
        environment = {"HOME": str(home)}
        if nobody:
            for path in (home, project, beside, beside / "secret", *project.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            places = [path for path in sys.path if "site-packages" in path or path.endswith("src")]
            environment["PYTHONPATH"] = os.pathsep.join(places)
        found = (OtherHome if nobody else Home)(str(home), environment)
        found.ask("init")
        yield found, str(project)


@pytest.fixture
def small(tmp_path):
    """A home and a project of whoever runs the tests."""
    make_project(tmp_path / "project")
    home = Home(str(tmp_path / "home"), {"HOME": str(tmp_path)})
    home.ask("init")
    return home, str(tmp_path / "project")


def attack(home, project, script, *options):
    """The reply to a run of a Python program, and what it said."""
    answer = home.run("run", "--json", "--project", project, *options, "--", PYTHON, "-c", script)
    lines = [json.loads(line) for line in answer.out.splitlines()]
    said = [
        line["event"]["parameters"]["text"]
        for line in lines
        if line.get("type") == "item" and line["event"]["kind"] == "run_said"
    ]
    assert lines[-1]["type"] == "result", answer
    return lines[-1].get("reply"), said


def enroll(home):
    command = home.command("approver", "add", "--passphrase-stdin")
    subprocess.run(
        command, env=home.surroundings, input=PASSPHRASE.encode(), check=True, capture_output=True, timeout=60
    )


def approve(home, name, *options):
    command = home.command("proposal", "approve", name, "--yes", "--passphrase-stdin", "--json", *options)
    done = subprocess.run(
        command,
        env=home.surroundings,
        input=PASSPHRASE.encode(),
        check=False,
        capture_output=True,
        timeout=60,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def flags(home, number):
    return {str(file["path"]): set(file["flags"]) for file in shown(home, number)["files"]}


# Seeing what is not its own -------------------------------------------------------------------------------------------------------------

LOOK = """
import os, sys
top = sys.argv[1] if len(sys.argv) > 1 else {top!r}
for path in ({top!r} + "/beside/secret", {top!r} + "/home", {top!r} + "/beside", "/proc/1/root" + {top!r},
             "/proc/1/cwd", "/proc/1/environ", "/proc/1/mem", "/proc/self/root" + {top!r} + "/beside/secret",
             "/etc/shadow", "/root/.ssh", "/run/systemd", "/var/run/docker.sock", "/dev/mem", "/sys/kernel"):
    try:
        print("SEEN", path, os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(40))
    except OSError:
        pass
names = []
for number in os.listdir("/proc/self/fd"):
    try:
        names.append(os.readlink("/proc/self/fd/" + number))
    except OSError:
        pass
print("FDS", [name for name in names if {top!r} in name and not name.startswith({top!r} + "/project")])
"""


@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_homes_keys_the_repository_and_other_runs_are_not_there(world, view):
    home, project = world
    run(home, project, "echo first > first")  # its directory lies beside that of the next
    _, said = attack(home, project, LOOK.format(top=os.path.dirname(project)), "--view", view)
    assert [line for line in said if line.startswith("SEEN")] == []
    assert [line for line in said if line.startswith("FDS")] == ["FDS []"]


# What is left behind --------------------------------------------------------------------------------------------------------------------

HOSTILE_TREE = """
import os, socket
os.symlink("/etc/passwd", "to-passwd")
os.symlink("../beside/secret", "to-secret")
import shutil
shutil.rmtree("docs"); os.symlink("../beside", "docs")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("sock")
open("setuid", "w").write("#!/bin/sh\\n"); os.chmod("setuid", 0o6755)
for name, value in (("opaque", b"y"), ("whiteout", b"y"), ("redirect", b"/beside"), ("metacopy", b"")):
    for kind in ("user.overlay.", "trusted.overlay.", "user.overlay.overlay."):
        try:
            os.makedirs("spoof-" + name, exist_ok=True); os.setxattr("spoof-" + name, kind + name, value)
        except OSError:
            pass
open("empty", "w").close()
try:
    os.setxattr("empty", "user.overlay.whiteout", b"y")
except OSError:
    pass
for name, kind, number in (("hole", 0o020000, 0), ("null", 0o020000, os.makedev(1, 3)), ("disk", 0o060000, os.makedev(8, 0))):
    try:
        os.mknod(name, kind | 0o666, number)
    except OSError:
        pass
os.mkdir("locked"); open("locked/in", "w").write("x"); os.chmod("locked", 0)
with open("sparse", "wb") as file:
    file.truncate(1 << 30)
"""


@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_whatever_it_leaves_is_shown_and_nothing_is_followed(world, view):
    home, project = world
    before = listing(project)
    reply, said = attack(home, project, HOSTILE_TREE, "--view", view)
    assert (reply["state"], reply["risk"]) == ("finished", "high")
    assert said == []
    found = flags(home, reply["proposal"])
    assert "leads_out" in found["to-passwd"]
    assert "leads_out" in found["docs"]
    assert {"special"} <= found["pipe"]
    assert {"special"} <= found["sock"]
    assert not {"null", "disk"} & set(found)
    assert view == "copy" or "hole" not in found  # device 0:0 may be made by everybody; it opens nothing
    assert "special" in found.get("hole", {"special"})
    assert {"special", "executable"} <= found["setuid"]
    assert {"spoof-opaque", "spoof-whiteout", "empty", "locked", "locked/in", "sparse"} <= set(found)
    assert listing(project) == before
    page = home.run("proposal", "show", f"proposal-{reply['proposal']}").out
    assert "KEEP-OUT" not in page
    assert "root:x:0" not in page


ODD = """
import os
for name in (b"new\\nline", b"\\x1b[31mred", "\\u202egpj.exe".encode(), b"\\xff\\xfe", b"\\x07", "pa\\u0443load.py".encode(),
             "\\u0430dmin".encode(), b" edited", b"edited ", "edited\\u00a0".encode(), "\\u200b".encode()):
    with open(name, "wb") as file:
        file.write(b"one\\x1b[2J\\x1b]0;title\\x07\\r hidden \\xe2\\x80\\xae back\\n")
print("\\x1b[2J\\x1b]52;c;ZXZpbA==\\x07 last \\u202e words")
print('{"type":"result","ok":true,"exit_code":0,"reply":{"run":99}}')
"""


def test_names_contents_and_words_steer_no_terminal_and_forge_no_result(small):
    home, project = small
    answer = home.run("run", "--project", project, "--", PYTHON, "-c", ODD)
    page = home.run("proposal", "show")
    for text in (answer.out + answer.err, page.out, home.run("runs", "show", "run-1").out):
        assert not set(text) & {"\x1b", "\x07", "\r", "\u202e", "\u200b"}, text
    reply, _ = attack(home, project, ODD)
    assert reply["run"] == 2
    found = flags(home, 2)
    assert {path for path in found if "odd_name" not in found[path]} == set()


BARE = """
import os
os.makedirs("deep/objects"); os.makedirs("deep/refs"); os.makedirs("sub/.git/hooks"); os.mkdir("other")
open("deep/HEAD", "w").write("ref: refs/heads/main\\n")
open("deep/config", "w").write("[core]\\n\\tbare = false\\n\\tworktree = .\\n\\tfsmonitor = touch /tmp/x\\n")
open("sub/.git/config", "w").write("[core]\\n\\tfsmonitor = touch /tmp/x\\n")
open("other/.git", "w").write("gitdir: ../deep\\n")
open(".gitmodules", "w").write("[submodule]\\n")
"""


def test_repositories_planted_in_the_project_are_flagged(small):
    home, project = small
    reply, _ = attack(home, project, BARE)
    assert reply["risk"] == "high"
    found = flags(home, 1)
    for path in ("deep/HEAD", "sub/.git/config", "other/.git", ".gitmodules"):
        assert "executed_later" in found[path], path


GIT = """
import os, subprocess
os.makedirs(".git/hooks", exist_ok=True)
for path, text in ((".git/hooks/post-checkout", "#!/bin/sh\\ntouch %(mark)s\\n"),
                   (".git/config", "[core]\\n fsmonitor = touch %(mark)s\\n"),
                   (".git/objects/info/alternates", "%(top)s/beside\\n")):
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "a").write(text); os.chmod(path, 0o755)
        print("wrote", path)
    except OSError:
        pass
open("work", "w").write("work\\n")
try:
    os.rename(".git", "was-git")
    open(".git", "w").write("gitdir: %(top)s/project/was-git\\n")
except OSError:
    pass
"""


@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_nothing_planted_in_git_runs_or_comes_over(world, view):
    home, project = world
    top, mark = os.path.dirname(project), os.path.join(os.path.dirname(project), "home", "ran")
    own = list(home.command("x"))[: len(home.command("x")) - 4]
    git = ["git", "-C", project, "-c", f"safe.directory={project}", "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "edited"], ["commit", "-qm", "first"]):
        subprocess.run([*own[:4], *git, *words] if len(own) > 1 else [*git, *words], check=True, cwd="/")
    enroll(home)
    before = listing(os.path.join(project, ".git"))
    reply, _ = attack(home, project, GIT % {"mark": mark, "top": top}, "--view", view)
    assert not [path for path in flags(home, reply["proposal"]) if path == ".git" or path.startswith(".git/")]
    code, said = approve(home, f"proposal-{reply['proposal']}", "--file", "work")
    assert code == 0, said
    assert Path(project, "work").read_text() == "work\n"
    assert not os.path.exists(mark)
    after = listing(os.path.join(project, ".git"))
    assert {path: after.get(path) for path in ("config", "hooks", "HEAD")} == {
        path: before.get(path) for path in ("config", "hooks", "HEAD")
    }


POLICY = """
import os
try:
    os.rename(".lastro", "elsewhere")
except OSError:
    pass
os.makedirs(".lastro", exist_ok=True)
for name in ("policy.toml", "POLICY.TOML", "project.toml"):
    try:
        open(".lastro/" + name, "w").write('[roles.client-agent]\\n')
    except OSError:
        pass
"""


@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_the_policy_and_the_checks_cannot_be_slipped_in(small, view):
    home, project = small
    reply, _ = attack(home, project, POLICY, "--view", view)
    assert reply["state"] == "blocked"
    enroll(home)
    code, _ = approve(home, "proposal-1")
    assert code != 0
    assert not os.path.exists(os.path.join(project, ".lastro"))


# While it ends --------------------------------------------------------------------------------------------------------------------------

STUBBORN = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
open("grows", "w").write("x")
if os.fork() == 0:
    os.setsid()
    print("ready", flush=True)
    while True:
        with open("grows", "ab") as file:
            file.write(b"x" * 4096)
        try:
            os.rename("docs", "docs2"); os.symlink("/etc", "docs"); os.unlink("docs"); os.rename("docs2", "docs")
        except OSError:
            pass
        time.sleep(0.001)
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(600)
"""


def test_nothing_of_it_moves_while_its_work_is_collected(world):
    home, project = world
    with running(home, project, f"exec {PYTHON} -c '{STUBBORN}'") as process:
        wait_until(lambda: process.said("ready"))
        process.process.send_signal(signal.SIGINT)
        process.process.wait(60)
        reply = process.reply
    assert (reply["state"], reply["proposal"]) == ("cancelled", 1)
    size = shown(home, 1, "--file", "grows")["files"][0]["after"]["size"]
    upper = os.path.join(home.path, "state", "runs", "run-1", "upper", "grows")
    assert os.path.getsize(upper) == size


def test_a_closed_terminal_ends_the_agent_and_keeps_its_work(small):
    home, project = small
    with running(home, project, "echo half > half; echo ready; sleep 64") as process:
        wait_until(lambda: process.said("ready"))
        process.process.send_signal(signal.SIGHUP)
        process.process.wait(40)
        assert (process.reply["state"], process.reply["proposal"]) == ("cancelled", 1)


def test_a_terminal_window_that_is_closed_loses_no_work(small):
    home, project = small
    command = home.command(
        "run", "--project", project, "--", "sh", "-c", "echo half > half; echo ready; sleep 69"
    )
    child, screen = pty.fork()
    if not child:
        os.execvpe(command[0], command, home.surroundings)
    seen = b""
    try:
        while b"ready" not in seen:
            assert select.select((screen,), (), (), 40)[0], seen
            seen += os.read(screen, 4096)
    finally:
        os.close(screen)
    wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] == child)
    assert state_of(home) == "cancelled"
    assert set(flags(home, 1)) == {"half"}


def test_a_reader_that_goes_away_does_not_end_a_run(small):
    home, project = small
    command = home.command(
        "run", "--json", "--project", project, "--", "sh", "-c", "echo a; sleep 1; echo b; echo x > done"
    )
    with subprocess.Popen(command, env=home.surroundings, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        process.wait(40)
    assert state_of(home) == "finished"


def test_files_of_another_group_can_be_changed_without_root(world):
    home, project = world
    os.chown(project, -1, 0)
    os.chown(os.path.join(project, "edited"), -1, 0)
    reply = run(home, project, "echo more >> edited; echo x > new")
    assert reply["state"] == "finished"
    assert {"edited", "new"} <= set(flags(home, 1))


@pytest.mark.needs("root")
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk_is_said_and_what_there_is_can_be_read(tmp_path, kind):
    disk, project = tmp_path / "disk", tmp_path / "project"
    disk.mkdir()
    make_project(project)
    if kind == "tmpfs":
        mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)]
    else:
        image = tmp_path / "image"
        image.touch()
        os.truncate(image, 40 << 20)
        needs(shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") or "", "mkfs.ext4")
        subprocess.run(
            ["mkfs.ext4", "-q", "-b", "1024", str(image)],
            check=True,
            env={"PATH": "/usr/sbin:/sbin:/usr/bin"},
        )
        mount = ["mount", "-o", "loop", str(image), str(disk)]
    subprocess.run(mount, check=True)
    try:
        home = Home(str(disk / "home"), {"HOME": str(tmp_path)})
        home.ask("init")
        run(home, project=str(project), script="echo one > one")
        with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1024)):
                pass
        for _ in range(3):
            answer = home.run("run", "--project", str(project), "--", "sh", "-c", "echo two > two")
            assert answer.code == 1
            assert "Unexpected" not in answer.err
            assert "o space left" in answer.err or "full" in answer.err
        assert [one["run"] for one in home.ask("runs", "list")["runs"]][-1] == 1
        assert home.run("proposal", "show", "proposal-1").code == 0
        os.unlink(disk / "fill")
        assert run(home, str(project), "echo two > two")["state"] == "finished"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_run_whose_directory_vanished_says_so_and_is_not_running(small):
    home, project = small
    with running(home, project, "echo half > half; echo ready; sleep 65") as process:
        wait_until(lambda: process.said("ready"))
        shutil.rmtree(os.path.join(home.path, "state", "runs", "run-1"))
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(40) == 1
    assert state_of(home) == "interrupted"
    assert run(home, project, "echo x > x")["state"] == "finished"


def test_a_damaged_record_of_a_run_does_not_hide_where_its_work_lies(small):
    home, project = small
    with running(home, project, "echo half > half; echo ready; sleep 66") as process:
        wait_until(lambda: process.said("ready"))
        process.process.kill()
        process.process.wait()
    record = os.path.join(home.path, "state", "runs", "run-1", "run.json")
    with open(record, "w", encoding="utf-8") as file:
        file.write('{"run": 1')
    answer = home.run("runs", "propose", "run-1")
    assert answer.code != 0
    assert record in answer.err


# What runs after it ---------------------------------------------------------------------------------------------------------------------

CHECK = """
[[check]]
name = "tests"
command = ["sh", "tests.sh"]
timeout = "4s"
"""
HOSTILE_CHECK = r"""
printf 'new\n' > edited; echo x > planted; cat ../beside/secret /proc/1/environ
ls /run/lastro 2>/dev/null; kill -9 1; (setsid sleep 67 &)
printf '\033[2J\033]0;evil\007\n'
python3 -c 'import socket; s = socket.socket(); s.settimeout(1); s.connect(("127.0.0.1", 8421)); print("CONNECTED")' 2>/dev/null
echo leaked > /tmp/check-was-here
bomb() { bomb | bomb & }; bomb
sleep 60
"""


def test_checks_run_what_the_agent_wrote_and_gain_nothing(world):
    home, project = world
    os.makedirs(os.path.join(project, ".lastro"))
    Path(project, ".lastro", "project.toml").write_text(CHECK)
    Path(project, "tests.sh").write_text("exit 0\n")
    for path in (".lastro", ".lastro/project.toml", "tests.sh"):
        shutil.chown(os.path.join(project, path), os.stat(project).st_uid, os.stat(project).st_gid)
    before = listing(project)
    script = f"open('tests.sh', 'w').write({HOSTILE_CHECK!r})"
    reply, _ = attack(home, project, script)
    assert reply["failed_checks"] == 1
    assert listing(project) == before
    found = shown(home, 1)
    assert {file["path"] for file in found["files"]} == {"tests.sh"}
    check = next(check for check in found["checks"] if check["name"] == "tests")
    assert check["verdict"] == "timed_out"
    assert "KEEP-OUT" not in check["output"]
    assert "CONNECTED" not in check["output"]
    assert not os.path.exists("/tmp/check-was-here")
    assert "\x1b" not in home.run("proposal", "show").out
    wait_until(
        lambda: subprocess.run(["pgrep", "-fx", "sleep 67"], capture_output=True, check=False).stdout == b""
    )


# Applying -------------------------------------------------------------------------------------------------------------------------------


def test_a_link_planted_in_the_live_project_leads_no_apply_outside(small, tmp_path):
    home, project = small
    enroll(home)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept\nsecond\n")
    docs, real = os.path.join(project, "docs"), os.path.join(project, "docs.real")
    over = threading.Event()

    def swap():
        while not over.is_set():
            os.rename(docs, real)
            os.symlink(outside, docs)
            os.unlink(docs)
            os.rename(real, docs)

    for number in range(1, 7):
        run(home, project, f"echo round{number} > docs/kept; echo {number} > docs/new{number}")
        over.clear()
        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            approve(home, f"proposal-{number}")
        finally:
            over.set()
            swapping.join()
        assert os.listdir(outside) == ["kept"]
        assert (outside / "kept").read_text() == "kept\nsecond\n"


# The gateway ----------------------------------------------------------------------------------------------------------------------------

CALLS = """
import http.client, json, os, socket
def ask(key, path="/v1/chat/completions", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", 8421, timeout=20)
    headers = {"content-type": "application/json", **({"authorization": "Bearer " + key} if key else {})}
    said = {"model": "auto", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    try:
        connection.request("POST", path, body or json.dumps(said), headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
own = os.environ["OPENAI_API_KEY"]
print("own", ask(own)); print("none", ask("")); print("other", ask(%(other)r)); print("forged", ask(own[:-3] + "abc"))
for path in ("/admin/keys", "/v1/keys", "/keys", "/budgets", "/stop", "/reload", "/../gateway-admin.sock"):
    print("admin", path, ask(own, path))
print("key", own)
open("leak.txt", "w").write("api_key = " + own + "\\n")
print("huge", ask(own, body=b'{"messages": "' + b"x" * 200_000_000 + b'"}'))
for path in ("/run/lastro/gateway-admin.sock", "/run/lastro/gateway.sock/../gateway-admin.sock"):
    try:
        socket.socket(socket.AF_UNIX).connect(path); print("ADMIN", path)
    except OSError:
        pass
"""


def test_the_gateway_gives_a_run_its_own_key_and_nothing_else(small):
    home, project = small
    with provider(lambda _: Turn(says=Says(text="x"))) as upstream:
        configure(
            home,
            f'[providers.scripted]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\ndialects = ["chat"]\n'
            '[providers.scripted.models."m"]\ntools = "yes"\n[routes.default]\nmodels = ["scripted/m"]\n',
        )
        with running_gateway(home):
            _, said = attack(home, project, CALLS % {"other": "lk-not-a-key"})
            words = dict(line.split(" ", 1) for line in said if not line.startswith("admin "))
            assert words["own"] == "200"
            assert {words["none"], words["other"], words["forged"]} == {"401"}
            assert all(
                line.split()[-1] in {"404", "405", "401", "403"} for line in said if "admin /" in line
            ), said
            assert words["huge"] != "200"
            assert "ADMIN" not in words
            assert "secret" in flags(home, 1)["leak.txt"]
            late = CALLS.split("own = ", maxsplit=1)[0] + f'print("late", ask({words["key"]!r}))'
            _, said = attack(home, project, late)
            assert said == ["late 401"]
