"""The one way in which redaction fails: closed. In a module of its own so that answering imports no pattern."""

from __future__ import annotations

from lastro.errors import LastroError


class RedactionError(LastroError):
    """It is not sure that every secret would be taken out, so nothing may be sent. Never holds a part of what was read."""

    code = "redaction"
