"""``policy.toml`` and a project's ``.lastro/policy.toml`` read into frozen nouns, strictly (``docs/reference/policy.toml.md``).

What always holds: a key that is not known, a value of a wrong type, a pattern that cannot be used, and in a project's file whatever would
widen the policy are refused, each with file, line, place and what to do; nothing of such a file takes effect. A missing file says nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Final

from lastro.domain.paths import to_bytes
from lastro.domain.policy import (
    Policy,
)
from lastro.errors import ConfigError
from lastro.messages import N_
from lastro.proposals.narrowing import Narrowing, narrow, widenings, without_widenings
from lastro.proposals.policy import DEFAULT_POLICY, POLICY_FILE
from lastro.proposals.policy_reader import PolicyReader, parse
from lastro.proposals.policy_tables import (
    SCHEMAS,
    schema,
)

LARGEST_FILE: Final = 1024 * 1024
"""Bytes of a policy file."""


def load_policy(text: str, origin: str) -> Policy:
    """The policy that ``text`` says, on top of what is built in; ``origin`` is the file, for errors.

    Raises:
        ConfigError: it is no TOML, or says something impossible.
    """
    return PolicyReader(origin, text).policy(parse(text, origin))


def load_narrowing(text: str, origin: str) -> Narrowing:
    """What a project's file says.

    Raises:
        ConfigError: it is no TOML, or says something impossible.
    """
    return PolicyReader(origin, text).narrowing(parse(text, origin))


def narrow_policy(policy: Policy, text: str, origin: str = POLICY_FILE) -> Policy:
    """``policy`` narrowed by the text of a project's file; as it is by an empty one.

    Raises:
        ConfigError: the text is no TOML, says something impossible, or would widen the policy.
    """
    reader = PolicyReader(origin, text)
    narrowing = reader.narrowing(parse(text, origin))
    for widening in widenings(policy, narrowing):
        reader.refuse(widening.place, widening.msgid, widening.hint, **widening.parameters)
    return narrow(policy, narrowing, origin=origin)


def narrow_recorded(policy: Policy, text: str, origin: str = POLICY_FILE) -> Policy:
    """As ``narrow_policy``, for a project's file as a snapshot has it. The keeper's policy may have become narrower since, and nobody can
    correct a snapshot: what would widen the policy of today is left out, and all else of it holds.

    Raises:
        ConfigError: the text is no TOML, or says something impossible.
    """
    return narrow(policy, without_widenings(policy, load_narrowing(text, origin)), origin=origin)


def policy_of(
    text: str, narrowing: str = "", *, origin: str = "policy.toml", narrowing_origin: str = POLICY_FILE
) -> Policy:
    """The effective policy of the texts of the keeper's file and of a project's; either may be empty.

    Raises:
        ConfigError: as ``load_policy`` and ``narrow_policy``.
    """
    return narrow_policy(load_policy(text, origin), narrowing, narrowing_origin)


def read_policy(path: str) -> tuple[Policy, tuple[str, ...]]:
    """The policy in the file ``path``, and the files it was read from: none if there is no such file, so that the built-in one holds.

    Raises:
        ConfigError: it cannot be read, is no TOML, or says something impossible.
    """
    try:
        with open(to_bytes(path), "rb") as file:
            text = decode(file.read(LARGEST_FILE + 1), path)
    except FileNotFoundError:
        return DEFAULT_POLICY, ()
    except OSError as error:
        raise ConfigError(
            N_("{path} cannot be read: {reason}"),
            hint=N_("It has to be a text file in UTF-8 that the keeper's user may read."),
            path=path,
            reason=error.strerror or str(error),
        ) from error
    return load_policy(text, path), (path,)


def decode(raw: bytes, path: str) -> str:
    """The text of a file that was read up to ``LARGEST_FILE`` and one byte.

    Raises:
        ConfigError: it is larger, or no UTF-8.
    """
    if len(raw) > LARGEST_FILE:
        raise ConfigError(
            N_("{path} is larger than {limit} bytes."),
            hint=N_("Is it really a file of Lastro's?"),
            path=path,
            limit=LARGEST_FILE,
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            N_("{path} is no text in UTF-8: {reason}"),
            hint=N_("Write it again as plain text."),
            path=path,
            reason=str(error),
        ) from error


if __name__ == "__main__":
    if sys.argv[1:2] != ["schema"] or not set(sys.argv[2:]) <= set(SCHEMAS):
        sys.exit(f"usage: python -m lastro.proposals.policy_file schema [{'|'.join(SCHEMAS)}]")
    sys.stdout.write(json.dumps(schema(*sys.argv[2:3]), indent=2, ensure_ascii=False) + "\n")
