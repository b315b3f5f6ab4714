"""Agents that mean harm, in every kind of jail: each is contained, and what contained it is told.

The whole file runs a second time as an ordinary user. After every run ``Laboratory.run`` looks at the live project, at what lies
outside, at the host's mounts and for processes left behind.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from lastro.agents.jail.cgroups import GroupPlace, find_place
from lastro.agents.jail.probing import LANDLOCK_HOLDS_WRITES, probe, program
from lastro.domain.policy import NetworkMode, RunLimits
from lastro.domain.run import EndCause
from lastro.errors import ConfigError, DeniedError
from tests.capabilities import is_root, needs, python_for_others
from tests.jail_kit import Laboratory, marked

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("linux", "bubblewrap")]

AGAIN = "LASTRO_TEST_JAIL_AGAIN"


@pytest.fixture(params=["best", "copy"])
def laboratory(tmp_path, request):
    """The best view there is, and a copy."""
    return Laboratory(tmp_path, view="" if request.param == "best" else "copy")


@pytest.fixture
def best(tmp_path):
    return Laboratory(tmp_path)


@pytest.fixture
def bare(tmp_path):
    """A host without namespaces, bubblewrap and control groups."""
    abilities = msgspec.structs.replace(
        probe(str(tmp_path)), bubblewrap="", overlay="", network=False, groups=GroupPlace()
    )
    return Laboratory(tmp_path, abilities=abilities)


# What it may do -----------------------------------------------------------------------------------------------------------------------


def test_an_agent_works_at_the_projects_own_path_and_the_project_stays(laboratory):
    result = laboratory.run(
        "sh", "-c", "pwd; echo new > b.txt; rm a.txt; chmod 700 src/main.py; mkdir -p d/e; exit 7"
    )
    assert result.out.decode().strip() == str(laboratory.project)
    assert (result.end.cause, result.end.status) == (EndCause.EXITED, 7)
    assert (result.layer / "b.txt").read_text() == "new\n"
    assert (result.layer / "d/e").is_dir()
    assert not (result.layer / "a.txt").is_file()  # not there, or a whiteout
    assert (laboratory.project / "a.txt").read_text() == "as it was\n"


def test_the_best_view_is_an_overlay_and_everything_but_known_gaps_is_enforced(best):
    result = best.run("true")
    needs(best.view == "" and result.enforcement.view != "copy", "a file system that takes overlays")
    assert result.enforcement.view == ("overlay" if is_root() else "overlay-user")
    gaps = set() if find_place().kind else {"memory"}
    assert set(result.enforcement.degraded) == gaps


def test_the_environment_is_what_was_said_and_nothing_of_ours(laboratory, monkeypatch):
    monkeypatch.setenv("OUR_SECRET", "hunter4")
    result = laboratory.run(
        "sh",
        "-c",
        "env; cat /proc/*/environ | tr '\\0' '\\n'; cat /proc/*/cmdline",
        environment={"KEY": "k1"},
    )
    assert b"hunter4" not in result.out
    assert b"KEY=k1" in result.out
    names = {line.partition(b"=")[0] for line in result.out.splitlines() if b"=" in line}
    assert names <= {
        b"LANG",
        b"KEY",
        b"HOME",
        b"PATH",
        b"TMPDIR",
        b"PWD",
        b"LASTRO_TEST_JAIL",
        b"OLDPWD",
        b"SHLVL",
        b"_",
    }


def test_the_key_is_on_no_command_line_of_the_host(best):
    seen = []

    def look(jail):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                seen.append(path.read_bytes())
        jail.stop(EndCause.CANCELLED)

    result = best.run(
        "sh", "-c", "echo here; sleep 100", environment={"LASTRO_KEY": "key-4711-secret"}, stop=look
    )
    assert result.end.cause is EndCause.CANCELLED
    assert seen and not any(b"key-4711-secret" in line for line in seen)


def test_no_descriptor_but_three_reaches_an_agent(laboratory):
    with Path("/etc/hostname").open() as inherited:
        os.set_inheritable(inherited.fileno(), True)  # noqa: FBT003
        result = laboratory.python(
            "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])"
        )
    assert result.out.strip() == b"[0, 1, 2]"


def test_output_comes_through_as_it_is(best):
    result = best.python(
        r"import os; os.write(1, b'\x1b[31m\x00\xff\r\x1b]0;title\x07'); os.write(2, b'\xfe')"
    )
    assert result.out == b"\x1b[31m\x00\xff\r\x1b]0;title\x07"
    assert result.err == b"\xfe"


def test_much_output_waits_for_its_reader_and_is_whole(best):
    result = best.python("import sys; sys.stdout.write('0123456789' * 400_000)")
    assert result.out == b"0123456789" * 400_000


def test_a_program_that_is_not_there_is_said(laboratory):
    result = laboratory.run("no-such-program")
    assert (result.end.cause, result.end.status) == (EndCause.NOT_STARTED, None)
    assert "No such file" in result.end.reason


def test_a_death_by_signal_is_told(best):
    result = best.python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (result.end.cause, result.end.status) == (EndCause.SIGNALLED, -signal.SIGSEGV)


# What it must not read or write -------------------------------------------------------------------------------------------------------


def test_what_the_role_may_not_read_is_shown_empty(laboratory):
    (laboratory.project / "deep").mkdir()
    (laboratory.project / "deep/server.PEM").write_text("hunter5")
    (laboratory.project / "keys").mkdir()
    (laboratory.project / "keys/one").write_text("hunter6")
    (laboratory.project / "link").symlink_to("plain-secret")
    (laboratory.project / "plain-secret").write_text("hunter7")
    result = laboratory.run(
        "sh",
        "-c",
        "cat .env deep/server.PEM link plain-secret; ls keys; cat keys/one; cp .env copied; mv .env moved; rm -f .env; ln .env linked;"
        "ls -A; cat copied linked moved",
        deny_read=(".env*", "*.pem", "keys/**", "link"),
    )
    assert b"hunter" not in result.out
    assert b".env" in result.out


def test_policy_roles_hooks_and_frozen_paths_are_read_only(laboratory):
    script = """
        for path in .lastro/policy.toml .lastro/roles/me.md .git/hooks/pre-commit .git/config src/main.py gen/x; do
            echo evil > $path && echo WROTE $path
            rm -f $path && [ ! -e $path ] && echo REMOVED $path
        done
        rm -rf .git/hooks .lastro/roles; chmod 777 .lastro/policy.toml .git/hooks && echo CHANGED
        mv .git .git2; mv .lastro/policy.toml x; ls .git/hooks; echo fine > free
    """
    (laboratory.project / "gen").mkdir()
    (laboratory.project / "gen/x").write_text("x")
    for path in (".lastro/roles/me.md", ".git/hooks/pre-commit"):
        (laboratory.project / path).write_text("ours")
    result = laboratory.run("sh", "-c", script, frozen=("src/main.py",), deny_write=("gen/**",))
    assert b"WROTE" not in result.out
    assert b"REMOVED" not in result.out
    assert b"CHANGED" not in result.out
    assert (result.layer / "free").exists()


def test_a_role_that_writes_a_directory_writes_there_alone(laboratory):
    result = laboratory.run(
        "sh",
        "-c",
        "echo x > src/new && echo IN; mkdir src/d; mv src/new src/d/new && echo MOVED; echo x > out && echo OUT; rm -f a.txt;"
        "echo x >> a.txt && echo APPENDED; mv src/d/new . && echo ESCAPED; echo ok > /tmp/t && echo ok > ~/h && echo OWN",
        write=("src/**",),
    )
    assert result.out.split() == [b"IN", b"MOVED", b"OWN"]


def test_landlock_holds_where_no_mount_does(tmp_path):
    """A project in a temporary directory is told by mounts, for the jail's own ``/tmp`` is writable; any other by Landlock."""
    needs(probe(str(tmp_path)).landlock >= 2, "Landlock")
    place = next((one for one in ("/srv", "/opt", os.path.expanduser("~")) if os.access(one, os.W_OK)), "")
    needs(place and not place.startswith(("/tmp", "/var/tmp")), "a directory outside of /tmp to write in")
    with tempfile.TemporaryDirectory(dir=place, prefix="lastro-jail-") as top:
        result = Laboratory(Path(top)).run(
            "sh",
            "-c",
            "echo x > src/new && echo IN; echo x > out && echo OUT; echo x >> a.txt && echo APPENDED; mv src s && echo MOVED;"
            "rm -f a.txt; cat a.txt; grep -c . /proc/self/mountinfo >/dev/null; echo x > ~/h && echo OWN",
            write=("src/**",),
        )
    assert result.out.split() == [b"IN", b"as", b"it", b"was", b"OWN"]


