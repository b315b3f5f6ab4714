"""Replies as people read them: one small renderer per reply type, imported when that reply comes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

from lastro.faces.cli.context import Context

RENDERERS: Final[Mapping[str, str]] = {
    "Initialized": "repository:initialized",
    "CheckReply": "repository:checked",
    "RepositoryStatistics": "repository:statistics",
    "CaptureReply": "captured:captured",
    "LogReply": "log:log",
    "FindReply": "find:found",
    "Listing": "listing:listing",
    "Difference": "difference:difference",
    "Restoration": "restoration:restoration",
    "ServerList": "servers:servers",
    "ServerState": "servers:server",
    "HealthReply": "servers:health",
    "ChannelList": "notify:channels",
    "ChannelState": "notify:channel",
    "ChannelRemoved": "notify:removed",
    "ChannelTested": "notify:tested",
    "StatusReply": "status:status",
    "NodeInitialized": "nodes:initialized",
    "Roots": "nodes:roots",
    "ProviderList": "gateway_providers:providers",
    "ProviderState": "gateway_providers:provider",
    "ProviderRemoved": "gateway_providers:removed",
    "GatewayStatus": "gateway_providers:status",
    "ModelList": "gateway_models:models",
    "ModelHere": "gateway_models:here",
    "ModelRemoved": "gateway_models:removed",
    "EnvironmentReply": "gateway_routes:environment",
    "RouteExplained": "gateway_routes:explained",
    "RouteList": "gateway_routes:routes",
    "KeyList": "gateway_keys:keys",
    "KeyState": "gateway_keys:key",
    "KeyAdded": "gateway_keys:added",
    "UsageReply": "gateway_exchanges:usage",
    "ExchangeList": "gateway_exchanges:exchanges",
    "ExchangeShown": "gateway_exchanges:shown",
    "Replayed": "gateway_exchanges:replayed",
    "Diagnosis": "doctor:diagnosis",
    "RunReply": "runs:ended",
    "RunsReply": "runs:runs",
    "RunDetail": "runs:run",
    "RunTranscript": "runs:transcript",
    "ProposalsReply": "proposals:proposals",
    "ProposalReply": "proposals:proposal",
    "Decided": "decided:decided",
    "RejectedOrCommented": "decided:rejected",
    "Edited": "decided:edited",
    "ApproversReply": "approvers:approvers",
    "AuditReply": "approvers:audited",
    "OneTimeLink": "accounts:link",
    "SessionsReply": "accounts:sessions",
    "TokensReply": "accounts:tokens",
    "TokenAdded": "accounts:token_added",
    "EventsReply": "happenings:events",
    "HeadReply": "happenings:head",
    "PolicyReply": "policy:policy",
    "Explanation": "policy:explanation",
    "ProjectMade": "project:made",
    "JobsReply": "jobs:jobs",
    "JobDetail": "jobs:job",
}
"""Name of the reply's type → module and function. A reply that no command gives has none."""


def render(reply: Any, request: Any, context: Context) -> None:
    """Show ``reply``, the answer to ``request``: data to standard output, notes to standard error."""
    module, _separator, function = RENDERERS[type(reply).__name__].partition(":")
    getattr(importlib.import_module(f"lastro.faces.cli.render.{module}"), function)(reply, request, context)
