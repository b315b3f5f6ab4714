"""References: what people type to name a path at an instant, ``SERVER[:PATH][@AT]`` (``docs/reference/cli.md``). Pure.

    web-01:/etc/nginx@2d     a server's path, two days ago        ./notes.txt        a path of this machine
    web-01@apply-7^          the state before apply 7             local:README.md    relative to any root where that is unambiguous

An argument that starts with ``/``, ``./``, ``../`` or ``~/`` (or is ``.``, ``..``, ``~``) is a path of ``local``, which is this machine.
``AT`` is what follows the last ``@`` if all of it reads as a time, as ``now``, or as an id; otherwise the ``@`` belongs to the path.
What always holds: any text is a ``Reference`` or a ``UsageError``, and every instant fits 64 bits.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Final

from msgspec import Struct

from lastro.domain.ids import LOCAL
from lastro.domain.paths import is_faithful
from lastro.errors import UsageError
from lastro.messages import N_


class AtTime(Struct, frozen=True, tag="time"):
    """The newest state not after ``time_ns`` (nanoseconds since 1970, UTC; 64 bits, signed)."""

    time_ns: int


class AtNow(Struct, frozen=True, tag="now"):
    """The live state of the machine, not a recorded one."""


class AtId(Struct, frozen=True, tag="id"):
    """The state that a snapshot recorded or an apply left; with ``before``, the state before it."""

    kind: str
    number: int
    before: bool


At = AtTime | AtNow | AtId


class Reference(Struct, frozen=True, kw_only=True):
    """A path (``""``: all of the server) of a server, at an instant (``None``: the newest recorded state)."""

    server: str
    path: str
    at: At | None


ID_KINDS: Final = ("snap", "apply")
_ID = re.compile(rf"({'|'.join(ID_KINDS)})-([1-9][0-9]{{0,17}})(\^?)\Z")
_AGO = re.compile(r"([0-9]{1,9})([smhdw])\Z")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?\Z")
_DATED = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|([+-])([0-9]{2}):?([0-5][0-9]))?)?\Z"
)
_SECOND: Final = 1_000_000_000
_LIMIT_NS: Final = 1 << 63
_DAYS_BACK: Final = 4
"""How far back a clock time is looked for: it may lie in an hour, or once in a zone's life in a day, that was skipped."""
_LOCAL_PREFIXES = ("/", "./", "../", "~/")
_LOCAL_NAMES = frozenset({"", ".", "..", "~"})
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


def is_server_name(name: str) -> bool:
    """Whether ``name`` can name a server: letters, digits, ``.``, ``_``, ``-``, at most 63, starting with a letter or digit."""
    return _SERVER_NAME.match(name) is not None


def parse_at(text: str, *, now_ns: int, zone: tzinfo) -> At | None:
    """What ``text`` means as an instant, or ``None`` if it reads as none (or lies outside the years 1677 to 2262).

    A clock time is the last one that has passed, in ``zone``; a date alone is its first instant. A time that a clock showed twice is the
    first of the two, but for a clock time alone.
    """
    if text == "now":
        return AtNow()
    if match := _ID.match(text):
        return AtId(match[1], int(match[2]), match[3] == "^")
    try:
        time_ns = _read_time(text, now_ns, zone)
    except (ValueError, OverflowError):  # no such date or hour, or none that can be counted
        return None
    return AtTime(time_ns) if time_ns is not None and -_LIMIT_NS <= time_ns < _LIMIT_NS else None


def _read_time(text: str, now_ns: int, zone: tzinfo) -> int | None:
    """Nanoseconds since 1970, of any size.

    Raises:
        ValueError, OverflowError: it looks like a time, and there is none such.
    """
    if match := _AGO.match(text):
        return now_ns - int(match[1]) * _UNIT_SECONDS[match[2]] * _SECOND
    if match := _CLOCK.match(text):
        return _last_passed(time(int(match[1]), int(match[2]), int(match[3] or 0)), now_ns, zone)
    if match := _DATED.match(text):
        day = date(int(match[1]), int(match[2]), int(match[3]))
        clock = time(int(match[4] or 0), int(match[5] or 0), int(match[6] or 0))
        at = datetime.combine(day, clock, _offset(match) if match[8] else zone)
        return int(at.timestamp()) * _SECOND + int((match[7] or "").ljust(9, "0"))
    return None


def _last_passed(clock: time, now_ns: int, zone: tzinfo) -> int | None:
    """The last instant, not after now, at which clocks in ``zone`` showed ``clock``."""
    today = datetime.fromtimestamp(now_ns // _SECOND, zone).date()
    for days in range(_DAYS_BACK):
        wall = datetime.combine(today - timedelta(days=days), clock, zone)
        shown = [at for at in (wall, wall.replace(fold=1)) if _is_real(at)]
        passed = [at_ns for at in shown if (at_ns := int(at.timestamp()) * _SECOND) <= now_ns]
        if passed:
            return max(passed)
    return None


def _is_real(wall: datetime) -> bool:
    """Whether clocks ever showed ``wall``: when they are put forward, they skip an hour."""
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None)


def _offset(match: re.Match[str]) -> tzinfo:
    if match[8] == "Z":
        return UTC
    offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
    return timezone(-offset if match[9] == "-" else offset)


def parse_reference(
    text: str, *, now_ns: int, zone: tzinfo, directory: str, home: str, at: str | None = None
) -> Reference:
    """Read what a person typed. ``directory`` is the current directory, ``home`` the user's; both absolute. ``at`` is ``--at``.

    Raises:
        UsageError: it cannot be read as a reference.
    """
    path, instant = _split(text, at, now_ns=now_ns, zone=zone)
    if not text or not is_faithful(text):
        raise _no_reference(text)
    if path in _LOCAL_NAMES or path.startswith(_LOCAL_PREFIXES):
        return Reference(
            server=LOCAL, path=absolute(path, directory=directory, home=home) if path else "", at=instant
        )
    server, _, rest = path.partition(":")
    if not is_server_name(server):
        raise _no_reference(text)
    return Reference(server=server, path=normal(rest), at=instant)


def _split(text: str, at: str | None, *, now_ns: int, zone: tzinfo) -> tuple[str, At | None]:
    """The path with its server, and the instant."""
    if at is not None:
        instant = parse_at(at, now_ns=now_ns, zone=zone)
        if instant is None:
            raise UsageError(
                N_("This is not a time: {text}"),
                hint=N_("Times look like 2d, 14:05, 2026-11-20T14:05Z, snap-12 or apply-7^."),
                text=at,
            )
        return text, instant
    stem, separator, suffix = text.rpartition("@")
    if separator and (instant := parse_at(suffix, now_ns=now_ns, zone=zone)) is not None:
        return stem, instant
    return text, None


def _no_reference(text: str) -> UsageError:
    return UsageError(
        N_("This is not a reference: {text}"),
        hint=N_("Write SERVER:PATH, or ./PATH for a file of this machine."),
        text=text,
    )


def absolute(path: str, *, directory: str, home: str) -> str:
    """``path`` of this machine as an absolute, normal path. Links in it are not resolved."""
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return normal(path if path.startswith("/") else f"{directory}/{path}")


def normal(path: str) -> str:
    """``path`` without empty, ``.`` and ``..`` components and without a trailing slash; absolute stays absolute."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in {"", "."} and not (part == ".." and path.startswith("/")):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts)
