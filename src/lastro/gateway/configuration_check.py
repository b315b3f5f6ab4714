"""``Reader``: the tables of ``gateway.toml`` checked against each other, and made into ``settings.Settings``.

Every complaint names the file and line, the place, what is wrong there and what to do; for a name that is not known, the nearest that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lastro.errors import ConfigError
from lastro.gateway.configuration_file import (
    BudgetTable,
    GatewayFile,
    Place,
    RedactionTable,
    RouteTable,
    to_micro,
)
from lastro.gateway.configuration_providers import ProviderReader
from lastro.gateway.configuration_tables import HEADER_NAME, TableReader
from lastro.gateway.keys import Limits
from lastro.gateway.provider import Provider
from lastro.gateway.route import Match, Route, RouteModel
from lastro.gateway.settings import Anonymous, Bounds, Budget, Circuit, Listen, Scope, Settings
from lastro.messages import N_
from lastro.transport.address import is_loopback, split_address

DEFAULT_ROUTE: Final = "default"


class Reader(TableReader):
    """Makes settings of one text of the file ``path``. Every method raises ConfigError for what is impossible."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self._providers = ProviderReader(path, text)

    def settings(self, raw: Mapping[str, Any]) -> Settings:
        """What the parsed file says."""
        self.check_names(raw, GatewayFile, ())
        providers = self._providers.providers(raw)
        listen = self.table(raw.get("listen", {}), Listen, ("listen",))
        self._check_listen(listen)
        file = self.table(
            {name: raw[name] for name in ("allow_unknown_prices", "offline_kinds") if name in raw},
            GatewayFile,
            (),
        )
        redaction = self.table(raw.get("redaction", {}), RedactionTable, ("redaction",))
        for position, secrets in enumerate(redaction.known_secrets):
            self.check_absolute(secrets, ("redaction", "known_secrets", position))
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

    def _routes(self, raw: Mapping[str, Any], providers: tuple[Provider, ...]) -> tuple[Route, ...]:
        routes = {
            name: self._route(name, table, {provider.name: provider for provider in providers})
            for name, table in self.tables(raw, "routes")
        }
        last = routes.pop(DEFAULT_ROUTE, None) or Route(name=DEFAULT_ROUTE, match=Match(), models=())
        return (*routes.values(), last)

    def _route(self, name: str, raw: object, providers: Mapping[str, Provider]) -> Route:
        place: Place = ("routes", name)
        self.check_name(name, place)
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
                self.check_absolute(path, ("listen", key))
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

    def _check_match(self, match: Match, place: Place) -> None:
        for key in ("keys", "roles", "models"):
            self._check_globs(getattr(match, key), (*place, key))
        for name, glob in match.headers.items():
            if not HEADER_NAME.fullmatch(name):
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
