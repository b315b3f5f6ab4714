"""Takes secrets out of a request on its way to a provider, and gives back what puts them into its tool calls again.

What always holds: every byte that is no secret stays as it is; the outcome is what a second pass would leave alone; what was looked at
before is not looked at again (a conversation comes whole with every call); whatever goes wrong, and whatever takes too long, is a
``RedactionError``, and nothing is sent.

Looked at are all strings of the JSON, keys as well as values, and JSON inside them. Left alone are: the model's name (it is sent in any
case), whole strings that are a picture, a sound or a PDF in base64, and a provider's own sealed bytes (``signature``,
``encrypted_content``, if base64 from end to end): known values are looked for even there. Not found: a secret that is split over two
strings, one that is a number, one inside a picture, one in an encoding other than those that ``known`` lists, one without a form, a name or
a neighbour that gives it away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from lastro.domain.clock import Clock
from lastro.gateway.redaction.detecting import Detector, apply
from lastro.gateway.redaction.errors import RedactionError
from lastro.gateway.redaction.json_text import Offsets, check_json, decode_string
from lastro.gateway.redaction.known import KnownValues
from lastro.gateway.redaction.memory import Memory
from lastro.gateway.redaction.placeholders import Placeholders, masked
from lastro.gateway.redaction.restoring import restore, restored_string
from lastro.messages import N_

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a request."""
LONGEST_S: Final = 5.0
"""Looking through one request may take this long; a request of 64 MiB that was never seen takes less."""
_INSIDE: Final = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
# One or two strings at once: a key with the string that is its value is one thing to remember.
_PAIR: Final = re.compile(_INSIDE + rb"(?:[ \t\r\n]*:[ \t\r\n]*" + _INSIDE + rb")?", re.DOTALL)
_WHOLE_PAIR: Final = re.compile(_PAIR.pattern.decode(), re.DOTALL)
_SHORT: Final = 64
_CLEAN: Final = True


class _Asked(Struct):
    model: object = None


class _Rewritten(NamedTuple):
    """A pair of strings without its secrets."""

    raw: bytes
    secrets: tuple[tuple[str, str], ...]
    exceptions: tuple[tuple[str, str], ...]


class RedactedRequest:
    """Implements ``collaborators.Redacted``. Never shows its secrets."""

    __slots__ = ("_exceptions", "_secrets", "body")

    def __init__(self, body: bytes, secrets: dict[str, str], exceptions: dict[str, str]) -> None:
        self.body = body
        self._secrets = secrets
        self._exceptions = exceptions

    @property
    def count(self) -> int:
        """How many different secrets were replaced."""
        return len(self._secrets)

    def restore(self, text: str) -> str:
        """See ``collaborators.Redacted``."""
        return restore(text, self._secrets, self._exceptions) if self._secrets else text


