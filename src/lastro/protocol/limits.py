"""How much one peer asks of the other: published by the node in ``hello``, enforced on both sides (``docs/protocol.md``, Limits).

What always holds: whatever a peer sends, the other allocates no more than these numbers say. The limits in force are the node's; a keeper
holds its own as a ceiling and refuses a node that publishes more.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from lastro.errors import LimitError
from lastro.messages import N_

KIB: Final = 1 << 10
MIB: Final = 1 << 20

BINARY_HEADER: Final = 13
"""Bytes before the part in a binary frame: 1 kind, 4 stream number, 8 offset."""


class Limits(Struct, frozen=True, kw_only=True):
    """Every limit, with its default. The lower bounds are part of the protocol: a peer that publishes less is refused."""

    message_bytes: Annotated[int, Meta(ge=128 * KIB, le=64 * MIB)] = 2 * MIB
    """Size of one frame, text (as UTF-8) or binary with its header."""
    json_depth: Annotated[int, Meta(ge=8, le=64)] = 16
    """Objects and arrays inside each other, in one text frame."""
    json_values: Annotated[int, Meta(ge=16384, le=MIB)] = 1 << 17
    """Values in one text frame, so that a small frame cannot become a large object: commas outside strings."""
    part_bytes: Annotated[int, Meta(ge=64 * KIB, le=32 * MIB)] = 1 * MIB
    """Size of a part as it travels, without the binary header. A text part is limited by ``message_bytes`` alone."""
    opened_bytes: Annotated[int, Meta(ge=64 * KIB, le=64 * MIB)] = 4 * MIB
    """Size of a part after decompression: member table and data together."""
    window_bytes: Annotated[int, Meta(ge=256 * KIB, le=256 * MIB)] = 4 * MIB
    """Sent and not yet acknowledged, per stream; counted in whole frames. At least two frames of the largest size."""
    parallel_commands: Annotated[int, Meta(ge=2, le=256)] = 16
    """Commands without their last reply, streams among them."""
    open_transfers: Annotated[int, Meta(ge=1, le=64)] = 4
    """Streams (``tree-dump``, ``fetch``) that are open at the same time."""
    command_paths: Annotated[int, Meta(ge=16, le=65536)] = 4096
    """Paths named in one command, and members of one part."""
    part_items: Annotated[int, Meta(ge=1, le=65536)] = 1024
    """Items in one part of a ``tree-dump``, and paths in one ``changed`` event."""
    path_bytes: Annotated[int, Meta(ge=4096, le=MIB)] = 16 * KIB
    """Length of a path, absolute or relative."""
    path_depth: Annotated[int, Meta(ge=64, le=MIB)] = 8192
    """Components of a path."""
    entry_bytes: Annotated[int, Meta(ge=32 * KIB, le=8 * MIB)] = 256 * KIB
    """Size of one entry as JSON. What does not fit loses its ``holes``, or is reported as skipped with the detail ``limit``."""
    file_bytes: Annotated[int, Meta(ge=1 << 32, le=1 << 62)] = 1 << 42
    """Logical size of a file. Both sides hash holes as zeros, so this also bounds what a hostile peer's hole can cost."""


DEFAULT_LIMITS: Final = Limits()
"""What a node publishes when nothing else is configured, and what a keeper is willing to hold."""


def check_limits(limits: Limits, *, ceiling: Limits | None = None) -> Limits:
    """Return ``limits`` if they fit together and none exceeds ``ceiling``.

    Raises:
        LimitError: they contradict each other, or ask for more than this side holds.
    """
    fits = (
        limits.part_bytes + BINARY_HEADER <= limits.message_bytes
        and limits.part_bytes <= limits.opened_bytes
        and limits.entry_bytes * 2 <= limits.part_bytes
        and limits.message_bytes * 2 <= limits.window_bytes
        and limits.path_bytes * 6 + KIB <= limits.entry_bytes  # a path of control characters, escaped
    )
    if not fits:
        raise LimitError(N_("The limits contradict each other: {limits}"), limits=limits)
    if ceiling is not None:
        for name in limits.__struct_fields__:
            if getattr(limits, name) > getattr(ceiling, name):
                raise LimitError(
                    N_("The node asks for more than this keeper holds: {name} is {asked}, at most {held}"),
                    hint=N_("Lower this limit in the node's node.toml."),
                    name=name,
                    asked=getattr(limits, name),
                    held=getattr(ceiling, name),
                )
    return limits
