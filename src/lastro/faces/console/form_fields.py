"""Fields of forms and addresses, as they came: bounded, every value a text, bytes that are no UTF-8 kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from lastro.errors import DeniedError, LimitError
from lastro.faces.console import guard
from lastro.faces.console.asked import Form
from lastro.messages import N_

_MOST_FIELDS: Final = 20_000


def fields_of(items: Sequence[tuple[str, str]]) -> Form:
    """All values of each name, in their order."""
    fields: dict[str, list[str]] = {}
    for name, value in items:
        fields.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in fields.items()}


async def form_of(request: Request, limit: int) -> Form:
    """The fields of a form, unless it is larger than ``limit`` bytes or of another kind.

    Raises:
        LimitError: it is too large.
        DeniedError: it is no form.
    """
    if request.method in guard.SAFE:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise DeniedError(N_("Only forms are taken here."))
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise LimitError(N_("The form is larger than {limit} bytes."), limit=limit)
    return _parsed(bytes(body))


def _parsed(body: bytes) -> Form:
    """Fields of ``application/x-www-form-urlencoded``.

    Raises:
        LimitError: too many.
    """
    try:
        items = parse_qsl(
            body.decode("utf-8", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise LimitError(N_("A form has at most {limit} fields."), limit=_MOST_FIELDS) from None
    return fields_of(items)