class Redactor:
    """Implements ``collaborators.Redactor``.

    ``key``: 32 random bytes of this installation, kept secret; ``sources`` are asked for the known values before each request and return
    the same object while nothing changed (``KnownFiles.values``, ``CredentialStore.all_values``); they may raise ``RedactionError``.
    """

    def __init__(
        self,
        key: bytes,
        *,
        sources: Sequence[Callable[[], frozenset[str]]],
        clock: Clock,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._placeholders = Placeholders(key)
        self._sources = tuple(sources)
        self._clock = clock
        self._longest_ns = int(longest_s * 1_000_000_000)
        self._deadline = 0
        self._values: list[frozenset[str]] = []
        self._detector = Detector(KnownValues(()), self._placeholders, self._check_time)
        self._short: Memory[bool] = Memory()
        self._long: Memory[bool] = Memory()
        self._rewritten: Memory[_Rewritten] = Memory()

    def redact(self, body: bytes) -> RedactedRequest:
        """See ``collaborators.Redactor``.

        Raises:
            RedactionError: it is no JSON, too large, took too long, or a detector failed.
        """
        if len(body) > LARGEST:
            raise RedactionError(N_("The request is too large to be searched for secrets."))
        self._deadline = self._clock.monotonic_ns() + self._longest_ns
        try:
            return self._redact(body)
        except RedactionError:
            raise
        except Exception:  # noqa: BLE001  whatever it is, nothing may be sent, and its text may hold what was read
            failed = RedactionError(
                N_("Searching the request for secrets failed; it was not sent."), hint=_HINT
            )
        raise failed

    def _redact(self, body: bytes) -> RedactedRequest:
        self._learn()
        model = _model_of(body)
        secrets: dict[str, str] = {}
        exceptions: dict[str, str] = {}
        parts: list[bytes] = []
        end = 0
        short, long = self._short, self._long
        for match in _PAIR.finditer(body):
            raw = match[0]
            if (short.get(raw) if len(raw) <= _SHORT else long.get(_digest(raw))) is not None:
                continue
            rewritten = self._rewrite(raw, model)
            if rewritten is None:
                continue
            parts += (body[end : match.start()], rewritten.raw)
            end = match.end()
            exceptions.update(rewritten.exceptions)
            for placeholder, secret in rewritten.secrets:
                if secrets.setdefault(placeholder, secret) != secret:
                    raise RedactionError(N_("Two secrets have the same placeholder."))
        return RedactedRequest(b"".join((*parts, body[end:])) if parts else body, secrets, exceptions)

    def _learn(self) -> None:
        values = [source() for source in self._sources]
        if len(values) == len(self._values) and all(
            a is b for a, b in zip(values, self._values, strict=True)
        ):
            return
        self._detector = Detector(
            KnownValues(frozenset().union(*values)), self._placeholders, self._check_time
        )
        self._values = values
        for memory in (self._short, self._long, self._rewritten):
            memory.forget()

    def _rewrite(self, raw: bytes, model: str) -> _Rewritten | None:
        """A pair that is not known to be clean; ``None`` if it is."""
        self._check_time()
        mark = raw if len(raw) <= _SHORT else _digest(raw)
        known = self._rewritten.get(mark)
        if known is not None:
            return known
        match = _WHOLE_PAIR.fullmatch(raw.decode("utf-8"))
        assert match is not None  # it matched as bytes
        first, secrets, exceptions = self._alone(match[1])
        rewritten = match[0][: match.start(1)] + first
        if match[2] is None:
            rewritten += match[0][match.end(1) :]
        else:
            name = masked(decode_string(first))
            if name == "model" and decode_string(match[2]) == model:
                if not secrets:
                    return None  # not remembered: it is clean only in a request for this model
                second: str = match[2]
            else:
                second, more, further = self._string(match[2], name)
                secrets, exceptions = secrets + more, exceptions + further
            rewritten += match[0][match.end(1) : match.start(2)] + second + match[0][match.end(2) :]
        if not secrets:
            (self._short if len(raw) <= _SHORT else self._long).put(mark, _CLEAN, len(mark))
            return None
        result = _Rewritten(rewritten.encode(), secrets, exceptions)
        self._rewritten.put(mark, result, 3 * len(raw))
        return result

    def _alone(self, raw: str) -> tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """As ``_string`` for one that is nobody's value: of keys there are few, and each comes often."""
        mark = b'"%s"' % raw.encode()
        if len(mark) <= _SHORT and self._short.get(mark) is not None:
            return raw, (), ()
        result = self._string(raw, "")
        if not result[1] and len(mark) <= _SHORT:
            self._short.put(mark, _CLEAN, len(mark))
        return result

    def _string(
        self, raw: str, name: str
    ) -> tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """One string between its quotation marks without its secrets; they; and itself, if placeholders alone do not give it back."""
        text = decode_string(raw)
        pieces = self._detector.replaced(text, name)
        if not pieces:
            return raw, (), ()
        offsets = Offsets(raw)
        placed = [
            piece._replace(start=offsets.raw(piece.start), end=offsets.raw(piece.end)) for piece in pieces
        ]
        secrets = tuple((piece.placeholder, piece.secret) for piece in pieces)
        clean = apply(text, pieces)
        exceptions = () if restored_string(clean, dict(secrets)) == text else ((clean, text),)
        return apply(raw, placed), secrets, exceptions

    def _check_time(self) -> None:
        if self._clock.monotonic_ns() > self._deadline:
            raise RedactionError(
                N_("Searching the request for secrets took too long; it was not sent."), hint=_HINT
            )


_HINT: Final = N_(
    "Send less at once, or switch redaction off for a route that may see everything (gateway.toml)."
)


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16).digest()


def _model_of(body: bytes) -> str:
    """The name of the model; makes sure that ``body`` is JSON in UTF-8."""
    try:
        body.decode("utf-8")
        try:
            model = msgspec.json.decode(body, type=_Asked).model
        except msgspec.DecodeError:
            check_json(body)
            return ""
    except (ValueError, RecursionError):
        refused = RedactionError(
            N_("The request is not JSON, so it cannot be searched for secrets."), hint=_HINT
        )
        raise refused from None
    return model if isinstance(model, str) else ""