def test_a_role_that_writes_nothing_writes_nothing(laboratory):
    result = laboratory.run(
        "sh", "-c", "touch a.txt src/x; echo x > y; chmod 600 a.txt; rm a.txt; cat a.txt", write=()
    )
    assert result.out == b"as it was\n"


def test_links_lead_nowhere_outside(laboratory):
    outside = laboratory.outside
    script = f"""
        ln -s {outside}/secret l; cat l && echo READ; echo evil > l && echo WROTE
        ln {outside}/secret h && echo LINKED
        ln -s {outside} d; touch d/new && echo MADE; ls {outside} && echo LISTED
        ln -s / root; ls root/root root/home/* root/var/lib && echo SEEN
        cat /proc/1/root/{outside}/secret && echo ROOT; ls /proc/1/cwd/ && echo CWD; ls -l /proc/1/fd/* && echo DESCRIPTORS
        cat /proc/1/environ && echo ENVIRON; cat /proc/1/fd/0 && echo ORDER; cat /proc/1/mem && echo MEM
        cd /proc/self/cwd/../.. && cat outside/secret && echo UP
    """
    (laboratory.project / "planted").symlink_to(outside / "secret")
    result = laboratory.run("sh", "-c", script + "cat planted && echo PLANTED")
    assert b"hunter" not in result.out + result.err
    assert not {
        b"READ",
        b"LINKED",
        b"MADE",
        b"LISTED",
        b"ROOT",
        b"CWD",
        b"ENVIRON",
        b"MEM",
        b"UP",
        b"PLANTED",
    } & set(result.out.split())


