"""The project as the offline agent may touch it.

What always holds: no path leaves the project, by its name or by a link (the jail holds this too; here the model is told why); what is read,
listed or found is bounded; a file is replaced whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from lastro.domain.paths import to_bytes
from lastro.filesystem.beneath import open_beneath, open_directory, open_parent

READ_LIMIT: Final = 24_000
"""Characters of a file that are shown at once."""
FILE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a file that is read at all."""
NAMES_LIMIT: Final = 400
FOUND_LIMIT: Final = 80
_WALK_LIMIT: Final = 20_000
_DEPTH: Final = 24
_LINE: Final = 240
_SKIPPED: Final = frozenset({".git", "node_modules", "__pycache__", ".venv"})


class RefusedError(Exception):
    """A tool could not do what was asked; the text is for the model."""


class Files:
    """The files of one project. ``changed`` is what was written so far, relative to it."""

    def __init__(self, project: str) -> None:
        self.project = os.path.realpath(project)
        self.changed: set[str] = set()
        self._root = os.open(to_bytes(self.project), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let the project go."""
        os.close(self._root)

    def read(self, path: str, start: int = 1) -> str:
        """The text of a file from line ``start`` on."""
        text = self._text(self._relative(path))
        lines = text.splitlines(keepends=True)[max(start, 1) - 1 :]
        shown = "".join(lines)
        if len(shown) <= READ_LIMIT:
            return shown
        shown = shown[:READ_LIMIT]
        following = max(start, 1) + shown.count("\n")
        return f"{shown}\n[cut; go on with start={following}]"

    def names(self, path: str) -> str:
        """The names in a directory and in those below it, each directory with a slash."""
        names: list[str] = []
        for name, is_directory in self._walk(self._relative(path, empty=True)):
            if len(names) == NAMES_LIMIT:
                names.append("[more is there; list a directory of it]")
                break
            names.append(f"{name}/" if is_directory else name)
        return "\n".join(names) or "[empty]"

    def search(self, text: str, path: str) -> str:
        """Lines that contain ``text``, in any case, as ``PATH:LINE: …``."""
        if not text:
            raise RefusedError("search needs a text")
        found: list[str] = []
        for name, is_directory in self._walk(self._relative(path, empty=True)):
            if is_directory:
                continue
            with contextlib.suppress(RefusedError):
                for number, line in enumerate(self._text(name).splitlines(), 1):
                    if text.casefold() in line.casefold():
                        found.append(f"{name}:{number}: {line.strip()[:_LINE]}")
                        if len(found) == FOUND_LIMIT:
                            return "\n".join([*found, "[more is there]"])
        return "\n".join(found) or "[nothing found]"

    def edit(self, path: str, old: str, new: str) -> str:
        """Replace the one place where ``old`` stands."""
        name = self._relative(path)
        text = self._text(name)
        count = text.count(old) if old else 0
        if count != 1:
            places = "is not in the file" if count == 0 else f"is there {count} times"
            raise RefusedError(
                f"the old text {places}; it has to be there exactly once. Read the file first."
            )
        self._replace(name, text.replace(old, new, 1))
        return "edited"

    def write(self, path: str, content: str) -> str:
        """Make the file hold ``content``."""
        self._replace(self._relative(path), content)
        return "written"

    def _relative(self, path: str, *, empty: bool = False) -> str:
        if "\0" in path:
            raise RefusedError("there is no such path")
        whole = os.path.normpath(os.path.join(self.project, path))
        if whole == self.project and empty:
            return ""
        if not whole.startswith(f"{self.project}/"):
            raise RefusedError(f"{path} is outside the project, which is {self.project}")
        relative = whole.removeprefix(f"{self.project}/")
        if relative == ".git" or relative.startswith(".git/"):
            raise RefusedError("the inside of .git is left alone")
        return relative

    def _text(self, name: str) -> str:
        try:
            descriptor = open_beneath(self._root, name, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise _refusal(name, error) from error
        with open(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise RefusedError(f"{name} is no file")
            if facts.st_size > FILE_LIMIT:
                raise RefusedError(f"{name} is too large")
            content = file.read(FILE_LIMIT)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise RefusedError(f"{name} is not text") from None

    def _walk(self, path: str) -> Iterator[tuple[str, bool]]:
        """Everything below ``path``, directories before what is in them; never through a link."""
        todo, seen = [path], 0
        while todo:
            folder = todo.pop()
            try:
                descriptor = open_directory(self._root, folder)
            except OSError as error:
                if folder == path:
                    raise _refusal(path or ".", error) from error
                continue
            try:
                with os.scandir(descriptor) as entries:
                    found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
            finally:
                os.close(descriptor)
            below = []
            for name, is_directory in found:
                seen += 1
                if seen > _WALK_LIMIT:
                    return
                whole = f"{folder}/{name}" if folder else name
                if is_directory and name in _SKIPPED:
                    continue
                yield whole, is_directory
                if is_directory and whole.count("/") < _DEPTH:
                    below.append(whole)
            todo += reversed(below)

    def _replace(self, name: str, content: str) -> None:
        try:
            data = content.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise RefusedError("the content is no text that can be written") from None
        try:
            self._make_folders(name)
            folder, last = open_parent(self._root, name)
        except OSError as error:
            raise _refusal(name, error) from error
        try:
            _write_whole(folder, last, data)
        except OSError as error:
            raise _refusal(name, error) from error
        finally:
            os.close(folder)
        self.changed.add(name)

    def _make_folders(self, name: str) -> None:
        parts = name.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            folder, last = open_parent(self._root, "/".join(parts[:end]))
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(last, dir_fd=folder)
            finally:
                os.close(folder)


def _write_whole(folder: int, name: bytes, data: bytes) -> None:
    mode = 0o666 & ~_umask()
    with contextlib.suppress(FileNotFoundError):
        facts = os.lstat(name, dir_fd=folder)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        mode = stat.S_IMODE(facts.st_mode)
    temporary = b".%s.%d.tmp" % (name[:200], os.getpid())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _refusal(name: str, error: OSError) -> RefusedError:
    if error.errno == errno.ELOOP:
        return RefusedError(f"{name} leads through a link, which is not followed")
    return RefusedError(f"{name}: {error.strerror}")
