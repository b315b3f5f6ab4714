"""Events of a process that stays, one readable line each (``app.events``); with ``--json`` one ``item`` each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lastro.app.events import Event
from lastro.domain.paths import is_within, printable, relative_to
from lastro.domain.progress import Progress
from lastro.faces.cli.context import Context
from lastro.faces.cli.instants import clock_time, duration
from lastro.faces.cli.progress import describe
from lastro.faces.cli.render import gateway_words, words
from lastro.faces.cli.render.gateway_exchanges import OUTCOMES as EXCHANGE_OUTCOMES
from lastro.faces.cli.render.log import APPLIES, OUTCOMES
from lastro.faces.cli.render.review_events import SENTENCES as REVIEW
from lastro.faces.cli.shell import command
from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext, sentence
from lastro.messages import N_

LISTENERS: Final = {
    "node": N_("The node listens at {address}."),
    "keeper": N_("The keeper listens at {address}."),
    "pairing": N_("Pairing listens at {address}."),
    "gateway": N_("The gateway listens at {address}."),
    "runner": N_("The runner waits for runs."),
}


class Announcer:
    """Says what happens. ``emit`` may be called from any one thread at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def emit(self, event: Event) -> None:
        """Show one event. A kind that is not known yet is shown as it is."""
        terminal = self._context.terminal
        if terminal.json:
            terminal.object("progress" if event.kind == "progress" else "item", {"event": event})
            return
        if event.kind == "progress" and terminal.quiet:
            return
        for line in self.lines(event):
            terminal.line(line)
        terminal.flush()

    def lines(self, event: Event) -> list[str]:
        """What there is to say about one event; nothing about some."""
        say = SENTENCES.get(event.kind)
        text = (
            say(event.parameters, self._context)
            if say
            else printable(f"{event.kind} {dict(event.parameters)}")
        )
        if not text:
            return []
        first, *rest = text.split("\n")
        return [
            f"{clock_time(event.time_ns, self._context.zone)[11:]}  {first}",
            *(f"          {line}" for line in rest),
        ]


def _snapshot(parameters: Mapping[str, Any], context: Context) -> str:
    number, path = int(parameters["number"]), str(parameters["path"])
    place = words.place(str(parameters["server"]), path)
    name = context.terminal.style(words.snapshot(number), fg="yellow")
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
    took = _(
        "{size} read in {duration}",
        size=words.size(int(parameters["bytes"])),
        duration=_short(int(parameters["duration_ns"])),
    )
    return "  ".join(filter(None, (name, place, counts, shown, took, warned)))


def _short(length_ns: int) -> str:
    if length_ns < 10_000_000_000:
        return _("{seconds} s", seconds=f"{length_ns / 1e9:.1f}")
    return duration(length_ns)


def _apply(parameters: Mapping[str, Any], context: Context) -> str:
    name = context.terminal.style(words.apply(int(parameters["number"])), fg="magenta")
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
    return "  ".join(parts)


def _ready(parameters: Mapping[str, Any], context: Context) -> str:
    """The line that says that everything is kept, and what to try next."""
    seconds, size = f"{float(parameters['seconds']):.1f}", words.size(int(parameters["bytes"]))
    files = ngettext("{count} file", "{count} files", int(parameters["files"]))
    ready = _("ready in {seconds} s: {files}, {size}", seconds=seconds, files=files, size=size)
    lines = [context.terminal.style(ready, fg="green", bold=True)]
    start = [str(parameters.get("program", "lastro")), *map(str, parameters.get("options", ()))]
    example, number = str(parameters.get("example", "")), parameters.get("snapshot", 0)
    lines.append(_("Try in another terminal:"))
    lines.append(f"    {command(*start, 'status')}")
    if example:
        lines.append(f"    {command(*start, 'log', example)}")
        lines.append(f"    {command(*start, 'diff', example)}")
        lines.append(f"    {command(*start, 'restore', f'{example}@snap-{number}')}")
    return "\n".join(lines)


