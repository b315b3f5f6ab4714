"""What answering an exchange needs from the other parts of the gateway: small interfaces, owned by ``answering`` and what
stands behind it, which use them.

All are called from the event loop and return at once, but for the ``async`` ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lastro.gateway.dialects.codec import Envelope
from lastro.gateway.dialects.neutral import Dialect, Used
from lastro.gateway.exchange import Bodies, ExchangeBegan, ExchangeEnded
from lastro.gateway.keys import GatewayKey
from lastro.gateway.provider import ModelFacts, Provider
from lastro.gateway.route import Candidate, Routed


class Router(Protocol):
    """Which models may answer (``routing.SettingsRouter``)."""

    def route(
        self,
        *,
        envelope: Envelope,
        dialect: Dialect,
        headers: Mapping[str, str],
        key: GatewayKey,
        input_tokens: int,
    ) -> Routed:
        """The candidates for a request, best first, open circuits and full choices left out. ``headers`` have lower-case names.

        Raises:
            NotFoundError: no such model, and no route takes it.
            DeniedError: the key may use none of them.
            UnreachableError: all of them are unavailable right now; its parameter ``retry_after_s`` says when to try again.
        """
        ...

    def models(self, key: GatewayKey) -> Sequence[tuple[str, ModelFacts]]:
        """The full names of the models that ``key`` may use, ``auto`` first: for ``/v1/models``."""
        ...


class Hold(Protocol):
    """Money and tokens set aside for one exchange."""

    @property
    def cost(self) -> int | None:
        """Set aside, in millionths of a dollar; ``None`` where no price is known."""
        ...

    @property
    def tokens(self) -> int:
        """Set aside."""
        ...

    def settle(self, *, cost: int | None, tokens: int) -> None:
        """Count what was really spent and give the rest back. Once; later calls do nothing."""
        ...


class Purse(Protocol):
    """Budgets (``budgets.Budgets``)."""

    def reserve(
        self,
        key: GatewayKey,
        candidates: Sequence[Candidate],
        *,
        input_tokens: int,
        output_tokens: int | None,
        answers: int = 1,
    ) -> Hold:
        """Set the worst case aside: the dearest candidate, with the whole output that was asked for (or its model's most), for
        each of ``answers``.

        Raises:
            BudgetError: it would exceed a budget; parameters name the budget, its limit, what is spent, and when it starts anew.
        """
        ...

    def cost(self, provider: Provider, model: str, used: Used) -> int | None:
        """What this use costs, in millionths of a dollar, rounded up; 0 only for local and free models; ``None`` where the price
        is unknown.
        """
        ...


class Redacted(Protocol):
    """One request without its secrets, and the way back."""

    @property
    def body(self) -> bytes:
        """The request with placeholders."""
        ...

    @property
    def count(self) -> int:
        """How many different secrets were replaced."""
        ...

    def restore(self, text: str) -> str:
        """``text`` (JSON text of a call's arguments) with placeholders of this request replaced by their secrets, escaped for JSON."""
        ...


class Redactor(Protocol):
    """Takes secrets out (``redaction.Redactor``)."""

    def redact(self, body: bytes) -> Redacted:
        """Every byte that is no secret stays as it is.

        Raises:
            RedactionError: it could not be done for sure; nothing may be sent.
        """
        ...


class Recorder(Protocol):
    """The ledger (``recorder.Recorder``)."""

    def begin(self, began: ExchangeBegan) -> None:
        """Remember that it began, so that even a killed process counts it.

        Raises:
            StorageFullError: nothing can be recorded, so nothing may be asked.
        """
        ...

    def end(self, ended: ExchangeEnded, bodies: Bodies | None) -> None:
        """Remember how it went; ``bodies`` is ``None`` where the route records none. Never raises: a failure is told to the
        recorder's owner, and refuses the next beginning.
        """
        ...


class Credentials(Protocol):
    """Provider keys (``credentials.CredentialStore``)."""

    async def headers(self, provider: Provider, dialect: Dialect) -> Mapping[str, str]:
        """The headers that carry the provider's key in this dialect; empty for one that takes none.

        Raises:
            ConfigError: the key is not there; says where it was looked for, never what was found.
        """
        ...


class Engine(Protocol):
    """The offline engine (``offline.engine.OfflineEngine``)."""

    async def ready(self, model: str) -> tuple[str, Mapping[str, str]]:
        """Base URL and headers of the running engine with this model, started if it was not.

        Raises:
            NotFoundError: the model was not pulled.
            DamagedError: its weights are wrong or cut off.
            ConfigError: this installation has no engine.
        """
        ...


class Steps(Protocol):
    """Tells a run's supervisor that its next step begins (``stepping``)."""

    async def notice(self, key: GatewayKey, exchange: str, step: int) -> bool | None:
        """Whether the supervisor answered within 100 ms; ``None`` for a key without one. Never raises."""
        ...
