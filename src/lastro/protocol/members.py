"""How a part of a stream of many is laid out (``docs/protocol.md``, Parts of many): 4 bytes length of the table, the table, the data.

The table is a JSON array of members. Data lies behind it in the members' order, without gaps, and there is nothing after it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from lastro.errors import LimitError, ProtocolError
from lastro.messages import N_
from lastro.protocol.codec import check_shape, read_item
from lastro.protocol.entries import Unsigned63, WireEntry
from lastro.protocol.limits import Limits

_LENGTH: Final = struct.Struct(">I")


class MemberFailure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a file has no content: ``unreadable`` or ``vanished``, and the errno's name or ``not_a_file`` or ``limit``."""

    kind: Annotated[str, Meta(pattern="^(unreadable|vanished)$")]
    detail: Annotated[str, Meta(max_length=64)] = ""


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of one file. ``index``: which of the asked paths. Files come in the order asked, one after the other."""

    index: Unsigned63
    begin: bool = False
    """The file begins here, at offset 0; a second time takes what came before back."""
    offset: Unsigned63 = 0
    length: Unsigned63 = 0
    end: bool = False
    """The file is complete, and ``entry`` is its state as it was read."""
    entry: WireEntry | None = None
    racy: bool = False
    """With ``entry``: read so soon after its last change that a later change may show the same times."""
    failure: MemberFailure | None = None
    """The file has ended without content; what came before counts for nothing."""


_TABLES: Final = msgspec.json.Decoder(list[Member])


def pack_members(members: Sequence[bytes], data: bytes | bytearray) -> bytes:
    """A part from the canonical bytes of its members and their data."""
    table = b"[" + b",".join(members) + b"]"
    return _LENGTH.pack(len(table)) + table + data


def open_members(body: bytes, limits: Limits) -> Iterator[tuple[Member, bytes]]:
    """The members of an opened part, each with its data.

    Raises:
        LimitError: more members than published, or a table that is too deep.
        ProtocolError: the table cannot be read, or data is missing or left over.
    """
    if len(body) < _LENGTH.size:
        raise _broken()
    start = _LENGTH.size + int(_LENGTH.unpack_from(body)[0])
    if start > len(body):
        raise _broken()
    table = body[_LENGTH.size : start]
    check_shape(table, limits)
    members = read_item(table, _TABLES)
    if len(members) > limits.command_paths:
        raise LimitError(N_("The peer sent a part with too many members ({count})."), count=len(members))
    if start + sum(member.length for member in members) != len(body):
        raise _broken()
    for member in members:
        yield member, body[start : start + member.length]
        start += member.length


def _broken() -> ProtocolError:
    return ProtocolError(N_("The peer sent a part whose member table does not fit its data."))