def _problem(parameters: Mapping[str, Any], context: Context) -> str:
    inner = parameters.get("parameters", {})
    inner = inner if isinstance(inner, Mapping) else {}
    text = context.terminal.style(sentence(str(parameters.get("msgid", "")), inner), fg="red")
    hint = str(parameters.get("hint", ""))
    return f"{text}\n{sentence(hint, inner)}" if hint else text


def _progress(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    files, size = int(parameters.get("files", 0)), int(parameters.get("bytes", 0))
    return describe(Progress(phase=str(parameters.get("phase", "")), files=files, bytes=size))


def _listening(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    what = str(parameters["what"])
    return _(
        LISTENERS.get(what, N_("{what} listens at {address}.")), what=what, address=str(parameters["address"])
    )


def _pairing(parameters: Mapping[str, Any], context: Context) -> str:
    expires = words.moment(int(parameters["expires_ns"]), context)
    join = command("lastro", "server", "add", str(parameters["token"]))
    return _("On the keeper's machine, once, before {time}:", time=expires) + f"\n{join}"


def _connected(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    if parameters.get("what") == "keeper":
        return sentence(N_("The keeper {server} is connected."), parameters)
    return sentence(N_("{server} is connected."), parameters)


def _disconnected(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    if parameters.get("what") == "keeper":
        return sentence(N_("The keeper {server} is gone."), parameters)
    text = sentence(N_("{server} is out of reach; trying again."), parameters)
    detail = printable(str(parameters.get("detail", "")).strip())
    return f"{text} ({detail})" if detail else text


def _roots_changed(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    text = _("The watched directories have changed.")
    return f"{printable(str(parameters['server']))}: {text}" if "server" in parameters else text


def _exchange(parameters: Mapping[str, Any], context: Context) -> str:
    word, color = EXCHANGE_OUTCOMES.get(
        str(parameters["outcome"]), (printable(str(parameters["outcome"])), None)
    )
    attempts = int(parameters.get("attempts", 1))
    who = "/".join(filter(None, (str(parameters.get("provider", "")), str(parameters.get("model", "")))))
    parts = [
        context.terminal.style(str(parameters["id"]), fg="yellow"),
        context.terminal.style(_(word), fg=color),
        printable(who),
        f"{gateway_words.tokens(parameters.get('input'))} → {gateway_words.tokens(parameters.get('output'))}",
        gateway_words.money(parameters.get("cost")),
        gateway_words.span(parameters.get("duration_ns")),
        ngettext("{count} attempt", "{count} attempts", attempts) if attempts > 1 else "",
        _("degraded") if parameters.get("degraded") else "",
        printable(str(parameters.get("error", ""))),
    ]
    return "  ".join(filter(None, parts))


def _exchanges_more(parameters: Mapping[str, Any], context: Context) -> str:
    del context
    return ngettext("{count} exchange more", "{count} exchanges more", int(parameters["count"]))


def _plain(msgid: str) -> Callable[[Mapping[str, Any], Context], str]:
    def say(parameters: Mapping[str, Any], context: Context) -> str:
        del context
        return sentence(msgid, parameters)

    return say


SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any], Context], str]]] = {
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
    "server": _plain(N_("Server {name} was added.")),
    "connected": _connected,
    "disconnected": _disconnected,
    "overflow": _plain(N_("{server}: too much changed at once in {path}; everything is looked at again.")),
    "root_missing": _plain(N_("{server}: {path} is not there; its history stays.")),
    "roots_changed": _roots_changed,
    "allow_list_changed": _plain(N_("The keepers that may connect have changed.")),
    "restart_needed": _plain(N_("This takes effect when the node is started again: {keys}")),
    "gateway_initialized": _plain(
        N_(
            "The gateway remembers what is asked and answered in {path}. Its recovery kit: {recovery_kit} (print it or move it away)."
        )
    ),
    "gateway_port_taken": _plain(N_("{address} is taken; the gateway listens at {instead} from now on.")),
    "gateway_reloaded": _plain(N_("{path} was read again, and holds.")),
    "exchange": _exchange,
    "exchanges_more": _exchanges_more,
    "stopped": _plain(N_("Stopped.")),
    **REVIEW,
}
"""Kind of event → its line, without the time."""