def test_process_1_is_closed_without_landlock_too(tmp_path):
    abilities = msgspec.structs.replace(probe(str(tmp_path)), landlock=0)
    result = Laboratory(tmp_path, abilities=abilities).run(
        "sh",
        "-c",
        "cat /proc/1/environ && echo ENVIRON; ls /proc/1/root/ && echo ROOT; cat /proc/1/maps && echo MAPS; cat /proc/1/fd/0 && echo ORDER",
    )
    assert result.out == b""
    assert "landlock" in result.enforcement.degraded


def test_secrets_and_sockets_of_the_host_are_not_there(laboratory, tmp_path):
    home = tmp_path / "lastro-home/config/secrets"
    home.mkdir(parents=True)
    (home / "key").write_text("hunter8")
    paths = [
        *(
            "/etc/shadow",
            "/etc/gshadow",
            "/root/.ssh",
            "/etc/ssh",
            "/run/docker.sock",
            "/var/run/docker.sock",
            "/run/systemd",
        ),
        *(
            "/run/dbus/system_bus_socket",
            "/run/user",
            "/sys",
            "/var/lib",
            "/var/log",
            "/boot",
            "/etc/machine-id",
            "/proc/kcore2",
        ),
        *(
            str(home / "key"),
            str(laboratory.outside),
            "/etc/resolv.conf",
            "/etc/ssl/private",
            "/sys/fs/cgroup",
            "/mnt",
            "/srv",
        ),
        str(laboratory.directory) + "-1",
    ]
    result = laboratory.run(
        "sh", "-c", "for path; do [ -e $path ] && echo $path; done; ls -A ~ /run", "sh", *paths
    )
    assert set(result.out.split()) <= {b"/home/agent:", b"/run:", b"lastro"}


