"""The events of calls whose arguments are replaced; the bytes are the business of each dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastro.gateway.dialects.codec import Frame
from lastro.gateway.dialects.neutral import BlockEnded, Happening, ToolCallDelta


def restore_happenings(frames: Sequence[Frame], restored: Mapping[int, str]) -> list[tuple[Happening, ...]]:
    """What each frame says when the whole new arguments of a block stand in its first piece, and the other pieces are gone.

    A call that said no arguments says them at its end.
    """
    waiting = dict(restored)
    result: list[tuple[Happening, ...]] = []
    for frame in frames:
        kept: list[Happening] = []
        for happening in frame.happenings:
            if isinstance(happening, ToolCallDelta | BlockEnded) and happening.block in waiting:
                text = waiting.pop(happening.block)
                kept.append(ToolCallDelta(block=happening.block, arguments=text))
            if not (isinstance(happening, ToolCallDelta) and happening.block in restored):
                kept.append(happening)
        result.append(tuple(kept))
    return result
