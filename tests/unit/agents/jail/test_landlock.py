"""Each in a child process, for what Landlock takes away does not come back."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lastro.agents.jail import kernel, landlock
from tests.capabilities import needs


@pytest.fixture
def confined(tmp_path):
    """Runs a script after ``restrict`` with the write rights on ``allowed`` alone."""

    def run(script, *allowed, handled="landlock.WRITE", abi=None, connect=None):
        needs(kernel.landlock_abi() >= 2, "Landlock")
        places = [
            (os.fsencode(tmp_path / name), "landlock.WRITE | landlock.READ | landlock.EXECUTE")
            for name in allowed
        ]
        rules = ", ".join(f"({path!r}, {rights})" for path, rights in places)
        start = textwrap.dedent(f"""
            import os, socket, sys
            from lastro.agents.jail import kernel, landlock
            os.chdir({str(tmp_path)!r})
            landlock.restrict({abi or kernel.landlock_abi()}, {handled}, [{rules}], connect={connect!r})
            def attempt(name, act):
                try:
                    act()
                    print(name)
                except OSError:
                    pass
        """)
        ended = subprocess.run(
            [sys.executable, "-c", start + textwrap.dedent(script)],
            capture_output=True,
            timeout=30,
            check=True,
        )
        return ended.stdout.decode().split()

    return run


def test_only_below_what_is_allowed(confined, tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    said = confined(
        """
        for place in ("in", "out"):
            attempt(place + ":append", lambda: open(f"{place}/file", "a").close())
            attempt(place + ":make", lambda: open(f"{place}/new", "w").close())
            attempt(place + ":directory", lambda: os.mkdir(f"{place}/d"))
            attempt(place + ":link", lambda: os.symlink("x", f"{place}/l"))
            attempt(place + ":truncate", lambda: os.truncate(f"{place}/file", 0))
            attempt(place + ":move", lambda: os.rename(f"{place}/file", f"{place}/moved"))
            attempt(place + ":read", lambda: os.listdir(place))
        attempt("across", lambda: os.rename("in/moved", "out/moved"))
        attempt("remove", lambda: os.unlink("out/file"))
        """,
        "in",
    )
    kinds = ["append", "make", "directory", "link", "truncate", "move", "read"]
    assert said == [*(f"in:{kind}" for kind in kinds), "out:read"]


def test_two_allowed_directories_may_exchange_files(confined, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/file").write_text("x")
    assert confined('attempt("moved", lambda: os.rename("a/file", "b/file"))', "a", "b") == ["moved"]


def test_a_missing_path_allows_nothing_and_a_file_only_itself(confined, tmp_path):
    (tmp_path / "file").write_text("x")
    said = confined(
        """
        attempt("missing", lambda: os.mkdir("missing"))
        attempt("file", lambda: open("file", "a").close())
        attempt("beside", lambda: open("other", "w").close())
        """,
        "missing",
        "file",
    )
    assert said == ["file"]


def test_reading_and_running_can_be_handled_too(confined, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("x")
    said = confined(
        """
        attempt("in", lambda: open("in/file").close())
        attempt("etc", lambda: open("/etc/passwd").close())
        attempt("run", lambda: os.execv("/bin/true", ["true"]))
        """,
        "in",
        handled="landlock.WRITE | landlock.READ | landlock.EXECUTE",
    )
    assert said == ["in"]


def test_ports_that_are_not_listed_cannot_be_reached_nor_listened_at(confined):
    needs(kernel.landlock_abi() >= 4, "Landlock for TCP")
    said = confined(
        """
        def refused(error):
            print(type(error).__name__)
        for port in (9, 10):
            try:
                socket.create_connection(("127.0.0.1", port), 2)
            except OSError as error:
                refused(error)
        attempt("listening", lambda: socket.create_server(("127.0.0.1", 0)))
        """,
        connect=[9],
    )
    assert said == ["ConnectionRefusedError", "PermissionError"]


@pytest.mark.parametrize("abi", range(1, 8))
def test_older_kernels_are_asked_for_what_they_know(confined, tmp_path, abi):
    if abi > kernel.landlock_abi():
        pytest.skip("this kernel is older")
    (tmp_path / "in").mkdir()
    said = confined(
        'attempt("in", lambda: open("in/x", "w").close()); attempt("out", lambda: open("out", "w").close())',
        "in",
        abi=abi,
        connect=[1],
    )
    assert said == ["in"]
    assert landlock.known(landlock.WRITE, 1) & (landlock.REFER | landlock.TRUNCATE) == 0


def test_processes_of_a_jail_import_the_standard_library_alone():
    """They start without site-packages, and fast."""
    root = Path(kernel.__file__).parents[3]
    for module in ("enter", "inside"):
        ended = subprocess.run(
            [
                *(os.path.realpath(sys.executable), "-I", "-S", "-c"),
                f"import sys; sys.path.append({str(root)!r}); import lastro.agents.jail.{module}; print(*sys.modules)",
            ],
            capture_output=True,
            timeout=30,
            check=True,
        )
        assert not {"msgspec", "psutil", "json", "asyncio", "subprocess"} & set(ended.stdout.decode().split())