def test_nothing_but_its_own_can_be_written(laboratory):
    script = """
        for path in / /usr /usr/bin /etc /home /home/agent/.. /run /run/lastro /var /proc/sys/kernel /proc /dev /lib; do
            touch $path/evil && echo WROTE $path; done
        echo x > /proc/sys/kernel/core_pattern && echo CORE; echo 1 > /proc/sysrq-trigger && echo SYSRQ
        echo x > /etc/passwd && echo PASSWD; chmod 777 /usr /etc/passwd && echo MODE
        dd if=/dev/zero of=/dev/shm/x bs=1k count=1 && echo OWN
    """
    assert laboratory.run("sh", "-c", script).out.split() == [b"OWN"]


def test_privileges_do_not_come_back(laboratory):
    script = """
        import ctypes, errno, os
        libc = ctypes.CDLL(None, use_errno=True)
        def refused(name, result):
            print(name, result < 0)
        refused("mount", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
        refused("bind", libc.mount(b"/", b"/tmp", None, 4096, None))
        refused("remount", libc.mount(None, b"/usr", None, 32 | 4096, None))
        refused("umount", libc.umount2(os.getcwd().encode() + b"/.git/hooks", 2))
        refused("umount project", libc.umount2(os.getcwd().encode(), 2))
        refused("pivot", libc.syscall(155, b"/", b"/"))
        for flags in (0x10000000, 0x20000, 0x10000000 | 0x20000, 0x40000000, 0x20000000):
            refused("unshare", libc.unshare(flags))
        refused("chroot", libc.chroot(b"/tmp"))
        refused("mknod", libc.mknod(b"/tmp/disk", 0o60666, os.makedev(8, 0)))
        refused("mknod zero", libc.mknod(os.getcwd().encode() + b"/white", 0o20000, 0) if os.geteuid() == 12 else -1)
        refused("setuid", libc.setuid(1000 if os.geteuid() == 0 else 0))
        refused("keyctl", libc.syscall(250, 0, -3, 0))
        refused("ptrace", libc.ptrace(16, 1, None, None))
        refused("reboot", libc.reboot(0x01234567))
        refused("bpf", libc.syscall(321, 0, None, 0))
        refused("io_uring", libc.syscall(425, 1, None))
        refused("kill", libc.kill(1, 9) - (os.path.exists("/proc/1/stat")))
        print(open("/proc/self/status").read())
    """
    result = laboratory.python(textwrap.dedent(script))
    lines = result.out.decode().splitlines()
    assert not [line for line in lines if line.endswith(" False")]
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines


def test_setuid_programs_have_no_effect(laboratory):
    result = laboratory.run(
        "sh", "-c", "cp /usr/bin/id ./suid; chmod 4755 suid; ./suid -u; su -c id root </dev/null; sudo -n id"
    )
    assert result.out.split()[0] == str(os.geteuid()).encode()
    assert b"uid=" not in result.out or is_root()


def test_keys_typed_into_a_terminal_of_the_human_stay_out(best):
    master, slave = os.openpty()
    try:
        spec = best.spec("sh", "-c", "tty; echo > /dev/tty")
        jail = best.start(spec)
        said = b""
        while (piece := jail.read(1)) is None or piece[0] != "end":
            said += piece[1] if piece else b""
        jail.wait()
        assert b"not a tty" in said
        result = best.python(
            "import fcntl, os, pty\nm, s = pty.openpty()\n"
            "try:\n fcntl.ioctl(s, 0x5412, b'x')\n print('TYPED')\nexcept OSError: print('refused')"
        )
        assert result.out == b"refused\n"
    finally:
        os.close(master)
        os.close(slave)


