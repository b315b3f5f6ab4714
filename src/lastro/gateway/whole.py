"""Answers that come at once: read, checked, and written for the client. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from lastro.gateway.dialects.codec import Codec, TruncatedError
from lastro.gateway.dialects.neutral import (
    Conversation,
    Ended,
    Failed,
    Happening,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Used,
)
from lastro.gateway.failover import merged, restored_arguments, with_arguments
from lastro.messages import N_


class WholeAnswer(Struct, frozen=True, kw_only=True):
    """An answer that was read. ``failed``: it says that it is none."""

    body: bytes
    source: Codec
    happenings: tuple[Happening, ...]
    used: Used | None
    output: list[str]
    failed: Failed | None


def read_whole(source: Codec, body: bytes) -> WholeAnswer:
    """What an answer says.

    Raises:
        MalformedError: it is not of the dialect, or has no end.
    """
    happenings = source.decode_answer(body)
    used: Used | None = None
    output: list[str] = []
    failed: Failed | None = None
    for happening in happenings:
        match happening:
            case Used():
                used = happening if used is None else merged(used, happening)
            case TextDelta(text=text) | ThinkingDelta(text=text) | ToolCallDelta(arguments=text):
                output.append(text)
            case Failed():
                failed = happening
            case _:
                pass
    if failed is None and not any(isinstance(happening, Ended) for happening in happenings):
        raise TruncatedError(N_("The answer has no end."))
    return WholeAnswer(
        body=body, source=source, happenings=tuple(happenings), used=used, output=output, failed=failed
    )


def written_for(
    target: Codec,
    whole: WholeAnswer,
    *,
    restore: Callable[[str], str] | None,
    answer_id: str,
    model: str,
    created_s: int,
    request: Conversation | None,
) -> bytes:
    """The answer in the dialect ``target``: the provider's own bytes where that is its dialect too, but for secrets that ``restore`` puts
    back into calls.
    """
    restored = restored_arguments(whole.happenings, restore) if restore is not None else {}
    if target.dialect is whole.source.dialect:
        return target.restore_answer(whole.body, restored) if restored else whole.body
    return target.encode_answer(
        with_arguments(whole.happenings, restored),
        id=answer_id,
        model=model,
        created_s=created_s,
        request=request,
    )
