"""Operations on the gateway of this installation. They run with the rights of whoever asks, and need neither keeper nor repository."""

from __future__ import annotations

from typing import Any

from lastro.app.operation import Operation
from lastro.app.operations.gateway.exchanges import OPERATIONS as EXCHANGES
from lastro.app.operations.gateway.keys import OPERATIONS as KEYS
from lastro.app.operations.gateway.models import OPERATIONS as MODELS
from lastro.app.operations.gateway.providers import OPERATIONS as PROVIDERS
from lastro.app.operations.gateway.routes import OPERATIONS as ROUTES
from lastro.app.operations.gateway.status import OPERATIONS as STATUS
from lastro.app.operations.gateway.usage import OPERATIONS as USAGE

OPERATIONS: tuple[Operation[Any, Any], ...] = (
    *STATUS,
    *PROVIDERS,
    *MODELS,
    *ROUTES,
    *KEYS,
    *USAGE,
    *EXCHANGES,
)
