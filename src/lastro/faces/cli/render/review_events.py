"""What is said while agents work and humans decide: one line for each event. An agent's own words are marked as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import review_words, words
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext

_LONGEST: Final = 300


def _run(parameters: Mapping[str, Any], context: Context) -> str:
    name = context.terminal.style(review_words.run(int(parameters["number"])), fg="blue")
    state = review_words.colored(review_words.RUN_STATES, str(parameters["state"]), context)
    return f"{name}  {state}  {printable(str(parameters.get('project', '')))}".rstrip()


def _proposal(parameters: Mapping[str, Any], context: Context) -> str:
    name = review_words.proposal(int(parameters["number"]), int(parameters.get("revision", 1)))
    state = review_words.colored(review_words.PROPOSAL_STATES, str(parameters["state"]), context)
    risk = review_words.colored(review_words.RISKS, str(parameters.get("risk", "")), context)
    files = ngettext("{count} path", "{count} paths", int(parameters.get("files", 0)))
    purpose = words.shortened(printable(str(parameters.get("purpose", ""))), 60)
    parts = [context.terminal.style(name, fg="magenta"), state, risk, files, purpose]
    return "  ".join(filter(None, parts))


def _decision(parameters: Mapping[str, Any], context: Context) -> str:
    from lastro.faces.cli.render.proposals import VERDICTS  # noqa: PLC0415  only for decisions

    verdict = str(parameters["verdict"])
    return "  ".join(
        (
            context.terminal.style(review_words.proposal(int(parameters["proposal"])), fg="magenta"),
            _(VERDICTS[verdict]) if verdict in VERDICTS else printable(verdict),
            printable(str(parameters.get("actor", ""))),
        )
    )


def _began(parameters: Mapping[str, Any], context: Context) -> str:
    text = _("{name} begins; what is live stays as it is.", name=review_words.run(int(parameters["run"])))
    return context.terminal.style(text, bold=True)


def _said(parameters: Mapping[str, Any], context: Context) -> str:
    kind, text = str(parameters["said"]), str(parameters.get("text", ""))
    if kind in {"usage", "session"}:
        return ""
    done = kind in {"tool", "tool_result"}
    name = str(parameters.get("name", "")) if done else ""  # of a text it only says how it came
    said = " ".join(filter(None, (name, " ".join(text.split()))))
    mark = "!" if kind == "error" else ">" if done else "|"
    line = words.shortened(printable(said), _LONGEST)
    return context.terminal.style(f"  {mark} {line}", dim=True) if line else ""


def _step(parameters: Mapping[str, Any], context: Context) -> str:
    if "step" in parameters:  # as the keeper says it
        parameters = {"number": parameters["step"], **parameters}
    count = parameters.get("paths", 0)
    count = count if isinstance(count, int) else len(count)
    del context
    changed = ngettext("{count} path changed", "{count} paths changed", count)
    return _("  step {number}: {changed}", number=parameters["number"], changed=changed)


def _progress(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    usage = review_words.usage(
        tokens=int(parameters.get("tokens", 0)),
        money=parameters.get("money"),
        wall_ns=int(parameters.get("wall_ns", 0)),
    )
    files = ngettext("{count} path so far", "{count} paths so far", int(parameters.get("files", 0)))
    return f"{files}, {usage}"


def _degraded(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    return _("Not enforced here: {what}", what=review_words.degraded(tuple(parameters["degraded"])))


def _limit(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    return _("Stopped: {why}. What it did is kept.", why=review_words.cause(str(parameters["cause"])))


def _state(parameters: Mapping[str, Any], context: Context) -> str:
    return f"  {review_words.colored(review_words.RUN_STATES, str(parameters['state']), context)}"


def _finished(parameters: Mapping[str, Any], context: Context) -> str:
    name = context.terminal.style(review_words.run(int(parameters["run"])), fg="blue")
    state = review_words.colored(review_words.RUN_STATES, str(parameters["state"]), context)
    number = int(parameters.get("proposal") or 0)
    proposed = (
        _("look at it: lastro proposal show {name}", name=review_words.proposal(number)) if number else ""
    )
    return "  ".join(filter(None, (name, state, proposed)))


def _nothing(parameters: Mapping[str, Any], context: Context) -> str:
    """The reply says it."""
    del parameters, context
    return ""


def _away(parameters: Mapping[str, Any], context: Context) -> str:
    del parameters, context
    return _("The keeper is away; waiting for it. Nothing is lost.")


def _back(parameters: Mapping[str, Any], context: Context) -> str:
    del parameters, context
    return _("The keeper is back.")


SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any], Context], str]]] = {
    "run": _run,
    "proposal": _proposal,
    "decision": _decision,
    "run_began": _began,
    "run_said": _said,
    "run_step": _step,
    "run_progress": _progress,
    "run_degraded": _degraded,
    "run_limit": _limit,
    "run_state": _state,
    "run_ended": _nothing,
    "run_done": _finished,
    "keeper_away": _away,
    "keeper_back": _back,
}
"""Kind of event → its sentence."""
