"""``lastro completion SHELL``: prints what makes a shell complete the commands; Click's own script."""

from __future__ import annotations

import click

from lastro.errors import UsageError
from lastro.faces.cli.command import Explained, GlobalOptions
from lastro.faces.cli.context import current_context
from lastro.faces.translation import gettext as _
from lastro.messages import N_

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_LASTRO_COMPLETE"


def completion() -> click.Command:
    """The command."""
    shell = Explained(["shell"], help=_("Which shell."), type=click.Choice(SHELLS), metavar="|".join(SHELLS))
    summary = _("Print what makes a shell complete the commands.")
    details = _("For example: lastro completion bash > ~/.local/share/bash-completion/completions/lastro")
    return GlobalOptions(
        "completion",
        params=[shell],
        callback=_print_script,
        help=f"{summary}\n\n{details}",
        short_help=summary,
    )


def _print_script(shell: str) -> int:
    from click.shell_completion import get_completion_class  # noqa: PLC0415  only here

    context = current_context()
    script_of = get_completion_class(shell)
    if script_of is None:
        raise UsageError(N_("There is no completion for {shell}."), shell=shell)
    script = script_of(click.Group(), {}, "lastro", VARIABLE).source()
    context.terminal.answer("script", script)
    return 0
