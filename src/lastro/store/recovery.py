"""The secrets people hold, as text: the key file, and the recovery key that is printed and typed back years later.

What always holds: a mistyped recovery key is recognised before anything is tried, and the wrong group is named; case,
spaces and dashes never matter, and letters that look alike count as one. See ``docs/format.md`` (Secrets).
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3
from msgspec import Struct

from lastro.errors import WrongKeyError
from lastro.messages import N_

SECRET_SIZE: Final = 32
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)} | {"I": 1, "L": 1, "O": 0}
_GROUPS: Final = 14
_GROUP: Final = 5
_WEIGHTS: Final = (1, 3, 5, 7)  # odd, so that no single wrong character leaves the sum as it was
_FILE_TAG: Final = "lastro-key-0"


class KeyFile(Struct, frozen=True):
    """The content of a key file."""

    content: bytes


class RecoveryKey(Struct, frozen=True):
    """A recovery key as somebody typed it; case, spaces and dashes do not matter."""

    text: str


Secret = KeyFile | RecoveryKey


def print_recovery_key(secret: bytes) -> str:
    """``secret`` (32 bytes) as 14 groups of 5 characters: 13 of content and one that checks them all; the fifth checks its group."""
    number = int.from_bytes(secret, "big") << 4
    values = [(number >> shift) & 31 for shift in range(255, -1, -5)]
    summary = int.from_bytes(blake3(b"lastro-recovery-0" + secret).digest(3), "big")
    values += [(summary >> shift) & 31 for shift in (15, 10, 5, 0)]
    groups = [values[start : start + 4] for start in range(0, len(values), 4)]
    return "-".join(
        "".join(_ALPHABET[value] for value in (*group, _check(index, group)))
        for index, group in enumerate(groups)
    )


def parse_recovery_key(text: str) -> bytes:
    """The 32 bytes behind a typed recovery key.

    Raises:
        WrongKeyError: it is mistyped; the message says where.
    """
    letters = [
        character
        for character in text.upper()
        if not character.isspace() and character not in "-\u2013\u2014_.,"
    ]
    for position, character in enumerate(letters):
        if character not in _VALUES:
            raise _mistyped(position // _GROUP + 1, "".join(letters[position // _GROUP * _GROUP :][:_GROUP]))
    for index in range(min(_GROUPS, len(letters) // _GROUP)):
        group = [_VALUES[character] for character in letters[index * _GROUP : (index + 1) * _GROUP]]
        if group[4] != _check(index, group[:4]):
            raise _mistyped(index + 1, "".join(letters[index * _GROUP : (index + 1) * _GROUP]))
    if len(letters) != _GROUPS * _GROUP:
        raise WrongKeyError(
            N_("The recovery key has {found} characters instead of {expected}."),
            hint=N_("It is {groups} groups of {size} characters. Case, spaces and dashes do not matter."),
            found=len(letters),
            expected=_GROUPS * _GROUP,
            groups=_GROUPS,
            size=_GROUP,
        )
    secret = _secret_in(letters)
    if [_VALUES.get(character) for character in letters] != [
        _VALUES[character] for character in print_recovery_key(secret).replace("-", "")
    ]:
        raise WrongKeyError(
            N_("The recovery key is mistyped in a way that leaves every group right by itself."),
            hint=N_(
                "Compare it again with the printed one: two groups or two characters may have changed places."
            ),
        )
    return secret


def _secret_in(letters: list[str]) -> bytes:
    number = 0
    for position, character in enumerate(letters[: (_GROUPS - 1) * _GROUP]):
        if position % _GROUP != 4:
            number = number << 5 | _VALUES[character]
    return (number >> 4).to_bytes(SECRET_SIZE, "big")


def _check(index: int, group: list[int]) -> int:
    return (index + 1 + sum(weight * value for weight, value in zip(_WEIGHTS, group, strict=True))) % 32


def _mistyped(group: int, text: str) -> WrongKeyError:
    return WrongKeyError(
        N_("Group {group} of the recovery key is mistyped: {text}"),
        hint=N_(
            "Look at that group again. Case, spaces and dashes do not matter, and the letters I, L, O, U are never used."
        ),
        group=group,
        text=text,
    )


def print_key_file(repository: str, secret: bytes) -> bytes:
    """The content of a key file: to be saved with mode 0600, outside the repository."""
    line = f"{_FILE_TAG} {repository} {secret.hex()}"
    check = blake3(line.encode()).hexdigest()[:16]
    return f"# Lastro key file. Whoever holds it can read the repository; keep it away from there.\n{line} {check}\n".encode()


def parse_key_file(content: bytes) -> tuple[str, bytes]:
    """The repository's id and the 32 secret bytes in a key file.

    Raises:
        WrongKeyError: this is no key file, or it is damaged.
    """
    for line in content.splitlines():
        body, _, check = line.strip().rpartition(b" ")
        fields = body.split(b" ")
        if (
            len(fields) == 3
            and fields[0] == _FILE_TAG.encode()
            and blake3(body).hexdigest()[:16].encode() == check
        ):
            return fields[1].decode(), bytes.fromhex(fields[2].decode())
    raise WrongKeyError(
        N_("This is no key file, or it is damaged."),
        hint=N_("Use another copy of the key file, or the recovery key from the recovery kit."),
    )
