"""What a probe says of a provider that cannot be used, or not wholly: each cause with what to do about it. Pure.

What always holds: no key, and nothing that a provider wrote about a refused key, is in a finding.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from lastro.errors import LastroError
from lastro.gateway.dialects.neutral import Dialect, Failed
from lastro.gateway.probe_store import Finding, Tried
from lastro.gateway.provider import Provider
from lastro.gateway.upstream import UpstreamError
from lastro.messages import N_


class Findings:
    """The sentences about one provider and the model of it that is asked; empty while that is not known."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider = provider
        self._model = model

    def no_models(self) -> Finding:
        """Its list has none to ask."""
        return Finding(
            code="no_models",
            msgid=N_("{provider} lists no model that talks."),
            hint=N_(
                "Load or pull a model there, or name one: lastro gateway providers test {provider} --model NAME."
            ),
            parameters=self._named(),
        )

    def wrong_address(self, better: str) -> Finding:
        """It answers at ``better``."""
        return Finding(
            code="wrong_address",
            msgid=N_("{provider} answers at {better}, not at {base_url}."),
            hint=N_('Set base_url = "{better}".'),
            parameters={**self._named(), "better": better},
        )

    def no_list(self) -> Finding:
        """There is neither a list of models nor the name of one."""
        return Finding(
            code="no_dialect",
            msgid=N_(
                "What answers at {base_url} speaks no dialect that Lastro knows: it gave no list of models."
            ),
            hint=N_("Check base_url: it ends before /models and /chat/completions, mostly with /v1."),
            parameters=self._named(),
        )

    def no_dialect(self, tried: Sequence[Tried], *, listed: bool) -> Finding:
        """Why no call was answered. ``listed``: it gave a list of models."""
        statuses = {one.status for one in tried}
        details = "; ".join(
            dict.fromkeys(f"{one.dialect} {one.status} {one.detail}".strip() for one in tried)
        )
        parameters = {**self._named(), "details": details[:1000]}
        if 402 in statuses:
            return Finding(
                code="no_credit",
                msgid=N_("{provider} refuses to answer until its account is paid: {details}"),
                hint=N_("Add credit there, or remove the provider."),
                parameters=parameters,
            )
        if listed and not statuses <= {404, 405, 200}:
            return Finding(
                code="refused",
                msgid=N_("{provider} lists its models, and refuses a call of {model}: {details}"),
                hint=N_("Try another model: lastro gateway providers test {provider} --model NAME."),
                parameters=parameters,
            )
        return Finding(
            code="no_dialect",
            msgid=N_("What answers at {base_url} speaks no dialect that Lastro knows: {details}"),
            hint=N_("Check base_url: it ends before /models and /chat/completions, mostly with /v1."),
            parameters=parameters,
        )

    def no_stream(self, dialect: Dialect) -> Finding:
        """Its streams cannot be used."""
        return Finding(
            code="no_stream",
            msgid=N_(
                "{provider} gave no sound stream in its dialect {dialect}; tools that want one will fail."
            ),
            parameters={**self._named(), "dialect": str(dialect)},
        )

    def no_tools(self) -> Finding:
        """The model calls none."""
        return Finding(
            code="no_tools",
            msgid=N_(
                "{model} did not call the tool that it was told to call; coding tools need one that does."
            ),
            parameters=self._named(),
        )

    def rate_limited(self, failed: Failed) -> Finding:
        """It takes no more calls for now."""
        return Finding(
            code="rate_limited",
            msgid=N_("{provider} limits calls right now: {reason}"),
            hint=N_("Test it again later: lastro gateway providers test {provider}."),
            parameters={**self._named(), "reason": failed.text[:300]},
        )

    def refused_key(self, status: int) -> Finding:
        """It wants a key, or another one. What it wrote about it is not kept: some repeat the key."""
        key = self._provider.key
        place = key.environment or key.file or (key.command[0] if key.command else "")
        if place or key.stored:
            return Finding(
                code="wrong_key",
                msgid=N_("{provider} refuses the key (HTTP {status}); it comes from {place}."),
                hint=N_("Check that the key is for {base_url}, is whole, and was not revoked."),
                parameters={**self._named(), "status": str(status), "place": place or "the encrypted store"},
            )
        return Finding(
            code="no_key",
            msgid=N_("{provider} wants a key (HTTP {status}), and none is configured."),
            hint=N_(
                'Write where it comes from, for example key = {{environment = "NAME"}} in [providers.{provider}].'
            ),
            parameters={**self._named(), "status": str(status)},
        )

    def unreachable(self, error: UpstreamError) -> Finding:
        """What kind of no answer it was."""
        parameters = {**self._named(), "host": urlsplit(self._provider.base_url).netloc, "reason": str(error)}
        causes = _causes(error)
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return Finding(
                code="no_such_host",
                msgid=N_("There is no host called {host}, or this machine cannot look names up."),
                hint=N_("Check base_url for a typing mistake, and the network of this machine."),
                parameters=parameters,
            )
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return Finding(
                code="tls",
                msgid=N_("No trusted encrypted connection to {host} came about: {reason}"),
                hint=N_("Is it http:// there? A company's own authority has to be in this machine's store."),
                parameters=parameters,
            )
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return Finding(
                code="refused_connection",
                msgid=N_("Nobody listens at {host}."),
                hint=N_("Start the server there, or correct the port in base_url."),
                parameters=parameters,
            )
        return Finding(
            code="unreachable",
            msgid=N_("No answer from {host}: {reason}"),
            hint=N_("Check base_url, the network and a proxy, if there is one."),
            parameters=parameters,
        )

    def _named(self) -> dict[str, str]:
        return {"provider": self._provider.name, "base_url": self._provider.base_url, "model": self._model}


def finding_of(error: LastroError, code: str) -> Finding:
    """An error as a finding."""
    parameters: dict[str, Any] = error.parameters
    return Finding(
        code=code,
        msgid=error.msgid,
        hint=error.hint,
        parameters={name: str(value) for name, value in parameters.items()},
    )


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything it came from, also where a library keeps the system's error in a field."""
    causes: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(causes) < 20:
        cause = waiting.pop()
        if cause is None or cause in causes:
            continue
        causes.append(cause)
        inner = getattr(cause, "os_error", None) or getattr(cause, "certificate_error", None)
        waiting += [cause.__cause__, cause.__context__, inner if isinstance(inner, BaseException) else None]
    return causes
