"""The entry point ``lastro``: reads the settings, runs one command, and maps the error tree to exit codes, once.

What always holds: with ``--json`` the last line of standard output is the only ``result``, whatever happens; no traceback is shown unless
asked for; a reader that goes away (``lastro log | head``) is no error.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lastro import __version__
from lastro.domain.clock import SystemClock
from lastro.domain.paths import from_bytes
from lastro.errors import LastroError, StorageFullError, UsageError
from lastro.faces.cli.context import Context
from lastro.faces.cli.settings import read_settings
from lastro.faces.cli.terminal import Terminal
from lastro.faces.translation import choose_language, has_language, languages, sentence, use_language
from lastro.faces.translation import gettext as _
from lastro.faces.wording.shell import quote
from lastro.messages import N_

INTERRUPTED: Final = 130
PATHS: Final = frozenset({"path", "root", "directory", "reference"})
BROKEN_PIPE: Final = 141
"""What a shell says of a process that SIGPIPE ended."""


def main() -> None:
    """Run the command line of this process, and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = [from_bytes(os.fsencode(argument)) for argument in sys.argv[1:]]
    environment = {name: from_bytes(os.fsencode(value)) for name, value in os.environ.items()}
    sys.exit(run(arguments, environment))


def run(arguments: Sequence[str], environment: dict[str, str]) -> int:
    """Run one command line and return its exit code."""
    settings = read_settings(arguments, environment)
    use_language("en" if settings.json else choose_language(settings.language, environment))
    terminal = Terminal(settings, environment)
    context = Context(
        settings=settings,
        terminal=terminal,
        environment=environment,
        clock=SystemClock(),
        utc_offset_s=time.localtime().tm_gmtoff,
    )
    try:
        code = _run(arguments, context)
        terminal.flush()
    except BrokenPipeError:
        terminal.silence()
        return BROKEN_PIPE
    return code


def _run(arguments: Sequence[str], context: Context) -> int:
    try:
        _require_language(context)
        if list(arguments) == ["--version"]:
            context.terminal.answer("version", f"lastro {__version__}")
            return 0
        return _invoke(list(arguments), context)
    except KeyboardInterrupt:
        return _interrupted(context.terminal)
    except BrokenPipeError:
        raise
    except LastroError as error:
        return report(error, context)
    except OSError as error:
        return _refused(error, context)
    except Exception as error:  # noqa: BLE001  the last place that can say it in one line
        return _unexpected(error, context)


def _require_language(context: Context) -> None:
    """What was asked for by name must be there; variables of the environment fall back to English."""
    asked = context.settings.language
    if asked and not has_language(asked):
        raise UsageError(
            N_("There are no texts in the language {language}."),
            hint=N_("Languages: {languages}."),
            language=asked,
            languages=", ".join(languages()),
        )


def _invoke(arguments: list[str], context: Context) -> int:
    import click.shell_completion  # noqa: PLC0415  --version needs none of it

    from lastro.faces.cli.completion import VARIABLE  # noqa: PLC0415  as above
    from lastro.faces.cli.tree import UnknownCommand, root  # noqa: PLC0415  as above

    if instruction := context.environment.get(VARIABLE):
        return click.shell_completion.shell_complete(
            root(), {"obj": context}, "lastro", VARIABLE, instruction
        )
    try:
        with root().make_context("lastro", arguments, obj=context) as called:
            code = called.command.invoke(called)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        if not context.settings.json:
            context.terminal.line(error.format_message())
            return UsageError.exit_code
        mistake = UsageError(N_("Which command?"), hint=N_("lastro --help lists them."))
    except UnknownCommand as error:
        hint = N_("Did you mean: {near}?") if error.near else N_("lastro --help lists them.")
        mistake = _usage(error, hint=hint, near=", ".join(error.near))
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "lastro"
        mistake = _usage(error, hint=N_("{command} --help explains it."), command=path)
    else:
        return code if isinstance(code, int) else 0
    return report(mistake, context)


def _usage(error: Any, *, hint: str, **parameters: object) -> UsageError:
    return UsageError("{text}", hint=hint, text=error.format_message(), **parameters)


def report(error: LastroError, context: Context) -> int:
    """Show an error as the one thing that went wrong, and return its exit code."""
    terminal = context.terminal
    if context.settings.debug:
        _traceback(error)
    if terminal.json:
        terminal.object(
            "result",
            {
                "ok": False,
                "code": error.code,
                "message": str(error),
                "hint": error.hint_text,
                "retryable": error.retryable,
                "exit_code": error.exit_code,
            },
        )
    else:
        label = terminal.style(_("error:"), error=True, fg="red", bold=True)
        terminal.warn(f"{label} {sentence(error.msgid, error.parameters)}")
        if error.hint:
            label = terminal.style(_("hint:"), error=True, fg="cyan")
            terminal.warn(f"{label} {sentence(error.hint, _pasteable(error.parameters))}")
    return error.exit_code


def _pasteable(parameters: Mapping[str, object]) -> dict[str, object]:
    """Parameters of a hint, where paths are mostly part of a command: quoted for a shell where they need it."""
    return {
        name: quote(value) if name in PATHS and isinstance(value, str) else value
        for name, value in parameters.items()
    }


def _refused(error: OSError, context: Context) -> int:
    """The system said no: to which path, and why. Without a path it is as unexpected as any other error."""
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    if not is_full and (error.strerror is None or not isinstance(error.filename, str | bytes)):
        return _unexpected(error, context)
    if context.settings.debug:
        _traceback(error)
    if is_full:
        hint = N_(
            "Make room on the disk that holds Lastro's things, or where the output goes, and try again."
        )
        return report(StorageFullError(N_("No space is left on a disk."), hint=hint), context)
    assert isinstance(error.filename, str | bytes)  # else it was unexpected
    path = from_bytes(os.fsencode(error.filename))
    hint = N_("Look at {path}: its owner and mode, its disk, and whether it is what its name says.")
    return report(LastroError(N_("{path}: {reason}"), hint=hint, path=path, reason=error.strerror), context)


def _unexpected(error: Exception, context: Context) -> int:
    """An error that nobody foresaw: a defect of ours."""
    kind = type(error).__name__
    if context.settings.debug:
        _traceback(error)
        return report(LastroError(N_("Unexpected: {kind}: {text}"), kind=kind, text=str(error)), context)
    hint = N_("The same command with --debug shows where. Please report it.")
    return report(
        LastroError(N_("Unexpected: {kind}: {text}"), hint=hint, kind=kind, text=str(error)), context
    )


def _interrupted(terminal: Terminal) -> int:
    if terminal.json:
        fields = {
            "ok": False,
            "code": "interrupted",
            "message": "Interrupted.",
            "hint": "",
            "retryable": True,
        }
        terminal.object("result", {**fields, "exit_code": INTERRUPTED})
    else:
        terminal.warn(_("Interrupted."))
    return INTERRUPTED


def _traceback(error: BaseException) -> None:
    import traceback  # noqa: PLC0415  only when asked for

    traceback.print_exception(error)
