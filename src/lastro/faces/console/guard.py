"""What is refused before any page sees it: a foreign host name, a request that another site made, a form without its session's token.

Pure functions over headers. Sources: Fetch Metadata (``Sec-Fetch-Site``), RFC 6454 (origin), DNS rebinding needs the host list. What
always holds: GET and HEAD change nothing; everything else passes ``same_origin`` and ``has_token``.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from typing import Final

from lastro.transport.address import is_loopback

SAFE: Final = frozenset({"GET", "HEAD"})
TOKEN_FIELD: Final = "csrf"  # noqa: S105  the name of a field
TOKEN_HEADER: Final = "x-csrf"  # noqa: S105  the name of a header


def host_of(header: str) -> str:
    """The name or address in a ``Host`` header, without its port, lower case; empty if it is none."""
    text = header.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        return name if bracket and (not rest or rest.startswith(":")) else ""
    name, _, port = text.partition(":")
    return name if not port or port.isdigit() else ""


def allowed_host(header: str, names: Collection[str]) -> bool:
    """Whether the ``Host`` is this machine's loopback or one of the configured ``names``."""
    name = host_of(header)
    return bool(name) and (is_loopback(name) or name in names)


def same_origin(method: str, headers: Mapping[str, str], origin: str) -> bool:
    """Whether a request that may change something came from a page of ``origin`` (scheme, host and port that were asked)."""
    if method in SAFE:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    said = headers.get("origin")
    if said is not None:
        return said.lower() == origin.lower()
    return site == "same-origin"  # a browser sends one of the two; what sends none is none


def has_token(method: str, given: str, token: str) -> bool:
    """Whether a form carries its session's ``token``."""
    return method in SAFE or (
        bool(token) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())
    )
