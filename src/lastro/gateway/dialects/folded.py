"""The events of one answer, put together: what an answer that is not streamed says at once.

What always holds: blocks stand in the order in which they began, each with everything that was said of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from lastro.gateway.dialects.neutral import (
    Began,
    Dialect,
    Ended,
    Failed,
    Happening,
    TextDelta,
    ThinkingDelta,
    ToolCallBegan,
    ToolCallDelta,
    Used,
)


class FoldedBlock(Struct):
    """One block. ``call`` is set for a call of a tool, whose arguments are then the ``text``."""

    kind: str
    """``text``, ``thinking`` or ``call``."""
    call: ToolCallBegan | None = None
    pieces: list[str] = field(default_factory=list)
    signature: str = ""
    of: Dialect | None = None

    @property
    def text(self) -> str:
        """All pieces together."""
        return "".join(self.pieces)


class FoldedAnswer(Struct):
    """One answer."""

    id: str = ""
    model: str = ""
    blocks: dict[int, FoldedBlock] = field(default_factory=dict)
    used: Used | None = None
    ended: Ended | None = None
    failed: Failed | None = None

    def block(self, number: int, kind: str) -> FoldedBlock:
        """The block, begun if it had not."""
        return self.blocks.setdefault(number, FoldedBlock(kind=kind))

    def texts(self, kind: str) -> list[str]:
        """What the blocks of a kind say; those that say nothing are left out."""
        return [block.text for block in self.blocks.values() if block.kind == kind and any(block.pieces)]


def fold(happenings: Iterable[Happening]) -> FoldedAnswer:
    """Everything that the events of one answer say."""
    answer = FoldedAnswer()
    for happening in happenings:
        match happening:
            case Began():
                answer.id, answer.model = happening.id, happening.model
            case Used():
                answer.used = happening
            case Ended():
                answer.ended = happening
            case Failed():
                answer.failed = happening
            case _:
                _fold_block(answer, happening)
    return answer


def _fold_block(answer: FoldedAnswer, happening: Happening) -> None:
    match happening:
        case TextDelta():
            answer.block(happening.block, "text").pieces.append(happening.text)
        case ThinkingDelta():
            block = answer.block(happening.block, "thinking")
            block.pieces.append(happening.text)
            block.signature += happening.signature
            block.of = happening.of or block.of
        case ToolCallBegan():
            answer.blocks[happening.block] = FoldedBlock(kind="call", call=happening)
        case ToolCallDelta():
            answer.block(happening.block, "call").pieces.append(happening.arguments)
        case _:
            pass
