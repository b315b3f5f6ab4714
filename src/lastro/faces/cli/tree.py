"""The tree of commands, loaded as it is walked: a command imports its own operation and nothing beside it.

Every word of ``SECTIONS`` is a command or a group. What stands under it comes from the operation table and from ``PROCESSES``. An internal
operation (``entries``, ``capture.offered``) is for programs only and has no command.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from typing_extensions import override

from lastro import __version__
from lastro.app.operation import operations_of
from lastro.faces.cli.command import GlobalOptions
from lastro.faces.cli.context import Context
from lastro.faces.cli.derive import command_of
from lastro.faces.translation import gettext as _
from lastro.messages import N_

SECTIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (N_("Start"), ("up", "demo", "init", "status", "doctor", "login", "desktop")),
    (N_("Keep and look"), ("capture", "log", "diff", "ls", "cat", "tar", "find", "events")),
    (N_("Bring back"), ("restore", "undo")),
    (N_("Agents"), ("run", "runs", "proposal", "project", "policy", "approver", "audit", "runner")),
    (N_("People and programs"), ("invite", "session", "token")),
    (N_("Servers and services"), ("server", "node", "keeper", "repo", "notify", "job")),
    (N_("Models"), ("gateway",)),
    (N_("More"), ("completion",)),
)

GROUPS: Final[Mapping[str, str]] = {
    "server": N_("Servers whose history is kept."),
    "node": N_("This machine's node: it shows what is here to a keeper."),
    "node.roots": N_("Directories that the node watches."),
    "keeper": N_("The keeper: it pulls from the nodes and keeps."),
    "repo": N_("The repository."),
    "notify": N_("Through what people are told of what they have to know."),
    "gateway": N_("The gateway between coding tools and the models of many providers."),
    "gateway.providers": N_("Providers of models, and their keys."),
    "gateway.models": N_("Offline models on this machine."),
    "gateway.routes": N_("Which models answer what."),
    "gateway.keys": N_("Keys that the gateway gives out."),
    "gateway.exchanges": N_("What was asked and answered."),
    "runs": N_("What agents did, and do."),
    "proposal": N_("What agents propose, and what you decide."),
    "project": N_("A project's own files for agents."),
    "policy": N_("What agents may do, and who has to approve it."),
    "approver": N_("Who may approve, and their keys."),
    "session": N_("Browsers that are signed in to the console."),
    "token": N_("Programs that ask in your name."),
    "audit": N_("Whether everything that was decided is as it was signed."),
    "runner": N_("The runner: it takes the runs and jobs that no terminal started."),
    "job": N_("What the console and the API asked this machine to do."),
}

PROCESSES: Final[Mapping[str, str]] = {
    "up": "lastro.faces.cli.processes:up",
    "demo": "lastro.faces.cli.demo:demo",
    "keeper.serve": "lastro.faces.cli.processes:keeper_serve",
    "node.serve": "lastro.faces.cli.processes:node_serve",
    "node.pair": "lastro.faces.cli.processes:node_pair",
    "gateway.serve": "lastro.faces.cli.processes:gateway_serve",
    "runner.serve": "lastro.faces.cli.processes:runner_serve",
    "job.logs": "lastro.faces.cli.processes:job_logs",
    "completion": "lastro.faces.cli.completion:completion",
    "desktop": "lastro.faces.cli.desktop:desktop",
}
"""Commands that are no operations: processes that stay, and what only a shell needs."""


class Branch(GlobalOptions, click.Group):
    """The commands below ``prefix`` (dotted; empty at the root)."""

    def __init__(self, prefix: str, summary: str) -> None:
        super().__init__(name=prefix.rpartition(".")[2] or "lastro", help=summary, no_args_is_help=True)
        self.prefix = prefix

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        if not self.prefix:
            return [word for _title, words in SECTIONS for word in words]
        operations = operations_of(self.prefix.partition(".")[0])
        names = [*PROCESSES, *(one.name for one in operations if not one.internal)]
        start = f"{self.prefix}."
        return sorted({name[len(start) :].partition(".")[0] for name in names if name.startswith(start)})

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        name = f"{self.prefix}.{cmd_name}" if self.prefix else cmd_name
        if name in GROUPS:
            return Branch(name, _(GROUPS[name]))
        if name in PROCESSES:
            module, _separator, attribute = PROCESSES[name].partition(":")
            make: Callable[[], click.Command] = getattr(importlib.import_module(module), attribute)
            return make()
        for operation in operations_of(name.partition(".")[0]):
            if operation.name == name:
                return command_of(operation)
        return None

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.prefix:
            super().format_commands(ctx, formatter)
            return
        for title, words in SECTIONS:
            commands = [(word, self.get_command(ctx, word)) for word in words]
            rows = [(word, command.get_short_help_str(200)) for word, command in commands if command]
            if rows:
                with formatter.section(_(title)):
                    formatter.write_dl(rows)

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As its base; an unknown command is answered with the nearest ones."""
        if (
            self.get_command(ctx, args[0]) is None
            and not args[0].startswith("-")
            and not ctx.resilient_parsing
        ):
            import difflib  # noqa: PLC0415  only for a mistake

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2)
            raise UnknownCommand(args[0], near, ctx)
        return super().resolve_command(ctx, args)


class UnknownCommand(click.UsageError):
    """There is no such command. ``near`` are those that are written almost so."""

    def __init__(self, word: str, near: list[str], ctx: click.Context) -> None:
        super().__init__(_("There is no command {word}.", word=word), ctx)
        self.near = [f"{ctx.command_path} {one}" for one in near]


def root() -> Branch:
    """The whole tree."""
    summary = _("Every state of a server kept: see any version of any path, and bring any of it back.")
    branch = Branch("", summary)
    branch.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help=_("Show which version this is."),
        )
    )
    return branch


def _show_version(ctx: click.Context, _param: click.Parameter, value: object) -> None:
    context = ctx.find_object(Context)
    if value and context is not None and not ctx.resilient_parsing:
        context.terminal.answer("version", f"lastro {__version__}")
        ctx.exit()


def walk(branch: Branch, ctx: click.Context) -> Any:
    """Every command below ``branch`` as ``(words, command)``, in the order of the help; imports everything."""
    for word in branch.list_commands(ctx):
        command = branch.get_command(ctx, word)
        if command is None:
            continue
        below = click.Context(command, info_name=word, parent=ctx)
        yield below.command_path, command, below
        if isinstance(command, Branch):
            yield from walk(command, below)
