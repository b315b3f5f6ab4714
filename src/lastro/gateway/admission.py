"""Who may ask at all: the ``Host`` and ``Origin`` of a request, and the gateway key that it brings.

What always holds: a key that is brought and is not good is refused; it never falls back to nobody's rights. Nothing that a web page can
send is answered: browsers always say an ``Origin`` where it matters, and a name that was rebound to this address stands in ``Host``.
No sentence here repeats a key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Final, Protocol
from urllib.parse import parse_qs

from lastro.errors import DeniedError
from lastro.gateway.dialects.neutral import ErrorKind
from lastro.gateway.keys import ANONYMOUS, GatewayKey
from lastro.gateway.settings import Anonymous
from lastro.messages import N_

_ALWAYS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key", "api-key")


class TurnedAwayError(DeniedError):
    """The gateway does not answer this. ``kind`` says it in every dialect's words; ``status`` where HTTP knows better, else 0."""

    code = "turned_away"

    def __init__(
        self,
        msgid: str,
        /,
        *,
        kind: ErrorKind,
        status: int = 0,
        retry_after_s: float | None = None,
        hint: str = "",
        **parameters: object,
    ) -> None:
        super().__init__(msgid, hint=hint, **parameters)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s


class KeyFinder(Protocol):
    """Where keys are looked up (``keyring.Keyring``)."""

    def find(self, text: str) -> GatewayKey | None:
        """The key with this text, if it admits its bearer now."""
        ...


def one_each(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with lower-case names, each once: what came twice is joined by commas, so that no second key hides behind a first."""
    single: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        single[lower] = f"{single[lower]}, {value}" if lower in single else value
    return single


def require_text(headers: Mapping[str, str]) -> None:
    """Refuse headers that are not UTF-8: nothing of them could be recorded or sent on. ``headers`` have lower-case names.

    Raises:
        TurnedAwayError: there is one; its value is not repeated.
    """
    for name, value in headers.items():
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise TurnedAwayError(
                N_("The header {name} is not UTF-8."), kind=ErrorKind.INVALID, status=400, name=name[:100]
            )


def require_no_browser(headers: Mapping[str, str]) -> None:
    """Refuse what a web page sent. ``headers`` have lower-case names.

    Raises:
        TurnedAwayError: there is an ``Origin``.
    """
    if "origin" in headers:
        raise TurnedAwayError(
            N_("Requests of web pages are not answered."),
            kind=ErrorKind.PERMISSION,
            status=403,
            hint=N_("Take the Origin header out if this is no browser."),
        )


def require_host(headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Refuse a request for another name than this gateway's; the port does not matter (forwarders have their own).

    ``allowed`` are names and addresses in small letters; ``*`` among them admits any address, but no further name.

    Raises:
        TurnedAwayError: ``Host`` is missing, or is none of them.
    """
    name = _host_name(headers.get("host", ""))
    if name in _ALWAYS or name in allowed or ("*" in allowed and _is_address(name)):
        return
    raise TurnedAwayError(
        N_("This gateway is not called {host}."),
        kind=ErrorKind.PERMISSION,
        status=403,
        hint=N_("Use its own address, or add the name to hosts in [listen] of gateway.toml."),
        host=name[:100],
    )


def key_text(headers: Mapping[str, str], query: str) -> str:
    """The key that a request brings: ``Authorization: Bearer``, ``x-api-key``, ``x-goog-api-key``, ``api-key`` or ``?key=``, else empty.

    Raises:
        TurnedAwayError: it brings two different ones, or credentials of another kind.
    """
    brought = {headers[name].strip() for name in _KEY_HEADERS if name in headers}
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, text = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise _unknown_key()
        brought.add(text.strip())
    if "key=" in query:
        brought.update(parse_qs(query).get("key", ()))
    brought.discard("")
    if len(brought) > 1:
        raise _unknown_key()
    return brought.pop() if brought else ""


def admitted(text: str, keys: KeyFinder, anonymous: Anonymous) -> GatewayKey:
    """The key with this text; ``ANONYMOUS`` for an empty text where configuration lets nobody's requests in.

    Raises:
        TurnedAwayError: the key is unknown, expired or revoked, or there is none and there has to be one.
    """
    if text:
        key = keys.find(text)
        if key is None:
            raise _unknown_key()
        return key
    if anonymous is Anonymous.NONE:
        raise TurnedAwayError(
            N_("This gateway answers only those who bring a key."),
            kind=ErrorKind.AUTHENTICATION,
            hint=N_("Make one with lastro gateway keys add NAME."),
        )
    return ANONYMOUS


def _unknown_key() -> TurnedAwayError:
    return TurnedAwayError(
        N_("This gateway does not know the key, or it has expired or was revoked."),
        kind=ErrorKind.AUTHENTICATION,
        hint=N_("Make one with lastro gateway keys add NAME."),
    )


def _host_name(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
