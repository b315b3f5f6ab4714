"""What operations on the gateway are asked and answer, a module for each noun."""

from __future__ import annotations

from lastro.app.requests.gateway.exchanges import (
    AttemptItem,
    ExchangeItem,
    ExchangeList,
    ExchangeReplay,
    ExchangeShow,
    ExchangeShown,
    ExchangesSearch,
    Replayed,
)
from lastro.app.requests.gateway.keys import KeyAdded, KeyList, KeyName, KeysAdd, KeyState
from lastro.app.requests.gateway.models import (
    ModelHere,
    ModelList,
    ModelName,
    ModelRemoved,
    ModelsImport,
    ModelsList,
    ModelsPull,
    ModelState,
)
from lastro.app.requests.gateway.providers import (
    ProviderList,
    ProviderName,
    ProviderRemoved,
    ProvidersAdd,
    ProviderState,
    ProvidersTest,
)
from lastro.app.requests.gateway.routes import (
    RouteChoice,
    RouteExplained,
    RouteList,
    RoutesExplain,
    RoutesList,
    RouteState,
)
from lastro.app.requests.gateway.status import GatewayStatus
from lastro.app.requests.gateway.tools import Environment, EnvironmentReply, SettingsFile
from lastro.app.requests.gateway.usage import Saving, UsageReply, UsageRequest, UsageRow

__all__ = [
    "AttemptItem",
    "Environment",
    "EnvironmentReply",
    "ExchangeItem",
    "ExchangeList",
    "ExchangeReplay",
    "ExchangeShow",
    "ExchangeShown",
    "ExchangesSearch",
    "GatewayStatus",
    "KeyAdded",
    "KeyList",
    "KeyName",
    "KeyState",
    "KeysAdd",
    "ModelHere",
    "ModelList",
    "ModelName",
    "ModelRemoved",
    "ModelState",
    "ModelsImport",
    "ModelsList",
    "ModelsPull",
    "ProviderList",
    "ProviderName",
    "ProviderRemoved",
    "ProviderState",
    "ProvidersAdd",
    "ProvidersTest",
    "Replayed",
    "RouteChoice",
    "RouteExplained",
    "RouteList",
    "RouteState",
    "RoutesExplain",
    "RoutesList",
    "Saving",
    "SettingsFile",
    "UsageReply",
    "UsageRequest",
    "UsageRow",
]
