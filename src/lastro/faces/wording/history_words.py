"""The words of history: what happened to a path, why a snapshot was taken, what an apply did."""

from __future__ import annotations

from typing import Final

from lastro.messages import N_

OPERATIONS: Final = {
    "added": (N_("added"), "green"),
    "changed": (N_("changed"), "yellow"),
    "removed": (N_("deleted"), "red"),
}
REASONS: Final = {
    "first": N_("first snapshot"),
    "schedule": N_("scheduled"),
    "request": N_("asked for"),
    "apply": N_("restore or undo"),
    "run": N_("a run"),
    "edit": N_("edited"),
}
APPLIES: Final = {"restore": N_("restored"), "undo": N_("undone"), "proposal": N_("approved")}
OUTCOMES: Final = {
    "partial": N_("in part"),
    "conflict": N_("not done: something had changed meanwhile"),
    "rolled_back": N_("not done: it was interrupted"),
}
KINDS: Final = {
    "snapshot": N_("snapshot"),
    "apply": N_("apply"),
    "run": N_("run"),
    "proposal": N_("proposal"),
    "decision": N_("decision"),
    "approver": N_("who may decide"),
    "server": N_("server"),
    "key": N_("key of the repository"),
    "repository": N_("repository"),
}
"""Kinds of what the log records."""
