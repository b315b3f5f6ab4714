"""What happened, as people are told it: one line for each kind of event (``app.events``), the same in every face.

What always holds: whatever an event says is inert in a line; a kind that is not known yet is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lastro.app.events import Event
from lastro.domain.paths import is_within, printable, relative_to
from lastro.domain.progress import Progress
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext, sentence
from lastro.faces.wording import gateway_words, plain, review_words
from lastro.faces.wording.history_words import APPLIES, OUTCOMES
from lastro.faces.wording.instants import clock_time, duration
from lastro.faces.wording.progress_words import describe
from lastro.faces.wording.review_events import SENTENCES as REVIEW
from lastro.faces.wording.shell import command
from lastro.faces.wording.speaker import Speaker
from lastro.messages import N_

LISTENERS: Final = {
    "node": N_("The node listens at {address}."),
    "keeper": N_("The keeper listens at {address}."),
    "pairing": N_("Pairing listens at {address}."),
    "gateway": N_("The gateway listens at {address}."),
    "console": N_("The console listens at {address}."),
    "runner": N_("The runner waits for runs and jobs."),
    "jobs": N_("The runner waits for jobs; runs need what 'pip install lastro[agents]' installs."),
}


def said_of(kind: str, parameters: Mapping[str, Any], speaker: Speaker) -> str:
    """The sentence about something that happened, without its time; empty where there is nothing to say."""
    say = SENTENCES.get(kind)
    if say is not None:
        try:
            return say(parameters, speaker)
        except (KeyError, ValueError, TypeError):  # of a record that cannot be read, or of a later version
            pass
    return printable(f"{kind} {dict(parameters)}")


def lines_of(event: Event, speaker: Speaker) -> list[str]:
    """What there is to say about an event, its time before it; nothing about some."""
    text = said_of(event.kind, event.parameters, speaker)
    if not text:
        return []
    first, *rest = text.split("\n")
    return [
        f"{clock_time(event.time_ns, speaker.zone)[11:]}  {first}",
        *(f"          {line}" for line in rest),
    ]


def _snapshot(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    number, path = int(parameters["number"]), str(parameters["path"])
    place = plain.place(str(parameters["server"]), path)
    name = speaker.style(plain.snapshot(number), fg="yellow")
    counts = f"+{parameters['added']} ~{parameters['changed']} -{parameters['removed']}"
    total = sum(int(parameters[one]) for one in ("added", "changed", "removed"))
    paths = [
        relative_to(one, path) or "." if is_within(one, path) else one for one in parameters.get("paths", ())
    ]
    if parameters.get("reason") == "first":
        paths = []
    shown = ", ".join(map(printable, paths))
    if paths and total > len(paths):
        shown += " " + ngettext("and {count} more", "and {count} more", total - len(paths))
    warnings = int(parameters.get("warnings", 0))
    warned = ngettext("{count} warning", "{count} warnings", warnings) if warnings else ""
    took = ""
    if "duration_ns" in parameters:  # who asks later is not told
        read, length = plain.size(int(parameters["bytes"])), _short(int(parameters["duration_ns"]))
        took = _("{size} read in {duration}", size=read, duration=length)
    view = _("in a run's own view") if parameters.get("target") == "run" else ""
    return speaker.beside((name, place, counts, shown, took, warned, view))


def _short(length_ns: int) -> str:
    if length_ns < 10_000_000_000:
        return _("{seconds} s", seconds=f"{length_ns / 1e9:.1f}")
    return duration(length_ns)


def _apply(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    name = speaker.style(plain.apply(int(parameters["number"])), fg="magenta")
    kind = str(parameters["kind"])
    outcome = str(parameters.get("outcome", ""))
    paths = parameters.get("paths", ())
    count = paths if isinstance(paths, int) else len(paths)
    parts = [
        name,
        _(APPLIES[kind]) if kind in APPLIES else kind,
        ngettext("{count} path", "{count} paths", count),
    ]
    if outcome in OUTCOMES:
        parts.append(_(OUTCOMES[outcome]))
    return speaker.beside(parts)


def _ready(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    """The line that says that everything is kept, and what to try next."""
    seconds, size = f"{float(parameters['seconds']):.1f}", plain.size(int(parameters["bytes"]))
    files = ngettext("{count} file", "{count} files", int(parameters["files"]))
    ready = _("ready in {seconds} s: {files}, {size}", seconds=seconds, files=files, size=size)
    lines = [speaker.style(ready, fg="green", bold=True)]
    start = [str(parameters.get("program", "lastro")), *map(str, parameters.get("options", ()))]
    example, number = str(parameters.get("example", "")), parameters.get("snapshot", 0)
    lines.append(_("Try in another terminal:"))
    lines.append(f"    {command(*start, 'status')}")
    if example:
        lines.append(f"    {command(*start, 'log', example)}")
        lines.append(f"    {command(*start, 'diff', example)}")
        lines.append(f"    {command(*start, 'restore', f'{example}@snap-{number}')}")
    return "\n".join(lines)


def _problem(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    inner = parameters.get("parameters", {})
    inner = inner if isinstance(inner, Mapping) else {}
    text = speaker.style(sentence(str(parameters.get("msgid", "")), inner), fg="red")
    hint = str(parameters.get("hint", ""))
    return f"{text}\n{sentence(hint, inner)}" if hint else text


def _progress(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    files, size = int(parameters.get("files", 0)), int(parameters.get("bytes", 0))
    return describe(Progress(phase=str(parameters.get("phase", "")), files=files, bytes=size))


def _listening(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    what = str(parameters["what"])
    return _(
        LISTENERS.get(what, N_("{what} listens at {address}.")), what=what, address=str(parameters["address"])
    )


_LINKS: Final = {
    "setup": N_("Make your account in a browser of this machine, once, within 15 minutes:"),
    "login": N_("Sign in to the console, once, within 15 minutes:"),
}


def _console(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    """Where the console is, and the link that opens it for whoever is at this terminal."""
    where = sentence(N_("The console listens at {url}."), parameters)
    link = str(parameters.get("link", ""))
    if not link:
        return where
    said = _(_LINKS.get(str(parameters.get("purpose", "")), _LINKS["login"]))
    return f"{where}\n{said}\n    {speaker.style(link, bold=True)}"


def _pairing(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    expires = clock_time(int(parameters["expires_ns"]), speaker.zone)
    join = command("lastro", "server", "add", str(parameters["token"]))
    return _("On the keeper's machine, once, before {time}:", time=expires) + f"\n{join}"


def _connected(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    if parameters.get("what") == "keeper":
        return sentence(N_("The keeper {server} is connected."), parameters)
    return sentence(N_("{server} is connected."), parameters)


def _disconnected(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    if parameters.get("what") == "keeper":
        return sentence(N_("The keeper {server} is gone."), parameters)
    text = sentence(N_("{server} is out of reach; trying again."), parameters)
    detail = printable(str(parameters.get("detail", "")).strip())
    return f"{text} ({detail})" if detail else text


def _roots_changed(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    text = _("The watched directories have changed.")
    return f"{printable(str(parameters['server']))}: {text}" if "server" in parameters else text


def _capture_missing(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    length = duration(int(parameters["length_ns"]))
    text = _(
        "{server}: nothing good was kept of {path} for {length}.",
        server=str(parameters["server"]),
        path=str(parameters["path"]),
        length=length,
    )
    return speaker.style(text, fg="red")


def _exchange(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    word, color = gateway_words.OUTCOMES.get(
        str(parameters["outcome"]), (printable(str(parameters["outcome"])), None)
    )
    attempts = int(parameters.get("attempts", 1))
    who = "/".join(filter(None, (str(parameters.get("provider", "")), str(parameters.get("model", "")))))
    parts = [
        speaker.style(str(parameters["id"]), fg="yellow"),
        speaker.style(_(word), fg=color),
        printable(who),
        f"{gateway_words.tokens(parameters.get('input'))} → {gateway_words.tokens(parameters.get('output'))}",
        gateway_words.money(parameters.get("cost")),
        gateway_words.span(parameters.get("duration_ns")),
        ngettext("{count} attempt", "{count} attempts", attempts) if attempts > 1 else "",
        _("degraded") if parameters.get("degraded") else "",
        printable(str(parameters.get("error", ""))),
    ]
    return speaker.beside(parts)


def _exchanges_more(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    return ngettext("{count} exchange more", "{count} exchanges more", int(parameters["count"]))


def _server(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    if parameters.get("again"):
        return sentence(N_("Server {name} has another name, address or device."), parameters)
    return sentence(N_("Server {name} was added."), parameters)


def _approver(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    msgids = {
        "enrolled": N_("{name} may decide from now on, with the key {key_id}."),
        "revoked": N_("The key {key_id} of {name} is good for nothing any more."),
    }
    msgid = msgids.get(
        str(parameters.get("change")), N_("What {name} may do with the key {key_id} has changed.")
    )
    roles = review_words.roles([str(one) for one in parameters.get("roles", ())])
    return speaker.beside((sentence(msgid, parameters), roles))


def _key(parameters: Mapping[str, Any], speaker: Speaker) -> str:
    del speaker
    if parameters.get("change") == "removed":
        return sentence(N_("A key that opens the repository was removed ({kind})."), parameters)
    return sentence(N_("A key that opens the repository was added ({kind})."), parameters)


def _plain(msgid: str) -> Callable[[Mapping[str, Any], Speaker], str]:
    def say(parameters: Mapping[str, Any], speaker: Speaker) -> str:
        del speaker
        return sentence(msgid, parameters)

    return say


SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any], Speaker], str]]] = {
    "initialized": _plain(
        N_("A repository was made in {path}. Its recovery kit: {recovery_kit} (print it or move it away).")
    ),
    "sample": _plain(N_("A sample project to try things on: {path}")),
    "port_taken": _plain(N_("{address} is taken; the node listens at {instead} from now on.")),
    "snapshot": _snapshot,
    "apply": _apply,
    "ready": _ready,
    "problem": _problem,
    "notice": _problem,
    "progress": _progress,
    "listening": _listening,
    "pairing": _pairing,
    "paired": _plain(N_("Paired with {name} ({device}).")),
    "keeper_waits": _plain(
        N_("Another process keeps this repository right now, such as a run; waiting until it lets go.")
    ),
    "as_root": _plain(N_("Keeper and node run as root.")),
    "server": _server,
    "approver": _approver,
    "key": _key,
    "repository": _plain(N_("The repository was made.")),
    "connected": _connected,
    "disconnected": _disconnected,
    "overflow": _plain(N_("{server}: too much changed at once in {path}; everything is looked at again.")),
    "root_missing": _plain(N_("{server}: {path} is not there; its history stays.")),
    "roots_changed": _roots_changed,
    "signed_in": _plain(N_("{human} signed in.")),
    "capture_missing": _capture_missing,
    "capture_good": _plain(N_("{server}: {path} is kept again.")),
    "allow_list_changed": _plain(N_("The keepers that may connect have changed.")),
    "restart_needed": _plain(N_("This takes effect when the node is started again: {keys}")),
    "gateway_initialized": _plain(
        N_(
            "The gateway remembers what is asked and answered in {path}. Its recovery kit: {recovery_kit} (print it or move it away)."
        )
    ),
    "gateway_port_taken": _plain(N_("{address} is taken; the gateway listens at {instead} from now on.")),
    "console": _console,
    "console_port_taken": _plain(N_("{address} is taken; the console listens at {instead} from now on.")),
    "gateway_reloaded": _plain(N_("{path} was read again, and holds.")),
    "exchange": _exchange,
    "exchanges_more": _exchanges_more,
    "stopped": _plain(N_("Stopped.")),
    **REVIEW,
}
"""Kind of event → its line, without the time."""
