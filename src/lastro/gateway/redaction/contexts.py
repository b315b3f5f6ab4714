"""Secrets that show by what stands before them: ``password = …``, ``Authorization: Bearer …``, ``://user:…@``, a key of JSON.

A name is looked for at the speed of ``find`` (its core: ``token``, ``password``, …), and only there is the text read closely. What always
holds: linear time, for every expression is anchored at a core and bounded in length; the name itself and the quotation marks stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lastro.gateway.redaction.shapes import SHORTEST, Claim, Place, can_be_secret, is_random, is_random_run

_VALUE: Final = r"(?P<open>\\{0,3}[\"'`])(?P<quoted>[^\s\"'`\\]{6,1024})\\{0,3}[\"'`]|(?P<plain>[^\s\"'`,;&<>(){}\[\]|\\]{6,1024})"
_ASSIGNED: Final = (
    r"(?P<tail>[a-z0-9_\-.]{0,24})"
    r"(?:\\{0,3}[\"'`]?\]?\)?[ \t]{0,8}(?::[ \t]{0,4}(?:str|string|bytes|&str|&'static str|const char ?\*)[ \t]{0,4}="
    r"|=>|:=|={1,3}|:|\\{0,3}[\"'`][ \t]?,)"
    r"[ \t]{0,40}(?:[rbf]|!!str )?|[ \t]{1,4}(?=\S)|>)"
    rf"(?:{_VALUE})"
)
_CORES: Final[tuple[tuple[str, Claim], ...]] = (
    ("password", Claim.STRONG),
    ("passwd", Claim.STRONG),
    ("passphrase", Claim.STRONG),
    ("_pass", Claim.STRONG),
    ("pwd", Claim.STRONG),
    ("secret", Claim.STRONG),
    ("credential", Claim.STRONG),
    ("senha", Claim.STRONG),
    ("token", Claim.WEAK),
    ("auth", Claim.WEAK),
    ("session", Claim.WEAK),
    ("key", Claim.STRONG),
)
_NAMES: Final = {core: re.compile(core + _ASSIGNED) for core, _ in _CORES}
_KEY_OF: Final = (
    "access",
    "account",
    "admin",
    "aes",
    "api",
    "app",
    "application",
    "auth",
    "client",
    "consumer",
    "deploy",
    "encrypt",
    "encryption",
    "hmac",
    "instrumentation",
    "jwt",
    "license",
    "master",
    "preshared",
    "private",
    "psk",
    "secret",
    "service",
    "shared",
    "sign",
    "signing",
    "ssl",
    "storage",
    "subscription",
    "tls",
    "webhook",
)
"""Before ``key``: the keys that lock something. Others (of a table, a cache, a map) are names."""
_TAIL: Final = re.compile(
    r"s|[_\-.]?(?:text|value|val|string|str|b64|base64|hex|hash|raw|plain|plaintext|data|new|old|current|prod|dev|\d{1,2}|[a-z])|"
    r"[_\-.]?key|_access_key|_key_base|accesskey"
)
_PROSE: Final = re.compile(r"[A-Za-z0-9+/_\-]{20,512}={0,2}")
_URL: Final = re.compile(r"://(?:[^\s:/?#@\"'<>\\]{0,200}):([^\s@\"'<>\\]{1,300}?)@(?=[A-Za-z0-9\[$_.\-])")
_URL_TOKEN: Final = re.compile(r"://([A-Za-z0-9_\-]{20,300})@")
_NO_PASSWORD: Final = re.compile(
    r"[$%]?\{|\$[A-Za-z_(]|<|%s|\*+$|\.\.\.|(?:x+|password|pass|pwd|secret)$", re.IGNORECASE
)
_HEADER: Final = re.compile(
    r"(?:(?<=authorization)|(?<=bearer))(?:\\{0,3}[\"'`])?\s{0,4}[:=,]?\s{0,4}(?:\\{0,3}[\"'`])?"
    r"(?:(?:bearer|basic|token|digest|apikey|negotiate|aws4-hmac-sha256)[ \t]{1,4})?(?P<value>[a-z0-9._~+/\-]{8,8192}={0,3})"
)
_USER: Final = re.compile(r"(?:\s-u|--user|--proxy-user)[ =]{0,2}[\"']?[^\s:\"'$]{1,100}:([^\s\"'$]{1,200})")
_COOKIE: Final = re.compile(r"cookie:[ \t]{0,4}([^\r\n\"'\\]{8,8192})")
_CRUMB: Final = re.compile(r"(?:^|;)\s{0,4}[^=;\s]{1,100}=([^;\s]{16,4096})")
_NAMED_SECRETS: Final = re.compile(
    r"(?:.{0,60}[_\-. ])?(?:password|passwd|passphrase|pwd|pass|senha|secret|client_?secret|secret_?key|secret_?access_?key|api_?key|"
    r"apikey|access_?key|private_?key|encryption_?key|signing_?key|master_?key|account_?key|shared_?key|pre_?shared_?key|auth_?key|credentials?)",
)
_NAMED_WEAK: Final = re.compile(
    r"(?:.{0,60}[_\-. ])?(?:(?:access|auth|refresh|id|session|bearer|api|bot|csrf|oauth|personal|deploy|ci)?_?token|_?auth|authorization|"
    r"x-api-key|client-key-data|token-data|cookie|session_?id|sessionid)",
)
_WINDOW: Final = 96
_OPTION: Final = re.compile(r"(?:^|[\s\"'])--?[A-Za-z0-9\-_]{0,38}$")
_JOINED: Final = re.compile(r"$|\s|[;&][\w.\- ]{1,40}=|[\"']")
"""Behind the value of one of several settings on a line: ``A=1;B=2``, ``?a=1&b=2``, ``-e A=1 image``."""
_JOINED_NAME: Final = re.compile(r"(?:.*[;&?])?[\"']?[\w.\-/:]*")
_ALONE: Final = re.compile(r"[ \t;\"']*(?:\r?\n|$)")
_LINE_START: Final = re.compile(r"[ \t]*(?:export |set |setx |ENV |ARG |- |[\"'{])?[\w.\-]*")


def find_in_context(text: str) -> Iterator[tuple[int, int]]:
    """Where values stand in ``text`` that what is before them calls secrets."""
    lower = _lowered(text)
    for core, claim in _CORES:
        if core in lower:
            yield from _assigned(text, lower, core, claim)
    if "://" in text:
        yield from _in_addresses(text)
    if "authorization" in lower or "bearer" in lower:
        yield from _in_headers(text, lower)
    if "curl" in lower or "--user" in lower:
        yield from (match.span(1) for match in _USER.finditer(text))
    if "cookie:" in lower:
        yield from _in_cookies(text, lower)


def claim_of(name: str) -> Claim | None:
    """What the key ``name`` of a JSON object says of its value."""
    if len(name) > 100:
        return None
    folded = _folded(name)
    if _NAMED_SECRETS.fullmatch(folded):
        return Claim.STRONG
    return Claim.WEAK if _NAMED_WEAK.fullmatch(folded) else None


def _lowered(text: str) -> str:
    """In lower case, every character at its old place (one of Turkish becomes two)."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.replace("\u0130", "I").lower()


