"""Private keys in text: PEM, OpenSSH, PGP and PuTTY blocks. Their first and last line stay, so that a reader sees what was there.

Quoted ones are found as well (with escapes between their lines, as in a string of some language), and those whose end was cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_LARGEST: Final = 65_536
_SMALLEST_LINE: Final = 24
_BODY: Final = re.compile(r"(?:[A-Za-z0-9+/=\s:,.\-\"'|;]|\\[nrt])*")
_LINE: Final = re.compile(rf"[A-Za-z0-9+/=]{{{_SMALLEST_LINE},}}")
_PUTTY: Final = re.compile(r"Private-Lines: \d{1,4}(?:\s|\\[nr]){1,4}([A-Za-z0-9+/=\s\\]{1,65536})")


def find_private_keys(text: str) -> Iterator[tuple[int, int]]:
    """Where the bodies of private keys stand in ``text``."""
    if "PRIVATE KEY" in text:
        # Each up to the next one at most, so that a text full of first lines is read once and not once for each.
        begins = list(_BEGIN.finditer(text))
        for place, begin in enumerate(begins):
            following = begins[place + 1].start() if place + 1 < len(begins) else len(text)
            yield from _body(text, begin.end(), min(following, begin.end() + _LARGEST))
    if "Private-Lines: " in text:
        for match in _PUTTY.finditer(text):
            yield match.span(1)


def _body(text: str, start: int, limit: int) -> Iterator[tuple[int, int]]:
    end = _END.search(text, start, limit)
    if end is not None and _BODY.fullmatch(text, start, end.start()):
        stop = end.start()
    else:
        body = _BODY.match(text, start, end.start() if end is not None else limit)
        assert body is not None  # it may be empty, but always matches
        stop = body.end()
        # What is between the two lines and no key (a program that builds one): its long lines alone.
        if end is not None:
            yield from (line.span() for line in _LINE.finditer(text, stop, end.start()))
    if _LINE.search(text, start, stop):
        first, last = start, stop
        # The line breaks around it stay.
        while first < last and text[first] in " \t\r\n":
            first += 1
        while last > first and text[last - 1] in " \t\r\n":
            last -= 1
        yield first, last
