"""Dialects as people name them."""

from __future__ import annotations

from collections.abc import Sequence

from lastro.errors import UsageError
from lastro.gateway.dialects.neutral import Dialect
from lastro.messages import N_


def dialects_of(names: Sequence[str]) -> tuple[Dialect, ...]:
    """The dialects called ``names``.

    Raises:
        UsageError: one of them is none.
    """
    try:
        return tuple(Dialect(name) for name in names)
    except ValueError as error:
        raise UsageError(
            N_("There is no such dialect: {names}"),
            hint=N_("There are chat, responses, messages and gemini."),
            names=", ".join(names),
        ) from error
