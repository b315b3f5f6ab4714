"""Commands that are processes: they stay, and say one line for everything that happens. The work is in ``app.processes``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lastro.faces.cli.command import Explained, GlobalOptions
from lastro.faces.cli.context import current_context
from lastro.faces.translation import gettext as _


class _Process(GlobalOptions):
    """A command whose callback takes the context and its own options."""


def up() -> click.Command:
    """``lastro up``."""
    paths = Explained(
        ["paths"],
        nargs=-1,
        metavar="[PATH...]",
        type=click.Path(),
        help=_("Directories to protect; a small sample project if none is given."),
    )
    details = _(
        "Makes a repository if there is none, starts a node that watches the directories and a keeper that keeps what it sees, and"
        " stays: one line for everything that happens. Ctrl-C stops all of it; called again it goes on where it was."
    )
    return _command("up", _("Protect directories of this machine, and stay."), details, "up", [paths])


def keeper_serve() -> click.Command:
    """``lastro keeper serve``."""
    return _command("serve", _("Run the keeper, and stay."), "", "serve_keeper", [])


def node_serve() -> click.Command:
    """``lastro node serve``."""
    return _command("serve", _("Run this machine's node, and stay."), "", "serve_node", [])


def node_pair() -> click.Command:
    """``lastro node pair``."""
    address = click.Option(
        ["--address"],
        metavar="HOST:PORT",
        default="",
        help=_("Where the keeper reaches this node, if not at the address that it listens on."),
    )
    details = _(
        "Prints a token that works once and not for long; give it to 'lastro server add' on the keeper's machine."
    )
    return _command("pair", _("Let one keeper get to know this node."), details, "pair_node", [address])


def gateway_serve() -> click.Command:
    """``lastro gateway serve``."""
    port = click.Option(
        ["--port"],
        type=click.IntRange(0, 65_535),
        metavar="N",
        help=_("The port on 127.0.0.1 (default: as gateway.toml says, else 8421; 0: any free one)."),
    )
    details = _(
        "Answers coding tools in the dialects of OpenAI (Chat Completions, Responses), Anthropic (Messages) and Gemini, with the models"
        " that gateway.toml routes them to; without any, with the offline model. 'lastro gateway env' sets a tool up for it."
    )
    return _command("serve", _("Run the gateway, and stay."), details, "serve_gateway", [port])


def runner_serve() -> click.Command:
    """``lastro runner serve``."""
    parallel = click.Option(
        ["--parallel"],
        type=click.IntRange(1, 64),
        metavar="N",
        help=_("How many runs at once (default: 1)."),
    )
    details = _(
        "Runs that nobody's terminal started wait in the keeper's queue ('lastro run --queue'). This takes them, one after another, with"
        " the rights of whoever starts it; a run that it cannot finish is found 'interrupted', its work kept."
    )
    return _command("serve", _("Run what waits in the queue, and stay."), details, "serve_runner", [parallel])


def job_logs() -> click.Command:
    """``lastro job logs``."""
    job = Explained(
        ["job"], metavar="[JOB]", required=False, help=_("Which: job-N; the last one if not given.")
    )
    follow = click.Option(["-f", "--follow"], is_flag=True, help=_("Go on until it is over."))
    details = _("One line for everything that happened in it. The exit code is 0 unless the job failed.")
    return _command("logs", _("Show the log of a job."), details, "follow_job", [job, follow])


def _command(
    name: str, summary: str, details: str, function: str, params: list[click.Parameter]
) -> click.Command:
    text = f"{summary}\n\n{details}" if details else summary
    return _Process(name, params=params, callback=_runner(function), help=text, short_help=summary)


def _runner(function: str) -> Callable[..., int]:
    def run(**options: Any) -> int:
        from lastro.app.inside_run import require_available  # noqa: PLC0415  help needs none of it
        from lastro.app.processes import process_called  # noqa: PLC0415  as above
        from lastro.faces.cli.render.events import Announcer  # noqa: PLC0415  as above

        context = current_context()
        require_available(context.places, click.get_current_context().command_path.removeprefix("lastro "))
        announcer = Announcer(context)
        options = {key: value for key, value in options.items() if value not in (None, "", ())}
        if "paths" in options:
            options["paths"] = tuple(map(context.path, options["paths"]))
        code = process_called(function)(context.places, emit=announcer.emit, **options)
        if context.terminal.json:
            context.terminal.object("result", {"ok": code == 0, "exit_code": code, "reply": {}})
        return code

    return run
