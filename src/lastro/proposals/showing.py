"""The digest of exactly what a human is shown: what a decision names and an approval signs. Pure.

What always holds: equal digests, equal proposals in everything that matters to a decision; whatever a human could have decided by has a
part in it. The order in which notes or flags are kept has none; the order of checks has, for it is the order in which they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from blake3 import blake3
from msgspec import Struct

from lastro.domain.proposal import ChangeNote, Risk
from lastro.domain.run import CheckResult, RunEnforcement

_CONTEXT: Final = b"lastro-shown-0"


def shown_digest(
    *,
    proposal: int,
    revision: int,
    target: bytes,
    change_digest: bytes,
    purpose: str,
    notes: Sequence[ChangeNote],
    checks: Sequence[CheckResult],
    risk: Risk | str,
    policy_digest: bytes,
    needed: int,
    enforcement: RunEnforcement | None,
    outside: Sequence[bytes],
) -> bytes:
    """Plain BLAKE3-256 over ``lastro-shown-0`` and the canonical msgpack of everything that is given; 32 bytes.

    ``target`` and ``outside``: raw bytes. ``change_digest``: ``ChangeSet.digest`` of the whole pair. ``needed``: approvals that its most
    demanding path wants. ``enforcement``: how the run was confined, and what of it was degraded; ``None`` without a run.
    """
    ordered = sorted(
        (_in_order(note) for note in notes), key=lambda note: (note.path, note.flags, note.steps)
    )
    shown = [
        proposal,
        revision,
        target,
        change_digest,
        purpose,
        ordered,
        list(checks),
        str(risk),
        policy_digest,
        needed,
        enforcement,
        sorted(outside),
    ]
    return blake3(_CONTEXT + msgspec.msgpack.encode(_plain(shown))).digest()


def _in_order(note: ChangeNote) -> ChangeNote:
    """``note`` with its flags and steps in order."""
    return ChangeNote(
        path=note.path, flags=tuple(sorted(set(note.flags))), steps=tuple(sorted(set(note.steps)))
    )


def _plain(value: object) -> object:
    """``value`` in bytes, integers, booleans, nil and lists, so that msgpack has one way to write it; fields by name."""
    if isinstance(value, str):
        # Whatever is in it: also what stands for bytes that were not UTF-8.
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, Struct):
        return [[_plain(name), _plain(getattr(value, name))] for name in sorted(value.__struct_fields__)]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(value[key])] for key in sorted(value)]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
