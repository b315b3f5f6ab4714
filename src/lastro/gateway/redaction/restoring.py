"""Placeholders back into secrets: in JSON text that a model wrote, quoted as deep as it stands.

What always holds: only placeholders of the request itself are replaced; whatever else looks like one stays, and every other byte too. A
secret with line breaks or quotation marks is escaped once for each level of JSON that it stands in, so that the tool gets the secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from lastro.gateway.redaction.detecting import DEEPEST
from lastro.gateway.redaction.json_text import STRING, decode_string, encode_string, is_json
from lastro.gateway.redaction.placeholders import PLACEHOLDER, PREFIX


def restore(text: str, secrets: Mapping[str, str], exceptions: Mapping[str, str]) -> str:
    """``text`` (JSON) with secrets instead of placeholders.

    ``secrets`` maps placeholder to secret. ``exceptions`` maps whole strings to what they were, where that could not be told from the
    placeholders alone (an unusual escape inside JSON inside a string). Text that is no JSON, which a model may write, is taken for the
    inside of one string.
    """
    if PREFIX not in text:
        return text
    if not is_json(text):
        return _with(text, [encode_string(piece) for piece in _pieces(text, secrets, DEEPEST)])

    parts: list[str] = []
    end = 0
    for match in STRING.finditer(text):
        if PREFIX in match[1]:
            parts += (text[end : match.start(1)], _restored(match[1], secrets, exceptions))
            end = match.end(1)
    return "".join((*parts, text[end:]))


def restored_string(text: str, secrets: Mapping[str, str]) -> str:
    """``text``, a decoded string, with secrets instead of placeholders."""
    return _with(text, _pieces(text, secrets, 0))


def _restored(raw: str, secrets: Mapping[str, str], exceptions: Mapping[str, str]) -> str:
    decoded = decode_string(raw)
    if decoded in exceptions:
        return encode_string(exceptions[decoded])
    pieces = _pieces(decoded, secrets, 0)
    if len(pieces) != len(PLACEHOLDER.findall(raw)):
        return encode_string(_with(decoded, pieces))  # a placeholder that is itself written with escapes
    return _with(raw, [_escaped(piece) for piece in pieces])


def _pieces(text: str, secrets: Mapping[str, str], depth: int) -> list[str]:
    """What is to stand for each thing of a placeholder's shape in ``text``, in order."""
    if depth >= DEEPEST or not is_json(text):
        return [secrets.get(placeholder, placeholder) for placeholder in PLACEHOLDER.findall(text)]
    pieces: list[str] = []
    for match in STRING.finditer(text):
        if PREFIX in match[1]:
            inner = _pieces(decode_string(match[1]), secrets, depth + 1)
            here = PLACEHOLDER.findall(match[1])
            pieces += [_escaped(piece) for piece in inner] if len(inner) == len(here) else here
    return pieces


def _escaped(piece: str) -> str:
    return piece if PLACEHOLDER.fullmatch(piece) else encode_string(piece)


def _with(text: str, pieces: list[str]) -> str:
    following = iter(pieces)
    return PLACEHOLDER.sub(lambda _: next(following), text)
