"""Two contents as a patch for people: the hunks that ``proposals.hunks`` finds, where both are UTF-8."""

from __future__ import annotations

from collections.abc import Callable

from lastro.app.requests import FileDifference
from lastro.domain.changes import Change
from lastro.domain.entry import EntryType
from lastro.proposals.hunks import TEXT_LIMIT, hunks_of, unified

__all__ = ["TEXT_LIMIT", "file_difference", "lines_of", "patch_of"]


def lines_of(content: bytes | bytearray) -> list[str] | None:
    """The lines of a text, each with its newline if it has one; ``None`` for what is no text."""
    if b"\0" in content:
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    # By hand: str.splitlines also splits at form feeds and other characters that do not end a line of a file.
    return [f"{line}\n" for line in text.split("\n")[:-1]] + (
        [text.rpartition("\n")[2]] if not text.endswith("\n") and text else []
    )


def patch_of(old: list[str] | None, new: list[str] | None) -> str | None:
    """The hunks of a unified diff, without file headers; ``None`` where a side is no text, or so much differs that nobody would read it."""
    if old is None or new is None:
        return None
    hunks = hunks_of("".join(old).encode(), "".join(new).encode())
    return None if hunks is None else unified(hunks).decode()


def file_difference(
    change: Change, *, names: bool, lines: Callable[[], tuple[list[str] | None, list[str] | None]]
) -> FileDifference:
    """A changed path as replies show it. ``lines`` reads both sides, and is asked only where a content differs and more than ``names`` is
    wanted.
    """
    patch: str | None = ""
    if not names and _content_differs(change):
        patch = patch_of(*lines())
    return FileDifference(
        path=change.path,
        kind=change.kind.value,
        fields=change.fields,
        before=change.before,
        after=change.after,
        patch=patch or "",
        binary=patch is None,
    )


def _content_differs(change: Change) -> bool:
    sides = [
        entry for entry in (change.before, change.after) if entry is not None and entry.type is EntryType.FILE
    ]
    return bool(sides) and (len(sides) == 1 or sides[0].digest != sides[1].digest)
