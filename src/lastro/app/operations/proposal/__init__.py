"""Operations on proposals."""

from __future__ import annotations

from lastro.app.operations.proposal import deciding, keeping, rewriting

OPERATIONS = (*keeping.OPERATIONS, *deciding.OPERATIONS, *rewriting.OPERATIONS)
