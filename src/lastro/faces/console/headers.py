"""The headers of every answer: a page may load only what this server serves, run no script of its own text, and stand in no other page."""

from __future__ import annotations

from typing import Final

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; font-src 'self'; connect-src 'self';"
    " manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SANDBOX: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""For bytes of a repository: whatever they are, they run nothing."""

_ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" a browser says "Origin: null" of our own forms, which guard refuses
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-frame-options": "DENY",
}
_SECURE: Final = "max-age=31536000"


def page_headers(nonce: str, *, tls: bool) -> dict[str, str]:
    """Headers of a page; ``nonce`` lets the editor set its own styles. Pages are never kept by a cache: they are somebody's own."""
    headers = {**_ALWAYS, "content-security-policy": _POLICY.format(nonce=nonce), "cache-control": "no-store"}
    return {**headers, "strict-transport-security": _SECURE} if tls else headers


def bytes_headers() -> dict[str, str]:
    """Headers of a download."""
    return {**_ALWAYS, "content-security-policy": SANDBOX, "cache-control": "no-store"}


def own_file_headers() -> dict[str, str]:
    """Headers of a file of the console itself at an address that stays; a service worker may ask this server and nobody else."""
    return {
        **_ALWAYS,
        "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'",
        "cache-control": "no-cache",
    }


def asset_headers(*, unchanging: bool) -> dict[str, str]:
    """Headers of a file of the console itself; ``unchanging``: its name says its content."""
    kept = "public, max-age=31536000, immutable" if unchanging else "no-cache"
    return {**_ALWAYS, "cache-control": kept}
