"""What all commands have: the options of ``settings`` in their help and completion, and arguments that are explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from typing_extensions import override

from lastro.faces.cli.context import Context
from lastro.faces.translation import gettext as _


class Explained(click.Argument):
    """An argument with a help text."""

    def __init__(self, declarations: Sequence[str], *, help: str, **rest: Any) -> None:  # noqa: A002  as for options
        super().__init__(declarations, **rest)
        self.explanation = help


class GlobalOptions(click.Command):
    """A command (or a group) that also takes the options of ``settings``. They were read before; here they are only accepted."""

    @override
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *global_options()]

    @override
    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = _("Show this message.")
            option.callback = _show_help
        return option

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        mine: list[tuple[str, str]] = []
        everywhere: list[tuple[str, str]] = []
        arguments: list[tuple[str, str]] = []
        shared = {option.name for option in global_options()}
        for param in self.get_params(ctx):
            if isinstance(param, Explained):
                arguments.append((param.make_metavar(ctx), param.explanation))
            elif (record := param.get_help_record(ctx)) is not None:
                (everywhere if param.name in shared or param.name == "help" else mine).append(record)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        for title, rows in (
            (_("Arguments"), arguments),
            (_("Options"), mine),
            (_("Options of every command"), everywhere),
        ):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def global_options() -> list[click.Option]:
    """The options of ``settings``, for help and completion."""
    return [
        _flag(["--json"], _("Only JSON lines on standard output; the last one is the result.")),
        _option(["--lang"], "LANGUAGE", _("Language of texts: en, pt_BR.")),
        _option(["--home"], "DIR", _("Where Lastro keeps its things (LASTRO_HOME).")),
        _flag(["-q", "--quiet"], _("Only data, warnings and errors.")),
        _flag(["--no-color"], _("No colours (NO_COLOR).")),
        _flag(["--debug"], _("Show where in the program an error comes from.")),
    ]


def _show_help(ctx: click.Context, _param: click.Parameter, value: object) -> None:
    """Print the help of ``ctx`` as data, and end."""
    context = ctx.find_object(Context)
    if not value or ctx.resilient_parsing or context is None:
        return
    context.terminal.answer("help", ctx.get_help())
    ctx.exit()


def _flag(names: list[str], text: str) -> click.Option:
    return click.Option(names, is_flag=True, expose_value=False, help=text)


def _option(names: list[str], metavar: str, text: str) -> click.Option:
    return click.Option(names, metavar=metavar, expose_value=False, help=text)
