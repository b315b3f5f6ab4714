"""Windows: how many bytes of a stream may be on their way (``docs/protocol.md``, Flow control).

What always holds: sent and not acknowledged never exceeds the window, on the side that sends and on the side that receives. Both count
whole frames. Only frames of a stream between its ``start`` and its ``done`` count.
"""

from __future__ import annotations

from lastro.errors import LimitError, ProtocolError
from lastro.messages import N_
from lastro.protocol.faults import LocalProtocolError


class Window:
    """One stream's window, of ``size`` bytes, of which ``used`` are outstanding. The same arithmetic on both sides."""

    __slots__ = ("size", "used")

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0

    def has_room(self, size: int) -> bool:
        """Whether a frame of ``size`` bytes may be sent now."""
        return self.used + size <= self.size

    def send(self, size: int) -> None:
        """The sender: a frame of ``size`` bytes goes out.

        Raises:
            LocalProtocolError: there was no room; the driver did not ask.
        """
        if not self.has_room(size):
            raise LocalProtocolError(N_("A part was sent into a window that is shut."))
        self.used += size

    def arrive(self, size: int) -> None:
        """The receiver: a frame of ``size`` bytes came in.

        Raises:
            LimitError: the peer sent more than the window allows.
        """
        if not self.has_room(size):
            raise LimitError(
                N_("The peer sent more than the window of {window} bytes allows."), window=self.size
            )
        self.used += size

    def open(self, size: int) -> None:
        """The sender: the peer acknowledged ``size`` bytes.

        Raises:
            ProtocolError: more than was sent.
        """
        if size > self.used:
            raise ProtocolError(N_("The peer acknowledged more bytes than were sent."))
        self.used -= size

    def acknowledge(self, size: int) -> None:
        """The receiver: ``size`` bytes have been taken over.

        Raises:
            LocalProtocolError: more than arrived.
        """
        if size > self.used:
            raise LocalProtocolError(N_("More bytes were acknowledged than arrived."))
        self.used -= size
