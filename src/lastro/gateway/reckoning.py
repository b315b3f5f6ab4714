"""What attempts used and what that costs. Pure.

What always holds: tokens that no provider counted are estimated, never taken for 0, those of an answer that broke off too; a call that a
provider refused before it answered costs nothing, one that it may have begun to answer costs at least what it read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from lastro.gateway.dialects.neutral import Used
from lastro.gateway.exchange import AttemptOutcome

_MAY_HAVE_BEGUN: Final = frozenset(
    {AttemptOutcome.FIRST_BYTE, AttemptOutcome.BETWEEN_BYTES, AttemptOutcome.TOTAL, AttemptOutcome.ABANDONED}
)
"""How a call ends that the provider may be working on, although no status came."""
MOST_TOKENS: Final = 1_000_000_000
"""No answer has more. A provider that says so is not believed, nor one that counts below zero: it would empty budgets, or fill them up."""


def total_used(uses: Iterable[Used | None]) -> Used:
    """All together; a figure is ``None`` only if nobody said it."""
    total = Used()
    for used in uses:
        if used is None:
            continue
        sums = {
            name: (getattr(total, name) or 0) + figure
            for name in used.__struct_fields__
            if (figure := getattr(used, name)) is not None
        }
        total = replace(total, **sums)
    return total


def used_by(
    said: Used | None,
    *,
    status: int,
    outcome: AttemptOutcome,
    output: Sequence[str],
    input_tokens: int,
    estimate_tokens: Callable[[bytes], int],
) -> tuple[Used | None, bool]:
    """What an attempt used, and whether a part of it is an estimate. ``None``: nothing was asked of a model."""
    said = _believed(said)
    is_answer = 200 <= status < 300
    if not is_answer and not (status == 0 and outcome in _MAY_HAVE_BEGUN):
        return said, False
    used = said or Used()
    is_final = outcome is AttemptOutcome.ANSWERED
    if is_final and used.input is not None and used.output is not None:
        return used, False
    written = estimate_tokens("".join(output).encode(errors="surrogatepass")) if output else 0
    if used.output is not None and (is_final or used.output >= written):
        written = (
            used.output
        )  # else it is what the provider said at the beginning, of an answer that did not come to its end
    counted = replace(used, input=input_tokens if used.input is None else used.input, output=written)
    return counted, counted != used


def _believed(said: Used | None) -> Used | None:
    """What was said, without the figures that cannot be."""
    if said is None:
        return None
    wrong = {
        name: None
        for name in said.__struct_fields__
        if (figure := getattr(said, name)) is not None and not 0 <= figure <= MOST_TOKENS
    }
    return replace(said, **wrong) if wrong else said
