"""``lastro desktop``: the console in a window of its own. The work is in ``app.desktop``."""

from __future__ import annotations

import os
import shutil
import sys

import click

from lastro.faces.cli.command import GlobalOptions
from lastro.faces.cli.context import Context, current_context
from lastro.faces.translation import gettext as _


def desktop() -> click.Command:
    """The command."""
    summary = _("Open the console in a window of its own, signed in.")
    details = _(
        "It opens Chromium, Chrome, Edge or Brave without their bars; where none is installed, the default browser."
    )
    options: list[click.Parameter] = [
        click.Option(
            ["--print", "print_only"], is_flag=True, help=_("Print the one-time link instead of opening it.")
        ),
        click.Option(["--install"], is_flag=True, help=_("Put Lastro into the menu of this desktop.")),
    ]
    return GlobalOptions(
        "desktop", params=options, callback=_run, help=f"{summary}\n\n{details}", short_help=summary
    )


def _run(*, print_only: bool, install: bool) -> int:
    context = current_context()
    return _install(context) if install else _open(context, print_only=print_only)


def _open(context: Context, *, print_only: bool) -> int:
    from lastro.app.desktop import DesktopOfThisMachine, one_time_link, open_console  # noqa: PLC0415  as in every command
    from lastro.app.wiring import open_desk  # noqa: PLC0415  the one place that picks implementations

    with open_desk(context.places, clock=context.clock) as desk:
        link = one_time_link(desk.caller)
    terminal = context.terminal
    if print_only:
        terminal.answer("url", link.url)
    elif open_console(context.places, link, DesktopOfThisMachine(os.environ)):
        terminal.answer("opened", _("The console is opened in a browser."))
    else:
        terminal.note(
            _("There is no browser or no screen here. Open this link where there is one; it is good once:")
        )
        terminal.answer("url", link.url)
    return 0


def _install(context: Context) -> int:
    from lastro.app.desktop import install  # noqa: PLC0415  as above
    from lastro.app.wiring import console_icon  # noqa: PLC0415  as above

    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    program = os.path.join(os.path.dirname(sys.executable), "lastro")
    command = [program if os.path.exists(program) else shutil.which("lastro") or "lastro", "desktop"]
    if context.places.home:
        command = ["env", f"LASTRO_HOME={context.places.home}", *command]
    comment = _("Every state of a server kept: see any version of any path, and bring any of it back.")
    entry = install(data, command, comment=comment, icon=console_icon())
    context.terminal.answer("installed", entry)
    return 0
