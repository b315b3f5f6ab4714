"""How a value looks: whether what stands beside a name like ``password`` can be a secret, or is code, a word, a reference.

What always holds: a pure function of the value and its surroundings. Commit ids, UUIDs, versions, paths, addresses, words and references
to variables are no secrets by their looks; what a strong name (``password``) introduces needs less of a proof than what a weak one
(``token``) does.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from enum import Enum
from itertools import pairwise
from typing import Final


class Claim(Enum):
    """How sure a name is that its value is a secret."""

    STRONG = "strong"
    """``password``, ``client_secret``, ``api_key``."""
    WEAK = "weak"
    """``token``, ``auth``, ``secret`` in prose: often something else."""


class Place(Enum):
    """Where the value stands."""

    QUOTED = "quoted"
    """Between quotation marks, or the whole value of a JSON key."""
    SETTING = "setting"
    """Unquoted in a file of settings: ``NAME=value`` or ``name: value`` to the end of the line."""
    CODE = "code"
    """Unquoted anywhere else."""


SHORTEST: Final = 6
LONGEST: Final = 1024
_SHORTEST_WEAK: Final = 16
_SHORTEST_RANDOM: Final = 20
_TRIVIAL: Final = frozenset(
    {
        "null",
        "none",
        "nil",
        "true",
        "false",
        "undefined",
        "required",
        "optional",
        "string",
        "str",
        "bytes",
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "example",
        "changeme",
        "change_me",
        "hidden",
        "redacted",
        "masked",
        "removed",
        "unknown",
        "default",
        "disabled",
        "enabled",
        "invalid",
        "missing",
        "empty",
        "user",
        "username",
        "bearer",
        "basic",
        "oauth",
        "oauth2",
        "api_key",
        "your_password",
        "yourpassword",
        "mypassword",
        "my_password",
        "test",
        "testing",
        "password1",
        "placeholder",
    }
)
_REFERENCE: Final = re.compile(
    r"[$%]?\{|\$[A-Za-z_(]|%\(|%[sdv]$|<[A-Za-z_ /\-]|@[A-Za-z]+\(|!\w|(?:os|process|env|self|this|cls|config|settings|args|options|params|"
    r"ctx|secrets|vars?|data|credentials|request|response)[.\[]|https?://[^:@]*$|file:|arn:|projects/|/(?:run|etc|var|home|usr|tmp|mnt)/|"
    r"\.{1,2}/|~/|/[\w.\-]+/|sha(?:1|256|384|512)[:\-]|md5:|vault:|op://|ssm:|env:"
)
_CALL: Final = re.compile(r"[A-Za-z_][\w.]*[(\[{]")
_WORDS: Final = re.compile(r"[A-Za-z]+(?:[_\-./: ]+[A-Za-z]+)*[_\-./:,;]*")
_DOTTED: Final = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SNAKE: Final = re.compile(r"[A-Za-z]+\d{0,3}(?:[_\-.][A-Za-z]*\d{0,3})+")
_NUMBER: Final = re.compile(r"[+\-]?[\d.,:_/\-]+[a-zA-Z%]{0,3}")
_HASH: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}|[0-9a-f]{7,12}",
    re.IGNORECASE,
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_RANDOM: Final = re.compile(r"[A-Za-z0-9+/=_\-.~]+")
_SEPARATORS: Final = re.compile(r"[_\-./+=~]+")
_DIGITS: Final = re.compile(r"\d+")
_PATH: Final = re.compile(r"[./]")
_TEMPLATE: Final = re.compile(r"\{[A-Za-z_][\w.]{0,60}\}")
_ONE_CHARACTER: Final = re.compile(r"(.)\1*=*|[x*.•#\-_]+", re.IGNORECASE)
_MATERIAL: Final = re.compile(r"[A-Za-z0-9+/=_\-]{40,}")


def can_be_secret(value: str, claim: Claim, place: Place) -> bool:
    """Whether ``value`` can be what a name of that ``claim`` promises."""
    if not SHORTEST <= len(value) <= LONGEST or _is_reference(value):
        return False
    if claim is Claim.WEAK:
        return len(value) >= _SHORTEST_WEAK and is_random(value) and not _UUID.fullmatch(value)
    if _NUMBER.fullmatch(value):
        return place is not Place.CODE and value.isdigit()
    if _is_name(value, place):
        # Letters alone are believed in a file of settings, where nothing else is meant; elsewhere if no word has such letters.
        return (place is Place.SETTING and value.isalpha()) or is_random(value)
    return _classes(value) >= 2


def _is_reference(value: str) -> bool:
    """Whether ``value`` stands for a secret and is none: a variable, a call, stars, a sentence."""
    return (
        value.lower() in _TRIVIAL
        or any(c.isspace() for c in value)
        or _ONE_CHARACTER.fullmatch(value) is not None
        or _REFERENCE.match(value) is not None
        or _TEMPLATE.search(value) is not None
        or _CALL.match(value) is not None
    )


def _is_name(value: str, place: Place) -> bool:
    """Whether ``value`` is words or what programs call things."""
    return any(
        form.fullmatch(value)
        for form in (_WORDS, _DOTTED, _SNAKE, *((_IDENTIFIER,) if place is Place.CODE else ()))
    )


def is_random(value: str) -> bool:
    """Whether ``value`` looks drawn at random: characters of base64, base62 or hexadecimal, many different ones, in no order of words."""
    if len(value) < _SHORTEST_WEAK or not _RANDOM.fullmatch(value):
        return False
    bits = entropy(value)
    if _HEX.fullmatch(value):
        return bits >= 3.0 and not value.isdigit() and not value.isalpha()
    # Words with numbers in them have few numbers, and change from one kind of character to another rarely.
    letters = _SEPARATORS.sub("", value)
    numbers = len(_DIGITS.findall(letters)) if len(letters) < 32 else sum(c.isdigit() for c in letters)
    mixed = letters.lower() != letters != letters.upper()
    if numbers < 2 or bits < 3.3 + 0.4 * (len(value) >= 32) or (not mixed and _PATH.search(value)):
        return False
    return _changes(letters) * (3 if mixed else 4) >= len(letters)


def is_random_run(value: str) -> bool:
    """As ``is_random``, for what stands in prose near a name and not beside it: hashes and UUIDs are taken for what they are."""
    return (
        len(value) >= _SHORTEST_RANDOM
        and not _HASH.fullmatch(value)
        and not _UUID.fullmatch(value)
        and any(c.isdigit() for c in value)
        and any(c.isalpha() for c in value)
        and not _NUMBER.fullmatch(value)
        and not _REFERENCE.match(value)
        and value.count("/") * 12 < len(value)
        and is_random(value)
    )


def is_opaque(value: str) -> bool:
    """Whether ``value`` is base64 from end to end, and long: a provider's own sealed bytes, if a key says that it is."""
    return len(value) >= 40 and _MATERIAL.fullmatch(value) is not None


def entropy(value: str) -> float:
    """Shannon's, bits for each character."""
    length = len(value)
    return -sum(count / length * math.log2(count / length) for count in Counter(value).values())


def _classes(value: str) -> int:
    """How many of: lower case, upper case, digits, anything else."""
    return (
        any(c.islower() for c in value)
        + any(c.isupper() for c in value)
        + any(c.isdigit() for c in value)
        + any(not c.isalnum() and c not in "_-./:," for c in value)
    )


def _changes(value: str) -> int:
    """How often the kind of character changes (lower case, upper case, digit, other)."""
    kinds = [1 if c.islower() else 2 if c.isupper() else 3 if c.isdigit() else 4 for c in value]
    return sum(a != b for a, b in pairwise(kinds))
