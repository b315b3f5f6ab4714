"""Operations on runs."""

from __future__ import annotations

from lastro.app.operations.runs import errands, keeping, memory

OPERATIONS = (*keeping.OPERATIONS, *errands.OPERATIONS, *memory.OPERATIONS)
