"""Bytes of both sides of a proposal, for pages that show them."""

from __future__ import annotations

from collections.abc import Iterator

from lastro.app.caller import Bytes
from lastro.app.permissions import Right
from lastro.app.requests import ContentRequest, RecordedEntry
from lastro.app.requests.proposals import ProposalPair, ProposalPairReply
from lastro.domain.entry import EntryType
from lastro.errors import DamagedError, NotFoundError
from lastro.faces.console.asked import Asked
from lastro.messages import N_


class Sides:
    """Where the contents of a proposal's paths are recorded. Contents are read one by one, when they are asked for."""

    def __init__(self, asked: Asked, number: int) -> None:
        reply = asked.visit.step(Right.LOOK, "proposal.pair", ProposalPair(proposal=number))
        assert isinstance(reply, ProposalPairReply)
        self._asked = asked
        self._sides = {
            "before": {item.entry.path: item for item in reply.before},
            "after": {item.entry.path: item for item in reply.after},
        }
        self.shown = reply.shown

    def has(self, side: str, path: str) -> bool:
        """Whether a file's content is kept there."""
        item = self._sides.get(side, {}).get(path)
        return item is not None and item.entry.type is EntryType.FILE and item.entry.digest is not None

    def open(self, side: str, path: str) -> Bytes:
        """The bytes of the file at ``path`` on ``side``.

        Raises:
            NotFoundError: there is none, or it was never read.
        """
        item: RecordedEntry | None = self._sides.get(side, {}).get(path)
        if item is None or not self.has(side, path):
            raise NotFoundError(
                N_("The content of {path} is not kept on this side."),
                hint=N_("It could not be read when it was captured, or there is none."),
                path=path,
            )
        reply = self._asked.visit.step(
            Right.LOOK, "content", ContentRequest(seq=item.seq, path=item.tree_path)
        )
        assert isinstance(reply, Bytes)
        return reply

    def head(self, side: str, path: str, size: int) -> bytes:
        """Its first ``size`` bytes; fewer where it has fewer, or where they are damaged or not kept."""
        if not self.has(side, path):
            return b""
        head = bytearray()
        try:
            opened = self.open(side, path)
            for offset, data in until(opened.blocks, size):
                head.extend(bytes(max(0, offset - len(head))))
                head[offset : offset + len(data)] = data
        except DamagedError:
            return b""
        head.extend(bytes(max(0, min(size, opened.size) - len(head))))
        return bytes(head[:size])

    def whole(self, side: str, path: str) -> bytes:
        """All of it, for texts."""
        opened = self.open(side, path)
        content = bytearray(opened.size)
        for offset, data in opened.blocks:
            content[offset : offset + len(data)] = data
        return bytes(content)


def until(blocks: Iterator[tuple[int, bytes]], size: int) -> Iterator[tuple[int, bytes]]:
    """The blocks that begin before ``size``."""
    for offset, data in blocks:
        if offset >= size:
            return
        yield offset, data
