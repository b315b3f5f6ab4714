"""The reader's clock: times are shown in the terminal's zone, which knows daylight saving of every instant it is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from lastro.faces.translation import gettext as _
from lastro.faces.translation import ngettext

_SECOND = 1_000_000_000


def local_zone(environment: Mapping[str, str], *, offset_s: int) -> tzinfo:
    """The zone of ``TZ``, else of the machine; where neither can be read, the fixed ``offset_s`` seconds east of UTC."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415  only for commands with times

    name = environment.get("TZ", "").removeprefix(":")
    try:
        if name and not name.startswith("/"):
            return ZoneInfo(name)
        with open(name or "/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (OSError, ValueError, KeyError):
        return timezone(timedelta(seconds=offset_s))


def clock_time(time_ns: int, zone: tzinfo) -> str:
    """``2026-11-20 14:05:12``, in ``zone``."""
    return _moment(time_ns, zone).strftime("%Y-%m-%d %H:%M:%S")


def clock_time_with_zone(time_ns: int, zone: tzinfo) -> str:
    """``2026-11-20 14:05:12 -03:00``, in ``zone``."""
    offset = _moment(time_ns, zone).strftime("%z")
    return f"{clock_time(time_ns, zone)} {offset[:3]}:{offset[3:5]}"


def age(time_ns: int, now_ns: int) -> str:
    """How long ago, in words: ``just now``, ``5 min ago``, ``3 days ago``."""
    seconds = (now_ns - time_ns) // _SECOND
    if seconds < -60:  # what this very call did is a little later than its start
        return _("in the future")
    if seconds < 2:
        return _("just now")
    return _("{duration} ago", duration=duration(now_ns - time_ns))


def duration(length_ns: int) -> str:
    """A length of time in its largest fitting unit: ``3 s``, ``5 min``, ``2 h``, ``4 days``."""
    seconds = length_ns // _SECOND
    if seconds < 60:
        return _("{count} s", count=seconds)
    if seconds < 3600:
        return _("{count} min", count=seconds // 60)
    if seconds < 2 * 86_400:
        return _("{count} h", count=seconds // 3600)
    return ngettext("{count} day", "{count} days", seconds // 86_400)


def _moment(time_ns: int, zone: tzinfo) -> datetime:
    try:
        return datetime.fromtimestamp(time_ns // _SECOND, UTC).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
