"""``lastro gateway models``."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests.gateway import ModelHere, ModelList, ModelRemoved, ModelState
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.cli.render import words
from lastro.faces.translation import gettext as _
from lastro.faces.wording import gateway_words, plain
from lastro.messages import N_

FITS: Final = {
    "yes": (N_("fits"), "green"),
    "tight": (N_("tight"), "yellow"),
    "no": (N_("too large"), "red"),
    "unknown": (N_("not known"), None),
}


def models(reply: ModelList, request: Any, context: Context) -> None:
    """The models that are here, then those that can be."""
    terminal = context.terminal
    here = [model for model in reply.models if model.pulled]
    others = [model for model in reply.models if not model.pulled]
    terminal.line(terminal.style(_("Here"), bold=True))
    _table(here, context)
    if not here:
        terminal.line(f"  {_('none yet: lastro gateway models pull smollm2')}")
    if others:
        terminal.line(terminal.style(_("Can be had"), bold=True))
        _table(others, context)
        terminal.note(
            _(
                "Those with 'import' need their file from a hub first; 'lastro gateway models pull MODEL' says how."
            )
        )
    del request


def _table(models: list[ModelState], context: Context) -> None:
    """Two lines for each: its figures in columns, below them what it is good for, so that both fit a terminal."""
    lines = (
        words.columns([_row(model, context) for model in models], right=frozenset({1, 2})) if models else []
    )
    for model, line in zip(models, lines, strict=True):
        context.terminal.line(f"  {line}")
        if model.good_for:
            context.terminal.line(f"      {words.shortened(_(model.good_for), context.terminal.width - 6)}")


def _row(model: ModelState, context: Context) -> list[str]:
    word, color = FITS.get(model.fit, FITS["unknown"])
    how = "" if model.pulled else _("pull") if model.pullable else _("import")
    return [
        printable(model.name),
        _size(model),
        gateway_words.tokens(model.context) if model.context else "?",
        context.terminal.style(_(word), fg=color),
        how,
        printable(model.licence),
    ]


def _size(model: ModelState) -> str:
    if not model.size:
        return "?"
    return f"~{plain.size(model.size)}" if model.size_estimated else plain.size(model.size)


def here(reply: ModelHere, request: Any, context: Context) -> None:
    """A model is on this machine now."""
    name = printable(reply.name)
    said = _("{name} was here already.", name=name) if reply.already else _("{name} is here.", name=name)
    context.terminal.line(said)
    rows = [
        [_("size"), plain.size(reply.size)],
        [_("context"), gateway_words.tokens(reply.context) if reply.context else "?"],
        [_("licence"), printable(reply.licence) or "?"],
        ["SHA-256", reply.digest],
        [_("file"), printable(reply.path)],
    ]
    for line in words.columns(rows):
        context.terminal.line(f"  {line}")
    context.terminal.note(_("Ask it through the gateway as 'offline/{name}', or as 'auto'.", name=name))
    del request


def removed(reply: ModelRemoved, request: Any, context: Context) -> None:
    """A model's weights are gone."""
    context.terminal.line(
        _(
            "{name} is removed; {size} are free again.",
            name=printable(reply.name),
            size=plain.size(reply.size),
        )
    )
    del request
