"""Sentences as replies carry them: untranslated, because only a face knows the reader's language."""

from __future__ import annotations

from msgspec import Struct

from lastro.errors import LastroError
from lastro.messages import Message


class Sentence(Struct, frozen=True, kw_only=True):
    """An English msgid and what fills it; ``code`` is for programs."""

    msgid: str
    parameters: dict[str, str] = {}
    hint: str = ""
    code: str = ""


def told(said: LastroError | Message) -> Sentence:
    """An error or a message as replies carry it."""
    parameters = {name: str(value) for name, value in said.parameters.items()}
    if isinstance(said, Message):
        return Sentence(msgid=said.msgid, parameters=parameters)
    return Sentence(msgid=said.msgid, parameters=parameters, hint=said.hint, code=said.code)
