"""What a request that no model can answer is told: why each one cannot, and what to do. Pure; ``routing`` raises it."""

from __future__ import annotations

from typing import Final

from lastro.errors import DeniedError, LastroError, NotFoundError, UnreachableError
from lastro.gateway.route import Routed
from lastro.gateway.route_match import Wanted
from lastro.messages import N_

_MOMENTARY: Final = frozenset({"circuit_open", "full", "network_down"})


def unanswerable(request: Wanted, routed: Routed, *, retry_after_s: float) -> LastroError:
    """Why nobody can answer: for now (``retry_after_s`` seconds), for this key, or at all."""
    reasons = {one.reason for one in routed.considered}
    parameters = {
        "model": request.model,
        "route": routed.route.name,
        "considered": "; ".join(
            f"{one.model}: {one.reason}" + (f" ({one.detail})" if one.detail else "")
            for one in routed.considered[:20]
        ),
    }
    if reasons & _MOMENTARY:
        return UnreachableError(
            N_("No model can answer right now (route {route}): {considered}"),
            hint=N_("Try again in {retry_after_s} seconds; lastro gateway routes explain tells more."),
            retry_after_s=retry_after_s,
            **parameters,
        )
    if "not_allowed" in reasons:
        if request.key.id:
            hint = N_("Ask whoever runs the gateway for a key that may use one of them.")
        else:
            hint = N_("Use a key of the gateway: without one only local models may be asked.")
        return DeniedError(
            N_("This key may use none of the models of route {route}: {considered}"),
            hint=hint,
            **parameters,
        )
    return NotFoundError(
        N_("No model can answer {model} (route {route}): {considered}"),
        hint=N_(
            "Add a provider with lastro gateway providers add, or get an offline model with lastro gateway models pull smollm2."
        ),
        **parameters,
    )
