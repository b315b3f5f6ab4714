"""What an agent said, read again from its run's directory, as its adapter understands it. While it goes on, too.

What always holds: of everything at most the newest ``MOST_BYTES`` are read, and no link is followed; a text is bounded, can steer no
terminal, and is data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lastro.agents.adapters.adapter import Said
from lastro.agents.hearing import LONGEST_TOLD, shown
from lastro.agents.output import Lines
from lastro.domain.paths import to_bytes

MOST_BYTES: Final = 1024 * 1024
_SILENT: Final = frozenset({"session", "usage"})
"""Kinds that are nothing that was said."""

Parse = Callable[[bytes], Iterable[Said]]


class Spoken(Struct, frozen=True):
    """One thing that was said. Of a text that came in pieces it is the whole, at the time of the first."""

    time_ns: int
    said: Said


def read_transcript(output: str, parse: Parse) -> tuple[list[Spoken], bool]:
    """What ``output`` (``RunPlaces.output``) holds, oldest first, and whether something before it is not in it."""
    content, whole = _newest(output)
    streams: dict[str, Lines] = {}
    spoken: list[Spoken] = []
    last_ns = 0
    for time_ns, stream, data in _pieces(content):
        last_ns = time_ns
        for line in streams.setdefault(stream, Lines()).feed(data):
            _take(spoken, time_ns, parse(line))
    for lines in streams.values():
        for line in lines.end():
            _take(spoken, last_ns, parse(line))
    return [one for one in spoken if one.said.text.strip()], not whole


def _newest(output: str) -> tuple[bytes, bool]:
    """The newest bytes, and whether they are all there ever were. See ``output.OutputFile`` for which file is which."""
    parts: list[bytes] = []
    room, whole = MOST_BYTES, True
    for path in (f"{output}.1", f"{output}.0", output):
        content, all_of_it = _end_of(path, room)
        parts.append(content)
        room -= len(content)
        whole = whole and all_of_it
    return b"".join(reversed(parts)), whole


def _end_of(path: str, room: int) -> tuple[bytes, bool]:
    """The last ``room`` bytes of a file at most, and whether that is all of it."""
    try:
        file = os.fdopen(os.open(to_bytes(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        return b"", True
    with file:
        begin = max(0, os.fstat(file.fileno()).st_size - room)
        file.seek(begin)
        return file.read(room), not begin


def _pieces(content: bytes) -> Iterator[tuple[int, str, bytes]]:
    for line in content.split(b"\n"):
        try:
            piece = json.loads(line)
            yield int(piece["time_ns"]), str(piece["stream"]), to_bytes(piece["text"])
        except (ValueError, TypeError, LookupError):  # being written, or cut
            continue


def _take(spoken: list[Spoken], time_ns: int, heard: Iterable[Said]) -> None:
    for said in heard:
        if said.kind in _SILENT:
            continue
        last = spoken[-1] if spoken else None
        goes_on = (
            said.kind == "text" and said.name == "delta" and last is not None and last.said.name == "delta"
        )
        text = (last.said.text if last is not None and goes_on else "") + shown(said.text)
        one = replace(said, text=text[:LONGEST_TOLD], name=shown(said.name)[:200])
        if last is not None and goes_on:
            spoken[-1] = Spoken(last.time_ns, one)
        else:
            spoken.append(Spoken(time_ns, one))
