"""A PostgreSQL server of this machine's own packages, for the length of some tests: a socket in a directory, no network."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from urllib.parse import quote

_AS_ITS_USER = (
    ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups") if os.geteuid() == 0 else ()
)


def program(name: str) -> str:
    """Where a program of PostgreSQL lies; Debian keeps them off the path."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name) or ""


def has_server() -> bool:
    """Whether one can be started here."""
    if not program("initdb"):
        return False
    try:
        return bool(pwd.getpwnam("postgres")) or os.geteuid() != 0
    except KeyError:
        return os.geteuid() != 0


@contextmanager
def running():
    """Gives a function: name of a new database → its address for SQLAlchemy."""
    with tempfile.TemporaryDirectory(prefix="lastro-pg-") as top:
        if _AS_ITS_USER:
            owner = pwd.getpwnam("postgres")
            os.chown(top, owner.pw_uid, owner.pw_gid)
        _run(program("initdb"), "-D", f"{top}/data", "-U", "lastro", "-A", "trust", "--no-sync", cwd=top)
        options = f"-c listen_addresses= -c unix_socket_directories={top} -c fsync=off"
        control = (program("pg_ctl"), "-D", f"{top}/data", "-w", "-l", f"{top}/log")
        _run(*control, "-o", options, "start", cwd=top)
        try:

            def make(name):
                _run(
                    "psql",
                    "-h",
                    top,
                    "-U",
                    "lastro",
                    "-d",
                    "postgres",
                    "-qc",
                    f'CREATE DATABASE "{name}"',
                    cwd=top,
                )
                return f"postgresql+pg8000://lastro@/{name}?unix_sock={quote(f'{top}/.s.PGSQL.5432')}"

            yield make
        finally:
            _run(*control, "-m", "immediate", "stop", cwd=top)


def _run(*command, cwd):
    subprocess.run((*_AS_ITS_USER, *command), check=True, cwd=cwd, stdout=subprocess.DEVNULL, timeout=60)
