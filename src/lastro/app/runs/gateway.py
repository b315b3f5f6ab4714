"""The gateway as one run sees it: a key of its own, its budget, what it used. Starts a gateway for the length of the run if none is there.

What always holds: the key is the run's alone, has the role's limits, ends with the run (at the latest when its time is over), and its
text is handed to the run's adapter and to nobody else; the provider's keys stay with the gateway.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from lastro.agents.parts import Spent
from lastro.app.child_process import ChildProcess
from lastro.app.desk import Desk
from lastro.domain.policy import RunLimits
from lastro.domain.run import RunUsage
from lastro.errors import ConfigError, LastroError, UnreachableError
from lastro.messages import N_

_COUNTED: Final = 10**12
"""Requests: more than any run makes. With a limit of some kind the gateway keeps an account of the key from the start."""
_GRACE_S: Final = 3600
_LONGEST_S: Final = 14 * 86_400
_LEDGER_S: Final = 2.0
"""How long the gateway's ledger may lag behind its accounts."""
_FLUSHED_S: Final = 1.0
"""After this long a running gateway has written down what it answered."""
_LOOK_S: Final = 0.2


class RunKey(Struct, frozen=True, kw_only=True):
    """A run's gateway key: its id and its text."""

    id: str
    text: str


def gateway_listens(desk: Desk) -> bool:
    """Whether a gateway of this home runs."""
    from lastro.transport.unix import connect_owner  # noqa: PLC0415  only runs need it

    try:
        connect_owner(desk.places.gateway_admin_socket).close()
    except UnreachableError:
        return False
    return True


@contextmanager
def gateway_for(desk: Desk, *, needed: bool) -> Iterator[bool]:
    """A gateway while the context lasts: the one that runs, or, if it is ``needed``, one of our own. Gives whether there is one.

    Raises:
        ConfigError: it is needed and cannot be had.
    """
    if gateway_listens(desk):
        yield True
        return
    if not needed:
        yield False
        return
    if importlib.util.find_spec("aiohttp") is None:
        raise ConfigError(
            N_("This coding tool asks models, and this installation has no gateway."),
            hint=N_("Install it with: pip install 'lastro[gateway]'"),
        )
    child = ChildProcess(
        desk.places,
        desk.tell,
        "gateway",
        "serve",
        "--port",
        "0",
        ended=N_("The gateway ended with status {status}."),
    )
    child.start()
    try:
        child.wait_listening(threading.Event())
        if not gateway_listens(desk):
            raise ConfigError(
                N_("This coding tool asks models, and the gateway could not be started."),
                hint=N_("See what 'lastro gateway serve' says."),
            )
        yield True
    finally:
        child.stop()


class RunGateway:
    """A run's dealings with the gateway. ``steps``: the socket of its step clock. ``asks_models``: its tool is known to."""

    def __init__(
        self, desk: Desk, *, run: int, role: str, limits: RunLimits, steps: str, asks_models: bool
    ) -> None:
        from lastro.gateway.admin_client import AdminClient  # noqa: PLC0415  only where there is a gateway
        from lastro.gateway.administration import KeyOrder  # noqa: PLC0415  as above
        from lastro.gateway.keys import Limits  # noqa: PLC0415  as above

        self._desk = desk
        self._limits = limits
        self._asks_models = asks_models
        self._admin = AdminClient(desk.places.gateway_admin_socket)
        lasts_s = (limits.wall_s or _LONGEST_S) + _GRACE_S
        minted = self._admin.mint(
            KeyOrder(
                name=f"run-{run}-{time.time_ns() // 1_000_000:x}",
                role=role,
                run=f"run-{run}",
                limits=Limits(cost=limits.money, tokens=limits.tokens, requests=_COUNTED),
                expires_ns=desk.clock.wall_ns() + lasts_s * 1_000_000_000,
                steps=steps,
            )
        )
        self.key = RunKey(id=minted.key.id, text=minted.text)
        self._last = Spent()

    def spent(self, final: bool) -> Spent:  # noqa: FBT001  as ``RunParts.spent``
        """What the run used. While it goes, tokens are told as one sum; a gateway that is away says nothing new."""
        try:
            self._last = self._accounts()
            if final:
                self._last = self._ledger(self._last)
        except LastroError:
            return self._last  # it was restarted, or is gone: what was known stands
        return self._last

    def revoke(self) -> None:
        """Let the key admit nobody any more."""
        revoke_key(self._desk, self.key.id)

    def _accounts(self) -> Spent:
        for key in self._admin.budgets():
            for budget in key.budgets if key.key == self.key.id else ():
                if budget.limits.requests == _COUNTED:
                    sums = budget.spent
                    return Spent(
                        usage=RunUsage(requests=sums.requests, tokens_in=sums.tokens, money=sums.cost),
                        exhausted=_reached(sums.cost, self._limits.money)
                        or _reached(sums.tokens, self._limits.tokens),
                    )
        return self._last

    def _ledger(self, counted: Spent) -> Spent:
        from lastro.app.operations.gateway.memory import memory  # noqa: PLC0415  only where there is a gateway
        from lastro.gateway.exchange import ExchangeOutcome  # noqa: PLC0415  as above
        from lastro.gateway.exchanges import Only  # noqa: PLC0415  as above
        from lastro.gateway.usage import By, report_usage  # noqa: PLC0415  as above

        # A call that was refused is in no account, only in the ledger; where the budget is far from used up there can be none.
        near = self._is_near(counted.usage)
        wait = near and (self._asks_models or counted.usage.requests > 0)
        began = time.monotonic()
        while True:
            with memory(self._desk) as remembered:
                total = report_usage(remembered.ledger, by=By.ALL, only=Only(key=self.key.id)).total
            waited = time.monotonic() - began
            complete = total.exchanges >= counted.usage.requests and (not wait or waited > _FLUSHED_S)
            if complete or waited > _LEDGER_S:
                break
            time.sleep(_LOOK_S)
        refused = near and total.outcomes.get(ExchangeOutcome.REFUSED.value, 0) > 0
        usage = RunUsage(
            requests=total.exchanges,
            tokens_in=total.tokens.input,
            tokens_out=total.tokens.output,
            money=None if total.cost.unknown else total.cost.known,
        )
        return Spent(usage=usage, exhausted=counted.exhausted or refused)

    def _is_near(self, usage: RunUsage) -> bool:
        """Whether a limit may have been in the way of a call: the first one, or a quarter of it is used, or a price is unknown."""
        money, tokens = self._limits.money, self._limits.tokens
        if not usage.requests:
            return money is not None or tokens is not None
        return (tokens is not None and usage.tokens_in * 4 >= tokens) or (
            money is not None and (usage.money is None or usage.money * 4 >= money)
        )


def _reached(spent: int, limit: int | None) -> bool:
    return limit is not None and spent >= limit


def revoke_key(desk: Desk, key: str) -> None:
    """Let the gateway key ``key`` admit nobody; nothing happens where there is no gateway: it ends by itself."""
    from lastro.gateway.admin_client import AdminClient  # noqa: PLC0415  only where there is a gateway

    try:
        AdminClient(desk.places.gateway_admin_socket).revoke(key)
    except LastroError:
        return
