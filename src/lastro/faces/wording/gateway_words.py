"""Words for what the gateway counts: money, tokens, milliseconds."""

from __future__ import annotations

from typing import Final

from lastro.faces.translation import gettext as _
from lastro.messages import N_

_MICRO = 1_000_000

OUTCOMES: Final = {
    "answered": (N_("answered"), "green"),
    "failed": (N_("failed"), "red"),
    "broken": (N_("broken off"), "red"),
    "abandoned": (N_("client left"), "yellow"),
    "refused": (N_("refused"), "yellow"),
    "interrupted": (N_("gateway was killed"), "red"),
    "running": (N_("running"), None),
}

SAVINGS: Final = {
    "prompt_cache": N_("read from a provider's cache"),
    "offline": N_("answered by a local model"),
    "cheaper_model": N_("answered by a cheaper model of the route"),
}


def money(cost: int | None) -> str:
    """Millionths of a dollar as dollars, to the cent where that says enough: ``$1.25``, ``$0.000310``, ``unknown``."""
    if cost is None:
        return _("unknown")
    if cost == 0:
        return "$0"
    return (
        f"${cost / _MICRO:.2f}" if cost >= _MICRO // 100 and cost % 10_000 == 0 else f"${cost / _MICRO:.6f}"
    )


def sum_of(cost: int, unknown: int) -> str:
    """A sum in which some costs are not known: ``$1.25 + 3 unknown``."""
    if unknown and not cost:
        return _("unknown ({count} exchanges)", count=unknown)
    return _("{money} + {count} unknown", money=money(cost), count=unknown) if unknown else money(cost)


def tokens(count: int | None) -> str:
    """``812``, ``3.2k``, ``1.50M``; ``?`` where nobody knows."""
    if count is None:
        return "?"
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1_000_000:.2f}M"


def span(length_ns: int | None) -> str:
    """``12 ms``, ``3.4 s``; a dash where nothing was measured."""
    if length_ns is None:
        return "-"
    if length_ns < 1_000_000_000:
        return _(
            "{count} ms",
            count=f"{length_ns / 1e6:.0f}" if length_ns >= 10_000_000 else f"{length_ns / 1e6:.1f}",
        )
    return _("{seconds} s", seconds=f"{length_ns / 1e9:.1f}")
