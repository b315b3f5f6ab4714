"""States of runs and proposals, by the words that people type and programs send."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from lastro.errors import UsageError
from lastro.messages import N_

_StateT = TypeVar("_StateT", bound=StrEnum)


def state_named(states: type[_StateT], text: str) -> _StateT:
    """The one of ``states`` that is called ``text``.

    Raises:
        UsageError: none is.
    """
    try:
        return states(text)
    except ValueError:
        raise UsageError(
            N_("There is no such state: {state}"),
            hint=N_("It is one of: {states}"),
            state=text,
            states=", ".join(states),
        ) from None