# The network --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(NetworkMode))
def test_there_is_no_way_to_the_host_or_out(best, mode):
    listener = socket.create_server(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0lastro-test-" + str(os.getpid()))
    abstract.listen()
    script = f"""
        import socket
        def attempt(name, act):
            try:
                act(); print(name, "REACHED")
            except OSError as error:
                print(name, "refused")
        attempt("host", lambda: socket.create_connection(("127.0.0.1", {listener.getsockname()[1]}), 2))
        attempt("out", lambda: socket.create_connection(("1.1.1.1", 443), 2))
        attempt("udp", lambda: socket.socket(2, 2).sendto(b"x", ("1.1.1.1", 53)))
        attempt("dns", lambda: socket.getaddrinfo("example.org", 80))
        attempt("icmp", lambda: socket.socket(2, 2, 1).sendto(b"x" * 8, ("127.0.0.1", 0)))
        attempt("raw", lambda: socket.socket(2, 3, 1))
        attempt("packet", lambda: socket.socket(17, 3, 0))
        attempt("abstract", lambda: socket.socket(1).connect("\\0lastro-test-{os.getpid()}"))
    """
    with listener, abstract:
        result = best.python(textwrap.dedent(script), network=mode)
    lines = dict(line.split() for line in result.out.decode().splitlines())
    lines.pop("icmp")  # its own loopback answers
    assert set(lines.values()) == {"refused"}, result.out


def _serve(path, answer):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve():
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                with client:
                    data = client.recv(65536)
                    client.sendall(answer + data)

    threading.Thread(target=serve, daemon=True).start()
    return server


def test_the_gateways_port_leads_to_its_socket_and_to_no_other(laboratory, tmp_path):
    (tmp_path / "g").mkdir()
    with _serve(tmp_path / "g/sock", b"gateway:"), _serve(tmp_path / "m.sock", b"memory:"):
        script = textwrap.dedent("""
            import socket
            one = socket.create_connection(("127.0.0.1", 8421), 5); one.sendall(b"hello"); print(one.recv(99))
            two = socket.socket(socket.AF_UNIX); two.connect("/run/lastro/memory.sock"); two.sendall(b"x"); print(two.recv(99))
            three = socket.socket(socket.AF_UNIX); three.connect("/run/lastro/gateway.sock"); three.sendall(b"y"); print(three.recv(99))
            import os
            try: os.chmod("/run/lastro/memory.sock", 0o777); print("CHANGED")
            except OSError: print("refused")
        """)
        result = laboratory.python(script, gateway=str(tmp_path / "g/sock"), memory=str(tmp_path / "m.sock"))
        assert result.out.split() == [b"b'gateway:hello'", b"b'memory:x'", b"b'gateway:y'", b"refused"], (
            result.err
        )
        none = laboratory.python(
            script,
            gateway=str(tmp_path / "g/sock"),
            memory=str(tmp_path / "m.sock"),
            network=NetworkMode.NONE,
        )
        assert b"ConnectionRefusedError" in none.err


def test_a_gateway_that_binds_its_socket_anew_is_found_again(best, tmp_path):
    (tmp_path / "g").mkdir()
    first = _serve(tmp_path / "g/sock", b"first:")
    script = textwrap.dedent("""
        import socket, sys, time
        def ask():
            one = socket.create_connection(("127.0.0.1", 8421), 5); one.sendall(b"x"); print(one.recv(99).decode(), flush=True)
        ask()
        time.sleep(1)
        ask()
    """)
    second = []

    def again(_jail):
        (tmp_path / "g/sock").unlink()
        first.close()
        second.append(_serve(tmp_path / "g/sock", b"second:"))

    result = best.python(script, gateway=str(tmp_path / "g/sock"), stop=again)
    assert result.out.split() == [b"first:x", b"second:x"], result.err
    second[0].close()


def test_a_socket_of_the_host_that_lies_in_the_project_is_not_reached(laboratory):
    with _serve(laboratory.project / "docker.sock", b"root:"):
        result = laboratory.python(
            "import socket\ns = socket.socket(socket.AF_UNIX)\ntry:\n s.connect('docker.sock'); s.send(b'x'); print(s.recv(9))\n"
            "except OSError as e: print('refused')"
        )
    assert result.out == b"refused\n"


def test_listed_hosts_only_through_the_proxy(best):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.sendall(b"listed:" + client.recv(99))

    threading.Thread(target=serve, daemon=True).start()
    script = textwrap.dedent(f"""
        import os, socket
        def ask(target):
            one = socket.create_connection(("127.0.0.1", 8419), 5)
            one.sendall(f"CONNECT {{target}} HTTP/1.1\\r\\n\\r\\n".encode())
            head = one.recv(999)
            if b" 200 " not in head.split(b"\\r\\n")[0] + b" ":
                return head.split()[1]
            one.sendall(b"ping")
            return one.recv(99)
        for target in ("127.0.0.1:{port}", "127.0.0.1:22", "localhost:{port}", "evil.example:443", "[::1]:{port}", "169.254.169.254:80"):
            print(ask(target).decode())
        print(os.environ["HTTPS_PROXY"])
    """)
    with listener:
        result = best.python(
            script, network=NetworkMode.LISTED, hosts=(f"127.0.0.1:{port}", f"localhost:{port}")
        )
    assert result.out.split() == [b"listed:ping", *[b"403"] * 5, b"http://127.0.0.1:8419"], result.err
    assert result.end.refused == (
        "127.0.0.1:22",
        f"localhost:{port}",
        "evil.example:443",
        f"[::1]:{port}",
        "169.254.169.254:80",
    )


# Limits -------------------------------------------------------------------------------------------------------------------------------

FORK_BOMB = """
import os, time, sys
print("go", flush=True)
while True:
    try:
        if not os.fork():
            os.setsid()
    except OSError:
        time.sleep(0.01)
"""


def test_a_fork_bomb_stays_small_and_ends_with_its_time(laboratory):
    most = []

    def count(_jail):
        time.sleep(0.5)
        most.append(len(list(Path("/proc").glob("[0-9]*"))))

    before = len(list(Path("/proc").glob("[0-9]*")))
    result = laboratory.python(FORK_BOMB, limits=RunLimits(wall_s=2, processes=40), stop=count)
    assert result.end.cause is EndCause.WALL
    assert most[0] - before < 40 + 60  # others of this machine come and go
    if find_place().kind:
        assert "processes" in result.end.touched


def test_a_memory_bomb_is_the_jails_own_affair(laboratory):
    script = "import os\ndata = []\nwhile True: data.append(os.urandom(1 << 20))"
    result = laboratory.python(script, limits=RunLimits(wall_s=40, memory=100 << 20))
    assert result.end.cause is EndCause.MEMORY
    if "memory" in result.enforcement.enforced:
        assert result.end.peak_memory is not None
        assert result.end.peak_memory <= 101 << 20


def test_memory_that_a_child_took_is_told_and_the_agent_goes_on(best):
    needs(find_place().kind, "control groups")
    script = "head -c 300m /dev/zero | tail >/dev/null; echo went on"
    result = best.run("sh", "-c", script, limits=RunLimits(wall_s=40, memory=60 << 20))
    assert (result.out, result.end.cause) == (b"went on\n", EndCause.EXITED)
    assert "memory" in result.end.touched


@pytest.mark.parametrize(
    "script",
    [
        "cat /dev/zero > big; sleep 100",
        "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > f$i; done",
        "trap '' TERM XFSZ; cd ~; while :; do cat /dev/zero > big; cat /dev/zero > big2; done",
    ],
)
def test_a_disk_filler_is_stopped(laboratory, script):
    result = laboratory.run("sh", "-c", script, limits=RunLimits(wall_s=50, disk=30 << 20))
    assert result.end.cause is EndCause.DISK
    taken = sum(path.lstat().st_blocks * 512 for path in result.layer.parent.rglob("*"))
    assert taken < (30 << 20) * 20  # it wrote on until it was looked at, and no longer


def test_deleted_files_that_stay_open_count(best):
    script = textwrap.dedent("""
        import os
        held = []
        while True:
            held.append(open("gone", "wb")); os.unlink("gone"); held[-1].write(bytes(1 << 20))
            held[-1].flush(); os.fsync(held[-1].fileno())
            if len(held) > 500: import time; time.sleep(1)
    """)
    result = best.python(script, limits=RunLimits(wall_s=40, disk=40 << 20))
    assert result.end.cause is EndCause.DISK


def test_many_small_files_are_stopped(laboratory):
    script = "import os\nfor i in range(10**7): os.makedirs(f'd{i % 100}', exist_ok=True); open(f'd{i % 100}/{i}', 'w').close()"
    result = laboratory.python(script, limits=RunLimits(wall_s=50, files=2000))
    assert result.end.cause is EndCause.FILES


def test_time_is_over_for_a_loop_that_ignores_everything(laboratory):
    script = textwrap.dedent("""
        import os, signal, time
        for number in range(1, 64):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        if not os.fork():
            os.setsid()
            if not os.fork():
                os.kill(os.getpid(), signal.SIGSTOP)
        while True: pass
    """)
    began = time.monotonic()
    result = laboratory.python(script, limits=RunLimits(wall_s=1))
    assert result.end.cause is EndCause.WALL
    assert time.monotonic() - began < 30


def test_a_stop_is_a_question_first(laboratory):
    script = (
        "import signal, sys, time\nsignal.signal(15, lambda *_: (open('saved', 'w').close(), sys.exit(5)))\n"
        "print('on', flush=True)\ntime.sleep(99)"
    )
    result = laboratory.python(script, stop=lambda jail: jail.stop(EndCause.BUDGET))
    assert (result.end.cause, result.end.status) == (EndCause.BUDGET, 5)
    assert (result.layer / "saved").exists()


def test_what_outlives_its_parent_does_not_outlive_the_jail(laboratory):
    result = laboratory.run(
        "sh", "-c", "(setsid nohup sh -c 'trap \"\" HUP TERM; sleep 300' &) ; (sleep 300 &) ; echo done"
    )
    assert (result.out, result.end.cause) == (b"done\n", EndCause.EXITED)


def test_a_stop_after_the_end_changes_nothing(best):
    result = best.run("true")
    result.jail.stop(EndCause.CANCELLED)
    assert result.jail.wait().cause is EndCause.EXITED
    assert result.jail.read(0) == ("end", b"")


def test_a_killed_supervisor_takes_its_jail_along(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from tests.jail_kit import Laboratory
        laboratory = Laboratory(Path({str(tmp_path / "killed")!r}))
        jail = laboratory.start(laboratory.spec("sh", "-c", "(setsid sleep 301 &); echo on; sleep 300"))
        print(jail.read(30), flush=True)
        sys.stdin.read()
    """)
    (tmp_path / "killed").mkdir()
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert supervisor.stdout.readline()
    directory = os.path.realpath(tmp_path / "killed/run-1")
    assert marked(directory)
    supervisor.kill()
    supervisor.communicate(timeout=10)
    deadline = time.monotonic() + 10
    while marked(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not marked(directory)


# Without namespaces -------------------------------------------------------------------------------------------------------------------


def test_without_namespaces_a_run_says_what_is_missing_and_still_holds_what_it_can(bare):
    needs(bare.abilities.landlock >= 1, "Landlock")
    result = bare.run(
        "sh",
        "-c",
        f"echo x > b.txt; echo x > {bare.outside}/evil; echo x > {bare.project}/evil; cat {bare.outside}/secret /etc/shadow;"
        f"cat /proc/{os.getpid()}/environ && echo ENVIRON; ls /root /tmp && echo LISTED; kill -9 {os.getpid()} && echo KILLED; pwd",
    )
    assert result.out.decode().split() == [str(result.layer)]
    assert result.enforcement.view == "copy"
    assert {"attributes", "reading", "network", "memory"} <= set(result.enforcement.degraded)
    assert ("filesystem" in result.enforcement.enforced) == (bare.abilities.landlock >= LANDLOCK_HOLDS_WRITES)
    assert (result.layer / "b.txt").exists()


def test_without_namespaces_nothing_outlives_the_run_either(bare):
    result = bare.run(
        "sh", "-c", "(setsid sh -c 'trap \"\" TERM HUP; sleep 300 & sleep 300' &); (sleep 300 &); echo done"
    )
    assert (result.out, result.end.cause) == (b"done\n", EndCause.EXITED)


def test_without_mounts_paths_of_the_jail_are_told_as_they_are(bare):
    result = bare.run(
        "sh",
        "-c",
        'echo "$CODEX_HOME $LASTRO_SOCKET $1"',
        "sh",
        "/home/agent/x",
        memory="/somewhere/sock",
        environment={"CODEX_HOME": "/home/agent/.codex", "LASTRO_SOCKET": "/run/lastro/memory.sock"},
    )
    home = str(result.layer.parent / "home")
    assert result.out.decode().split() == [f"{home}/.codex", "/somewhere/sock", f"{home}/x"]


def test_without_control_groups_memory_is_watched(bare):
    script = "import os, time\ndata = []\nfor _ in range(300): data.append(os.urandom(1 << 20)); time.sleep(0.001)\ntime.sleep(100)"
    result = bare.python(script, limits=RunLimits(wall_s=40, memory=150 << 20))
    assert result.end.cause is EndCause.MEMORY
    assert "memory" in result.enforcement.degraded


def test_without_namespaces_tcp_goes_to_the_gateway_alone(bare):
    needs(bare.abilities.landlock >= 4, "Landlock for TCP")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = bare.python(
            f"import socket\ntry: socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), 2); print('REACHED')\n"
            "except PermissionError: print('refused')"
        )
    assert result.out == b"refused\n"


# What cannot be started ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("project", ["/", "/proc", "/dev", "/home"])
def test_what_would_show_too_much_is_not_started(best, project):
    with pytest.raises((ConfigError, DeniedError)) as caught:
        best.start(msgspec.structs.replace(best.spec("true"), project=project))
    assert caught.value.hint


def test_a_run_directory_is_never_shown(best):
    with pytest.raises(ConfigError):
        best.start(best.spec("true", read_only=(str(best.directory.parent),)))


def test_a_jail_that_cannot_be_made_says_why_and_leaves_nothing(best):
    broken = msgspec.structs.replace(probe(str(best.project)), bubblewrap="/bin/false")
    laboratory = Laboratory(best.project.parent / "again", abilities=broken)
    with pytest.raises(DeniedError, match="jail could not be made"):
        laboratory.start(laboratory.spec("true"))


def test_a_layer_over_a_layer_shows_both_and_keeps_the_first(best):
    first = best.run("sh", "-c", "echo one > one; rm a.txt; echo changed > src/main.py")
    needs(first.enforcement.view != "copy", "a file system that takes overlays")
    before = sorted(str(path) for path in first.layer.rglob("*"))
    second = best.run(
        "sh", "-c", "cat one src/main.py; cat a.txt; echo two > two; rm one", below=(str(first.layer),)
    )
    assert second.out == b"one\nchanged\n"
    assert sorted(str(path) for path in first.layer.rglob("*")) == before
    assert (second.layer / "two").exists()


def test_programs_outside_the_list_do_not_run(best):
    needs(probe(str(best.project)).landlock >= 2, "Landlock")
    result = best.run(
        "/bin/sh",
        "-c",
        "cat a.txt; /usr/bin/id; cp /usr/bin/id mine; ./mine",
        execute=("/usr/bin/cat", "/bin/sh", "/usr/bin/cp"),
    )
    assert result.out == b"as it was\n"
    assert b"ermission denied" in result.err


# And again ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("root", "another user", "a python for others", "user namespaces")
def test_everything_again_as_an_ordinary_user():
    program, places = python_for_others()
    top = Path("/var/tmp") / f"lastro-jail-{os.getpid()}"  # pytest's own directories are root's
    top.mkdir(mode=0o700)
    os.chown(top, 65534, 65534)
    again = {
        AGAIN: "1",
        "CI": "",  # what only root may have is skipped there, and was run above
        "HOME": str(top),
        "TMPDIR": str(top),
        "PYTHONPATH": places,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [
        *(
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "env",
            program,
            "-B",
            "-m",
            "pytest",
        ),
        *("-q", "-p", "no:cacheprovider", f"--basetemp={top}/pytest", __file__),
    ]
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **again},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            timeout=600,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout.decode()[-5000:]
    finally:
        subprocess.run(["rm", "-rf", str(top)], check=False, timeout=60)


def test_this_file_uses_the_interpreter_that_jails_show():
    assert Path(program()).exists()
