"""Identities. A server's identity is a random id given when it is added; names, device ids and counters only point to it."""

from __future__ import annotations

from typing import Final, NewType

Digest = NewType("Digest", bytes)
"""Plain BLAKE3-256 of some bytes, 32 bytes. What nodes, the wire and change sets know."""

ChunkId = NewType("ChunkId", bytes)
"""``BLAKE3_keyed(repository id key, Digest)``, 32 bytes. What the repository knows (``docs/format.md``, Chunk ids)."""

ServerId = NewType("ServerId", str)
"""16 random bytes as 32 hex digits, or ``LOCAL``."""

RecordId = NewType("RecordId", bytes)
"""BLAKE3-256 of a record's canonical bytes."""

SnapshotNumber = NewType("SnapshotNumber", int)
"""What people call a snapshot by: ``snap-118`` is the 118th of its repository."""

ApplyNumber = NewType("ApplyNumber", int)
"""As ``SnapshotNumber``, for applies: ``apply-7``."""

RunNumber = NewType("RunNumber", int)
"""As ``SnapshotNumber``, for runs: ``run-42``."""

ProposalNumber = NewType("ProposalNumber", int)
"""As ``SnapshotNumber``, for proposals: ``proposal-9``."""

LOCAL: Final = "local"
"""The name that always means this machine."""

DIGEST_SIZE: Final = 32
EMPTY_DIGEST: Final = Digest(
    bytes.fromhex("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
)
"""BLAKE3-256 of no bytes at all."""
