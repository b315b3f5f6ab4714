"""The way into a jail, outside of it: joins the run's cgroups, lays the layer over the project, and becomes bubblewrap.

A fresh process with one thread, for only such a one may enter a user namespace. What always holds: mounts are made in a mount
namespace of its own, so the host never sees them; paths are opened once, without following a link, and mounted through their descriptors.
Also the probe of what a host can do, in the same words. Only the standard library is imported, and of that little (``orders`` says why).
"""

from __future__ import annotations

import os
import sys

from lastro.agents.jail import kernel
from lastro.agents.jail.orders import receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final, NoReturn

_OPTIONS: Final = b"redirect_dir=nofollow,metacopy=off,index=off"
_USER_OPTIONS: Final = b"userxattr,index=off"
"""With ``userxattr`` the kernel knows neither redirections nor metadata-only copies, and refuses to hear of them."""
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FAILED: Final = 97
"""Exit status: what went wrong is on standard error, as ``STEP: REASON``."""


def main() -> NoReturn:
    """Entry point. The first order names the cgroups, the second, which may take its time, all the rest."""
    step = "cgroup"
    try:
        for path in receive(0)["cgroups"]:
            with open(path, "wb", buffering=0) as file:
                file.write(b"0")
        order = receive(0)
        if order["overlay"]:
            step = "namespace"
            enter_namespaces(user=order["overlay"]["user"])
            step = "overlay"
            lay_over(order["overlay"])
        step = "program"
        os.execve(order["argv"][0], order["argv"], {})  # noqa: S606  a list, and no shell
    except EOFError:  # there is to be no jail after all
        os._exit(FAILED)
    except OSError as error:
        os.write(2, f"{step}: {error.strerror or error}\n".encode(errors="replace"))
        os._exit(FAILED)


def enter_namespaces(*, user: bool, network: bool = False) -> None:
    """A mount namespace of its own, in a user namespace of its own if ``user``, where this user stays itself."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(
        kernel.CLONE_NEWNS | (kernel.CLONE_NEWUSER if user else 0) | (kernel.CLONE_NEWNET if network else 0)
    )
    if user:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    kernel.mount(b"none", b"/", b"", kernel.MS_REC | kernel.MS_PRIVATE)


def lay_over(overlay: Mapping[str, Any]) -> None:
    """Mount a copy-on-write view over the project's own path. ``lower``: topmost first, the project last."""
    lower = [open_real(path) for path in overlay["lower"]]
    upper, work = open_real(overlay["upper"]), open_real(overlay["work"])
    through = b"/proc/self/fd/%d"
    options = b"lowerdir=%s,upperdir=%s,workdir=%s,%s" % (
        b":".join(through % one for one in lower),
        through % upper,
        through % work,
        _USER_OPTIONS if overlay["user"] else _OPTIONS,
    )
    kernel.mount(
        b"overlay",
        through % open_real(overlay["project"]),
        b"overlay",
        kernel.MS_NOSUID | kernel.MS_NODEV,
        options,
    )


def open_real(path: bytes) -> int:
    """The directory at the absolute ``path``, in which no component is a link."""
    here = os.open(b"/", _DIRECTORY)
    for name in path.split(b"/"):
        if name:
            below = os.open(name, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
    return here


# What a host can do -------------------------------------------------------------------------------------------------------------------


def probe() -> None:
    """Print what this process may do as ``NAME REASON`` lines, the reason empty when it can. Arguments: bubblewrap, and a directory."""
    bubblewrap, directory = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2])
    user = os.geteuid() != 0
    _try("namespaces", lambda: enter_namespaces(user=user))
    _try("network", lambda: enter_namespaces(user=user, network=True))
    if directory:
        _try("overlay", lambda: _try_overlay(directory, user=user))
    if bubblewrap:
        _try("bubblewrap", lambda: _try_bubblewrap(bubblewrap))
        _try("sized", lambda: _try_bubblewrap(bubblewrap, b"--size", b"4096", b"--tmpfs", b"/tmp"))


def _try(name: str, attempt: Callable[[], None]) -> None:
    """In a child, for there is no way back."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.dup2(writing, 2)
        status = 1
        try:
            attempt()
            status = 0
        except OSError as error:
            os.write(2, (error.strerror or str(error)).encode(errors="replace"))
        finally:
            os._exit(status)
    os.close(writing)
    said = b""
    while piece := os.read(reading, 4096):
        said += piece
    os.close(reading)
    _process, status = os.waitpid(child, 0)
    reason = " ".join(said.decode(errors="replace").split())[:300] if status else ""
    os.write(1, f"{name} {reason or ('failed' if status else '')}".rstrip().encode() + b"\n")


def _try_overlay(directory: bytes, *, user: bool) -> None:
    names = {
        name: os.path.join(directory, b".probe-%d-%s" % (os.getpid(), name)) for name in (b"u", b"w", b"p")
    }
    for path in names.values():
        os.mkdir(path, 0o700)
    child = os.fork()
    if not child:
        status = 1
        try:
            enter_namespaces(user=user)
            lay_over(
                {
                    "user": user,
                    "lower": [names[b"p"]],
                    "upper": names[b"u"],
                    "work": names[b"w"],
                    "project": names[b"p"],
                }
            )
            # A file system may take the mount and then refuse what a layer needs: deleting makes a whiteout.
            os.mkdir(os.path.join(names[b"p"], b"d"))
            status = 0
        except OSError as error:
            os.write(2, (error.strerror or str(error)).encode(errors="replace"))
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    for path in (os.path.join(names[b"u"], b"d"), os.path.join(names[b"w"], b"work"), *names.values()):
        try:
            os.chmod(path, 0o700)
            os.rmdir(path)
        except FileNotFoundError:
            pass
    if status:
        os._exit(1)


def _try_bubblewrap(bubblewrap: bytes, *more: bytes) -> None:
    arguments = b"--ro-bind / / --unshare-pid --unshare-net --unshare-ipc --unshare-uts --proc /proc --dev /dev --cap-drop ALL"
    os.execve(bubblewrap, [b"bwrap", *arguments.split(), *more, b"--", b"/bin/sh", b"-c", b":"], {})  # noqa: S606  no shell reads it
