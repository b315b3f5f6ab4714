"""A Click command from an operation: its request's fields become arguments and options (``app.operation.parameter``).

    argument   a word (``str``), or all the words that are left (``tuple[str, ...]``)
    reference  the same, read as ``SERVER[:PATH][@AT]``; the command also takes ``--at AT``, which belongs to the first reference
    option     ``--name VALUE``, or a flag for a ``bool``
    instant    the same, read as an instant (``2d``, ``14:05``, ``2026-11-20``)
    secret     a flag ``--name-stdin``: the value is read from standard input, unseen where a person types it
    hidden     no part of the command line

A request that carries an accepted plan (``approved``) makes its command ask, and take ``--yes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

import click
import msgspec
from typing_extensions import override

from lastro.app.operation import Operation
from lastro.domain.reference import Reference
from lastro.faces.cli.command import Explained, GlobalOptions
from lastro.faces.cli.context import Context, current_context
from lastro.faces.translation import gettext as _

COMMAND: Final = "COMMAND"
"""The argument that is another program's command line: what follows its first word belongs to that."""

_LARGEST: Final = (1 << 53) - 1
"""Of a number that people type: what JSON and databases hold exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a request as the command line sees it."""

    name: str
    kind: type[Any]
    many: bool
    required: bool
    default: Any
    place: str
    help: str
    short: str
    metavar: str


class OperationCommand(GlobalOptions):
    """The command of one operation."""

    def __init__(self, operation: Operation[Any, Any], fields: list[Field]) -> None:
        self.operation = operation
        self.fields = fields
        self.asks = any(field.name == "approved" for field in fields)
        details = f"\n\n{_(operation.details)}" if operation.details else ""
        super().__init__(
            operation.name.rpartition(".")[2],
            params=_parameters(fields, asks=self.asks),
            callback=self._perform,
            help=_(operation.summary) + details,
            short_help=_(operation.summary),
            context_settings={"allow_interspersed_args": not any(map(_is_command_line, fields))},
        )

    def _perform(self, **values: Any) -> int:
        from lastro.faces.cli.perform import perform  # noqa: PLC0415  help needs none of it

        context = current_context()
        request = self.operation.request(**request_values(self.fields, values, context))
        return perform(self.operation, request, context, yes=bool(values.get("yes")))


def command_of(operation: Operation[Any, Any]) -> OperationCommand:
    """The command of ``operation``."""
    return OperationCommand(operation, fields_of(operation.request))


def fields_of(request: type[msgspec.Struct]) -> list[Field]:
    """The fields of a request type in their order."""
    fields = []
    for info in msgspec.structs.fields(request):
        annotation, description = info.type, ""
        extra: dict[str, str] = {}
        if get_origin(annotation) is Annotated:
            annotation, meta = get_args(annotation)[:2]
            extra, description = meta.extra or {}, meta.description or ""
        many = get_origin(annotation) is tuple
        kinds = [kind for kind in get_args(annotation) if kind not in {type(None), Ellipsis}] or [annotation]
        fields.append(
            Field(
                name=info.name,
                kind=kinds[0],
                many=many,
                required=info.required,
                default=None if info.required else info.default,
                place=extra.get("cli", "hidden"),
                help=_(description) if description else "",
                short=extra.get("short", ""),
                metavar=extra.get("metavar", ""),
            )
        )
    return fields


def _is_command_line(field: Field) -> bool:
    return field.place == "argument" and field.many and field.metavar == COMMAND


def _parameters(fields: list[Field], *, asks: bool) -> list[click.Parameter]:
    parameters: list[click.Parameter] = []
    for field in fields:
        if field.place in {"argument", "reference"}:
            parameters.append(
                Explained(
                    [field.name],
                    help=field.help,
                    required=field.required,
                    nargs=-1 if field.many else 1,
                    metavar=_argument_metavar(field),
                    type=_PathLike() if field.place == "reference" or field.metavar == "PATH" else None,
                )
            )
        elif field.place in {"option", "instant"}:
            parameters.append(_option(field))
        elif field.place == "secret":
            name = f"--{field.name.replace('_', '-')}-stdin"
            parameters.append(click.Option([name, field.name], is_flag=True, help=field.help))
    if any(field.place == "reference" and not field.many for field in fields):
        text = _("The instant of the reference: 2d, 14:05, 2026-11-20T14:05Z, snap-12, apply-7^, now.")
        parameters.append(click.Option(["--at"], metavar="AT", help=text))
    if asks:
        parameters.append(click.Option(["-y", "--yes"], is_flag=True, help=_("Do not ask.")))
    return parameters


def _argument_metavar(field: Field) -> str:
    name = (field.metavar or field.name.upper()) + ("..." if field.many else "")
    return name if field.required else f"[{name}]"


def _option(field: Field) -> click.Option:
    names = [f"--{field.name.replace('_', '-')}", field.name, *([field.short] if field.short else [])]
    if field.kind is bool and field.default is True:
        names = [f"--{field.name.replace('_', '-')}/--no-{field.name.replace('_', '-')}", field.name]
        return click.Option(names, default=True, help=field.help)
    if field.kind is bool:
        return click.Option(names, is_flag=True, default=field.default, help=field.help)
    if field.place == "instant":
        return click.Option(names, default=None, help=field.help, metavar=field.metavar or "TIME")
    return click.Option(
        names,
        type=_Count(0, _LARGEST) if field.kind is int else field.kind,
        default=field.default,
        required=field.required,
        help=field.help,
        metavar=field.metavar or ("N" if field.kind is int else None),
        multiple=field.many,
    )


class _Count(click.IntRange):
    """A number that is not negative."""

    name = "integer"


class _PathLike(click.ParamType[str]):
    """A word that may be a path; a shell completes it as one."""

    name = "path"

    @override
    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Let the shell complete it as a path."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  only a completing shell asks

        del ctx, param
        return [CompletionItem(incomplete, type="file")]


def _secret(context: Context) -> str:
    text = context.terminal.secret()
    if not text.strip():
        raise click.UsageError(_("No key came on standard input."))
    return text


def request_values(fields: list[Field], values: dict[str, Any], context: Context) -> dict[str, Any]:
    """The request's fields from what Click parsed. What was not typed is left to the request's own defaults."""
    request: dict[str, Any] = {}
    at = None if any(field.name == "at" for field in fields) else values.get("at")
    for field in fields:
        value = values.get(field.name)
        if value is None or value in {(), field.default} or field.place == "hidden":
            continue
        if field.place == "secret":
            if value:
                request[field.name] = _secret(context)
        elif field.place == "instant":
            request[field.name] = context.instant(value)
        elif field.metavar in {"PATH", "DIR"}:
            request[field.name] = tuple(map(context.path, value)) if field.many else context.path(value)
        elif field.kind is not Reference:
            request[field.name] = value
        elif field.many:
            request[field.name] = tuple(context.reference(text) for text in value)
        else:
            request[field.name] = context.reference(value, at=at)
            at = None
    if at is not None:
        raise click.UsageError(_("--at needs a reference beside it."))
    return request
