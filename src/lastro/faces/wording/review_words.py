"""The words that runs, proposals and decisions share: names, states, flags, and how risky something is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lastro.domain.paths import printable
from lastro.domain.run import RunEnforcement
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import gateway_words
from lastro.faces.wording.instants import duration
from lastro.messages import N_

RUN_STATES: Final = {
    "queued": (N_("queued"), "yellow"),
    "preparing": (N_("preparing"), "yellow"),
    "running": (N_("running"), "cyan"),
    "collecting": (N_("collecting"), "cyan"),
    "checking": (N_("checking"), "cyan"),
    "finished": (N_("finished"), "green"),
    "empty": (N_("empty: nothing changed"), "white"),
    "blocked": (N_("blocked by the policy"), "red"),
    "failed": (N_("failed"), "red"),
    "timed_out": (N_("timed out"), "red"),
    "cancelled": (N_("cancelled"), "yellow"),
    "interrupted": (N_("interrupted"), "red"),
}
PROPOSAL_STATES: Final = {
    "open": (N_("open"), "cyan"),
    "approved": (N_("approved"), "green"),
    "partly_approved": (N_("approved in part"), "green"),
    "rejected": (N_("rejected"), "red"),
    "changes_requested": (N_("sent back"), "yellow"),
    "expired": (N_("expired, so denied"), "red"),
    "applying": (N_("being applied"), "yellow"),
    "verifying": (N_("being verified"), "yellow"),
    "applied": (N_("applied"), "green"),
    "undone": (N_("undone"), "magenta"),
    "conflict": (N_("in conflict"), "red"),
    "held": (N_("held: it builds on what was rejected or undone"), "yellow"),
    "rolled_back": (N_("rolled back"), "red"),
}
RISKS: Final = {
    "low": (N_("low risk"), "green"),
    "medium": (N_("medium risk"), "yellow"),
    "high": (N_("high risk"), "red"),
}
FLAGS: Final = {
    "executed_later": N_("runs later by itself"),
    "executable": N_("executable"),
    "secret": N_("may hold a secret"),
    "generated": N_("generated"),
    "outside_role": N_("outside its role"),
    "large": N_("large"),
    "binary": N_("binary"),
    "odd_name": N_("odd name"),
    "special": N_("special file"),
    "leads_out": N_("points outside the project"),
    "base_uncertain": N_("changed here while the run began"),
}
CAUSES: Final = {
    "exited": N_("the agent ended"),
    "signalled": N_("a signal ended it"),
    "wall": N_("its time was over"),
    "memory": N_("it used more memory than allowed"),
    "disk": N_("it wrote more than allowed"),
    "files": N_("it made more files than allowed"),
    "budget": N_("its budget of tokens or money was spent"),
    "cancelled": N_("somebody stopped it"),
    "not_started": N_("it could not be started"),
}
DEGRADED: Final = {
    "filesystem": N_("writing elsewhere is not prevented"),
    "attributes": N_("modes, owners and times of other files of this user could be changed"),
    "reading": N_("it could read other files of this user"),
    "network": N_("the network was open"),
    "processes": N_("the number of processes is only watched"),
    "memory": N_("memory is only watched"),
    "processors": N_("processor time is not limited"),
    "disk": N_("disk space is only watched"),
    "landlock": N_("no second lock on files (Landlock)"),
    "memory-socket": N_("it could not ask the history"),
    "steps": N_("steps are not tied to model calls"),
}
VERDICTS: Final = {
    "passed": (N_("passed"), "green"),
    "failed": (N_("failed"), "red"),
    "timed_out": (N_("timed out"), "red"),
    "skipped": (N_("skipped"), "yellow"),
}
DECISIONS: Final = {
    "approve": N_("approved"),
    "reject": N_("rejected"),
    "comment": N_("sent back"),
}
ROLES: Final = {
    "owner": N_("owner"),
    "approver": N_("approver"),
    "operator": N_("operator"),
    "auditor": N_("auditor"),
    "viewer": N_("viewer"),
}


def run(number: int) -> str:
    """The name of a run."""
    return f"run-{number}"


def proposal(number: int, revision: int = 1) -> str:
    """The name of a proposal, with its revision when it is not the first."""
    return f"proposal-{number}" if revision < 2 else f"proposal-{number}r{revision}"


def word(table: Mapping[str, tuple[str, str]], code: str) -> str:
    """The word for ``code``; a code that is not known yet stands for itself."""
    return _(table[code][0]) if code in table else printable(code)


def cause(code: str) -> str:
    """Why an agent ended, in words."""
    return _(CAUSES[code]) if code in CAUSES else printable(code)


def flags(codes: Sequence[str]) -> str:
    """Flags in words, comma between them."""
    return ", ".join(_(FLAGS[code]) if code in FLAGS else printable(code) for code in codes)


def roles(codes: Sequence[str]) -> str:
    """Roles of humans in words."""
    return ", ".join(_(ROLES[code]) if code in ROLES else printable(code) for code in codes)


def degraded(codes: Sequence[str]) -> str:
    """What was not enforced, in words."""
    return "; ".join(_(DEGRADED[code]) if code in DEGRADED else printable(code) for code in codes)


def enforcement(value: RunEnforcement) -> str:
    """How a run was confined, in one line."""
    views = {
        "overlay": _("copy-on-write view"),
        "overlay-user": _("copy-on-write view without root"),
        "copy": _("copy of the project"),
    }
    return views.get(value.view, printable(value.view))


def usage(*, tokens: int, money: int | None, wall_ns: int) -> str:
    """``12 000 tokens, $0.03, 1 min 20 s``."""
    parts = []
    if tokens:
        text = ngettext("{count} token", "{count} tokens", tokens, count=gateway_words.tokens(tokens))
        parts.append(text)
        if money is not None:
            parts.append(gateway_words.money(money))
    parts.append(_("{seconds} s", seconds=f"{wall_ns / 1e9:.1f}") if wall_ns < 10**10 else duration(wall_ns))
    return ", ".join(parts)