def _folded(name: str) -> str:
    """``clientSecret`` as ``client_secret``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _assigned(text: str, lower: str, core: str, claim: Claim) -> Iterator[tuple[int, int]]:
    for match in _NAMES[core].finditer(lower):
        start = match.start()
        if core == "key" and not _locks(lower, start):
            continue
        sure = claim
        if match["tail"] and not _TAIL.fullmatch(match["tail"]):
            # ``token_count``, ``password_field``, ``secretary``: about a secret, if at all.
            sure = Claim.WEAK
        group = "quoted" if match["quoted"] is not None else "plain"
        first, last = match.span(group)
        between = lower[match.end("tail") : first]
        if not between.strip("\\\"'` \t)]") and not (
            between.startswith((" ", "\t")) and _is_option(text, start)
        ):
            continue
        place = Place.QUOTED
        if group == "plain":
            if "," in between:
                continue
            last = _trimmed(text, first, last)
            place = _place(text, start, first, last)
        if can_be_secret(text[first:last], sure, place):
            yield first, last
    if core in {"secret", "token", "password", "key"}:
        yield from _near(text, lower, core)


def _locks(lower: str, start: int) -> bool:
    """Whether the ``key`` at ``start`` locks something."""
    return lower[max(0, start - 18) : start].rstrip("_-. ").endswith(_KEY_OF)


def _is_option(text: str, core: int) -> bool:
    """Whether the name whose core stands at ``core`` is an option of a command: ``--password hunter2``."""
    return _OPTION.search(text[max(0, core - 40) : core]) is not None


def _trimmed(text: str, first: int, last: int) -> int:
    """Without the full stop that ends a sentence, or a colon that goes on."""
    while last > first and text[last - 1] in ".:":
        last -= 1
    return last


def _place(text: str, name: int, first: int, last: int) -> Place:
    """Where an unquoted value stands whose name has its core at ``name``."""
    line = text.rfind("\n", max(0, name - 200), name) + 1 or max(0, name - 200)
    before, between, after = text[line:name], text[name:first], text[last : last + 40]
    if between.endswith(">") and after.startswith("</"):
        return Place.QUOTED
    if between.endswith("=") and not between[-2:-1].isspace() and _JOINED.match(after):
        # ``host=db password=hunter2``: settings on a line, also options, or between ``;`` or ``&``; but no call: ``f(password=x)``.
        word = before.split()[-1] if before and not before[-1].isspace() else ""
        if _JOINED_NAME.fullmatch(word):
            return (
                Place.SETTING if _ALONE.match(text, last) and _LINE_START.fullmatch(before) else Place.QUOTED
            )
    if between[-1:].isspace() and between[:-1].strip("_-").isalnum() and _is_option(text, name):
        return Place.QUOTED
    if not _ALONE.match(text, last) or not _LINE_START.fullmatch(before) or "=" in between[:-1]:
        return Place.CODE
    return Place.SETTING if between.endswith("=") else Place.QUOTED


def _near(text: str, lower: str, core: str) -> Iterator[tuple[int, int]]:
    """Random runs close behind a name, on the same line: ``the API key is 9f8…``."""
    start = lower.find(core)
    while start >= 0:
        stop = start + len(core)
        if core != "key" or _locks(lower, start):
            end = text.find("\n", stop, stop + _WINDOW)
            for run in _PROSE.finditer(text, stop, stop + 512):
                if run.start() > (end if end >= 0 else stop + _WINDOW):
                    break
                if is_random_run(run[0]):
                    yield run.span()
        start = lower.find(core, stop)


def _in_addresses(text: str) -> Iterator[tuple[int, int]]:
    for match in _URL.finditer(text):
        value = match[1]
        if not _NO_PASSWORD.match(value):
            yield match.span(1)
    for match in _URL_TOKEN.finditer(text):
        if is_random(match[1]):
            yield match.span(1)


def _in_headers(text: str, lower: str) -> Iterator[tuple[int, int]]:
    for match in _HEADER.finditer(lower):
        first, last = match.span("value")
        value = text[first:last]
        # One word of prose ("bearer authentication") or of code is none.
        if len(value) >= SHORTEST and (
            is_random(value) or (re.search(r"\d", value) and not re.fullmatch(r"[\w]+\.[\w.]+", value))
        ):
            yield first, last


def _in_cookies(text: str, lower: str) -> Iterator[tuple[int, int]]:
    for match in _COOKIE.finditer(lower):
        for crumb in _CRUMB.finditer(text, match.start(1), match.end(1)):
            if is_random(crumb[1]):
                yield crumb.span(1)
