"""What is said while agents work and humans decide: one line for each event. An agent's own words are marked as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lastro.domain.paths import printable
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext
from lastro.faces.wording import job_words, review_words
from lastro.faces.wording.speaker import Speaker
from lastro.faces.wording.widths import shortened

_LONGEST: Final = 300


def _colored(table: Mapping[str, tuple[str, str]], code: str, speaker: Speaker) -> str:
    word, color = table.get(code, (printable(code), "white"))
    return speaker.style(_(word), fg=color)


def _run(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    name = speaker.style(review_words.run(int(parameters["number"])), fg="blue")
    state = _colored(review_words.RUN_STATES, str(parameters["state"]), speaker)
    return speaker.beside((name, state, printable(str(parameters.get("project", "")))))


def _proposal(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    name = review_words.proposal(int(parameters["number"]), int(parameters.get("revision", 1)))
    state = _colored(review_words.PROPOSAL_STATES, str(parameters["state"]), speaker)
    risk = _colored(review_words.RISKS, str(parameters.get("risk", "")), speaker)
    files = (
        ngettext("{count} path", "{count} paths", int(parameters["files"])) if "files" in parameters else ""
    )
    purpose = shortened(printable(str(parameters.get("purpose", ""))), 60)
    parts = [speaker.style(name, fg="magenta"), state, risk, files, purpose]
    return speaker.beside(parts)


def _decision(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    verdict = str(parameters["verdict"])
    return speaker.beside(
        (
            speaker.style(review_words.proposal(int(parameters["proposal"])), fg="magenta"),
            _(review_words.DECISIONS[verdict]) if verdict in review_words.DECISIONS else printable(verdict),
            printable(str(parameters.get("actor", ""))),
        )
    )


def _began(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    text = _("{name} begins; what is live stays as it is.", name=review_words.run(int(parameters["run"])))
    return speaker.style(text, bold=True)


def _said(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    kind, text = str(parameters["said"]), str(parameters.get("text", ""))
    if kind in {"usage", "session"}:
        return ""
    done = kind in {"tool", "tool_result"}
    name = str(parameters.get("name", "")) if done else ""  # of a text it only says how it came
    said = " ".join(filter(None, (name, " ".join(text.split()))))
    mark = "!" if kind == "error" else ">" if done else "|"
    line = shortened(printable(said), _LONGEST)
    return speaker.style(f"  {mark} {line}", dim=True) if line else ""


def _step(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    if "step" in parameters:  # as the keeper says it
        parameters = {"number": parameters["step"], **parameters}
    count = parameters.get("paths", 0)
    count = count if isinstance(count, int) else len(count)
    del speaker
    changed = ngettext("{count} path changed", "{count} paths changed", count)
    return _("  step {number}: {changed}", number=parameters["number"], changed=changed)


def _progress(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    usage = review_words.usage(
        tokens=int(parameters.get("tokens", 0)),
        money=parameters.get("money"),
        wall_ns=int(parameters.get("wall_ns", 0)),
    )
    files = ngettext("{count} path so far", "{count} paths so far", int(parameters.get("files", 0)))
    return f"{files}, {usage}"


def _degraded(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    return _("Not enforced here: {what}", what=review_words.degraded(tuple(parameters["degraded"])))


def _limit(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    return _("Stopped: {why}. What it did is kept.", why=review_words.cause(str(parameters["cause"])))


def _state(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    return f"  {_colored(review_words.RUN_STATES, str(parameters['state']), speaker)}"


def _finished(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    name = speaker.style(review_words.run(int(parameters["run"])), fg="blue")
    state = _colored(review_words.RUN_STATES, str(parameters["state"]), speaker)
    number = int(parameters.get("proposal") or 0)
    proposed = (
        _("look at it: lastro proposal show {name}", name=review_words.proposal(number)) if number else ""
    )
    return speaker.beside((name, state, proposed))


def _job(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    if not parameters.get("moved"):  # how far it is stands in the job itself
        return ""
    name = speaker.style(job_words.job(int(parameters["number"])), fg="blue")
    state = _colored(job_words.JOB_STATES, str(parameters["state"]), speaker)
    operation, subject = (printable(str(parameters.get(one, ""))) for one in ("operation", "subject"))
    return speaker.beside((name, state, operation, subject))


def _nothing(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    """The reply says it."""
    del parameters, speaker
    return ""


def _away(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del parameters, speaker
    return _("The keeper is away; waiting for it. Nothing is lost.")


def _back(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del parameters, speaker
    return _("The keeper is back.")


SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any], Speaker], str]]] = {
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
    "job": _job,
    "run_done": _finished,
    "keeper_away": _away,
    "keeper_back": _back,
}
"""Kind of event → its sentence."""
