"""Operations on runs."""

from __future__ import annotations

from lastro.app.operations.runs import errands, keeping, memory, transcript

OPERATIONS = (*keeping.OPERATIONS, *transcript.OPERATIONS, *errands.OPERATIONS, *memory.OPERATIONS)
