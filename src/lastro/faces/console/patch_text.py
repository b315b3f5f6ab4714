"""A unified diff, as replies hold it, as the hunks that pages show."""

from __future__ import annotations

import re
from typing import Final

from lastro.app.requests.proposals import ShownHunk

_HEADER: Final = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def hunks_of_patch(patch: str) -> tuple[ShownHunk, ...]:
    """The hunks of ``patch``, numbered from 1."""
    hunks: list[ShownHunk] = []
    numbers: tuple[int, int, int, int] | None = None
    lines: list[str] = []

    def end() -> None:
        if numbers is not None:
            old, old_count, new, new_count = numbers
            hunks.append(
                ShownHunk(
                    number=len(hunks) + 1,
                    before_line=old,
                    before_count=old_count,
                    after_line=new,
                    after_count=new_count,
                    lines=tuple(lines),
                )
            )

    for line in patch.removesuffix("\n").split("\n"):
        header = _HEADER.match(line)
        if header is None:
            lines.append(line)
            continue
        end()
        old, old_count, new, new_count = header.groups()
        numbers, lines = (int(old), int(old_count or 1), int(new), int(new_count or 1)), []
    end()
    return tuple(hunks)
