"""``Reader``: the tables of ``gateway.toml`` checked against each other, and made into ``settings.Settings``.

Every complaint names the file and line, the place, what is wrong there and what to do; for a name that is not known, the nearest that is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from lastro.errors import ConfigError
from lastro.gateway.configuration_file import (
    NAME_PATTERN,
    BudgetTable,
    GatewayFile,
    Place,
    ProviderTable,
    RedactionTable,
    RouteTable,
    to_micro,
)
from lastro.gateway.configuration_tables import TableReader
from lastro.gateway.keys import Limits
from lastro.gateway.provider import (
    BASE_URLS,
    OFFLINE_PROVIDER,
    KeySource,
    ModelFacts,
    Provider,
    ProviderKind,
)
from lastro.gateway.route import Match, Route, RouteModel, TaskKind
from lastro.gateway.settings import Anonymous, Bounds, Budget, Circuit, Listen, Scope, Settings
from lastro.messages import N_
from lastro.transport.address import split_address

DEFAULT_ROUTE: Final = "default"
AUTO: Final = "auto"
"""The model name that lets the route decide."""
RESERVED: Final = frozenset({AUTO, "lastro"})
"""No provider may be called so: tools write these before or instead of a model's name."""

_KEY_HEADERS: Final = frozenset(
    {"authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization"}
)
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding"}
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Reader(TableReader):
    """Makes settings of one text of the file ``path``. Every method raises ConfigError for what is impossible."""

    def settings(self, raw: Mapping[str, Any]) -> Settings:
        """What the parsed file says."""
        self.check_names(raw, GatewayFile, ())
        providers = self._providers(raw)
        listen = self.table(raw.get("listen", {}), Listen, ("listen",))
        self._check_listen(listen)
        file = self.table(
            {name: raw[name] for name in ("allow_unknown_prices", "offline_kinds") if name in raw},
            GatewayFile,
            (),
        )
        redaction = self.table(raw.get("redaction", {}), RedactionTable, ("redaction",))
        for position, secrets in enumerate(redaction.known_secrets):
            self._check_absolute(secrets, ("redaction", "known_secrets", position))
        return Settings(
            listen=listen,
            bounds=self._bounds(raw),
            circuit=self._circuit(raw),
            providers=providers,
            routes=self._routes(raw, providers),
            budgets=self._budgets(raw),
            allow_unknown_prices=file.allow_unknown_prices,
            known_secrets=redaction.known_secrets,
            offline_kinds=tuple(str(kind) for kind in file.offline_kinds),
        )

    # Tables -----------------------------------------------------------------------------------------------------------------------

    def _providers(self, raw: Mapping[str, Any]) -> tuple[Provider, ...]:
        providers = [
            self._provider(name, table, ("providers", name)) for name, table in self.tables(raw, "providers")
        ]
        if all(provider.name != OFFLINE_PROVIDER for provider in providers):
            providers.append(
                Provider(name=OFFLINE_PROVIDER, kind=ProviderKind.OFFLINE, base_url="", local=True)
            )
        return tuple(providers)

    def _provider(self, name: str, raw: object, place: Place) -> Provider:
        self._check_name(name, place)
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

    def _routes(self, raw: Mapping[str, Any], providers: tuple[Provider, ...]) -> tuple[Route, ...]:
        routes = {
            name: self._route(name, table, {provider.name: provider for provider in providers})
            for name, table in self.tables(raw, "routes")
        }
        last = routes.pop(DEFAULT_ROUTE, None) or Route(name=DEFAULT_ROUTE, match=Match(), models=())
        return (*routes.values(), last)

    def _route(self, name: str, raw: object, providers: Mapping[str, Provider]) -> Route:
        place: Place = ("routes", name)
        self._check_name(name, place)
        table = self.table(raw, RouteTable, place)
        if (table.match == Match()) != (name == DEFAULT_ROUTE):
            self.refuse(
                (*place, "match"),
                N_(
                    "{where}: {key}: only the route called default stands without a match, and it always does."
                ),
                N_("Say in match when the route is taken, or call it default."),
            )
        self._check_match(table.match, (*place, "match"))
        models = tuple(RouteModel(model=model) if isinstance(model, str) else model for model in table.models)
        for position, choice in enumerate(models):
            self._check_choice(choice, providers, (*place, "models", position))
        if len({choice.model for choice in models}) < len(models):
            self.wrong((*place, "models"), "a model is there twice")
        return Route(
            name=name,
            match=table.match,
            models=models,
            redaction=table.redaction,
            recording=table.recording,
            origin=table.origin,
            offline=table.offline,
            max_output_tokens=table.max_output_tokens,
            attempts=table.attempts,
        )

    def _budgets(self, raw: Mapping[str, Any]) -> tuple[Budget, ...]:
        tables = raw.get("budgets", [])
        if not isinstance(tables, list):
            self.wrong(("budgets",), "expected [[budgets]], once for each budget")
        budgets: dict[str, Budget] = {}
        for position, table in enumerate(tables):
            budget = self._budget(table, ("budgets", position))
            if budget.name in budgets:
                self.wrong(("budgets", position, "name"), f"the name {budget.name!r} is there twice")
            budgets[budget.name] = budget
        return tuple(budgets.values())

    def _budget(self, raw: object, place: Place) -> Budget:
        table = self.table(raw, BudgetTable, place)
        if table.cost is None and table.tokens is None and table.requests is None:
            self.refuse(
                place,
                N_("{where}: {key}: this budget limits nothing."),
                N_("Give it cost (US dollars), tokens or requests."),
            )
        try:
            cost = None if table.cost is None else to_micro(table.cost)
        except ValueError:
            self.wrong((*place, "cost"), 'expected US dollars, such as "5.00", with at most six decimals')
        self._check_globs(table.names, (*place, "names"))
        if table.names and table.scope is Scope.ALL:
            self.refuse(
                (*place, "names"),
                N_("{where}: {key}: a budget over all calls has no names."),
                N_('Set scope to "key", "role" or "run", or remove names.'),
            )
        return Budget(
            name=table.name,
            scope=table.scope,
            limits=Limits(cost=cost, tokens=table.tokens, requests=table.requests),
            names=table.names,
            per_day=table.per_day,
        )

    def _bounds(self, raw: Mapping[str, Any]) -> Bounds:
        bounds = self.table(raw.get("bounds", {}), Bounds, ("bounds",))
        for key in Bounds.__struct_fields__:
            if not 0 < getattr(bounds, key) < 2**53:
                self.wrong(("bounds", key), "expected more than 0")
        return bounds

    def _circuit(self, raw: Mapping[str, Any]) -> Circuit:
        circuit = self.table(raw.get("circuit", {}), Circuit, ("circuit",))
        if circuit.failures < 1:
            self.wrong(("circuit", "failures"), "expected 1 or more")
        if not 0 < circuit.pause_s <= circuit.longest_pause_s < 2**31:
            self.wrong(("circuit", "pause_s"), "expected more than 0 and at most longest_pause_s")
        return circuit

    # Checks -----------------------------------------------------------------------------------------------------------------------

    def _check_listen(self, listen: Listen) -> None:
        try:
            host, _ = split_address(listen.address)
        except ConfigError as error:
            self.wrong(("listen", "address"), str(error))
        for key in ("certificate", "private_key"):
            if path := getattr(listen, key):
                self._check_absolute(path, ("listen", key))
        if bool(listen.certificate) != bool(listen.private_key):
            self.wrong(("listen",), "certificate and private_key belong together, and one is missing")
        if is_loopback(host):
            return
        if not listen.certificate or listen.anonymous is not Anonymous.NONE:
            self.refuse(
                ("listen", "address"),
                N_(
                    "{where}: {key}: beyond this machine the gateway answers only over TLS and only to those with a key."
                ),
                N_(
                    'Set certificate, private_key and anonymous = "none" in [listen], or listen at 127.0.0.1.'
                ),
            )

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
            self._check_absolute(key.file, (*place, "file"))
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
            if name.lower() in _OWN_HEADERS or not _HEADER_NAME.fullmatch(name):
                self.wrong((*place, name), "this header is not yours to set")
            if not value.isprintable() or not value.isascii():
                self.wrong((*place, name), "expected printable ASCII")

    def _check_match(self, match: Match, place: Place) -> None:
        for key in ("keys", "roles", "models"):
            self._check_globs(getattr(match, key), (*place, key))
        for name, glob in match.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                self.wrong((*place, "headers", name), "this is no name of a header")
            self._check_globs((glob,), (*place, "headers", name))
        if match.min_input_tokens < 0 or match.max_input_tokens < 0:
            self.wrong(place, "expected tokens of 0 or more")
        if match.max_input_tokens and match.min_input_tokens > match.max_input_tokens:
            self.wrong(place, "min_input_tokens is more than max_input_tokens")

    def _check_choice(self, choice: RouteModel, providers: Mapping[str, Provider], place: Place) -> None:
        provider_name, separator, model = choice.model.partition("/")
        if not separator or not provider_name or not model:
            self.wrong(place, f"expected PROVIDER/MODEL, and this is {choice.model!r}")
        provider = providers.get(provider_name)
        if provider is None:
            self.unknown(place, provider_name, providers, what="provider")
        if provider.models and model not in provider.models:
            self.unknown(place, model, provider.models, what=f"model of {provider_name}")
        if choice.weight < 1:
            self.wrong(place, "expected a weight of 1 or more")
        if min(choice.rank, choice.max_concurrent, choice.max_input_tokens) < 0:
            self.wrong(place, "expected rank and limits of 0 or more")

    def _check_globs(self, globs: Iterable[str], place: Place) -> None:
        for glob in globs:
            if not glob or not glob.isprintable() or re.search(r"\[(?![!^]?\]?[^]]*\])", glob):
                self.wrong(
                    place, f"this is no pattern: {glob!r}; * ? and [abc] are special, [[] is a bracket"
                )

    def _check_absolute(self, path: str, place: Place) -> None:
        if not path.startswith("/") or "\0" in path:
            self.wrong(place, "expected an absolute path, from the first slash on")

    def _check_name(self, name: str, place: Place) -> None:
        if not re.fullmatch(NAME_PATTERN, name):
            self.wrong(place, "expected a name of small letters, digits, - and _, at most 63 of them")
        if place[0] == "providers" and name in RESERVED:
            self.wrong(place, "this name means something else already; take another")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
