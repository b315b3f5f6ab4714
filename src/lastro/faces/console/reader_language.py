"""Which language a page is in: the one that its reader chose, else one that their browser asks for."""

from __future__ import annotations

from starlette.requests import Request

from lastro.faces.console.asked import Visitor
from lastro.faces.translation import ENGLISH, choose_language, has_language


def language_of(request: Request, visitor: Visitor | None) -> str:
    """As they chose; else the first that their browser asks for and there are texts in."""
    chosen = visitor.preferences.language if visitor else request.cookies.get("lastro-language", "")
    wanted = [chosen] if chosen else _accepted(request.headers.get("accept-language", ""))
    found = next((one for one in wanted if has_language(one)), ENGLISH)
    return choose_language(found, {})


def _accepted(header: str) -> list[str]:
    """The languages of an ``Accept-Language``, the most wanted first (RFC 9110, section 12.5.4)."""
    weighed = []
    for position, item in enumerate(header[:500].split(",")):
        name, _, parameters = item.strip().partition(";")
        weight = parameters.strip().removeprefix("q=")
        try:
            weighed.append((-float(weight or 1), position, name.strip()))
        except ValueError:
            continue
    return [name for _weight, _position, name in sorted(weighed) if name and name != "*"]
