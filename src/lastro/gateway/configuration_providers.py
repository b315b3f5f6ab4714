"""``ProviderReader``: the tables ``[providers.NAME]`` of ``gateway.toml`` checked, and made into ``provider.Provider``.

What always holds: no key stands in what is made, nor in a complaint; what goes beyond this network goes over TLS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from lastro.gateway.configuration_file import Place, ProviderTable
from lastro.gateway.configuration_tables import HEADER_NAME, TableReader
from lastro.gateway.provider import BASE_URLS, OFFLINE_PROVIDER, KeySource, ModelFacts, Provider, ProviderKind
from lastro.gateway.route import TaskKind
from lastro.gateway.route_match import AUTO
from lastro.messages import N_
from lastro.transport.address import is_loopback

_RESERVED: Final = frozenset({AUTO, "lastro"})
"""No provider may be called so: tools write these before or instead of a model's name."""

_KEY_HEADERS: Final = frozenset(
    {"authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization"}
)
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding"}
)


class ProviderReader(TableReader):
    """Makes the providers of one text of the file ``path``. Every method raises ConfigError for what is impossible."""

    def providers(self, raw: Mapping[str, Any]) -> tuple[Provider, ...]:
        """All of them, the offline one included."""
        providers = [
            self._provider(name, table, ("providers", name)) for name, table in self.tables(raw, "providers")
        ]
        if all(provider.name != OFFLINE_PROVIDER for provider in providers):
            providers.append(
                Provider(name=OFFLINE_PROVIDER, kind=ProviderKind.OFFLINE, base_url="", local=True)
            )
        return tuple(providers)

    def _provider(self, name: str, raw: object, place: Place) -> Provider:
        self.check_name(name, place)
        if name in _RESERVED:
            self.wrong(place, "this name means something else already; take another")
        if not isinstance(raw, dict):
            self.wrong(place, "expected a table")
        models = {
            model: self._model(facts, (*place, "models", model))
            for model, facts in self.tables(raw, "models", place)
        }
        table = self.table({**raw, "models": {}}, ProviderTable, place)
        if (name == OFFLINE_PROVIDER) != (table.kind is ProviderKind.OFFLINE):
            self.refuse(
                (*place, "kind"),
                N_("{where}: {key}: the provider called offline is the one of kind offline, and no other."),
                N_("Give the provider another name, or another kind."),
            )
        self._check_key(table.key, (*place, "key"))
        self._check_headers(table.headers, (*place, "headers"))
        base_url = self._base_url(table, place)
        return Provider(
            name=name,
            kind=table.kind,
            base_url=base_url,
            key=table.key,
            dialects=table.dialects,
            models=models,
            headers=table.headers,
            price_provider=table.price_provider,
            local=_is_local(table, base_url),
            enabled=table.enabled,
        )

    def _model(self, raw: object, place: Place) -> ModelFacts:
        facts = self.table(raw, ModelFacts, place)
        for key in ("context", "output"):
            if getattr(facts, key) < 0:
                self.wrong((*place, key), "expected 0 (unknown) or more")
        for kind in facts.kinds:
            if kind not in list(TaskKind):
                self.unknown((*place, "kinds"), kind, TaskKind)
        return facts

    def _base_url(self, table: ProviderTable, place: Place) -> str:
        place = (*place, "base_url")
        url = (table.base_url or BASE_URLS.get(table.kind, "")).rstrip("/")
        if table.kind is ProviderKind.OFFLINE:
            if url:
                self.wrong(place, "the offline engine has no address of its own")
            return ""
        if not url:
            self.refuse(
                place,
                N_("{where}: {key}: a provider of kind compatible needs an address."),
                N_('Write base_url with its version, for example "http://127.0.0.1:11434/v1".'),
            )
        parts = (
            _split_url(url) if url.isprintable() and " " not in url else None
        )  # urlsplit passes line ends over
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
            self.wrong(place, "expected an address that begins with https:// or http://")
        if parts.username is not None or parts.query or parts.fragment:
            self.wrong(
                place, "expected an address without a user, a query or a fragment; a key belongs in key"
            )
        if parts.scheme == "http" and not (_is_local(table, url) or is_loopback(parts.hostname)):
            self.refuse(
                place,
                N_("{where}: {key}: over http:// the key and everything asked could be read on the way."),
                N_("Use https://, or set local = true for a server in your own network."),
            )
        return url

    def _check_key(self, key: KeySource, place: Place) -> None:
        given = [name for name in KeySource.__struct_fields__ if getattr(key, name)]
        if len(given) > 1:
            self.refuse(
                place,
                N_("{where}: {key}: a key comes from one place, and these are several: {given}"),
                N_("Keep one of environment, file, command, stored."),
                given=", ".join(given),
            )
        if key.environment and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.environment):
            # Whoever wrote the key itself here must not find it in an error or a log.
            self.wrong((*place, "environment"), "expected the name of a variable, not the key itself")
        if key.file:
            self.check_absolute(key.file, (*place, "file"))
        if key.command and not key.command[0]:
            self.wrong((*place, "command"), "expected a program and its arguments")

    def _check_headers(self, headers: Mapping[str, str], place: Place) -> None:
        for name, value in headers.items():
            if name.lower() in _KEY_HEADERS:
                self.refuse(
                    (*place, name),
                    N_("{where}: {key}: a key does not belong among the headers."),
                    N_('Write where it comes from in key, for example key = {{environment = "NAME"}}.'),
                )
            if name.lower() in _OWN_HEADERS or not HEADER_NAME.fullmatch(name):
                self.wrong((*place, name), "this header is not yours to set")
            if not value.isprintable() or not value.isascii():
                self.wrong((*place, name), "expected printable ASCII")


def _is_local(table: ProviderTable, url: str) -> bool:
    if table.kind is ProviderKind.OFFLINE:
        return True
    if table.local is not None:
        return table.local
    return is_loopback(urlsplit(url).hostname or "")


def _split_url(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
