"""What the supervisor tells the processes of a jail: through a pipe, for what a command line says everybody can read.

Only the standard library is imported, and of that what costs nothing: every millisecond here is one that an agent waits. (``Final`` and
``Any`` are for the type checker alone; importing ``typing`` is a third of what such a process imports.)
"""

from __future__ import annotations

import marshal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

_LENGTH: Final = 4


def receive(descriptor: int) -> dict[str, Any]:
    """The next order from the supervisor: four bytes of length, then ``marshal``, which costs no import. Reads not one byte more.

    Raises:
        EOFError: the supervisor is gone.
    """
    length = int.from_bytes(_exactly(descriptor, _LENGTH), "big")
    order: dict[str, Any] = marshal.loads(_exactly(descriptor, length))  # noqa: S302  the supervisor's own words
    return order


def order_bytes(order: Mapping[str, object]) -> bytes:
    """``order`` as ``receive`` reads it."""
    data = marshal.dumps(dict(order))
    return len(data).to_bytes(_LENGTH, "big") + data


def _exactly(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(descriptor, count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
