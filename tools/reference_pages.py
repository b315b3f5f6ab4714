"""Writes the pages of ``docs/reference`` that are made of the code: ``python -m tools.reference_pages write | check``.

``cli.md`` comes from the tree of commands, which comes from the operation table; ``exit-codes.md`` from the error tree. ``check`` changes
nothing and fails when a page is not what the code says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from lastro.errors import LastroError
from lastro.faces.cli.command import Explained, GlobalOptions, global_options
from lastro.faces.cli.main import BROKEN_PIPE, INTERRUPTED
from lastro.faces.cli.tree import SECTIONS, Branch, root, walk

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "docs" / "reference"

CLI_HEAD = """# Commands

Made from the program by `python -m tools.reference_pages write`; what is here is what `--help` says.

A reference (REF) is `SERVER[:PATH][@AT]`, for example `web-01:/etc/nginx@2d`. An argument that starts with `/`, `./`, `../` or
`~/` is a path of this machine, which is the server `local`. `AT` is a time ago (`30s`, `5m`, `2h`, `3d`, `1w`), a clock time
(`14:05`), a date or instant (`2026-11-20`, `2026-11-20T14:05Z`), `now`, or a name with or without `^` for the state before it
(`snap-12`, `apply-7^`).

Data goes to standard output, everything else to standard error. With `--json` standard output carries JSON lines,
`{"type": "progress" | "item" | "warning" | "result", "v": 1, ...}`: the last line, and only it, is the `result`, also when the
command fails (`"ok": false`, with `code`, `message`, `hint` and `exit_code`). JSON is never translated. A string that is not
UTF-8, such as the name of a file, is `{"b64": "<base64 of its bytes>"}`. [Exit codes](exit-codes.md) are the same either way.
"""

EXIT_HEAD = """# Exit codes

Made from the error tree by `python -m tools.reference_pages write`. They are part of the interface: a code keeps its meaning.
A code that is not here means failure.

| exit code | `code` in `--json` | when |
|---|---|---|
| 0 | | It was done. |
"""

EXIT_TAIL = f"""| {INTERRUPTED} | `interrupted` | Ctrl-C. |
| {BROKEN_PIPE} | | Whoever read the output went away, as with `lastro log \\| head`. |

`restore`, `undo` and `capture` also end with 3 when they did what they could but a file could not be read, was torn, or is not
exactly as recorded; `repo check` with 6 when something is damaged.
"""


def pages() -> dict[str, str]:
    """Every page that is made, by its file's name."""
    return {"cli.md": cli_page(), "exit-codes.md": exit_codes_page()}


def cli_page() -> str:
    """Every command with its arguments and options."""
    tree = root()
    parts = [CLI_HEAD, "## Options of every command\n\n" + _table(_options(global_options()))]
    commands = {
        path: (command, context)
        for path, command, context in walk(tree, click.Context(tree, info_name="lastro"))
    }
    for title, words in SECTIONS:
        parts.append(f"## {title}\n")
        for word in words:
            start = f"lastro {word}"
            for path, (command, context) in commands.items():
                if (path == start or path.startswith(f"{start} ")) and not isinstance(command, Branch):
                    parts.append(_command(command, context))
    return "\n".join(parts)


def exit_codes_page() -> str:
    """The error tree as a table."""
    kinds = sorted(_kinds(LastroError), key=lambda kind: kind.exit_code)
    rows = [f"| {kind.exit_code} | `{kind.code}` | {_first_sentence(kind)} |\n" for kind in kinds]
    return EXIT_HEAD + "".join(rows) + EXIT_TAIL


def _first_sentence(kind: type[LastroError]) -> str:
    return (kind.__doc__ or "").partition(". ")[0].rstrip(".") + "."


def _command(command: click.Command, context: click.Context) -> str:
    usage = " ".join(["lastro", *context.command_path.split()[1:], *command.collect_usage_pieces(context)])
    help_text = command.help or ""
    parts = [f"### `{usage}`\n", f"{help_text}\n"]
    arguments = [param for param in command.params if isinstance(param, Explained)]
    rows = [(f"`{param.make_metavar(context)}`", param.explanation) for param in arguments]
    rows += _options([param for param in command.params if isinstance(param, click.Option)])
    if rows and isinstance(command, GlobalOptions):
        parts.append(_table(rows))
    return "\n".join(parts)


def _options(options: list[click.Option]) -> list[tuple[str, str]]:
    rows = []
    for option in options:
        names = ", ".join(f"`{name}`" for name in option.opts)
        value = "" if option.is_flag else f" `{option.metavar}`"
        rows.append((names + value, option.help or ""))
    return rows


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"| {name.replace('|', chr(92) + '|')} | {text} |" for name, text in rows]
    return "\n".join(["| | |", "|---|---|", *lines, ""])


def _kinds(kind: type[LastroError]) -> Iterator[type[LastroError]]:
    """The error tree of ``lastro.errors``; packages below refine it, and exit as what they refine."""
    if kind.__module__ == LastroError.__module__:
        yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def main(arguments: list[str]) -> int:
    """Run one of the verbs and return the exit code."""
    if arguments == ["write"]:
        PLACE.mkdir(parents=True, exist_ok=True)
        for name, text in pages().items():
            (PLACE / name).write_text(text, "utf-8")
        return 0
    if arguments == ["check"]:
        stale = [name for name, text in pages().items() if (PLACE / name).read_text("utf-8") != text]
        print(
            "\n".join(f"docs/reference/{name} is not what the code says" for name in stale)
            or "reference pages: up to date"
        )
        return 1 if stale else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
