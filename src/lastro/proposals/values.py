"""Times and sizes as people write them in policies and options: ``30m``, ``2GiB``. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_MOST_BYTES: Final = 2**53
"""What every reader of JSON counts exactly."""
_MOST_SECONDS: Final = 100 * 366 * 86_400
"""A hundred years, which in nanoseconds still fits 64 bits after any date."""

_NUMBER_UNIT: Final = re.compile(r"\s*([0-9]{1,16}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)\s*", re.ASCII)


def to_seconds(written: str | int) -> int:
    """Seconds: a whole number of them, or text such as ``90s``, ``30m``, ``1.5h``, ``2d``, ``1w``, ``1h 30m``.

    Raises:
        ValueError: it is none, nothing, or longer than anybody waits.
    """
    if isinstance(written, int):
        return _bounded(Decimal(written), most=_MOST_SECONDS)
    parts = (
        re.findall(r"[0-9.]+\s*[A-Za-z]+", written) if re.search(r"[A-Za-z]\s*[0-9]", written) else [written]
    )
    if "".join("".join(parts).split()) != "".join(written.split()):
        raise ValueError(written)
    return _bounded(sum((_measure(part, _SECONDS) for part in parts), Decimal(0)), most=_MOST_SECONDS)


def to_bytes_count(written: str | int) -> int:
    """Bytes: a whole number of them, or text such as ``512MiB`` (1024s) or ``2GB`` (1000s).

    Raises:
        ValueError: it is none, nothing, or larger than any disk.
    """
    if isinstance(written, int):
        return _bounded(Decimal(written), most=_MOST_BYTES)
    return _bounded(_measure(written, _BYTES), most=_MOST_BYTES)


def written_seconds(seconds: int) -> str:
    """``seconds`` in the largest unit that divides them: what ``to_seconds`` reads again."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def written_bytes(count: int) -> str:
    """``count`` in the largest binary unit that divides it: what ``to_bytes_count`` reads again."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit.lower()] == 0:
            return f"{count // _BYTES[unit.lower()]}{unit}"
    return f"{count}B"


def written_money(micro: int) -> str:
    """Millionths of a dollar as dollars: ``2.00``."""
    whole, rest = divmod(micro, 1_000_000)
    return f"{whole}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def _measure(text: str, units: dict[str, int]) -> Decimal:
    found = _NUMBER_UNIT.fullmatch(text)
    if found is None or found[2].lower() not in units:
        raise ValueError(text)
    return Decimal(found[1]) * units[found[2].lower()]


def _bounded(amount: Decimal, *, most: int) -> int:
    if amount != int(amount) or not 1 <= amount <= most:
        raise ValueError(str(amount))
    return int(amount)
